// Package s3test starts real S3 servers for tests, versitygw and minio, on
// loopback, with made-up credentials.
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
	Root     string // the folder that has its buckets
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

// server is how to start a program.
type server struct {
	program, variable string
	args              func(address, root string) []string
	ready             string // the path that answers once it is
}

func versitygw() server {
	return server{"versitygw", "CONDAWORKER_TEST_VERSITYGW", func(address, root string) []string {
		return []string{"--access", credential, "--secret", credential, "--port", address, "--quiet", "posix", root}
	}, "/"}
}

func minio() server {
	return server{"minio", "CONDAWORKER_TEST_MINIO", func(address, root string) []string {
		return []string{"server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0", root}
	}, "/minio/health/cluster"} // ready says nothing of whether it knows its users yet
}

// Start runs versitygw until the test ends and points the process's environment
// to it. Without the program the test is skipped, or fails when
// CONDAWORKER_TEST_NOSKIP is set.
func Start(t *testing.T) Server {
	t.Helper()
	return start(t, versitygw())
}

// Each runs a test on versitygw, and again on minio.
func Each(t *testing.T, test func(*testing.T, Server)) {
	t.Helper()
	for _, s := range []server{versitygw(), minio()} {
		t.Run(s.program, func(t *testing.T) { test(t, start(t, s)) })
	}
}

func start(t *testing.T, k server) Server {
	t.Helper()
	program := os.Getenv(k.variable)
	if program == "" {
		program, _ = exec.LookPath(k.program)
	}
	if program == "" {
		if os.Getenv("CONDAWORKER_TEST_NOSKIP") != "" {
			t.Fatalf("%s is not installed, and nothing may be skipped", k.program)
		}
		t.Skipf("needs %s on PATH or in %s: .ci/run installs it", k.program, k.variable)
	}
	address := freeAddress(t)
	s := Server{Endpoint: "http://" + address, Root: t.TempDir()}
	for name, value := range s.Env() {
		t.Setenv(name, value)
	}
	c := exec.Command(program, k.args(address, s.Root)...) //nolint:gosec // the test's own program
	c.Env = append(os.Environ(), "MINIO_ROOT_USER="+credential, "MINIO_ROOT_PASSWORD="+credential)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed on purpose
	})
	waitFor(t, s.Endpoint+k.ready)
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
	for range 1200 { // a minute
		resp, err := http.Get(url) //nolint:noctx // loopback, in a test
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil && resp.StatusCode != http.StatusServiceUnavailable {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the S3 server at %s does not answer", url)
}
