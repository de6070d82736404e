package s3_test

import (
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fake is a server of one bucket that answers as spoil says: for what no real
// server does on demand.
type fake struct {
	env    map[string]string
	before func(*http.Request) // changes what the server sees; may be nil
	spoil  func(n int, w http.ResponseWriter, land func()) (answered bool)

	mu      sync.Mutex
	objects map[string]string
	puts    int
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{objects: map[string]string{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.env = map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	}
	for k, v := range f.env {
		t.Setenv(k, v)
	}
	return f
}

func (f *fake) get(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects[key]
}

func (f *fake) set(key, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[key] = body
}

func (f *fake) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.objects))
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.before != nil {
		f.before(r)
	}
	key := strings.TrimPrefix(r.URL.Path, "/b/")
	if r.Method == http.MethodPut {
		f.put(w, r, key)
		return
	}
	f.mu.Lock()
	body, ok := f.objects[key]
	if r.Method == http.MethodDelete {
		delete(f.objects, key)
		ok = true
	}
	f.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
		return
	}
	w.Header().Set("ETag", etag(body))
	_, _ = io.WriteString(w, body)
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	body := string(b)
	if r.Header.Get("X-Amz-Decoded-Content-Length") != "" { // aws-chunked
		_, body, _ = strings.Cut(body, "\r\n")
		body, _, _ = strings.Cut(body, "\r\n")
	}
	f.mu.Lock()
	f.puts++
	n := f.puts
	f.mu.Unlock()
	if f.spoil != nil && f.spoil(n, w, func() { f.set(key, body) }) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("X-Break") == "403" || r.Header.Get("X-Break") != "" && f.puts > 1 {
		w.WriteHeader(map[bool]int{true: http.StatusForbidden, false: http.StatusBadRequest}[r.Header.Get("X-Break") == "403"])
		_, _ = io.WriteString(w, `<Error><Code>Broken</Code></Error>`)
		return
	}
	old, exists := f.objects[key]
	if match := r.Header.Get("If-Match"); exists && r.Header.Get("If-None-Match") == "*" || match != "" && match != etag(old) {
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = io.WriteString(w, `<Error><Code>PreconditionFailed</Code></Error>`)
		return
	}
	f.objects[key] = body
	w.Header().Set("ETag", etag(body))
}

func etag(body string) string { return fmt.Sprintf(`"%x"`, md5.Sum([]byte(body))) }
