package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
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
	mu      sync.Mutex
	indexed int // runs that looked at what was new themselves
	shared  int // and those that another's run served
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
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		err := c.Run() // the end of the context kills the process at once
		killed := ctx.Err() != nil
		cancel()
		if err == nil {
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

// worker publishes its packages and reindexes the channel, a step after the
// other, as a job's two steps do.
func (f *farm) worker(t *testing.T, s suite, channel string, packages []string, doomed time.Duration) {
	begun := time.Now()
	f.untilDone(t, s, doomed, append(append([]string{"publish"}, packages...), "--to", channel, "--no-index")...)
	out := f.untilDone(t, s, doomed, "reindex", channel)
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(out, "was indexed by another worker's run") {
		f.shared++
	} else {
		f.indexed++
	}
	f.longest = max(f.longest, time.Since(begun))
}

// Forty workers come within a minute, each with three packages; a fifth of
// them is killed in the middle, some of them with the channel's lock.
func TestFortyWorkers(t *testing.T) {
	s := start(t)
	const workers, each = 40, 3
	draw := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test repeats itself
	for name, channel := range map[string]string{"within a minute": "s3://packages/forty", "at once": "s3://packages/forty-at-once"} {
		t.Run(name, func(t *testing.T) {
			var f farm
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
				if name == "within a minute" {
					arrive = time.Duration(draw.Int64N(int64(time.Minute)))
				}
				if w%5 == 0 {
					doomed = 5*time.Millisecond + time.Duration(draw.Int64N(int64(60*time.Millisecond)))
				}
				wg.Go(func() {
					time.Sleep(arrive)
					f.worker(t, s, channel, packages, doomed)
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
			t.Logf("%s: %d runs indexed what was new, %d workers were served by them, %d killed, the longest publish and reindex %s", name, f.indexed, f.shared, f.kills, f.longest.Round(time.Millisecond))
		})
	}
}
