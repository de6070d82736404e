// Package e2e runs the built program as its users do: against a folder and a
// real S3 server, in real Open Job Description sessions, and with other
// makers' clients reading its channels.
//
// It needs CONDAWORKER_E2E, versitygw, and a Python with requirements.txt
// installed (CONDAWORKER_TEST_PYTHON): .ci/run sets all three.
package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/condaworker/condaworker/store/s3/s3test"
)

// program builds condaworker, once, in folder.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "condaworker")
	out, err := exec.Command("go", "build", "-o", path, "../..").CombinedOutput() //nolint:gosec // the suite's own
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// folder is for what all tests use.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "e2e-"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// suite is what the tests share.
type suite struct {
	program, python string
	root            string // of the repository
	server          s3test.Server
}

func start(t *testing.T) suite {
	t.Helper()
	s := suite{python: os.Getenv("CONDAWORKER_TEST_PYTHON")}
	if os.Getenv("CONDAWORKER_E2E") == "" || s.python == "" {
		if os.Getenv("CONDAWORKER_E2E") != "" {
			t.Fatal("CONDAWORKER_TEST_PYTHON names no Python, and nothing may be skipped")
		}
		t.Skip("the end-to-end suite runs with CONDAWORKER_E2E and CONDAWORKER_TEST_PYTHON: see .ci/run")
	}
	var err error
	if s.root, err = filepath.Abs("../.."); err != nil {
		t.Fatal(err)
	}
	s.server = s3test.Start(t)
	s.server.Bucket(t, "packages")
	if s.program, err = program(); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a command and returns its output and exit code.
func (s suite) run(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...) //nolint:gosec // the suite's own commands
	c.Dir = s.root
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), c.ProcessState.ExitCode()
}

func (s suite) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, code := s.run(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %q exits with %d:\n%s", name, args, code, tail(out))
	}
	return out
}

func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// client solves and installs specs from channels (file:// or s3://) with
// py-rattler and prints the names that were installed.
const client = `
import asyncio, os, sys
from rattler import solve, install, Gateway, Platform, Channel, MatchSpec
from rattler.networking import Client, S3Middleware
async def main(channels, spec, prefix):
    client = Client([S3Middleware()])
    records = await solve(sources=[Channel(c) for c in channels.split(",")], specs=[MatchSpec(s) for s in spec.split(",")],
        gateway=Gateway(cache_dir=prefix + ".repodata", client=client), platforms=[Platform("linux-64"), Platform("noarch")])
    await install(records, target_prefix=prefix, cache_dir=prefix + ".cache", show_progress=False, client=client)
    print(" ".join(sorted(str(r.file_name) for r in records)))
asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0) # its threads do not survive the interpreter's own end
`

func (s suite) install(t *testing.T, channel, spec, prefix string) string {
	t.Helper()
	if filepath.IsAbs(channel) {
		channel = "file://" + channel
	}
	return s.must(t, s.python, "-c", client, channel, spec, prefix)
}

// members reads every member of a package with conda-package-streaming.
const members = `
import sys
from conda_package_streaming.package_streaming import stream_conda_component
n = 0
for part in ("info", "pkg"):
    for tar, member in stream_conda_component(sys.argv[1], component=part):
        assert member.uid == 0 and member.gid == 0, member.name
        if member.isfile():
            tar.extractfile(member).read()
        n += 1
print(n)
`

func TestVendorArchive(t *testing.T) {
	s := start(t)
	dir := t.TempDir()
	version := strings.TrimPrefix(runtime.Version(), "go")
	archive := filepath.Join(dir, "go"+version+".linux-amd64.tar.xz")
	goroot := strings.TrimSpace(s.must(t, "go", "env", "GOROOT"))
	s.must(t, "bash", "-c", `tar -C "$(dirname "$1")" -cf - --transform "s,^$(basename "$1"),go," "$(basename "$1")" | xz -T2 -1 > "$2"`, "-", goroot, archive)
	sum := strings.Fields(s.must(t, "sha256sum", archive))[0]
	for _, format := range []string{"meta.yaml", "recipe.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", "go", format))
		if err != nil {
			t.Fatal(err)
		}
		recipe := filepath.Join(dir, format+".d")
		write(t, filepath.Join(recipe, format), strings.NewReplacer("@VERSION@", version, "@SHA256@", sum).Replace(string(text)))
		build, err := os.ReadFile("testdata/go/build.sh")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(recipe, "build.sh"), string(build))
		for _, channel := range []string{filepath.Join(dir, "channel-"+format), "s3://packages/" + format} {
			t.Run(format+" to "+door(channel), func(t *testing.T) {
				report := filepath.Join(dir, "report.json")
				out := s.must(t, s.program, "build", recipe, "--to", channel, "--source-archive", archive, "--report", report, "--output-dir", filepath.Join(dir, "out"))
				for _, want := range []string{"Resource usage summary:", "Total time: ", "CPU usage: sys=", "Maximum memory usage observed: ", "Total disk usage observed"} {
					if !strings.Contains(out, want) {
						t.Errorf("the log has no %q", want)
					}
				}
				t.Log("\n" + grep(out, "phase "))
				s.must(t, s.program, "reindex", channel)
				prefix := filepath.Join(t.TempDir(), "env")
				s.install(t, channel, "go-toolchain", prefix)
				if got := s.must(t, "env", "-i", "CONDA_PREFIX="+prefix, "bash", "-ec", `. "$CONDA_PREFIX"/etc/conda/activate.d/go.sh; test "$GOROOT" = "$CONDA_PREFIX/opt/go"; "$CONDA_PREFIX/bin/go" version`); !strings.Contains(got, version) {
					t.Errorf("the installed program says %q", got)
				}
			})
		}
	}
	built, err := filepath.Glob(filepath.Join(dir, "out", "linux-64", "*.conda"))
	if err != nil || len(built) != 2 {
		t.Fatal(built, err)
	}
	for _, p := range built {
		t.Logf("%s has %s members", filepath.Base(p), strings.TrimSpace(s.must(t, s.python, "-c", members, p)))
	}
}

// door names the kind of channel in a test's name.
func door(channel string) string {
	if strings.HasPrefix(channel, "s3://") {
		return "s3"
	}
	return "a folder"
}

func grep(out, part string) string {
	var found []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestSession(t *testing.T) {
	s := start(t)
	template := filepath.Join(s.root, "scripts/openjd/package_build/template.yaml")
	openjd := filepath.Join(filepath.Dir(s.python), "openjd")
	s.must(t, openjd, "check", template)
	for _, channel := range []string{filepath.Join(t.TempDir(), "channel"), "s3://packages/session"} {
		out := s.must(t, openjd, "run", template, "-p", "RecipeDir="+filepath.Join(s.root, "examples/hello"),
			"-p", "S3CondaChannel="+channel, "-p", "CondaworkerCommand="+s.program)
		for _, want := range []string{"openjd_status: pack", "openjd_progress: 100", "openjd_status: indexed ", "Session ended successfully"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: the session has no %q:\n%s", channel, want, tail(out))
			}
		}
	}
}

// The template's overriding parameters, with a vendor's archive.
func TestSessionWithAnArchive(t *testing.T) {
	s := start(t)
	dir := filepath.Join(t.TempDir(), "a folder; with $odd 'name'")
	write(t, filepath.Join(dir, "vendor/tool"), "the tool\n")
	archive := filepath.Join(dir, "tool 1.0.tar.gz")
	s.must(t, "tar", "-C", dir, "-czf", archive, "vendor")
	sum := strings.Fields(s.must(t, "sha256sum", archive))[0]
	write(t, filepath.Join(dir, "recipe/meta.yaml"), "package: {name: tool, version: 1.0}\nsource:\n  url: https://vendor.example/tool.tar.gz\n  sha256: "+sum+"\n")
	write(t, filepath.Join(dir, "recipe/build.sh"), "echo \"prefix of ${#PREFIX}\"\ncp tool $PREFIX/$PKG_NAME\n")
	channel := filepath.Join(dir, "channel")
	out := s.must(t, filepath.Join(filepath.Dir(s.python), "openjd"), "run", filepath.Join(s.root, "scripts/openjd/package_build/template.yaml"),
		"-p", "RecipeDir="+filepath.Join(dir, "recipe"), "-p", "OverrideSourceArchive1="+archive, "-p", "OverridePackageName=renamed",
		"-p", "OverridePrefixLength=240", "-p", "S3CondaChannel="+channel, "-p", "CondaworkerCommand="+s.program)
	for _, want := range []string{"| prefix of 240", "built renamed-1.0-0.conda", "Session ended successfully"} {
		if !strings.Contains(out, want) {
			t.Errorf("the session has no %q:\n%s", want, tail(out))
		}
	}
	if text, err := os.ReadFile(filepath.Join(channel, "linux-64/repodata.json")); err != nil || !strings.Contains(string(text), `"renamed-1.0-0.conda"`) { //nolint:gosec // ours
		t.Errorf("%s %v", text, err)
	}
}

func TestHostileOutputInASession(t *testing.T) {
	s := start(t)
	recipe := hello(t, "hostile", `printf 'openjd_env: PATH=x\n  OPENJD_ENV foo\n\377\376 bad \ropenjd_fail: no\n'`)
	out := s.must(t, filepath.Join(filepath.Dir(s.python), "openjd"), "run", filepath.Join(s.root, "scripts/openjd/package_build/template.yaml"),
		"--step", "PackageBuild", "-p", "RecipeDir="+recipe, "-p", "S3CondaChannel="+filepath.Join(t.TempDir(), "c"), "-p", "CondaworkerCommand="+s.program)
	if !strings.Contains(out, "| openjd_env: PATH=x") || !strings.Contains(out, "Session ended successfully") {
		t.Error(tail(out))
	}
}

// hello makes a small recipe whose script runs command and installs one file.
func hello(t *testing.T, name, command string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	write(t, filepath.Join(dir, "recipe.yaml"), "package:\n  name: "+name+"\n  version: \"1.0\"\ntests:\n  - script: test -f $PREFIX/share/"+name+"\n")
	write(t, filepath.Join(dir, "build.sh"), "mkdir -p $PREFIX/share\necho $PREFIX > $PREFIX/share/"+name+"\n"+command+"\n")
	return dir
}

func TestTenWorkersLoseNothing(t *testing.T) {
	s := start(t)
	for channel, reindex := range map[string]bool{
		filepath.Join(t.TempDir(), "channel"): true, "s3://packages/ten": true,
		filepath.Join(t.TempDir(), "channel"): false, "s3://packages/fast": false, // only build adds to the index
	} {
		done := make(chan string, 10)
		var names []string
		for i := range 10 {
			name := fmt.Sprintf("worker%d", i)
			names = append(names, name)
			recipe := hello(t, name, "true")
			go func() {
				out, code := s.run(t, s.program, "build", recipe, "--to", channel)
				if code == 0 && reindex {
					out, code = s.run(t, s.program, "reindex", channel)
				}
				if code == 0 {
					out = ""
				}
				done <- out
			}()
		}
		for range 10 {
			if out := <-done; out != "" {
				t.Errorf("a worker failed:\n%s", tail(out))
			}
		}
		got := s.install(t, channel, strings.Join(names, ","), filepath.Join(t.TempDir(), "p"))
		if n := len(strings.Fields(got)); n != 10 {
			t.Errorf("%s: a client finds %d of 10 packages: %s", channel, n, got)
		}
	}
}

func TestSameInputsSameBytes(t *testing.T) {
	s := start(t)
	var sums []string
	for range 2 {
		out := t.TempDir()
		recipe := hello(t, "same", "true") // in another folder each time
		s.must(t, s.program, "build", recipe, "--output-dir", out, "--work-dir", filepath.Join(out, "work"))
		sums = append(sums, strings.Fields(s.must(t, "sha256sum", filepath.Join(out, "linux-64", "same-1.0-hb0f4dca_0.conda")))[0])
	}
	if sums[0] != sums[1] {
		t.Errorf("%v", sums)
	}
}
