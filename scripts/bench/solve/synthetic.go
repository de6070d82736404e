package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// synthetic writes a repodata.json of about n records in the shape of
// conda-forge's and returns its path: a few libraries that everything needs, many
// packages with a build for each Python, many more that are noarch; most have a
// few versions, some have hundreds; newer versions ask for newer ones of what they
// need, and some constrain what they do not need.
func synthetic(dir string, n int, seed uint64) (string, error) {
	g := generator{rng: rand.New(rand.NewPCG(seed, 1)), records: map[string]map[string]any{}} //nolint:gosec // repeatable on purpose
	for minor := 8; minor <= 13; minor++ {
		g.add("python", fmt.Sprintf("3.%d.%d", minor, g.rng.IntN(10)), "h1234567_0", 0, nil, nil)
	}
	for i := 0; len(g.records) < n; i++ {
		g.pkg(i)
	}
	text, err := json.Marshal(map[string]any{
		"info": map[string]string{"subdir": "linux-64"}, "packages": map[string]any{}, "packages.conda": g.records, "repodata_version": 1,
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("synthetic-%d.json", n))
	return path, os.WriteFile(path, text, 0o600)
}

type generator struct {
	rng     *rand.Rand
	names   []string
	newest  []int // major versions of each name
	records map[string]map[string]any
	time    int64
}

// pkg adds all versions of one package.
func (g *generator) pkg(i int) {
	kind := []string{"lib", "py", "pure", "pure"}[g.rng.IntN(4)]
	name := fmt.Sprintf("%s-%d", kind, i)
	majors := 1 + g.rng.IntN(4)
	if g.rng.IntN(30) == 0 {
		majors = 10 + g.rng.IntN(40)
	}
	needs := g.needs()
	for major := 1; major <= majors; major++ {
		for minor := range 1 + g.rng.IntN(4) {
			g.version(kind, name, major, minor, float64(major)/float64(majors), needs)
		}
	}
	g.names, g.newest = append(g.names, name), append(g.newest, majors)
}

// needs are indices of packages that exist already; early ones are needed most.
func (g *generator) needs() []int {
	var all []int
	for range min(len(g.names), g.rng.IntN(7)) {
		f := g.rng.Float64()
		all = append(all, int(f*f*f*float64(len(g.names))))
	}
	return all
}

// version adds the builds of one version; age is 0 for the oldest, 1 for the newest.
func (g *generator) version(kind, name string, major, minor int, age float64, needs []int) {
	version := fmt.Sprintf("%d.%d.%d", major, minor, g.rng.IntN(10))
	var depends, constrains []string
	for _, need := range needs {
		low := max(1, int(age*float64(g.newest[need])))
		spec := fmt.Sprintf("%s >=%d,<%d.0a0", g.names[need], low, low+1)
		switch g.rng.IntN(4) {
		case 0:
			spec = g.names[need]
		case 1:
			spec = fmt.Sprintf("%s >=%d", g.names[need], low)
		}
		depends = append(depends, spec)
	}
	if len(g.names) > 0 && g.rng.IntN(10) == 0 {
		other := g.rng.IntN(len(g.names))
		constrains = append(constrains, fmt.Sprintf("%s >=%d", g.names[other], 1+g.rng.IntN(g.newest[other])))
	}
	for number := range 1 + g.rng.IntN(2) {
		switch kind {
		case "lib":
			g.add(name, version, fmt.Sprintf("h%07x_%d", g.rng.IntN(1<<28), number), number, append([]string{"__glibc >=2.17,<3.0.a0"}, depends...), constrains)
		case "pure":
			g.add(name, version, fmt.Sprintf("pyhd8ed1ab_%d", number), number, append([]string{"python >=3.8"}, depends...), constrains)
		default:
			first := 8 + int(age*3)
			for py := first; py < first+3; py++ {
				python := fmt.Sprintf("python >=3.%d,<3.%d.0a0", py, py+1)
				g.add(name, version, fmt.Sprintf("py3%dh%07x_%d", py, g.rng.IntN(1<<28), number), number, append([]string{python}, depends...), constrains)
			}
		}
	}
}

func (g *generator) add(name, version, build string, number int, depends, constrains []string) {
	g.time += 1000 + g.rng.Int64N(1_000_000)
	r := map[string]any{
		"name": name, "version": version, "build": build, "build_number": number, "depends": depends, "subdir": "linux-64",
		"license": "MIT", "size": 1000 + g.rng.IntN(1<<20), "timestamp": 1_500_000_000_000 + g.time,
		"md5": fmt.Sprintf("%016x%016x", g.rng.Uint64(), g.rng.Uint64()), "sha256": strings.Repeat(fmt.Sprintf("%016x", g.rng.Uint64()), 4),
	}
	if depends == nil {
		r["depends"] = []string{}
	}
	if constrains != nil {
		r["constrains"] = constrains
	}
	if strings.HasPrefix(build, "pyh") {
		r["noarch"] = "python"
	}
	g.records[fmt.Sprintf("%s-%s-%s.conda", name, version, build)] = r
}
