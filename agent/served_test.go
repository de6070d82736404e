package agent

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/lock"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// What is published is in the index in the end, also when the worker that makes
// the first one for all may not read it and leaves it out.
func TestWhatAnotherLeftOutIsAdded(t *testing.T) {
	const empty = `{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}`
	file := condatest.Write(t, "tool-1.0-0.conda", condatest.Index("tool", "1.0", 0, "noarch"), nil)
	archive.Zstd(nil) // what an encoder makes when it is first used must not belong to one test's clock
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		hold := func() *lock.Lease {
			l, _, err := lock.Acquire(t.Context(), s, lock.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		before := hold()
		var log bytes.Buffer
		var err error
		go func() {
			d := &desk{host: Host{Stdout: &log, Stderr: &log}, env: map[string]string{}}
			err = d.run(t.Context(), reportOptions{format: "text"}, func(p *progress, _ *report) (string, error) {
				one, err := indexer.Publish(t.Context(), s, indexer.Package{Path: file})
				if err != nil {
					return "", err
				}
				_, err = d.addToIndex(t.Context(), destination{Store: s}, []indexer.Published{one}, p)
				return "", err
			})
		}()
		time.Sleep(10 * time.Second) // it waits by now
		if err := before.Release(t.Context(), false); err != nil {
			t.Error(err)
		}
		other := hold()
		if _, err := s.Put(t.Context(), "noarch/repodata.json", strings.NewReader(empty), store.PutOptions{}); err != nil {
			t.Error(err)
		}
		if err := other.Release(t.Context(), true); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		check, more := indexer.Reindex(t.Context(), s, indexer.Options{Check: true})
		if err != nil || more != nil || len(check.Subdirs) != 1 || check.Subdirs[0].Packages != 1 || len(check.Subdirs[0].Added) > 0 {
			t.Errorf("%v, %v: %+v\n%s", err, more, check, &log)
		}
		if !strings.Contains(log.String(), "another worker's run made it") {
			t.Errorf("it did not wait:\n%s", &log)
		}
	})
}
