package s3_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
)

// A body whose connection breaks goes on while the object is the same; the rest of
// another would make a text that never was.
func TestABodyThatBreaks(t *testing.T) {
	for name, tt := range map[string]struct {
		then func(w http.ResponseWriter, r *http.Request)
		want error
	}{
		"goes on": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-Match") != `"1"` || r.Header.Get("Range") != "bytes=3-5" {
				t.Errorf("asked for the rest with %v", r.Header)
			}
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Range", "bytes 3-5/6")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "def")
		}, nil},
		"was replaced": {func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		}, store.ErrConflict},
		"was replaced, and the condition is ignored": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"2"`)
			w.Header().Set("Content-Range", "bytes 3-5/6")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "DEF")
		}, store.ErrConflict},
		"was deleted": {func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusNotFound, "NoSuchKey")
		}, fs.ErrNotExist},
	} {
		first := true
		s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
			if !first {
				tt.then(w, r)
				return
			}
			first = false
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", "6")
			_, _ = io.WriteString(w, "abc")
		})
		body, _, err := s.Get(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if !errors.Is(err, tt.want) || tt.want == nil && string(got) != "abcdef" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
}
