// Command bench builds the package of a real vendor archive, the Go toolchain
// that it runs with, and prints each phase of the build beside what plain tools
// need for the same bytes on the same machine in the same run:
//
//	go run ./scripts/bench [-runs 3] [-python PYTHON]
//
// It needs bash, tar, xz and zstd. With -python (a Python that has
// py-rattler-build, of any version) rattler-build builds the same recipe, too.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	runs := flag.Int("runs", 3, "how often each measurement is taken; the median counts")
	python := flag.String("python", "", "a Python with py-rattler-build, to compare with")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *runs, *python); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is the folder that the measurements take place in, and their results.
type bench struct {
	dir    string
	python string
	times  map[string][]float64 // seconds by what was measured
	sizes  map[string]int64     // bytes by what was made
}

// The files in the bench's folder.
const (
	program = "condaworker"
	archive = "vendor.tar.xz"
	tree    = "tree" // the archive's content
	recipe  = "recipe"
	channel = "channel"
)

func run(ctx context.Context, out io.Writer, runs int, python string) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	b := &bench{dir: dir, python: python, times: map[string][]float64{}, sizes: map[string]int64{}}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for i := range runs {
		if _, err := fmt.Fprintf(out, "run %d of %d\n", i+1, runs); err != nil {
			return err
		}
		if err := b.once(ctx); err != nil {
			return err
		}
	}
	text, err := b.table()
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

// prepare makes the program, the archive and its recipe. Everything is in the
// page cache afterwards, for every side alike.
func (b *bench) prepare(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(b.dir, program), "github.com/condaworker/condaworker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, text)
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find the Go toolchain: %w", err)
	}
	if err := b.shell(ctx, `mkdir tree && cp -a "$1" tree/go && tar -C tree -c go | xz -T2 -2 > vendor.tar.xz`, strings.TrimSpace(string(goroot))); err != nil {
		return err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	if err := b.shell(ctx, `cp -r "$1/examples/hello" hello`, strings.TrimSpace(string(root))); err != nil {
		return err
	}
	return b.writeRecipe(ctx)
}

func (b *bench) writeRecipe(ctx context.Context) error {
	sum, err := exec.CommandContext(ctx, "sha256sum", filepath.Join(b.dir, archive)).Output()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`package: {name: go-toolchain, version: "%s"}
source: {url: "file://%s", sha256: %s, target_directory: go}
build:
  number: 0
  prefix_detection: {ignore_binary_files: true}
  dynamic_linking: {binary_relocation: false}
tests:
  - script: [go version]
about: {summary: A programming language's tools., license: BSD-3-Clause}
`, strings.TrimPrefix(runtime.Version(), "go"), filepath.Join(b.dir, archive), sum[:64])
	script := `mkdir -p "$PREFIX/opt" "$PREFIX/bin"
cp -a "$SRC_DIR/go" "$PREFIX/opt/go"
ln -s ../opt/go/bin/go "$PREFIX/bin/go"
`
	if err := os.MkdirAll(filepath.Join(b.dir, recipe), 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{"recipe.yaml": text, "build.sh": script} {
		if err := os.WriteFile(filepath.Join(b.dir, recipe, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// once takes each measurement, each with its scratch folder empty.
func (b *bench) once(ctx context.Context) error {
	for _, m := range []struct{ name, script string }{
		{"xz -dc | tar x", `xz -dc vendor.tar.xz | tar -x -C out`},
		{"cp -a", `cp -a tree/go out/go`},
		{"tar c | zstd -7 -T0", `tar -C tree -c go | zstd -q -7 -T0 -o out/go.tar.zst`},
		{"zstd -dc | tar x", `zstd -q -dc go.tar.zst | tar -x -C out`},
		{"cp of the package", `cp channel/linux-*/*.conda out/`},
	} {
		if m.name == "cp of the package" { // by now there is one
			if err := b.condaworker(ctx); err != nil {
				return err
			}
		}
		if err := b.time(ctx, m.name, m.script); err != nil {
			return err
		}
		if m.name == "tar c | zstd -7 -T0" {
			if err := b.shell(ctx, `mv out/go.tar.zst .`); err != nil {
				return err
			}
		}
	}
	if err := b.rattlerBuild(ctx); err != nil {
		return err
	}
	return b.small(ctx)
}

// small times what a user waits for when there is next to nothing to do.
func (b *bench) small(ctx context.Context) error {
	for range 10 {
		for name, script := range map[string]string{
			"condaworker version": `exec ./condaworker version >out/log`,
			"/bin/true":           `exec /bin/true`,
			"build hello":         `exec ./condaworker build hello --to out/channel >out/log`,
			"hello by hand":       `mkdir out/p; PREFIX=$PWD/out/p bash -e hello/build.sh; tar -C out/p -c . | zstd -q -7 -o out/pkg.tar.zst; tar -C hello -c . | zstd -q -7 -o out/info.tar.zst; sync out/*.zst`,
		} {
			if err := b.time(ctx, name, script); err != nil {
				return err
			}
		}
	}
	return nil
}

// condaworker builds the package and takes over the phases of its report.
func (b *bench) condaworker(ctx context.Context) error {
	if err := b.time(ctx, "condaworker build", `rm -rf channel; ./condaworker build recipe --to channel --report report.json >log 2>&1 || { cat log; exit 1; }`); err != nil {
		return err
	}
	if err := b.time(ctx, "condaworker reindex", `./condaworker reindex channel >log 2>&1 || { cat log; exit 1; }`); err != nil {
		return err
	}
	var report struct {
		MemoryPeak int64 `json:"memory_peak_bytes"`
		DiskPeak   int64 `json:"disk_peak_bytes"`
		Phases     []struct {
			Name    string
			Seconds float64
		}
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "report.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	for _, p := range report.Phases {
		b.times["phase "+p.Name] = append(b.times["phase "+p.Name], p.Seconds)
	}
	b.sizes["memory peak"], b.sizes["disk peak"] = report.MemoryPeak, report.DiskPeak
	return nil
}

// rattlerBuild builds the same recipe with rattler-build, with its own
// compression and with zstd's level 7.
func (b *bench) rattlerBuild(ctx context.Context) error {
	if b.python == "" {
		return nil
	}
	for _, format := range []string{"conda", "conda:7"} {
		script := fmt.Sprintf(`"$1" -W ignore -c 'import sys, rattler_build as r; r.build_recipes([sys.argv[1]], channel=["file://" + sys.argv[2]], package_format="%s", output_dir="out")' "$PWD/recipe/recipe.yaml" "$PWD/channel" >log 2>&1 || { cat log; exit 1; }`, format)
		if err := b.time(ctx, "rattler-build, "+format, script, b.python); err != nil {
			return err
		}
		if err := b.size("rattler-build, "+format, "out/linux-*/*.conda"); err != nil {
			return err
		}
	}
	return nil
}

// time runs a script with an empty folder out and notes its wall time.
func (b *bench) time(ctx context.Context, name, script string, args ...string) error {
	if err := b.shell(ctx, `chmod -R u+w out 2>/dev/null || true; rm -rf out; mkdir out; sync`); err != nil {
		return err
	}
	begun := time.Now()
	err := b.shell(ctx, script, args...)
	b.times[name] = append(b.times[name], time.Since(begun).Seconds())
	return err
}

func (b *bench) shell(ctx context.Context, script string, args ...string) error {
	c := exec.CommandContext(ctx, "bash", append([]string{"-euo", "pipefail", "-c", script, "bench"}, args...)...) //nolint:gosec // our own scripts
	c.Dir = b.dir
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, text)
	}
	return nil
}

func (b *bench) size(name, glob string) error {
	found, err := filepath.Glob(filepath.Join(b.dir, filepath.FromSlash(glob)))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%s: %q, %w", glob, found, err)
	}
	info, err := os.Stat(found[0])
	if err == nil {
		b.sizes[name] = info.Size()
	}
	return err
}

// beside says which plain tool does what a phase does.
var beside = map[string]string{
	"phase fetch":   "xz -dc | tar x",
	"phase script":  "cp -a",
	"phase pack":    "tar c | zstd -7 -T0",
	"phase test":    "zstd -dc | tar x",
	"phase publish": "cp of the package",
}

func (b *bench) table() (string, error) {
	var out strings.Builder
	for name, glob := range map[string]string{"archive": archive, "zstd -7": "go.tar.zst", "package": "channel/linux-*/*.conda"} {
		if err := b.size(name, glob); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(&out, "\n%s, %d processors, medians; ratio: condaworker's time by the other's\n\n", runtime.Version(), runtime.GOMAXPROCS(0))
	fmt.Fprintf(&out, "%-20s %9s   %-22s %9s %7s\n", "condaworker", "seconds", "beside", "seconds", "ratio")
	limit := 0.0
	for _, phase := range []string{"render", "verify", "fetch", "environments", "script", "pack", "test", "publish"} {
		mine, name := median(b.times["phase "+phase]), beside["phase "+phase]
		if name == "" {
			fmt.Fprintf(&out, "%-20s %9.3f\n", phase, mine)
			continue
		}
		limit += median(b.times[name])
		row(&out, phase, mine, name, median(b.times[name]))
	}
	whole := median(b.times["condaworker build"])
	row(&out, "build", whole, "all of these", limit)
	for _, peer := range []string{"rattler-build, conda", "rattler-build, conda:7"} {
		if t := median(b.times[peer]); t > 0 {
			row(&out, "build", whole, peer, t)
		}
	}
	fmt.Fprintf(&out, "%-20s %9.3f\n\n", "reindex", median(b.times["condaworker reindex"]))
	row(&out, "version", median(b.times["condaworker version"]), "/bin/true", median(b.times["/bin/true"]))
	row(&out, "hello", median(b.times["build hello"]), "hello by hand", median(b.times["hello by hand"]))
	out.WriteString("\n")
	for _, name := range []string{"archive", "package", "zstd -7", "rattler-build, conda", "rattler-build, conda:7", "memory peak", "disk peak"} {
		if n := b.sizes[name]; n > 0 {
			fmt.Fprintf(&out, "%-24s %8.1f MB\n", name, float64(n)/1e6)
		}
	}
	return out.String(), nil
}

func row(out *strings.Builder, name string, mine float64, other string, theirs float64) {
	fmt.Fprintf(out, "%-20s %9.3f   %-22s %9.3f %7.2f\n", name, mine, other, theirs, mine/theirs)
}

func median(times []float64) float64 {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}
