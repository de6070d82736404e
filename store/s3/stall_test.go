package s3_test

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
	"github.com/condaworker/condaworker/store/stall/stalltest"
)

// inMemory is a channel on a server of one handler, for a bubble.
func inMemory(t *testing.T, h http.HandlerFunc) *s3.Store {
	t.Helper()
	t.Setenv("AWS_CA_BUNDLE", "") // it is for the SDK's own client
	return at(t, "http://s3", s3.Options{HTTP: &http.Client{Transport: stalltest.Serve(t, h)}})
}

// A connection that stands still is a lost one: a body goes on over another.
func TestABodyThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		s := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			if !first {
				w.Header().Set("Content-Range", "bytes 3-5/6")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = io.WriteString(w, "def")
				return
			}
			first = false
			w.Header().Set("Content-Length", "6")
			_, _ = io.WriteString(w, "abc")
			w.(http.Flusher).Flush()
			<-t.Context().Done()
		})
		body, _, err := s.Get(t.Context(), "noarch/repodata.json", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); string(got) != "abcdef" || err != nil || body.Close() != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// What a server does not read is sent again, and nothing but that.
func TestABodyThatIsNotRead(t *testing.T) {
	for name, size := range map[string]int{"an index": 1 << 20, "a part": singlePut + 1} {
		synctest.Test(t, func(t *testing.T) {
			body := large(1)[:size]
			u := &uploads{parts: map[string]int{}}
			var came atomic.Int32
			s := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
				if part := r.URL.Query().Get("partNumber"); r.Method == http.MethodPut && (part == "" || part == "3") && came.Add(1) <= 2 {
					<-t.Context().Done()
				}
				u.ServeHTTP(w, r)
			})
			_, err := s.Put(t.Context(), "k", bytes.NewReader(body), store.PutOptions{Cond: store.IfAbsent})
			u.mu.Lock()
			defer u.mu.Unlock()
			if err != nil || came.Load() != 3 || u.begun > 1 || u.aborted > 0 || u.parts["3"] != u.begun {
				t.Errorf("%s: %v; it came %d times, %d uploads, %d aborted, part 3 arrived %d times", name, err, came.Load(), u.begun, u.aborted, u.parts["3"])
			}
		})
	}
}
