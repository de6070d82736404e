package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/condaworker/condaworker/conda/condatest"
)

// farm counts what forty workers did.
type farm struct {
	endpoint string // of the S3 server

	mu      sync.Mutex
	full    int // index runs that list the channel
	shared  int // workers whom another's run served
	kills   int
	longest time.Duration
}

// untilDone runs a command as a farm does: again when it was killed. doomed
// kills it once, after a while of its own.
func (f *farm) untilDone(t *testing.T, s suite, doomed time.Duration, args ...string) string {
	for {
		ctx, cancel := context.WithCancel(t.Context())
		if doomed > 0 {
			ctx, cancel = context.WithTimeout(t.Context(), doomed)
		}
		c := exec.CommandContext(ctx, s.program, args...) //nolint:gosec // the suite's own program
		c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+f.endpoint)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		err := c.Run() // the end of the context kills the process at once
		killed := ctx.Err() != nil
		cancel()
		if err == nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			if strings.Contains(out.String(), "INFO  reindex\n") {
				f.full++
			}
			return out.String()
		}
		if !killed || t.Context().Err() != nil {
			t.Errorf("%q: %v\n%s", args, err, tail(out.String()))
			return out.String()
		}
		doomed = 0
		f.mu.Lock()
		f.kills++
		f.mu.Unlock()
	}
}

// worker publishes its packages and reindexes the channel: with one command,
// which adds its records to the index, or a step after the other, as the two
// steps of an older job do.
func (f *farm) worker(t *testing.T, s suite, channel string, packages []string, twoSteps bool, doomed time.Duration) {
	begun := time.Now()
	publish := append(append([]string{"publish"}, packages...), "--to", channel)
	if !twoSteps {
		f.untilDone(t, s, doomed, publish...)
	} else {
		f.untilDone(t, s, doomed, append(publish, "--no-index")...)
		out := f.untilDone(t, s, doomed, "reindex", channel)
		f.mu.Lock()
		if strings.Contains(out, "was indexed by another worker's run") {
			f.shared++
		}
		f.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.longest = max(f.longest, time.Since(begun))
}

// slowLists is a door to the server behind which a list of a subdir takes as long as
// that of a very large channel.
func slowLists(t *testing.T, endpoint string, takes time.Duration) (door string) {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // which the request's signature covers
	}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { // whoever asked was killed
		w.WriteHeader(http.StatusBadGateway)
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Query().Get("prefix"), "/linux-64/") {
			select {
			case <-time.After(takes):
			case <-r.Context().Done():
			}
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Forty workers come within a minute, each with three packages; a fifth of
// them is killed in the middle, some of them with the channel's lock. Workers
// that add their own records list nothing once there is an index; where a step of
// its own lists a channel for long, those that wait for it need few more between them.
func TestFortyWorkers(t *testing.T) {
	s := start(t)
	const workers, each = 40, 3
	quickly := 60 * time.Millisecond
	for name, c := range map[string]struct {
		channel      string
		twoSteps     bool
		arrive, slow time.Duration
		killed       time.Duration // at most this long after it began
		mostFull     int           // index runs that list the channel; 0: as many as come
	}{
		"within a minute":                          {"s3://packages/forty", false, time.Minute, 0, quickly, 4},
		"at once":                                  {"s3://packages/forty-at-once", false, 0, 0, quickly, 4},
		"in two steps, within a minute":            {"s3://packages/forty-steps", true, time.Minute, 0, quickly, 0},
		"in two steps, at once":                    {"s3://packages/forty-steps-at-once", true, 0, 0, quickly, 0},
		"in two steps, within a minute, slow list": {"s3://packages/forty-slow", true, time.Minute, 25 * time.Second, 10 * time.Second, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()                        // they mostly wait
			draw := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test repeats itself
			channel := c.channel
			f := farm{endpoint: slowLists(t, s.server.Endpoint, c.slow)}
			var all []string
			var wg sync.WaitGroup
			for w := range workers {
				var packages []string
				for i := range each {
					file := fmt.Sprintf("w%d-1.0-%d.conda", w, i)
					packages = append(packages, condatest.Write(t, file, condatest.Index(fmt.Sprint("w", w), "1.0", i, "linux-64"), nil))
					all = append(all, file)
				}
				var arrive, doomed time.Duration
				if c.arrive > 0 {
					arrive = time.Duration(draw.Int64N(int64(c.arrive)))
				}
				if w%5 == 0 {
					doomed = 5*time.Millisecond + time.Duration(draw.Int64N(int64(c.killed)))
				}
				wg.Go(func() {
					time.Sleep(arrive)
					f.worker(t, s, channel, packages, c.twoSteps, doomed)
				})
			}
			wg.Wait()
			s.must(t, s.program, "reindex", "--check", channel)
			root := filepath.Join(s.server.Root, "packages", strings.TrimPrefix(channel, "s3://packages/"))
			got := recordsOf(t, root, "linux-64")
			for _, file := range all {
				if got[file] == nil {
					t.Errorf("%s is lost", file)
				}
			}
			if len(got) != len(all) {
				t.Errorf("%d packages in the index, want %d", len(got), len(all))
			}
			if c.mostFull > 0 && f.full > c.mostFull {
				t.Errorf("%d full index runs, at most %d were needed", f.full, c.mostFull)
			}
			t.Logf("%s: %d full index runs, %d workers were served by another's, %d killed, the longest publish and reindex %s", name, f.full, f.shared, f.kills, f.longest.Round(time.Millisecond))
		})
	}
}
