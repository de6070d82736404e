package git_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder/git"
)

// env is a git without a user's settings.
func env(t *testing.T) map[string]string {
	t.Helper()
	switch _, err := exec.LookPath("git"); {
	case err != nil && os.Getenv("CONDAWORKER_TEST_NOSKIP") != "":
		t.Fatal("there is no git, and nothing may be skipped")
	case err != nil:
		t.Skip("not here: git")
	}
	return map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
	}
}

// run is git in dir; it returns what that prints.
func run(t *testing.T, dir string, env map[string]string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
	for k, v := range env {
		c.Env = append(c.Env, k+"="+v)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// repository has v1.9 (annotated), v1.10 and two commits more.
func repository(t *testing.T) (dir string, environ map[string]string) {
	t.Helper()
	dir, environ = filepath.Join(t.TempDir(), "tool"), env(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, environ, "init", "--quiet", "--initial-branch=main")
	for _, tag := range []string{"v1.10", "v1.9", "", ""} {
		run(t, dir, environ, "commit", "--quiet", "--allow-empty", "-m", "x")
		switch tag {
		case "v1.9":
			run(t, dir, environ, "tag", "-a", "-m", "x", tag)
		case "v1.10":
			run(t, dir, environ, "tag", tag)
		}
	}
	return dir, environ
}

func TestRevisions(t *testing.T) {
	dir, environ := repository(t)
	head, tagged := run(t, dir, environ, "rev-parse", "HEAD"), run(t, dir, environ, "rev-parse", "v1.10^{commit}")
	run(t, dir, environ, "clone", "--quiet", "--bare", ".", dir+".git")
	// Git takes the one that is far away from here.
	environ["GIT_CONFIG_COUNT"], environ["GIT_CONFIG_KEY_0"], environ["GIT_CONFIG_VALUE_0"] = "1", "url.file://"+dir+".insteadOf", "https://example.invalid/tool"
	for _, location := range []string{dir, "tool", "./tool", "tool.git", "file://" + dir, "file://" + dir + ".git", "https://example.invalid/tool"} {
		c := git.NewClient(t.Context(), filepath.Dir(dir), environ)
		if got, err := c.HeadRev(location); err != nil || got != head {
			t.Errorf("%s: HEAD is %s, %v, want %s", location, got, err, head)
		}
		name, rev, err := c.LatestTag(location)
		if err != nil || name != "v1.10" || rev != tagged {
			t.Errorf("%s: the latest tag is %s at %s, %v, want v1.10 at %s", location, name, rev, err, tagged)
		}
		if n, err := c.TagDistance(location); err != nil || n != 3 {
			t.Errorf("%s: %d commits after the tag, %v, want 3", location, n, err)
		}
		long, full, err := c.Describe(location, "")
		if err != nil || full != head || !regexp.MustCompile(`^v1\.9-2-g[0-9a-f]{7,}$`).MatchString(long) {
			t.Errorf("%s: HEAD is described as %s, %s, %v", location, long, full, err)
		}
		if long, _, err := c.Describe(location, "v1.9"); err != nil || !strings.HasPrefix(long, "v1.9-0-g") {
			t.Errorf("%s: v1.9 is described as %s, %v", location, long, err)
		}
	}
}

// An annotated tag's own hash is no commit that a source could be fetched at.
func TestAnnotatedTagIsItsCommit(t *testing.T) {
	dir, environ := repository(t)
	run(t, dir, environ, "tag", "-a", "-m", "x", "v2")
	name, rev, err := git.NewClient(t.Context(), "", environ).LatestTag(dir)
	if want := run(t, dir, environ, "rev-parse", "HEAD"); err != nil || name != "v2" || rev != want {
		t.Errorf("got %s at %s, %v, want v2 at %s", name, rev, err, want)
	}
}

func TestRefuses(t *testing.T) {
	dir, environ := repository(t)
	empty := filepath.Join(t.TempDir(), "empty")
	run(t, filepath.Dir(empty), environ, "init", "--quiet", empty)
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(t.TempDir(), "mark")
	c := git.NewClient(t.Context(), t.TempDir(), environ)
	head := func(location string) error { _, err := c.HeadRev(location); return err }
	describe := func(location, rev string) error { _, _, err := c.Describe(location, rev); return err }
	_, _, noTags := c.LatestTag(empty)
	for _, test := range []struct {
		err  error
		want string
	}{
		{head(""), "write a URL or a folder"},
		{head("--upload-pack=touch " + mark), "write a URL or a folder"},
		{head("ext::touch " + mark), "not allowed"},
		{head("missing"), "no such file"},
		{head(empty), "has no commit yet"},
		{head("https://user:secret@localhost:1/x"), "https://user:xxxxx@localhost:1/x"},
		{noTags, "has no tags"},
		{describe(below, ""), "no git repository"},
		{describe(dir, "v3"), "git says"},
		{describe(dir, "--all"), "git says"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("got %v, want %q", test.err, test.want)
		}
		if test.err != nil && strings.Contains(test.err.Error(), "secret") {
			t.Errorf("the password is shown: %v", test.err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a location ran a command")
	}
}

// In a hook git's own variables name the hook's repository.
func TestOtherRepositorysVariables(t *testing.T) {
	dir, environ := repository(t)
	hook := maps.Clone(environ)
	hook["GIT_DIR"], hook["GIT_WORK_TREE"] = "/missing/.git", "/missing"
	if _, _, err := git.NewClient(t.Context(), "", hook).Describe(dir, ""); err != nil {
		t.Error(err)
	}
}

func TestNoTagIsNoError(t *testing.T) {
	dir, environ := repository(t)
	run(t, dir, environ, "tag", "-d", "v1.9", "v1.10")
	long, full, err := git.NewClient(t.Context(), "", environ).Describe(dir, "main")
	if err != nil || long != "" || full == "" {
		t.Errorf("got %q, %q, %v", long, full, err)
	}
}

func TestWorktree(t *testing.T) {
	dir, environ := repository(t)
	run(t, dir, environ, "worktree", "add", "--quiet", "../other", "-b", "other")
	if long, _, err := git.NewClient(t.Context(), filepath.Dir(dir), environ).Describe("other", ""); err != nil || !strings.HasPrefix(long, "v1.9-2-g") {
		t.Errorf("got %q, %v", long, err)
	}
}
