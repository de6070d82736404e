package env_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
)

// lying is a mirror of a channel that changes what has a part in its key.
type lying struct {
	store.Reader
	part string
	lie  func(text []byte) (io.Reader, error)
}

func (l lying) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	body, info, err := l.Reader.Get(ctx, key, 0, -1)
	if err != nil || n == 0 || !strings.Contains(key, l.part) {
		if err == nil {
			body.Close()
			return l.Reader.Get(ctx, key, off, n)
		}
		return body, info, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, info, err
	}
	r, err := l.lie(text[min(off, int64(len(text))):])
	return io.NopCloser(r), info, err
}

func TestAMirrorThatLiesIsNamedAndTheNextOneAsked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("packages are installed on Unix")
	}
	wrong := func(text []byte) (io.Reader, error) {
		text = bytes.Clone(text)
		text[len(text)/2]++
		return bytes.NewReader(text), nil
	}
	cut := func(text []byte) (io.Reader, error) {
		return io.MultiReader(bytes.NewReader(text[:len(text)/2]), broke{}), nil
	}
	short := func(text []byte) (io.Reader, error) { return bytes.NewReader(text[:len(text)/2]), nil }
	fails := func([]byte) (io.Reader, error) { return nil, errors.New("502 Bad Gateway") }
	for name, tt := range map[string]struct {
		part string
		lie  func([]byte) (io.Reader, error)
		want string
	}{
		"a package of other bytes":     {"tool-1.0", wrong, "mirror https://mirror is passed over: linux-64/tool-1.0-0.conda: its sha256 is "},
		"a package that breaks off":    {"tool-1.0", cut, ""}, // each time it goes on, half of the rest is there
		"a package that ends too soon": {"tool-1.0", short, ""},
		"a package that fails":         {"tool-1.0", fails, "mirror https://mirror is passed over: 502 Bad Gateway"},
		"shards of other bytes":        {"/shards/", wrong, "mirror https://mirror is passed over: the bytes of linux-64/shards/"},
		"shards that fail":             {"/shards/", fails, "mirror https://mirror is passed over: 502 Bad Gateway"},
		"each index is broken":         {"repodata", short, "https://mirror: linux-64/repodata"},
		"each index breaks off":        {"repodata", cut, "mirror https://mirror is passed over: "},
		"each index fails":             {"repodata", fails, "mirror https://mirror is passed over: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := channel(t, pkg{"tool", "1.0", "linux-64", nil}, pkg{"other", "1.0", "noarch", nil})
			var mu sync.Mutex // subdirs are read side by side
			var warned []string
			warn := func(text string) { mu.Lock(); defer mu.Unlock(); warned = append(warned, text) }
			c.Reader = store.Mirror(warn, store.Place{Name: "https://mirror", Reader: lying{c.Reader, tt.part, tt.lie}}, store.Place{Name: c.URL, Reader: c.Reader})
			r := request(t, []string{"tool", "other"}, c)
			r.Warn = warn
			create(t, r)
			if told := strings.Join(warned, "\n"); !strings.Contains(told, tt.want) {
				t.Errorf("warned %q, not of %q", told, tt.want)
			}
			archives, err := filepath.Glob(filepath.Join(r.Cache, "archives", "*", ".part-*"))
			if err != nil || len(archives) > 0 {
				t.Error("it left", archives, err)
			}
		})
	}
}

func TestWhatIsWrongEverywhereNamesAllPlaces(t *testing.T) {
	c := channel(t, pkg{"tool", "1.0", "linux-64", nil})
	wrong := lying{c.Reader, "tool-1.0", func(text []byte) (io.Reader, error) { return bytes.NewReader(bytes.ToUpper(text)), nil }}
	c.Reader = store.Mirror(nil, store.Place{Name: "https://mirror", Reader: wrong}, store.Place{Name: c.URL, Reader: wrong})
	r := request(t, []string{"tool"}, c)
	_, err := env.Create(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), "; mirror https://mirror: linux-64/tool-1.0-0.conda: its sha256 is ") || !strings.HasSuffix(err.Error(), ": reindex the channel") {
		t.Error(err)
	}
	if _, err := os.Stat(r.Prefix); err == nil {
		t.Error("the prefix is there")
	}
	if left, err := filepath.Glob(filepath.Join(r.Cache, "archives", "*", "*tool*")); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}
