package s3_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
	"github.com/condaworker/condaworker/store/s3/s3test"
)

// indexOf is a text of as many MiB, and a little more, that takes one MiB of memory.
func indexOf(mib int, end string) *conda.Text {
	piece := large(1)[:1<<20]
	pieces := make([][]byte, mib, mib+1)
	for i := range pieces {
		pieces[i] = piece
	}
	return conda.TextOf(append(pieces, []byte(end))...)
}

func sum(t *testing.T, body io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		t.Fatal(err)
	}
	return hex(h)
}

func hex(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// An index of any size is written with one request, from its begin each time, and is
// never in memory a second time.
func TestALargeIndexGoesWithOneRequest(t *testing.T) {
	text := indexOf(80, "end")
	want := sum(t, text.Reader())
	for scheme, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		t.Run(scheme, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				h, body := sha256.New(), io.Reader(r.Body)
				if r.Header.Get("X-Amz-Decoded-Content-Length") != "" {
					body = httputil.NewChunkedReader(body)
				}
				if len(got) == 0 {
					_, _ = io.CopyN(h, body, 20<<20)
					got = append(got, r.Method+" cut")
					refuse(w, http.StatusServiceUnavailable, "SlowDown")
					return
				}
				_, _ = io.Copy(h, body)
				_, _ = io.Copy(io.Discard, r.Body)
				got = append(got, r.Method+" "+hex(h))
				w.Header().Set("ETag", `"e"`)
			}))
			defer server.Close()
			for k, v := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CA_BUNDLE": ""} {
				t.Setenv(k, v)
			}
			s, err := s3.Open(t.Context(), s3.Options{Bucket: "b", HTTP: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = s.Put(t.Context(), "noarch/repodata.json", text.Reader(), store.PutOptions{Cond: store.IfAbsent})
			runtime.ReadMemStats(&after)
			if err != nil || len(got) != 2 || got[1] != "PUT "+want {
				t.Errorf("%v; the server got %q, want %s", err, got, want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
				t.Errorf("it took %d MiB of memory", took>>20)
			}
		})
	}
}

func TestAnIndexThatIsTooLarge(t *testing.T) {
	s := answering(t, s3.Options{}, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s", r.Method, r.URL) })
	_, err := s.Put(t.Context(), "noarch/repodata.json", indexOf(5<<10, "end").Reader(), store.PutOptions{Cond: store.IfAbsent})
	if err == nil || !strings.Contains(err.Error(), "noarch/repodata.json") || !strings.Contains(err.Error(), "5 GiB") {
		t.Error(err)
	}
}

func TestALargeIndexOnServers(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		server.Bucket(t, "index")
		s := open(t, server.Env(), "index", "p")
		put := func(end string, cond store.Cond) (store.Info, error) {
			return s.Put(t.Context(), "repodata.json", indexOf(70, end).Reader(), store.PutOptions{Cond: cond})
		}
		first, err := put("1", store.IfAbsent)
		if err != nil || strings.Contains(first.Version, "-") {
			t.Fatalf("%+v, %v", first, err)
		}
		if _, err := put("2", store.IfVersion(first)); err != nil {
			t.Fatal(err)
		}
		if _, err := put("3", store.IfVersion(first)); !errors.Is(err, store.ErrConflict) {
			t.Error(err)
		}
		body, _, err := s.Get(t.Context(), "repodata.json", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if sum(t, body) != sum(t, indexOf(70, "2").Reader()) || body.Close() != nil {
			t.Error("it was read back otherwise")
		}
	})
}
