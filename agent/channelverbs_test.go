package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda/condatest"
)

// What holds no index is no channel, and gets no lock either: a misspelt prefix of a
// bucket is as good as any other. One whose noarch index is missing is a channel.
func TestChannelVerbsAskForAChannel(t *testing.T) {
	work := t.TempDir()
	none, channel := filepath.Join(work, "none"), filepath.Join(work, "channel")
	if err := os.MkdirAll(filepath.Join(none, "docs"), 0o750); err != nil {
		t.Fatal(err)
	}
	linux := condatest.Write(t, "a-1.0-0.conda", condatest.Index("a", "1.0", 0, "linux-64"), nil)
	if out, code := run(t, work, "publish", linux, "--to", channel); code != 0 {
		t.Fatal(out)
	}
	if err := os.RemoveAll(filepath.Join(channel, "noarch")); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"prune", "prune --dry-run", "remove linux-64/a-1.0-0.conda", "restore linux-64/a-1.0-0.conda"} {
		args := append([]string{"channel"}, strings.Fields(line)...)
		out, code := run(t, work, append(args, "-c", none)...)
		const want = ": it has no index: correct the URL, or, where it is one, condaworker reindex "
		if files := stored(t, none); code != 1 || !strings.Contains(out, "change channel "+none+want+none) || len(files) > 0 {
			t.Errorf("%s: exit code %d, stored: %q\n%s", line, code, files, out)
		}
		if out, code := run(t, work, append(args, "-c", channel)...); code != 0 {
			t.Errorf("%s without noarch: exit code %d\n%s", line, code, out)
		}
	}
	if out, code := run(t, work, "reindex", none); code != 0 {
		t.Errorf("reindex: exit code %d\n%s", code, out)
	}
}

// A dry run promises nothing that the restore refuses.
func TestDryRunOfARestore(t *testing.T) {
	work := t.TempDir()
	channel := filepath.Join(work, "channel")
	for _, name := range []string{"a", "b"} {
		path := condatest.Write(t, name+"-1.0-0.conda", condatest.Index(name, "1.0", 0, "linux-64"), nil)
		if out, code := run(t, work, "publish", path, "--to", channel); code != 0 {
			t.Fatal(out)
		}
	}
	if out, code := run(t, work, "channel", "remove", "a=1.0", "b=1.0", "-c", channel); code != 0 {
		t.Fatal(out)
	}
	if err := os.Remove(filepath.Join(channel, "linux-64", "a-1.0-0.conda")); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"a-1.0-0.conda": "its file is not stored any more", "b-1.0-0.conda": "taken into the index again"} {
		for _, dry := range [][]string{{"--dry-run"}, nil} {
			out, code := run(t, work, append([]string{"channel", "restore", file, "-c", channel}, dry...)...)
			if !strings.Contains(out, want) || (code == 0) != (file == "b-1.0-0.conda") {
				t.Errorf("%s %q: exit code %d\n%s", file, dry, code, out)
			}
		}
	}
}
