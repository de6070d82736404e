package doctor_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/condaworker/condaworker/agent/doctor"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
	"github.com/condaworker/condaworker/store/s3"
	"github.com/condaworker/condaworker/store/s3/s3test"
)

// Both servers offer all that a channel needs, and nothing stays behind.
func TestWriteOnServers(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		server.Bucket(t, "doctor")
		s, err := s3.Open(t.Context(), s3.Options{Bucket: "doctor", Prefix: "Conda", Env: server.Env()})
		if err != nil {
			t.Fatal(err)
		}
		checks := doctor.Write(t.Context(), s)
		for _, c := range checks {
			if c.Status != doctor.OK {
				t.Errorf("%+v", c)
			}
		}
		if len(checks) != 9 {
			t.Errorf("%d checks: %+v", len(checks), checks)
		}
		for in, err := range s.List(t.Context(), "", store.ListOptions{}) {
			t.Errorf("left behind: %v %v", in.Key, err)
		}
		if i, err := s.Identity(t.Context()); err != nil || i.KeyID == "" || i.Endpoint != server.Endpoint {
			t.Errorf("%+v %v", i, err)
		}
		saysOnce(t, s3.Options{Bucket: "no-such-bucket", Env: server.Env()}, "bucket", "there is no bucket no-such-bucket")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
		saysOnce(t, s3.Options{Bucket: "doctor", Env: server.Env()}, "credentials accepted", "SignatureDoesNotMatch")
	})
}

// saysOnce has one thing missing for all that is asked: it is told once.
func saysOnce(t *testing.T, o s3.Options, name, found string) {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checks := doctor.Write(t.Context(), s)
	if len(checks) != 2 || strings.Join(doctor.Sick(checks), ", ") != name || !strings.Contains(checks[1].Found, found) || checks[1].Todo == "" {
		t.Errorf("%+v", checks)
	}
}

// A server that does not answer is one thing that is missing, not nine.
func TestWriteWithoutAServer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"} {
		t.Setenv(k, v)
	}
	s, err := s3.Open(t.Context(), s3.Options{Bucket: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if checks := doctor.Write(t.Context(), s); len(checks) != 1 || checks[0].Status != doctor.Missing || !strings.Contains(checks[0].Found, "connection refused") {
		t.Errorf("%+v", checks)
	}
}

// A clock that is off is one thing that is missing, and which way it is off is said.
func TestWriteWithTheClockOff(t *testing.T) {
	for off, want := range map[time.Duration]string{time.Hour: "1h0m[0-9]+s behind|59m5[0-9]s behind", -time.Hour: "1h0m[0-9]+s ahead"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		}))
		defer server.Close()
		for k, v := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"} {
			t.Setenv(k, v)
		}
		s, err := s3.Open(t.Context(), s3.Options{Bucket: "b"})
		if err != nil {
			t.Fatal(err)
		}
		checks := doctor.Write(t.Context(), s)
		if len(checks) != 1 || checks[0].Status != doctor.Missing || !regexp.MustCompile("^("+want+")$").MatchString(checks[0].Found) {
			t.Errorf("the server's clock is %s ahead: %+v", off, checks)
		}
	}
}

// spoilt is a store in which one thing does not work.
type spoilt struct {
	store.Store
	what string
}

func (s spoilt) refuse(what string) error {
	if s.what == what {
		return &fs.PathError{Op: what, Path: "it", Err: fs.ErrPermission}
	}
	return nil
}

func (s spoilt) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	if err := s.refuse("get"); err != nil {
		return nil, store.Info{}, err
	}
	return s.Store.Get(ctx, key, off, n)
}

func (s spoilt) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	if s.what == "no conditions" {
		o.Cond = store.Always
	}
	if err := s.refuse("put"); err != nil {
		return store.Info{}, err
	}
	return s.Store.Put(ctx, key, body, o)
}

func (s spoilt) Delete(ctx context.Context, key string) error {
	return errors.Join(s.Store.Delete(ctx, key), s.refuse("delete"))
}

func TestWriteNamesWhatIsMissing(t *testing.T) {
	for what, want := range map[string]string{
		"":              "",
		"put":           "write",
		"get":           "read what was written",
		"no conditions": "conditional writes, read what was written",
		"delete":        "", // a build runs without
	} {
		checks := doctor.Write(t.Context(), spoilt{new(mem.Store), what})
		if got := strings.Join(doctor.Sick(checks), ", "); got != want {
			t.Errorf("%s: %q is missing, want %q: %+v", what, got, want, checks)
		}
		if table := doctor.Table(checks); what == "delete" && !strings.Contains(table, "limited  delete") {
			t.Errorf("%s", table)
		}
	}
}
