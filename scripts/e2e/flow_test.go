package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A package that is built with, runs with and is tested with a package of
// another channel, which lies in S3.
func TestRequirementsComeFromChannels(t *testing.T) {
	s := start(t)
	tools := "s3://packages/tools"
	tool := hello(t, "tool", `mkdir $PREFIX/bin; echo 'echo the tool in $CONDA_PREFIX' > $PREFIX/bin/tool; chmod +x $PREFIX/bin/tool`)
	s.must(t, s.program, "build", tool, "--to", tools)
	s.must(t, s.program, "reindex", tools)

	recipe := filepath.Join(t.TempDir(), "user")
	write(t, filepath.Join(recipe, "meta.yaml"), `
package: {name: user, version: "2.1"}
requirements:
  host:
    - tool >=1.0
  run:
    - tool
test:
  commands:
    - tool | grep "the tool in $PREFIX"
    - grep "the tool in /" $PREFIX/share/user
`)
	write(t, filepath.Join(recipe, "build.sh"), "mkdir -p $PREFIX/share\ntool > $PREFIX/share/user\n")
	channel := "s3://packages/users"
	for _, number := range []string{"0", "1"} {
		out := s.must(t, s.program, "build", recipe, "--to", channel, "-c", tools, "--build-number", "auto")
		if want := "-" + number + ".conda"; !strings.Contains(lastLine(out), want) {
			t.Errorf("no %s in %s", want, lastLine(out))
		}
		s.must(t, s.program, "reindex", channel)
	}
	if got := s.install(t, channel+","+tools, "user", filepath.Join(t.TempDir(), "p")); strings.Count(got, ".conda") != 2 || !strings.Contains(got, "user-2.1-1.conda") {
		t.Errorf("a client installs %q", got)
	}
	out, code := s.run(t, s.program, "build", recipe, "--to", channel)
	if code != 4 || !strings.Contains(out, "tool") {
		t.Errorf("without the channel: %d %s", code, tail(out))
	}
}

// SIGTERM in the middle of an index frees the lock: the next worker need not
// wait for the lease to end.
func TestTermFreesTheLock(t *testing.T) {
	s := start(t)
	channel := "s3://packages/term"
	s.must(t, s.program, "build", hello(t, "term", "true"), "--to", channel)
	target, err := url.Parse(s.server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	slow := httptest.NewServer(slowly(target, "term/linux-64/"))
	t.Cleanup(slow.Close)

	c := exec.Command(s.program, "reindex", channel) //nolint:gosec // ours
	c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+slow.URL)
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(s.server.Root, "packages/term/.s3-object-mutex-lock.json")
	if !eventually(func() bool { text, _ := os.ReadFile(lock); return strings.Contains(string(text), `"held"`) }) { //nolint:gosec // ours
		t.Errorf("the lock was never held:\n%s", out.String())
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the exit code is looked at below
	if code := c.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit code %d:\n%s", code, tail(out.String()))
	}
	if text, err := os.ReadFile(lock); err != nil || strings.Contains(string(text), `"held"`) { //nolint:gosec // ours
		t.Errorf("the lock is %s %v", text, err)
	}
}

// slowly passes requests on to target, those for keys below prefix only after
// a minute.
func slowly(target *url.URL, prefix string) http.Handler {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the signature covers it
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.String(), prefix) || strings.Contains(r.URL.String(), url.QueryEscape(prefix)) {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Minute):
			}
		}
		proxy.ServeHTTP(w, r)
	})
}

func eventually(ok func() bool) bool {
	for range 300 {
		if ok() {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}
