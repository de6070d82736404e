package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/condaworker/condaworker/conda/archive"
)

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(prefix string, o *Options)
		want   string
	}{
		"link into the work folder": {func(p string, o *Options) {
			link(t, p, "bad", filepath.Join(filepath.Dir(p), "work/x"))
			o.Files = append(o.Files, "bad")
		}, "gone after the build"},
		"relative link there": {func(p string, o *Options) {
			link(t, p, "bad", "../work/x")
			o.Files = append(o.Files, "bad")
		}, "gone after the build"},
		"missing file":      {func(_ string, o *Options) { o.Files = append(o.Files, "none") }, "read none"},
		"folder":            {func(p string, o *Options) { must(t, os.Mkdir(p+"/d", 0o755)); o.Files = append(o.Files, "d") }, "d is neither"},
		"path that leaves":  {func(_ string, o *Options) { o.Files = append(o.Files, "../x") }, "not a path"},
		"line break":        {func(p string, o *Options) { write(t, p, "a\nb", "", 0o644); o.Files = append(o.Files, "a\nb") }, "rename"},
		"not UTF-8":         {func(p string, o *Options) { write(t, p, "a\xff", "", 0o644); o.Files = append(o.Files, "a\xff") }, "rename"},
		"other index":       {func(_ string, o *Options) { o.Dist = "x-1-0" }, "index.json describes demo-1.0-h0_0"},
		"broken index":      {func(_ string, o *Options) { o.Index = []byte("{") }, "read index.json"},
		"short placeholder": {func(_ string, o *Options) { o.Placeholder = "/x" }, "as many"},
		"relative prefix":   {func(_ string, o *Options) { o.Prefix = "x" }, "absolute"},
		"extra that leaves": {func(_ string, o *Options) { o.Extra = []InfoFile{{Path: "../x"}} }, "below info"},
		"extra twice":       {func(_ string, o *Options) { o.Extra = []InfoFile{{Path: "x"}, {Path: "x"}} }, "two files want to be info/x"},
		"extra in the way":  {func(_ string, o *Options) { o.Extra = []InfoFile{{Path: "paths.json"}} }, "two files want to be info/paths.json"},
		"extra missing":     {func(p string, o *Options) { o.Extra = []InfoFile{{Path: "x", Source: p + "/none"}} }, "info/x"},
		"bad glob":          {func(_ string, o *Options) { o.IgnorePrefixGlobs = []string{"[a"} }, "glob"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := prefixOf(t, 100)
			write(t, prefix, "a", "a", 0o644)
			o := options(t, prefix)
			c.change(prefix, &o)
			if _, _, err := pack(t, o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFileChangesMeanwhile(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"longer":  func(f string) error { return os.WriteFile(f, []byte("longer"), 0o644) },
		"shorter": func(f string) error { return os.WriteFile(f, nil, 0o644) },
		"touched": func(f string) error { return os.Chtimes(f, time.Unix(1, 0), time.Unix(1, 0)) },
		"other":   func(f string) error { return errors.Join(os.Remove(f), os.WriteFile(f, []byte("aaa"), 0o644)) },
		"gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			prefix := prefixOf(t, 100)
			write(t, prefix, "lib/a", "aaa", 0o644)
			p, err := newPacker(options(t, prefix))
			must(t, err)
			must(t, change(filepath.Join(prefix, "lib/a")))
			out, err := os.Create(filepath.Join(t.TempDir(), "x.conda"))
			must(t, err)
			defer func() { must(t, out.Close()) }()
			w, err := archive.NewWriter(out, "demo-1.0-h0_0")
			must(t, err)
			if err := p.writePkg(t.Context(), w); err == nil || !strings.Contains(err.Error(), "lib/a") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A file of the same length whose content changed is noticed by its time.
func TestFileChangesWhileItIsRead(t *testing.T) {
	prefix := prefixOf(t, 100)
	write(t, prefix, "a", "aaa", 0o644)
	p, err := newPacker(options(t, prefix))
	must(t, err)
	err = p.read(p.entries[0], sink{
		take: func() ([]byte, error) {
			write(t, prefix, "a", "bbb", 0o644)
			return make([]byte, pieceSize), os.Chtimes(filepath.Join(prefix, "a"), time.Unix(1, 0), time.Unix(1, 0))
		},
		give: func([]byte) error { return nil },
	})
	if err == nil || !strings.Contains(err.Error(), "a changed while") {
		t.Errorf("got %v", err)
	}
}

// full is a disk that has room for n bytes.
type full struct {
	*os.File
	n int
}

func (f *full) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: errors.New("no space left on device")}
	}
	return f.File.Write(p)
}

func noise(n int, seed byte) string {
	r := rand.NewChaCha8([32]byte{seed})
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return string(b)
}

func TestDiskFull(t *testing.T) {
	prefix := prefixOf(t, 100)
	for i := range 30 {
		write(t, prefix, fmt.Sprint("f", i), noise(1<<20, byte(i)), 0o644)
	}
	before := runtime.NumGoroutine()
	for _, room := range []int{0, 1 << 20, 10 << 20} {
		out, err := os.Create(filepath.Join(t.TempDir(), "demo.conda"))
		must(t, err)
		_, err = Write(t.Context(), &full{out, room}, options(t, prefix))
		if err == nil || !strings.Contains(err.Error(), "demo.conda: no space") || strings.Count(err.Error(), "no space") > 1 {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
		must(t, out.Close())
	}
	for range 100 { // the encoders' own goroutines end a moment later
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines were left behind", runtime.NumGoroutine()-before)
}

func TestCancelled(t *testing.T) {
	prefix := prefixOf(t, 100)
	write(t, prefix, "a", noise(20<<20, 0), 0o644)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := os.Create(filepath.Join(t.TempDir(), "demo.conda"))
	must(t, err)
	defer func() { must(t, out.Close()) }()
	for range 20 {
		if _, err := Write(ctx, out, options(t, prefix)); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
}
