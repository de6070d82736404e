// Package s3test starts a real S3 server for tests: versitygw on a folder,
// on loopback, with made-up credentials.
package s3test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Server is a running S3 server.
type Server struct {
	Endpoint string // e.g. http://127.0.0.1:40123
	Root     string // the folder that its buckets are folders of
}

const credential = "condaworker-test"

// Env is what a program needs to reach the server by the AWS SDK's defaults.
func (s Server) Env() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": s.Endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": credential,
		"AWS_SECRET_ACCESS_KEY": credential, "AWS_EC2_METADATA_DISABLED": "true",
	}
}

// Bucket makes a bucket.
func (s Server) Bucket(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(s.Root, name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Start runs a server until the test ends and points the process's environment
// to it. Without the program versitygw the test is skipped, or fails when
// CONDAWORKER_TEST_NOSKIP is set.
func Start(t *testing.T) Server {
	t.Helper()
	program := os.Getenv("CONDAWORKER_TEST_VERSITYGW")
	if program == "" {
		program, _ = exec.LookPath("versitygw")
	}
	if program == "" {
		if os.Getenv("CONDAWORKER_TEST_NOSKIP") != "" {
			t.Fatal("versitygw is not installed, and nothing may be skipped")
		}
		t.Skip("needs versitygw on PATH or in CONDAWORKER_TEST_VERSITYGW: .ci/run installs it")
	}
	s := Server{Endpoint: "http://" + freeAddress(t), Root: t.TempDir()}
	for name, value := range s.Env() {
		t.Setenv(name, value)
	}
	address := s.Endpoint[len("http://"):]
	c := exec.Command(program, "--access", credential, "--secret", credential, "--port", address, "--quiet", "posix", s.Root) //nolint:gosec // the test's own program
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed on purpose
	})
	waitFor(t, s.Endpoint)
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func waitFor(t *testing.T, url string) {
	t.Helper()
	for range 200 {
		resp, err := http.Get(url) //nolint:noctx // loopback, in a test
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the S3 server at %s does not answer", url)
}
