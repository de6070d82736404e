package agent_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store/dir"
)

// site is a web server that shows a folder to whom it knows, and notes what it was told.
type site struct {
	*httptest.Server

	mu    sync.Mutex
	heard []string // credentials, as they came
	got   []string // names of files
}

func serveFolder(t *testing.T, folder string, known func(r *http.Request) bool) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.heard = append(s.heard, r.Header.Get("Authorization")+" "+r.Header.Get("Referer")+" "+r.URL.Path)
		s.got = append(s.got, filepath.Base(r.URL.Path))
		s.mu.Unlock()
		if !known(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/t/hunter2-token")
		http.FileServer(http.Dir(folder)).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// told returns all that was heard, and forgets it.
func (s *site) told() (heard string, got []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	heard, got = strings.Join(s.heard, "\n"), s.got
	s.heard, s.got = nil, nil
	return heard, got
}

// privateChannel is one whose index lies on one server, and its packages on another.
type privateChannel struct {
	index, packages *site
	url             string // with a password and a token in it
	elsewhere       string // where the packages are
	work            string // all that the program writes is below it
	folder          string // of the packages
	env             []string
}

func newPrivateChannel(t *testing.T) privateChannel {
	t.Helper()
	top := t.TempDir()
	c := privateChannel{work: filepath.Join(top, "work"), folder: filepath.Join(top, "packages")}
	channel := filepath.Join(top, "index")
	s := dir.Open(channel)
	for _, name := range []string{"app", "lib"} {
		in := condatest.Index(name, "1.0", 0, "noarch")
		if name == "app" {
			in["depends"] = []string{"lib"}
		}
		file := condatest.Write(t, name+"-1.0-0.conda", in, map[string]string{"share/" + name: name})
		if _, err := indexer.Publish(t.Context(), s, indexer.Package{Path: file}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
		t.Fatal(err)
	}
	move(t, channel, c.folder)
	c.index = serveFolder(t, filepath.Dir(channel), func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return user == "me" && password == "hunter2-password" && strings.HasPrefix(r.URL.Path, "/t/hunter2-token/")
	})
	c.packages = serveFolder(t, filepath.Dir(c.folder), func(r *http.Request) bool {
		return r.Header.Get("Authorization") == "Bearer hunter2-bearer"
	})
	port := func(s *site) string { return s.URL[strings.LastIndex(s.URL, ":"):] }
	c.url = "http://me:hunter2-password@127.0.0.1" + port(c.index) + "/t/hunter2-token/index"
	c.elsewhere = "http://localhost" + port(c.packages) + "/packages"
	text, err := os.ReadFile(filepath.Join(channel, "noarch/repodata.json"))
	text = bytes.Replace(text, []byte(`"info":{`), []byte(`"info":{"base_url":"`+c.elsewhere+`/noarch",`), 1)
	auth := filepath.Join(top, "credentials.json")
	err = errors.Join(err, os.WriteFile(filepath.Join(channel, "noarch/repodata.json"), text, 0o600), os.Mkdir(c.work, 0o750),
		os.WriteFile(auth, []byte(`{"localhost": {"BearerToken": "hunter2-bearer"}}`), 0o600))
	if err != nil || !bytes.Contains(text, []byte(c.elsewhere)) {
		t.Fatalf("%v %s", err, text)
	}
	c.env = append(os.Environ(), "RATTLER_AUTH_FILE="+auth, "HOME="+c.work, "XDG_CACHE_HOME="+c.work+"/cache", "TMPDIR="+c.work, "OPENJD_SESSION_WORKING_DIR="+c.work)
	return c
}

// move takes the packages, and the forms of the index that would hide repodata.json,
// out of a channel.
func move(t *testing.T, channel, to string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(channel, "noarch", "*"))
	err = errors.Join(err, os.MkdirAll(filepath.Join(to, "noarch"), 0o750))
	for _, file := range files {
		switch name := filepath.Base(file); {
		case strings.HasSuffix(name, ".conda"):
			err = errors.Join(err, os.Rename(file, filepath.Join(to, "noarch", name)))
		case strings.HasSuffix(name, ".zst"):
			err = errors.Join(err, os.Remove(file))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs the program, and fails when a secret is in what it prints.
func (c privateChannel) run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	out, code = runWith(t, c.env, args...)
	if strings.Contains(out, "hunter2") {
		t.Errorf("%q prints a secret: %s", args, out)
	}
	return out, code
}

// secretFiles are those below the work folder with a secret in them.
func (c privateChannel) secretFiles(t *testing.T) (found []string) {
	t.Helper()
	err := filepath.WalkDir(c.work, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // of the test
		if bytes.Contains(text, []byte("hunter2")) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Each server hears its own credentials and no other's, and none of them is kept or
// printed anywhere.
func TestCredentialsStayWithTheirServer(t *testing.T) {
	c := newPrivateChannel(t)
	list := filepath.Join(filepath.Dir(c.work), "list.txt")
	text := "@EXPLICIT\n" + strings.Replace(c.elsewhere, "http://", "http://me:hunter2-other@", 1) + "/noarch/lib-1.0-0.conda\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(c.work, name) }
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		want   string // of what is printed
		silent bool   // the server of the packages is not asked
	}{
		{"created", []string{"env", "create", "-p", at("env"), "--cache", at("1"), "-c", c.url, c.url + "::app", "--report", at("report.json")}, 0, "has 2 packages", false},
		{"json", []string{"env", "create", "-p", at("json"), "--cache", at("2"), "-c", c.url, "app", "--format", "json"}, 0, `"fn": "app-1.0-0.conda"`, false},
		{"kept", []string{"env", "enter", "--persist-envs-hashed", at("root"), "--cache", at("3"), "--packages", c.url + "::app", "--channels", c.url}, 0, "entered", false},
		{"listed", []string{"env", "list", "--persist-envs-hashed", at("root"), "--format", "json"}, 0, c.index.URL + "/index::app", true},
		{"from a mirror", []string{"env", "create", "-p", at("mirror"), "--cache", at("4"), "-c", c.url, "app", "--mirror", c.elsewhere + "=" + c.folder}, 0, "has 2 packages", true},
		{"no such package", []string{"env", "create", "-p", at("none"), "--cache", at("5"), "-c", c.url, c.url + "::nope", "--report", at("none.json")}, 4, "nope", true},
		{"no such channel", []string{"env", "create", "-p", at("none"), "--cache", at("5"), "-c", c.url + "/other", "app"}, 1, "/index/other", true},
		{"refused, from a list", []string{"env", "create", "-p", at("none"), "--explicit", list}, 1, "fetch noarch/lib-1.0-0.conda from " + c.elsewhere, false},
		{"a list without its mark", []string{"env", "create", "-p", at("none"), "--explicit", strings.Replace(list, "list", "unmarked", 1)}, 2, "comes before", true},
		{"a broken spec", []string{"env", "create", "-p", at("none"), "-c", c.url, c.url + "::app[", "--report", at("spec.json")}, 2, "match spec", true},
	} {
		if err := os.WriteFile(strings.Replace(list, "list", "unmarked", 1), []byte(strings.TrimPrefix(text, "@EXPLICIT\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := c.run(t, tt.args...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: exit code %d\n%s", tt.name, code, out)
		}
		if heard, _ := c.index.told(); strings.Contains(heard, "bearer") || strings.Contains(heard, "other") && tt.name != "no such channel" {
			t.Errorf("%s: the index's server heard\n%s", tt.name, heard)
		}
		heard, got := c.packages.told()
		if strings.Contains(heard, "Basic") != (tt.name == "refused, from a list") || strings.Contains(heard, "hunter2-token") || (heard == "") != tt.silent {
			t.Errorf("%s: the packages' server heard\n%s", tt.name, heard)
		}
		if slices.Contains(got, "repodata.json") {
			t.Errorf("%s: the packages' server was asked for %q", tt.name, got)
		}
	}
	if found := c.secretFiles(t); len(found) > 0 {
		t.Errorf("secrets are in %q", found)
	}
	meta, err := os.ReadFile(filepath.Join(c.work, "env/conda-meta/app-1.0-0.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"url": "` + c.elsewhere + `/noarch/app-1.0-0.conda"`, `"channel": "` + c.index.URL + `/index"`} {
		if !bytes.Contains(meta, []byte(want)) {
			t.Errorf("conda-meta has no %s\n%s", want, meta)
		}
	}
}

// A bucket hears the keys that rattler's file has for it, before those of the machine.
func TestKeysOfABucket(t *testing.T) {
	var heard atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=OWN/") {
			t.Errorf("%s %s is signed by %s", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		heard.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	home := t.TempDir()
	file := filepath.Join(home, "auth.json")
	if err := os.WriteFile(file, []byte(`{"s3://studio/x": {"S3Credentials": {"access_key_id": "OWN", "secret_access_key": "hunter2-own"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := privateChannel{env: []string{"HOME=" + home, "RATTLER_AUTH_FILE=" + file}}
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"} {
		t.Setenv(k, v)
		c.env = append(c.env, k+"="+v)
	}
	if out, code := c.run(t, "env", "create", "--dry-run", "--cache", home, "-c", "s3://studio/x", "app"); code != 1 || heard.Load() == 0 {
		t.Errorf("exit code %d after %d requests: %s", code, heard.Load(), out)
	}
}
