package s3_test

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/store/s3"
)

// A server that ignores a condition is told from one that honours both, and
// the answer is remembered.
func TestProbe(t *testing.T) {
	ignore := func(header string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Del(header) }
	}
	for says, spoil := range map[string]func(*http.Request){
		"":                            func(*http.Request) {},
		"ignores If-None-Match: *":    ignore("If-None-Match"),
		"ignores If-Match":            ignore("If-Match"),
		"refuses If-Match with the":   func(r *http.Request) { r.Header.Set("If-Match", strings.ToUpper(r.Header.Get("If-Match"))) },
		"answers If-None-Match: * wi": func(r *http.Request) { r.Header.Set("X-Break", r.Header.Get("If-None-Match")) },
	} {
		f := newFake(t)
		f.before = spoil
		s, err := s3.Open(t.Context(), s3.Options{Bucket: "b", Env: f.env})
		if err != nil {
			t.Fatal(err)
		}
		cache := t.TempDir()
		err = s.Probe(t.Context(), cache)
		if says == "" && err != nil || says != "" && (!errors.Is(err, s3.ErrUnconditional) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v", says, err)
		}
		if left := f.keys(); len(left) != 0 {
			t.Errorf("%q: left behind %q", says, left)
		}
		f.mu.Lock()
		puts := f.puts
		f.mu.Unlock()
		_ = s.Probe(t.Context(), cache)
		f.mu.Lock()
		if again := f.puts - puts; (again == 0) != (says == "") {
			t.Errorf("%q: asked again with %d writes", says, again)
		}
		f.mu.Unlock()
	}
}

func TestProbeOfAnotherFault(t *testing.T) {
	f := newFake(t)
	f.before = func(r *http.Request) { r.Header.Set("X-Break", "403") }
	s, err := s3.Open(t.Context(), s3.Options{Bucket: "b", Env: f.env})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(t.Context(), ""); errors.Is(err, s3.ErrUnconditional) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
}
