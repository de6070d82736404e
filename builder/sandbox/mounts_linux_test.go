package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What is not for everybody is found as far down as we look, and what a command is
// shown is not among it.
func TestClosed(t *testing.T) {
	top := t.TempDir()
	err := errors.Join(os.Chmod(top, 0o755), os.MkdirAll(filepath.Join(top, "vendor", "keys", "deep"), 0o755))
	for name, mode := range map[string]os.FileMode{"open": 0o644, "vendor/licence": 0o600, "vendor/group": 0o640, "vendor/keys/deep/key": 0o600} {
		err = errors.Join(err, os.WriteFile(filepath.Join(top, name), nil, mode), os.Chmod(filepath.Join(top, name), mode))
	}
	err = errors.Join(err, os.Mkdir(filepath.Join(top, "home"), 0o700), os.Symlink("vendor/licence", filepath.Join(top, "link")))
	if err != nil {
		t.Fatal(err)
	}
	far := []string{"home", "vendor/group", "vendor/keys/deep/key", "vendor/licence"}
	for depth, want := range map[int][]string{1: {"home"}, 2: {"home", "vendor/group", "vendor/licence"}, 100: far} {
		var got []string
		for _, path := range closedBelow(top, depth) {
			relative, err := filepath.Rel(top, path)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, relative)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d folders down: %q, want %q", depth, got, want)
		}
	}
}

// Root's commands do not see shadow, unless somebody says that they shall.
func TestClosedIsShownWhenAsked(t *testing.T) {
	k := &keeper{order: order{Root: true}}
	if !slices.Contains(k.closed(), "/etc/shadow") {
		t.Errorf("%q", k.closed())
	}
	for _, shown := range []string{"/etc/shadow", "/etc"} {
		k.View.Read = []string{shown}
		if slices.Contains(k.closed(), "/etc/shadow") {
			t.Errorf("with %s: %q", shown, k.closed())
		}
	}
	if k.Root = false; k.closed() != nil {
		t.Errorf("an ordinary user: %q", k.closed())
	}
}
