// Command solve compares env/solve with py-rattler: random requests against the
// repodata.json files that are named.
//
//	go run ./scripts/bench/solve -python PYTHON-with-py-rattler -n 2000 INDEX.json…
//	go run ./scripts/bench/solve -python PYTHON-with-py-rattler -synthetic 100000
//	go run ./scripts/bench/solve -python PYTHON-with-py-rattler -cold 1000000
//
// -synthetic makes an index of so many records in the shape of conda-forge's.
// It prints how many answers are equal, how many of ours have newer packages and none
// that is older, how many are better in the order in which solve.Solve decides, each
// that differs otherwise, and the time that both took for all.
// It exits with 1 when one of them finds a solution where the other finds none, and when
// an answer differs that is neither.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/repodata"
	"github.com/condaworker/condaworker/env/solve"
	"github.com/condaworker/condaworker/store"
)

//go:embed oracle.py
var oracle string

func main() {
	python := flag.String("python", "python3", "a Python that has py-rattler")
	n := flag.Int("n", 200, "requests for each index")
	seed := flag.Uint64("seed", 1, "of the random requests")
	records := flag.Int("synthetic", 0, "records of an index to make")
	whole := flag.Int("cold", 0, "time whole runs on a channel of so many records instead")
	show := flag.Int("show", 20, "how many differences to print")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *whole > 0 {
		if err := cold(ctx, *python, *whole, *seed); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:gocritic // nothing is left to undo
		}
		return
	}
	good, err := compare(ctx, flag.Args(), *python, *n, *seed, *records, *show)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// compare is all the work; it tells whether no answer of ours is worse.
func compare(ctx context.Context, files []string, python string, n int, seed uint64, records, show int) (bool, error) {
	dir, err := os.MkdirTemp("", "condaworker-solve-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if records > 0 {
		file, err := synthetic(dir, records, seed)
		if err != nil {
			return false, err
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		return false, errors.New("name an index, or give -synthetic")
	}
	good := true
	for _, file := range files {
		if file, err = whole(dir, file); err != nil {
			return false, err
		}
		c := comparison{file: file, rng: rand.New(rand.NewPCG(seed, 0)), show: show, records: map[string][]conda.Record{}} //nolint:gosec // repeatable on purpose
		if err := c.run(ctx, python, n); err != nil {
			return false, err
		}
		good = good && c.disagree+c.other == 0
	}
	return good, nil
}

// whole is an index that has all a repodata.json needs: of some that are passed
// around only the records are left, by file name.
func whole(dir, file string) (string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the user's index
	if err != nil {
		return "", err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if keys["packages"] != nil || keys["packages.conda"] != nil {
		return file, nil
	}
	text, err = json.Marshal(map[string]any{"info": map[string]string{"subdir": "linux-64"}, "packages": keys, "packages.conda": struct{}{}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(file))
	return path, os.WriteFile(path, text, 0o600)
}

// comparison is of one index.
type comparison struct {
	file string
	rng  *rand.Rand
	show int

	index    repodata.Subdir
	names    []string // that have records which can be read
	records  map[string][]conda.Record
	disagree int // on whether there is a solution
	other    int // answers that differ, and are not shown to be better
}

// virtual is what the system offers to both.
var virtual = [][3]string{{"__unix", "0", "0"}, {"__linux", "5.10", "0"}, {"__glibc", "2.35", "0"}, {"__archspec", "1", "x86_64"}}

// answer is the records as name, version, build, in order.
type answer struct {
	Records [][3]string
	decided []conda.Record // ours, as they were chosen
	Error   string
	Seconds float64
}

func (c *comparison) run(ctx context.Context, python string, n int) (err error) {
	begun := time.Now()
	if err := c.load(ctx); err != nil {
		return err
	}
	loaded := time.Since(begun)
	defer func() { err = errors.Join(err, c.index.Close()) }()
	c.names = slices.DeleteFunc(slices.Sorted(slices.Values(c.index.Names())), func(name string) bool { return len(c.of(name)) == 0 })
	clear(c.records) // a solve reads what it reaches
	requests := make([][]string, n)
	for i := range requests {
		requests[i] = c.request()
	}
	theirs, load, err := c.ask(ctx, python, requests)
	if err != nil {
		return err
	}
	var equal, none, better, sooner int
	var ours, their float64
	for i, request := range requests {
		mine := c.solve(request)
		ours, their = ours+mine.Seconds, their+theirs[i].Seconds
		switch {
		case (mine.Error == "") != (theirs[i].Error == ""):
			c.disagree++
			c.tell("%q: we %s, they %s\n", request, verdict(mine), verdict(theirs[i]))
		case mine.Error != "":
			none++
			equal++
		case slices.Equal(mine.Records, theirs[i].Records):
			equal++
		case newer(mine.Records, theirs[i].Records):
			better++
		case c.preferred(mine.decided, theirs[i].Records):
			sooner++
		default:
			c.other++
			c.tell("%q:\n  we   %v\n  they %v\n", request, without(mine.Records, theirs[i].Records), without(theirs[i].Records, mine.Records))
		}
	}
	fmt.Printf("%s: %d requests, %d equal (%d without a solution), %d newer, %d better in the order of decisions, %d other, %d disagreements; load %.2f s beside %.2f, solve %.2f s beside %.2f\n",
		filepath.Base(c.file), n, equal, none, better, sooner, c.other, c.disagree, loaded.Seconds(), load, ours, their)
	return nil
}

func (c *comparison) tell(format string, args ...any) {
	if c.show--; c.show >= 0 {
		fmt.Printf(format, args...)
	}
}

func verdict(a answer) string {
	if a.Error != "" {
		first, _, _ := strings.Cut(a.Error, "\n")
		return "say " + first
	}
	return fmt.Sprint("find ", a.Records)
}

// newer tells whether no package that both have is older in a, and one is newer.
func newer(a, b [][3]string) bool {
	found := false
	for _, mine := range a {
		i := slices.IndexFunc(b, func(r [3]string) bool { return r[0] == mine[0] })
		if i < 0 {
			continue
		}
		v, err := conda.ParseVersion(mine[1])
		w, other := conda.ParseVersion(b[i][1])
		order := v.Compare(w)
		if err != nil || other != nil || order < 0 {
			return false
		}
		found = found || order > 0
	}
	return found
}

// preferred tells whether at the first decision that other took otherwise ours is the
// better record: there other had the same choice.
func (c *comparison) preferred(decided []conda.Record, other [][3]string) bool {
	for _, mine := range decided {
		i := slices.IndexFunc(other, func(r [3]string) bool { return r[0] == mine.Name })
		if i < 0 {
			return false
		}
		if other[i] == [3]string{mine.Name, mine.Version, mine.Build} {
			continue
		}
		all := c.of(mine.Name)
		j := slices.IndexFunc(all, func(r conda.Record) bool { return r.Version == other[i][1] && r.Build == other[i][2] })
		return j >= 0 && ranks(mine, all[j]) < 0
	}
	return false
}

// ranks is negative where a is better than b by what their records alone say: fewer
// track_features, then the newer version, the higher build number, the newer timestamp
// and the last build string.
func ranks(a, b conda.Record) int {
	v, err := conda.ParseVersion(a.Version)
	w, other := conda.ParseVersion(b.Version)
	if err != nil || other != nil {
		return 0
	}
	return cmp.Or(cmp.Compare(len(a.TrackFeatures), len(b.TrackFeatures)), w.Compare(v), cmp.Compare(b.BuildNumber, a.BuildNumber),
		cmp.Compare(b.Timestamp, a.Timestamp), cmp.Compare(b.Build, a.Build))
}

// without are the records of a that b lacks.
func without(a, b [][3]string) [][3]string {
	return slices.DeleteFunc(slices.Clone(a), func(r [3]string) bool { return slices.Contains(b, r) })
}

// load opens the index as a solve of a channel does, with an empty cache.
func (c *comparison) load(ctx context.Context) (err error) {
	c.index, err = repodata.Open(ctx, oneIndex(c.file), "linux-64", repodata.Options{Channel: c.file})
	return err
}

// of returns the records of a name, which are read once.
func (c *comparison) of(name string) []conda.Record {
	if records, known := c.records[name]; known {
		return records
	}
	records, err := c.index.Records(name)
	if err != nil {
		panic(err) // of a file of our own
	}
	c.records[name] = records
	return records
}

// oneIndex is a channel that has nothing but the repodata.json with this path.
type oneIndex string

func (o oneIndex) Get(_ context.Context, key string, _, n int64) (io.ReadCloser, store.Info, error) {
	if key != "linux-64/repodata.json" {
		return nil, store.Info{}, fs.ErrNotExist
	}
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), store.Info{}, nil
	}
	f, err := os.Open(string(o))
	return f, store.Info{}, err
}

// request is one to four packages, some with a version of theirs.
func (c *comparison) request() []string {
	var specs []string
	for range 1 + c.rng.IntN(4) {
		name := c.names[c.rng.IntN(len(c.names))]
		r := c.of(name)[c.rng.IntN(len(c.of(name)))]
		form := []string{"%s", "%s", "%s >=%s", "%s <%s", "%s ==%s", "%s %s.*"}[c.rng.IntN(6)]
		if strings.Count(form, "%s") == 1 {
			specs = append(specs, name)
		} else {
			specs = append(specs, fmt.Sprintf(form, name, r.Version))
		}
	}
	return specs
}

func (c *comparison) solve(request []string) answer {
	p := solve.Problem{Candidates: func(name string) []conda.Record { return slices.Clone(c.of(name)) }}
	for _, v := range virtual {
		p.Virtual = append(p.Virtual, conda.Record{Name: v[0], Version: v[1], Build: v[2]})
	}
	var decided []conda.Record
	p.Decided = func(r conda.Record) { decided = append(decided, r) }
	begun := time.Now()
	for _, text := range request {
		spec, err := conda.ParseMatchSpec(text)
		if err != nil {
			return answer{Error: err.Error()}
		}
		p.Specs = append(p.Specs, spec)
	}
	records, err := solve.Solve(p)
	a := answer{Seconds: time.Since(begun).Seconds(), decided: decided}
	if err != nil {
		a.Error = err.Error()
	}
	for _, r := range records {
		a.Records = append(a.Records, [3]string{r.Name, r.Version, r.Build})
	}
	slices.SortFunc(a.Records, func(x, y [3]string) int { return strings.Compare(x[0], y[0]) })
	return a
}

// ask has py-rattler solve the requests.
func (c *comparison) ask(ctx context.Context, python string, requests [][]string) ([]answer, float64, error) {
	index, err := filepath.Abs(c.file)
	if err != nil {
		return nil, 0, err
	}
	in, err := json.Marshal(map[string]any{"index": index, "subdir": "linux-64", "virtual": virtual, "requests": requests})
	if err != nil {
		return nil, 0, err
	}
	command := exec.CommandContext(ctx, python, "-I", "-c", oracle) //nolint:gosec // the user's Python
	command.Stdin, command.Stderr = bytes.NewReader(in), os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, 0, fmt.Errorf("run py-rattler: %w", err)
	}
	var got struct {
		Load    float64
		Answers []answer
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return nil, 0, err
	}
	if len(got.Answers) != len(requests) {
		return nil, 0, errors.New("py-rattler did not answer every request")
	}
	return got.Answers, got.Load, nil
}
