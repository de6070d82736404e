package http

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const credentials = `{"*.prefix.example": {"BearerToken": "secret1"}, "own.prefix.example": {"CondaToken": "secret2"},
	"basic.example": {"BasicHTTP": {"username": "me", "password": "secret3"}}, "bucket": {"S3Credentials": {"access_key_id": "x"}}}`

const netrc = "# machines\nmachine net.example login you password secret4\nmacdef init\nmachine no.example login no password no\n\nmachine\tmore.example\n\tlogin \"you\"\n\tpassword secret5\ndefault login all password secret6\n"

func TestCredentials(t *testing.T) {
	home := t.TempDir()
	write(t, home, ".rattler/credentials.json", credentials)
	env := map[string]string{"HOME": home, "NETRC": write(t, home, "netrc", netrc)}
	c, err := LoadCredentials(env)
	if err != nil {
		t.Fatal(err)
	}
	basic := func(user, password string) string {
		r, _ := http.NewRequest(http.MethodGet, "https://x", nil) //nolint:noctx // never sent
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for address, want := range map[string][2]string{
		"https://prefix.example/a":         {"/a", "Bearer secret1"},
		"https://a.b.prefix.example:80/a":  {"/a", "Bearer secret1"},
		"https://own.prefix.example/a%2Fb": {"/t/secret2/a%2Fb", ""},
		"https://own.prefix.example/t/x/a": {"/t/x/a", ""},
		"https://BASIC.example/a":          {"/a", basic("me", "secret3")},
		"https://net.example/a":            {"/a", basic("you", "secret4")},
		"https://more.example/a":           {"/a", basic("you", "secret5")},
		"https://no.example/a":             {"/a", basic("all", "secret6")},
		"https://bucket/a":                 {"/a", basic("all", "secret6")},
		"https://u:p@basic.example/a":      {"/a", ""}, // net/http takes what the URL has
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{URL: u, Header: http.Header{}}
		c.sign(r)
		if got := [2]string{r.URL.EscapedPath(), r.Header.Get("Authorization")}; got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if none, err := LoadCredentials(map[string]string{"HOME": t.TempDir()}); err != nil || len(none.hosts)+len(none.netrc) != 0 {
		t.Error(none, err)
	}
	for _, env := range []map[string]string{
		{"RATTLER_AUTH_FILE": filepath.Join(home, "missing")},
		{"NETRC": filepath.Join(home, "missing")},
		{"RATTLER_AUTH_FILE": write(t, home, "broken", `{"x": {"BearerToken": secret7`)},
	} {
		if _, err := LoadCredentials(env); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", env, err)
		}
	}
}

func TestKeysOfABucket(t *testing.T) {
	home := t.TempDir()
	write(t, home, ".rattler/credentials.json", `{"studio": {"S3Credentials": {"access_key_id": "1", "secret_access_key": "a"}}, "web": {"BearerToken": "x"},
		"s3://studio/a": {"S3Credentials": {"access_key_id": "2", "secret_access_key": "b", "session_token": "c"}}, "s3://other/": {"S3Credentials": {"access_key_id": "3"}}}`)
	env := map[string]string{"HOME": home, "NETRC": filepath.Join(home, "missing")} // which says nothing of buckets
	for at, want := range map[string]S3Keys{
		"studio/": {"1", "a", ""}, "studio/b": {"1", "a", ""}, "studio/a": {"2", "b", "c"}, "studio/a/b/c": {"2", "b", "c"}, "studio/ab": {"1", "a", ""},
		"other/": {"3", "", ""}, "other/x": {"3", "", ""}, "web/x": {}, "none/": {},
	} {
		bucket, folder, _ := strings.Cut(at, "/")
		got, err := LoadS3Keys(env, bucket, folder)
		if err != nil || got == nil && want != (S3Keys{}) || got != nil && *got != want {
			t.Errorf("%s: %v, %v, want %v", at, got, err, want)
		}
	}
}

// A server that sends us elsewhere must not tell that one our token, and no error
// may.
func TestTokensStayWithTheirServer(t *testing.T) {
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Referer()+r.Header.Get("Authorization"))
		http.NotFound(w, r)
	}))
	t.Cleanup(other.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(other.URL, "http://"), ":")
	for at, c := range map[string]credential{
		"http://localhost:" + port: {CondaToken: "secret"}, "http://localhost:" + port + "/": {BearerToken: "secret"},
		"http://127.0.0.1:" + port: {BearerToken: "secret"}, // the same host's other server
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/t/secret/") && r.Header.Get("Authorization") != "Bearer secret" {
				t.Error("no credentials", r.URL, r.Header)
			}
			http.Redirect(w, r, at+"/x", http.StatusFound)
		})
		s.credentials.hosts = map[string]credential{"127.0.0.1": c}
		if _, _, err := get(t, s, "x", 0, -1); err == nil || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
	if strings.Join(seen, "") != "" || len(seen) != 3 {
		t.Errorf("the other server saw %q", seen)
	}
	s := Open("http://127.0.0.1:1/t/secret/x", Credentials{})
	s.pause = time.Millisecond
	if _, _, err := get(t, s, "x", 0, -1); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// A body that breaks off goes on, unless the object is another one by then.
func TestABodyGoesOn(t *testing.T) {
	for _, tt := range []struct{ second, want string }{{`"v1"`, content}, {`"v2"`, ""}} {
		asked := 0
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.Header().Set("ETag", `"v1"`)
			if asked == 1 {
				w.Header().Set("Content-Length", "10")
				_, _ = io.WriteString(w, content[:4])
				return
			}
			w.Header().Set("ETag", tt.second)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		})
		got, _, err := get(t, s, "x", 0, -1)
		if tt.want == "" && err == nil || tt.want != "" && (err != nil || got != tt.want) {
			t.Errorf("%s: %q, %v after %d requests", tt.second, got, err, asked)
		}
	}
}

func TestHowLongACopyIsFresh(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "public, max-age=300": 5 * time.Minute, "max-age=300, no-cache": 0, "no-store": 0, `Max-Age="60"`: time.Minute, "max-age=-4": 0, "max-age=x": 0,
	} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", header)
			_, _ = io.WriteString(w, content)
		})
		if _, info, err := get(t, s, "x", 0, 0); err != nil || info.Fresh != want {
			t.Errorf("%q: %s, %v", header, info.Fresh, err)
		}
	}
	h := http.Header{"Cache-Control": {"max-age=300"}, "Age": {"120"}}
	if got := fresh(h); got != 3*time.Minute {
		t.Error(got)
	}
}

func TestAServerWithoutHead(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		_, _ = io.WriteString(w, content)
	})
	if _, info, err := get(t, s, "x", 0, 0); err != nil || info.Version != `"v1"` {
		t.Error(info, err)
	}
}
