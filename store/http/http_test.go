package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/stall/stalltest"
)

const content = "0123456789"

func serve(t *testing.T, h http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return open(server.URL + "/channel/")
}

// open shortens the pauses between attempts.
func open(base string) *Store {
	s := Open(base, Credentials{})
	s.pause = time.Millisecond
	return s
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
			{0, -1, content},
			{0, 0, ""},
			{0, 4, "0123"},
			{3, 4, "3456"},
			{3, -1, "3456789"},
			{8, 9, "89"},
			{-3, -1, "789"},
			{-30, -1, content},
			{10, -1, ""},
			{30, 4, ""},
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
	for status, want := range map[int]error{404: fs.ErrNotExist, 410: fs.ErrNotExist, 501: fs.ErrNotExist, 401: fs.ErrPermission, 403: fs.ErrPermission} {
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

// A connection that stands still is a lost one.
func TestABodyThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(stalltest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			if r.Header.Get("Range") != "" {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = io.WriteString(w, content[:4])
			w.(http.Flusher).Flush()
			<-t.Context().Done()
		}), "http://x/channel", Credentials{})
		if got, _, err := get(t, s, "x", 0, -1); got != content || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// However slowly it comes, and however much of it one byte more of the text needs.
func TestABodyThatComesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(stalltest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
			var zipped bytes.Buffer
			z := gzip.NewWriter(&zipped)
			_, _ = io.WriteString(z, content)
			_ = z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			for _, b := range zipped.Bytes() {
				_, _ = w.Write([]byte{b})
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Second)
			}
		}), "http://x/channel", Credentials{})
		if got, _, err := get(t, s, "x", 0, -1); got != content || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAnEmptyObject(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"of Go": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(""))
		},
		"that takes no range": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			}
		},
	} {
		if got, info, err := get(t, serve(t, h), "x", -10, -1); got != "" || info.Size != 0 || err != nil {
			t.Errorf("a server %s: %q, %+v, %v", name, got, info, err)
		}
	}
}

// Some servers refuse the last 64 KiB of an object that has less.
func TestASuffixThatIsTooLong(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		_, _ = io.WriteString(w, content)
	})
	if got, info, err := get(t, s, "x", -65536, -1); got != content || info.Size != int64(len(content)) || err != nil {
		t.Errorf("%q, %+v, %v", got, info, err)
	}
}

func TestAnswersThatAreNotWhatWasAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		contentRange string
		off, n       int64
		ok           bool
		size         int64
	}{
		"right":        {"bytes 3-6/10", 3, 4, true, 10},
		"no total":     {"bytes 3-6/*", 3, 4, true, -1},
		"from the end": {"bytes 6-9/10", -4, -1, true, 10},
		"elsewhere":    {"bytes 0-3/10", 3, 4, false, 0},
		"no header":    {"", 3, 4, false, 0},
		"nonsense":     {"bytes x-y/z", -4, -1, false, 0},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if tt.contentRange != "" {
				w.Header().Set("Content-Range", tt.contentRange)
			}
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "3456")
		})
		_, info, err := get(t, s, "x", tt.off, tt.n)
		if (err == nil) != tt.ok || tt.ok && info.Size != tt.size {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}

func TestAnEndThatCannotBeFound(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "01234")
		w.(http.Flusher).Flush() // so that no length is sent
		_, _ = io.WriteString(w, "56789")
	})
	if got, info, err := get(t, s, "x", 3, 4); got != "3456" || info.Size != -1 || err != nil {
		t.Errorf("%q, %+v, %v", got, info, err)
	}
	if got, _, err := get(t, s, "x", -3, -1); err == nil {
		t.Errorf("the last three bytes are %q", got)
	}
}

func TestNoKeyLeadsOut(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, key := range []string{"../x", "a/../../x", "/x", "a//b", "", "a\nb"} {
		if _, _, err := get(t, s, key, 0, -1); err == nil || asked.Load() != 0 {
			t.Errorf("%q: %v after %d requests", key, err, asked.Load())
		}
	}
}

// What is in the messages ends up in logs that more people read.
func TestMessagesHaveNoSecrets(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "secret" {
			t.Errorf("signed in as %q, %q", user, password)
		}
		if strings.HasSuffix(r.URL.Path, "moved") {
			w.Header().Set("Location", "http://127.0.0.1:1/x?X-Amz-Signature=secret")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	s := open(strings.Replace(server.URL, "://", "://user:secret@", 1))
	for _, key := range []string{"missing", "moved"} {
		_, _, err := get(t, s, key, 0, -1)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), key) {
			t.Errorf("%v", err)
		}
	}
}

func TestACancelledRunDoesNotTryAgain(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	var asked atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		cancel(stop)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, _, err := s.Get(ctx, "x", 0, -1); !errors.Is(err, stop) && !errors.Is(err, context.Canceled) || asked.Load() != 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}

// Servers that compress on the way tag that form otherwise, some of them for GET alone:
// who asks first and reads then must see that it is the same object.
func TestTheTagOfACompressedForm(t *testing.T) {
	for name, tags := range map[string]struct{ plain, compressed string }{
		"nginx": {`"v1"`, `W/"v1"`}, "Apache": {`"v1"`, `"v1-gzip"`}, "none": {"", ""},
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
			w.Header().Set("ETag", tags.plain)
			if r.Header.Get("Accept-Encoding") != "gzip" || r.Method == http.MethodHead && name != "none" {
				_, _ = io.WriteString(w, content)
				return
			}
			w.Header().Set("ETag", tags.compressed)
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, content)
			_ = z.Close()
		})
		_, asked, err := get(t, s, "x", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, read, err := get(t, s, "x", 0, -1)
		if err != nil || got != content || asked.Version != read.Version || name == "none" && asked.Size != read.Size {
			t.Errorf("%s: %+v when asked, %+v when read, %q %v", name, asked, read, got, err)
		}
	}
}
