package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/agent"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store/dir"
)

// run is the program with args; its home is work.
func run(t *testing.T, work string, args ...string) (out string, code int) {
	t.Helper()
	return runWith(t, []string{"HOME=" + work, "PATH=" + os.Getenv("PATH")}, args...)
}

// runWith is the program with args in an environment, and what it prints.
func runWith(t *testing.T, env []string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var text bytes.Buffer
	code = agent.Main(ctx, agent.Host{Args: args, Stdout: &text, Stderr: &text, Env: env, Cancel: cancel})
	return text.String(), code
}

// stored are the files that lie below folder.
func stored(t *testing.T, folder string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

// indexed are the packages in the index of noarch.
func indexed(t *testing.T, channel string) (files []string) {
	t.Helper()
	data, err := env.RepoData(t.Context(), dir.Open(channel), "noarch")
	if err != nil {
		t.Fatal(err)
	}
	for file := range data.All() {
		files = append(files, file)
	}
	slices.Sort(files)
	return files
}

// noarch makes the package name-1.0-0 with what is in it.
func noarch(t *testing.T, name, content string) string {
	t.Helper()
	return condatest.Write(t, name+"-1.0-0.conda", condatest.Index(name, "1.0", 0, "noarch"), map[string]string{"share/" + name: content})
}

// What is wrong in a file that has nothing to do with the channel is found before
// anything is stored, for all files.
func TestPublishLooksAtAllFilesFirst(t *testing.T) {
	work := t.TempDir()
	channel := filepath.Join(work, "channel")
	broken := filepath.Join(work, "broken-1.0-0.conda")
	if err := os.WriteFile(broken, []byte("no zip"), 0o600); err != nil {
		t.Fatal(err)
	}
	renamed := condatest.Write(t, "renamed-1.0-0.conda", condatest.Index("other", "1.0", 0, "noarch"), nil)
	out, code := run(t, work, "publish", noarch(t, "good", "x"), broken, renamed, "--to", channel)
	for _, want := range []string{
		"publish to " + channel + ": read " + broken + ": not a valid conda package",
		renamed + ": its info/index.json is of other-1.0-0: rename the file",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nobody says %q", want)
		}
	}
	if files := stored(t, channel); code != 1 || len(files) > 0 {
		t.Errorf("exit code %d, stored: %q\n%s", code, files, out)
	}
}

// What was published before a package that fails is shown to clients; what comes
// after it may need it, and is not tried.
func TestPublishShowsWhatCameBefore(t *testing.T) {
	for name, tt := range map[string]struct {
		flags   []string
		indexed []string
		says    string
	}{
		"in the index": {nil, []string{"a-1.0-0.conda", "b-1.0-0.conda"}, "; published before it, and in the index: 1 package; not tried: 1 package"},
		"--no-index":   {[]string{"--no-index"}, []string{"b-1.0-0.conda"}, "; published before it: 1 package; not tried: 1 package"},
	} {
		work := t.TempDir()
		channel, report := filepath.Join(work, "channel"), filepath.Join(work, "report.json")
		if out, code := run(t, work, "publish", noarch(t, "b", "theirs"), "--to", channel); code != 0 {
			t.Fatal(out)
		}
		args := []string{"publish", noarch(t, "a", "x"), noarch(t, "b", "ours"), noarch(t, "c", "x"), "--to", channel, "--report", report}
		for range 2 { // a task that is tried again
			out, code := run(t, work, append(args, tt.flags...)...)
			if code != 8 || !strings.Contains(out, "noarch/b-1.0-0.conda is there already with other bytes") || !strings.Contains(out, tt.says) {
				t.Errorf("%s: exit code %d\n%s", name, code, out)
			}
			if got := indexed(t, channel); !slices.Equal(got, tt.indexed) {
				t.Errorf("%s: in the index: %q", name, got)
			}
			if exists(filepath.Join(channel, "noarch/c-1.0-0.conda")) {
				t.Errorf("%s: what came after it was tried", name)
			}
			var r struct {
				ExitCode int `json:"exit_code"`
				Packages []struct{ Key string }
			}
			text, err := os.ReadFile(report)
			if err != nil || json.Unmarshal(text, &r) != nil || r.ExitCode != 8 || len(r.Packages) != 1 || r.Packages[0].Key != "noarch/a-1.0-0.conda" {
				t.Errorf("%s: %v, report: %s", name, err, text)
			}
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// A package has a URL in each spelling that its channel has one.
func TestPublishFromAFileURL(t *testing.T) {
	work := t.TempDir()
	file := filepath.ToSlash(noarch(t, "a", "x"))
	for i, url := range []string{"file:" + file, "FILE:" + file, "file://" + file, "file://localhost" + file} {
		channel := filepath.Join(work, "channel", string(rune('a'+i)))
		out, code := run(t, work, "publish", url, "--to", channel)
		if code != 0 || !slices.Equal(indexed(t, channel), []string{"a-1.0-0.conda"}) {
			t.Errorf("%s: exit code %d\n%s", url, code, out)
		}
	}
}
