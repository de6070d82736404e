package s3_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/condaworker/condaworker/store"
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

// What happens on the way says nothing of the conditions, whichever write it happens
// to; only what a server answers convicts it.
func TestTheProbeBlamesNoServerForTheWay(t *testing.T) {
	for n := 1; n <= 4; n++ {
		for name, tt := range map[string]struct {
			times int // that it happens
			lands bool
			do    func(http.ResponseWriter)
			ok    bool
		}{
			"lost answer":   {1, true, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true},
			"lost request":  {1, false, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true},
			"an outage":     {100, false, func(w http.ResponseWriter) { refuse(w, http.StatusServiceUnavailable, "SlowDown") }, false},
			"no permission": {100, false, func(w http.ResponseWriter) { refuse(w, http.StatusForbidden, "AccessDenied") }, false},
			"not there":     {100, false, func(w http.ResponseWriter) { refuse(w, http.StatusNotImplemented, "NotImplemented") }, false},
		} {
			f := newFake(t)
			f.spoil = func(put int, w http.ResponseWriter, land func()) bool {
				if put < n || put >= n+tt.times {
					return false
				}
				if tt.lands && (n == 1 || n == 4) { // the others are refused
					land()
				}
				tt.do(w)
				return true
			}
			s := open(t, f.env, "b", "")
			err := s.Probe(store.WithChance(t.Context(), func(int64) int64 { return 0 }), "") // no pauses
			if (err == nil) != tt.ok || errors.Is(err, s3.ErrUnconditional) != (name == "not there") {
				t.Errorf("%s, write %d: %v", name, n, err)
			}
			f.mu.Lock()
			if puts := f.puts - n + 1; name == "not there" && puts != 1 {
				t.Errorf("%s, write %d: asked %d times", name, n, puts)
			}
			f.mu.Unlock()
		}
	}
}

func TestAProbeThatIsInterrupted(t *testing.T) {
	for n := 1; n <= 4; n++ {
		f := newFake(t)
		ctx, interrupt := context.WithCancel(t.Context())
		f.spoil = func(put int, _ http.ResponseWriter, _ func()) bool {
			if put == n {
				interrupt()
				panic(http.ErrAbortHandler)
			}
			return false
		}
		if err := open(t, f.env, "b", "").Probe(ctx, ""); !errors.Is(err, context.Canceled) || errors.Is(err, s3.ErrUnconditional) {
			t.Errorf("write %d: %v", n, err)
		}
	}
}

// A clock is compared with the server's, whatever the server thinks of who asks.
func TestClock(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusForbidden} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat))
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		t.Setenv("AWS_ENDPOINT_URL", server.URL)
		t.Setenv("AWS_ACCESS_KEY_ID", "a")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
		s, err := s3.Open(t.Context(), s3.Options{Bucket: "b"})
		if err != nil {
			t.Fatal(err)
		}
		if ahead, err := s.Clock(t.Context()); err != nil || (ahead-10*time.Minute).Abs() > time.Minute {
			t.Errorf("%d: %s ahead, %v", status, ahead, err)
		}
	}
}
