package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCopyBetweenBuckets promotes a package from one bucket to another: the
// same bytes, record and hashes, and the clients of the second one see it.
func TestCopyBetweenBuckets(t *testing.T) {
	s := start(t)
	s.server.Bucket(t, "release")
	built := s.must(t, s.program, "publish", s.hello(t, "s3://packages/test"), "--to", "s3://release/Conda")
	if !strings.Contains(built, "clients of s3://release/Conda see it") {
		t.Error(tail(built))
	}
	if again := s.must(t, s.program, "publish", s.hello(t, "s3://packages/test"), "--to", "s3://release/Conda"); !strings.Contains(again, "already published") {
		t.Error(tail(again))
	}
	s.must(t, s.program, "reindex", "s3://release/Conda", "--check")
	if got := s.install(t, "s3://release/Conda", "hello", filepath.Join(t.TempDir(), "prefix")); !strings.Contains(got, "hello-") {
		t.Errorf("installed %q", got)
	}
}

// hello builds a package, the same each time, and returns its URL.
func (s suite) hello(t *testing.T, channel string) string {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	s.must(t, s.program, "build", "examples/hello", "--to", channel, "--report", report)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var r struct{ Packages []struct{ Key string } }
	if err := json.Unmarshal(text, &r); err != nil || len(r.Packages) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return channel + "/" + r.Packages[0].Key
}
