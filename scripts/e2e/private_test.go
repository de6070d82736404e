package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// private is a web server that shows a channel to whom it knows.
type private struct {
	files http.Handler
	known func(r *http.Request) bool

	mu   sync.Mutex
	gets []string // paths of what was transferred
}

func (p *private) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.known(r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodGet {
		p.mu.Lock()
		p.gets = append(p.gets, r.URL.Path)
		p.mu.Unlock()
	}
	p.files.ServeHTTP(w, r)
}

func (p *private) transferred() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.gets
	p.gets = nil
	return all
}

// TestPrivateServers: rattler's file of credentials opens the same servers to
// py-rattler and to us; no secret is printed; the second time nothing is transferred.
func TestPrivateServers(t *testing.T) {
	s := start(t)
	channel := t.TempDir()
	copyChannel(t, filepath.Join(conformance(t, s), "client_tests"), channel, false)
	s.must(t, s.program, "reindex", channel)
	for name, tt := range map[string]struct {
		credential string
		known      func(r *http.Request) bool
	}{
		"bearer": {`{"BearerToken": "hunter2"}`, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer hunter2" }},
		"basic": {`{"BasicHTTP": {"username": "me", "password": "hunter2"}}`, func(r *http.Request) bool {
			user, password, ok := r.BasicAuth()
			return ok && user == "me" && password == "hunter2"
		}},
		"token": {`{"CondaToken": "hunter2"}`, func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/t/hunter2/") }},
	} {
		t.Run(name, func(t *testing.T) {
			p := &private{files: http.StripPrefix("/channel", http.FileServer(http.Dir(channel))), known: tt.known}
			if name == "token" {
				p.files = http.StripPrefix("/t/hunter2", p.files)
			}
			server := httptest.NewServer(p)
			t.Cleanup(server.Close)
			url := server.URL + "/channel"
			ours := []string{"env", "create", "--dry-run", "dependent", "-c", url, "--platform", "linux-64", "--cache", t.TempDir()}
			if out, code := s.run(t, s.program, ours...); code == 0 || !strings.Contains(out, "401") {
				t.Errorf("without credentials: exit code %d\n%s", code, out)
			}
			file := filepath.Join(t.TempDir(), "credentials.json")
			write(t, file, fmt.Sprintf(`{"127.0.0.1": %s}`, tt.credential))
			t.Setenv("RATTLER_AUTH_FILE", file)
			theirs := s.must(t, s.python, filepath.Join(s.root, "scripts/e2e/testdata/private/solve.py"), url, t.TempDir(), "dependent")
			p.transferred()
			out := s.must(t, s.program, ours...)
			for record := range strings.FieldsSeq(theirs) {
				if !strings.Contains(out, strings.Replace(record, "-", " ", 1)+" ") {
					t.Errorf("%s is not among ours:\n%s", record, out)
				}
			}
			if strings.Contains(out, "hunter2") || len(p.transferred()) == 0 {
				t.Error(out)
			}
			s.must(t, s.program, ours...)
			if again := p.transferred(); len(again) > 0 {
				t.Errorf("transferred again: %q", again)
			}
			server.Close()
			if out, code := s.run(t, s.program, ours...); code == 0 || !strings.Contains(out, "with --offline the copy of ") {
				t.Errorf("without a server: exit code %d\n%s", code, out)
			}
			s.must(t, s.program, append(ours, "--offline")...)
		})
	}
}

// TestAnIndexerWithoutShards: what another make of indexer added is found, though
// the shards that lie there know nothing of it.
func TestAnIndexerWithoutShards(t *testing.T) {
	s := start(t)
	recipe, channel := filepath.Join(t.TempDir(), "recipe"), t.TempDir()
	write(t, filepath.Join(recipe, "recipe.yaml"), "package: {name: tool, version: '1.0'}\nbuild: {noarch: generic, script: 'echo 1 > $PREFIX/one'}\n")
	s.must(t, s.program, "build", recipe, "--to", channel, "--build-number", "1")
	s.must(t, s.program, "build", recipe, "--output-dir", channel, "--build-number", "2")
	ours := []string{"env", "create", "--dry-run", "tool", "-c", channel, "--cache", t.TempDir()}
	if out := s.must(t, s.program, ours...); !strings.Contains(out, "_1 from") {
		t.Error(out)
	}
	s.condaIndex(t, channel)
	if out := s.must(t, s.program, ours...); !strings.Contains(out, "_2 from") {
		t.Error(out)
	}
}

// TestBucketIsReadOnce: an index in a bucket is read again when its ETag is another.
func TestBucketIsReadOnce(t *testing.T) {
	s := start(t)
	for key, value := range s.server.Env() {
		t.Setenv(key, value)
	}
	recipe := filepath.Join(t.TempDir(), "recipe")
	write(t, filepath.Join(recipe, "recipe.yaml"), "package: {name: tool, version: '1.0'}\nbuild: {noarch: generic, script: 'echo 1 > $PREFIX/one'}\n")
	cache := t.TempDir()
	ours := []string{"env", "create", "--dry-run", "tool", "-c", "s3://packages/once", "--cache", cache}
	for version := 1; version <= 2; version++ {
		s.must(t, s.program, "build", recipe, "--to", "s3://packages/once", "--build-number", fmt.Sprint(version))
		for range 2 {
			if out := s.must(t, s.program, ours...); !strings.Contains(out, "tool 1.0 ") || !strings.Contains(out, fmt.Sprintf("_%d from", version)) {
				t.Errorf("build number %d: %s", version, out)
			}
		}
	}
	notes, err := filepath.Glob(filepath.Join(cache, "*", "*", "note.json"))
	if err != nil || len(notes) == 0 {
		t.Error(notes, err)
	}
	for _, note := range notes {
		if text, err := os.ReadFile(note); err != nil || !strings.Contains(string(text), "s3://packages/once") {
			t.Error(string(text), err)
		}
	}
}
