package http

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/condaworker/condaworker/store"
)

const content = "0123456789"

func serve(t *testing.T, h http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return Open(server.URL + "/channel/")
}

func get(t *testing.T, s *Store, key string, off, n int64) (string, store.Info, error) {
	t.Helper()
	body, info, err := s.Get(t.Context(), key, off, n)
	if err != nil {
		return "", info, err
	}
	b, err := io.ReadAll(body)
	return string(b), info, errors.Join(err, body.Close())
}

func TestRanges(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	servers := map[string]http.HandlerFunc{
		"with ranges": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			http.ServeContent(w, r, "", when, strings.NewReader(content))
		},
		"without ranges": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Last-Modified", when.Format(http.TimeFormat))
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			if r.Method != http.MethodHead {
				_, _ = io.WriteString(w, content)
			}
		},
	}
	for name, h := range servers {
		s := serve(t, h)
		for _, tt := range []struct {
			off, n int64
			want   string
		}{
			{0, -1, content}, {0, 0, ""}, {0, 4, "0123"}, {3, 4, "3456"}, {3, -1, "3456789"}, {8, 9, "89"}, {-3, -1, "789"}, {-30, -1, content},
		} {
			got, info, err := get(t, s, "a/b", tt.off, tt.n)
			if err != nil || got != tt.want {
				t.Errorf("%s: Get(%d, %d) = %q, %v, want %q", name, tt.off, tt.n, got, err, tt.want)
			}
			if info.Size != int64(len(content)) || info.Version != `"v1"` || !info.Modified.Equal(when) {
				t.Errorf("%s: Get(%d, %d): %+v", name, tt.off, tt.n, info)
			}
		}
	}
}

func TestKeysAreEscapedAndRedirectsFollowed(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.EscapedPath() {
		case "/channel/linux-64/a%20b%25.conda":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/elsewhere":
			_, _ = io.WriteString(w, r.Header.Get("Range"))
		default:
			http.NotFound(w, r)
		}
	})
	if got, _, err := get(t, s, "linux-64/a b%.conda", 0, 7); err != nil || got != "bytes=0" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	for status, want := range map[int]error{404: fs.ErrNotExist, 410: fs.ErrNotExist, 401: fs.ErrPermission, 403: fs.ErrPermission} {
		var asked atomic.Int32
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(status)
		})
		_, _, err := get(t, s, "noarch/repodata.json", 0, -1)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "noarch/repodata.json from "+s.base) || asked.Load() != 1 {
			t.Errorf("%d: %v after %d requests", status, err, asked.Load())
		}
	}
}

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	for _, status := range []int{500, 503, 429} {
		var asked atomic.Int32
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) < 3 {
				w.WriteHeader(status)
				return
			}
			_, _ = io.WriteString(w, content)
		})
		if got, _, err := get(t, s, "x", 0, -1); err != nil || got != content {
			t.Errorf("%d: %q, %v", status, got, err)
		}
	}
}

func TestACutBodyIsAnError(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, content)
	})
	if got, _, err := get(t, s, "x", 0, -1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", got, err)
	}
}
