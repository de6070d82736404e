package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// snapshot is every file of a folder with its bytes.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, err := os.ReadFile(name)
			all.WriteString(name + "\n" + string(text) + "\n")
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestBadInput(t *testing.T) {
	s := start(t)
	dir := t.TempDir()
	channel := filepath.Join(dir, "channel")
	s.must(t, s.program, "build", hello(t, "first", "true"), "--to", channel)
	s.must(t, s.program, "reindex", channel)
	before := snapshot(t, channel)

	recipe := func(name, text string) string {
		write(t, filepath.Join(dir, name, "recipe.yaml"), text)
		write(t, filepath.Join(dir, name, "build.sh"), "true\n")
		return filepath.Join(dir, name)
	}
	head := "package:\n  name: x\n  version: 1.0\n"
	good := filepath.Join(dir, "good.tar.gz")
	s.must(t, "bash", "-c", "cd "+s.root+" && tar czf "+good+" examples")
	sum := strings.Fields(s.must(t, "sha256sum", good))[0]
	s.must(t, "bash", "-c", "head -c 300 "+good+" > "+dir+"/cut.tar.gz")
	s.must(t, s.python, "-c", "import tarfile,sys,io\nt=tarfile.open(sys.argv[1],'w:gz')\ni=tarfile.TarInfo('../evil'); i.size=1\nt.addfile(i, io.BytesIO(b'x'))\nt.close()", dir+"/evil.tar.gz")
	source := head + "source:\n  url: https://vendor.example/a.tar.gz\n"

	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"missing recipe":  {[]string{filepath.Join(dir, "none")}, 3, []string{"none", "recipe.yaml"}},
		"broken yaml":     {[]string{recipe("yaml", "package:\n  name: [x\n")}, 3, []string{"recipe.yaml:"}},
		"template":        {[]string{recipe("template", "package:\n  name: x\n  version: ${{ version }}\n")}, 3, []string{"recipe.yaml:3:", "version"}},
		"name":            {[]string{recipe("name", "package:\n  name: ../x\n  version: 1.0\n")}, 3, []string{"recipe.yaml:2:", "../x"}},
		"name with slash": {[]string{recipe("slash", "package:\n  name: a/b\n  version: 1.0\n")}, 3, []string{"recipe.yaml:2:", "a/b"}},
		"name option":     {[]string{recipe("option", head), "--package-name", "../x"}, 2, []string{"--package-name", "../x"}},
		"sha256":          {[]string{recipe("sha", source+"  sha256: "+strings.Repeat("0", 64)+"\n"), "--source-archive", good}, 1, []string{sum, "good.tar.gz"}},
		"cut archive":     {[]string{recipe("cut", source), "--source-archive", dir + "/cut.tar.gz"}, 1, []string{"unexpected EOF: the archive is cut off; get it again"}},
		"evil archive":    {[]string{recipe("evil", source), "--source-archive", dir + "/evil.tar.gz"}, 1, []string{"evil.tar.gz", "../evil"}},
		"script fails":    {[]string{hello(t, "fails", "exit 7")}, 5, []string{"fails-1.0", "exit status 7"}},
		"script hangs":    {[]string{hello(t, "hangs", "sleep 600"), "--timeout", "500ms"}, 5, []string{"hangs-1.0", "--timeout"}},
		"test fails":      {[]string{hello(t, "tested", "rm $PREFIX/share/tested")}, 6, []string{"TESTS FAILED", "tested-1.0"}},
		"other bytes":     {[]string{hello(t, "first", "echo more > $PREFIX/share/more")}, 8, []string{"first-1.0", "--build-number"}},
		"no bucket":       {[]string{recipe("bucket", head), "--to", "s3://no-such-bucket/x"}, 1, []string{"no-such-bucket"}},
		"no such option":  {[]string{"--nonsense"}, 2, []string{"--nonsense"}},
		"too many files":  {[]string{recipe("many", head), "--source-archive", good}, 1, []string{"source archives"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"build", "--to", channel}, c.args...)
			report := filepath.Join(t.TempDir(), "report.json")
			out, code := s.run(t, s.program, append(args, "--report", report)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(lastLine(out), want) && !strings.Contains(out, want) {
					t.Errorf("no %q in:\n%s", want, tail(out))
				}
			}
			if after := snapshot(t, channel); after != before {
				t.Error("the channel was changed")
			}
			t.Log(lastLine(out))
		})
	}
	const bucket = "s3://no-such-bucket/x"
	made, err := filepath.Glob(filepath.Join(channel, "*", "first-1.0-*.conda"))
	if err != nil || len(made) != 1 {
		t.Fatalf("packages %q %v", made, err)
	}
	for _, args := range [][]string{
		{"reindex", bucket},
		{"reindex", "--check", bucket},
		{"publish", made[0], "--to", bucket},
		{"publish", bucket + "/noarch/a-1.0-0.conda", "--to", channel},
		{"build", hello(t, "nowhere", "true"), "--to", bucket},
		{"channel", "remove", "a-1.0-0.conda", "--channel", bucket},
		{"channel", "prune", "--channel", bucket},
		{"lock", "status", bucket},
		{"env", "create", "-p", filepath.Join(dir, "p"), "-c", bucket, "x"},
		{"doctor", bucket},
	} {
		t.Run(strings.Join(args[:2], " ")+" no bucket", func(t *testing.T) {
			out, code := s.run(t, s.program, args...)
			if code == 0 || !strings.Contains(out, "there is no bucket no-such-bucket: correct the URL, or create the bucket") || !strings.Contains(lastLine(out), "no-such-bucket") && args[0] != "doctor" {
				t.Errorf("exit code %d:\n%s", code, tail(out))
			}
			t.Log(lastLine(out))
		})
	}
	t.Run("reindex nowhere", func(t *testing.T) {
		out, code := s.run(t, s.program, "reindex", filepath.Join(dir, "typo"))
		if code != 1 || !strings.Contains(out, "typo") {
			t.Errorf("%d %s", code, out)
		}
		const typo = "s3://packages/typo" // a bucket has no folders that could be missing
		says := "WARN  " + typo + " has no packages: if it is not a new channel, correct the URL"
		if out := s.must(t, s.program, "reindex", typo); !strings.Contains(out, says) {
			t.Errorf("%s", out)
		}
		s.must(t, s.program, "publish", made[0], "--to", typo)
		if out := s.must(t, s.program, "reindex", typo, "--subdir", "win-64"); strings.Contains(out, "has no packages") {
			t.Errorf("%s", out)
		}
	})
}

func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

func TestFullDiskAndReadOnlyChannel(t *testing.T) {
	s := start(t)
	if os.Getuid() != 0 {
		t.Skip("mounts need root")
	}
	small := t.TempDir()
	s.must(t, "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small)
	t.Cleanup(func() { _ = exec.Command("umount", small).Run() })
	out, code := s.run(t, s.program, "build", hello(t, "full", "head -c 1M /dev/urandom > $PREFIX/share/a; head -c 3M /dev/urandom > $PREFIX/share/b"), "--to", filepath.Join(small, "channel"), "--work-dir", filepath.Join(small, "work"))
	if code == 0 || !strings.Contains(out, "o space left") {
		t.Errorf("full disk: %d\n%s", code, tail(out))
	}
	if left, err := os.ReadDir(filepath.Join(small, "work")); err != nil || len(left) > 0 {
		t.Errorf("left %v %v", left, err)
	}
	fixed := t.TempDir()
	s.must(t, "mount", "-t", "tmpfs", "-o", "ro", "tmpfs", fixed)
	t.Cleanup(func() { _ = exec.Command("umount", fixed).Run() })
	out, code = s.run(t, s.program, "build", hello(t, "ro", "true"), "--to", filepath.Join(fixed, "channel"))
	if code != 1 || !strings.Contains(out, fixed) || strings.Contains(out, "phase script") {
		t.Errorf("read-only channel: %d\n%s", code, tail(out))
	}
}

func TestTermEndsABuild(t *testing.T) {
	s := start(t)
	work := t.TempDir()
	recipe := hello(t, "term", "(trap '' TERM; exec sleep 4242) & echo begun; sleep 4242")
	c := exec.Command(s.program, "build", recipe, "--to", filepath.Join(work, "channel"), "--work-dir", work) //nolint:gosec // ours
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the exit code is looked at below
	if code := c.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit code %d:\n%s", code, tail(out.String()))
	}
	if left, _ := s.run(t, "pgrep", "-f", "sleep 4242"); left != "" {
		t.Errorf("processes are left: %s", left)
	}
	if entries, err := os.ReadDir(work); err != nil || len(entries) > 0 {
		t.Errorf("left %v %v", entries, err)
	}
}
