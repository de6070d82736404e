package agent

import (
	"bytes"
	"fmt"
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

const emptyIndex = `{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}`

// publishFile publishes a package and shows it to clients.
func publishFile(t *testing.T, s store.Store, file string, log *bytes.Buffer) error {
	d := &desk{host: Host{Stdout: log, Stderr: log}, env: map[string]string{}}
	return d.run(t.Context(), reportOptions{format: "text"}, func(p *progress, _ *report) (string, error) {
		one, err := indexer.Publish(t.Context(), s, indexer.Package{Path: file})
		if err != nil {
			return "", err
		}
		_, err = d.addToIndex(t.Context(), destination{Store: s}, []indexer.Published{one}, p)
		return "", err
	})
}

// holdsOne checks that publishing came to err, none, and left the one package in an index
// that agrees with what is stored.
func holdsOne(t *testing.T, s store.Store, err error, log *bytes.Buffer) {
	t.Helper()
	check, more := indexer.Reindex(t.Context(), s, indexer.Options{Check: true})
	if err != nil || more != nil || len(check.Subdirs) != 1 || check.Subdirs[0].Packages != 1 || len(check.Subdirs[0].Added) > 0 {
		t.Errorf("%v, %v: %+v\n%s", err, more, check, log)
	}
}

// What is published is in the index in the end, also when the worker that makes
// the first one for all may not read it and leaves it out.
func TestWhatAnotherLeftOutIsAdded(t *testing.T) {
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
		go func() { err = publishFile(t, s, file, &log) }()
		time.Sleep(10 * time.Second) // it waits by now
		if err := before.Release(t.Context(), false); err != nil {
			t.Error(err)
		}
		other := hold()
		if _, err := s.Put(t.Context(), "noarch/repodata.json", strings.NewReader(emptyIndex), store.PutOptions{}); err != nil {
			t.Error(err)
		}
		if err := other.Release(t.Context(), true); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		holdsOne(t, s, err, &log)
		if !strings.Contains(log.String(), "another worker's run did that") {
			t.Errorf("it did not wait:\n%s", &log)
		}
	})
}

// An older script puts the index there that it made of what it had read, whatever
// came meanwhile. What a commit has shown by then is shown again.
func TestWhatAnOlderScriptReplacesIsAddedAgain(t *testing.T) {
	file := condatest.Write(t, "tool-1.0-0.conda", condatest.Index("tool", "1.0", 0, "noarch"), nil)
	archive.Zstd(nil)
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		put := func(key, text string) {
			if _, err := s.Put(t.Context(), key, strings.NewReader(text), store.PutOptions{}); err != nil {
				t.Error(err)
			}
		}
		put("noarch/repodata.json", emptyIndex)
		put(lock.Key, `{"farmId":"f","queueId":"q","fleetId":"l","jobId":"job-1","sessionId":"s","workerId":"w"}`)
		var log bytes.Buffer
		done := make(chan error, 1)
		go func() { done <- publishFile(t, s, file, &log) }()
		time.Sleep(10 * time.Second)
		put("noarch/repodata.json", emptyIndex)
		if err := s.Delete(t.Context(), lock.Key); err != nil {
			t.Error(err)
		}
		holdsOne(t, s, <-done, &log)
		if !strings.Contains(log.String(), "an older script has the lock") || !strings.Contains(log.String(), "job-1") {
			t.Errorf("it does not say so:\n%s", &log)
		}
	})
}

// Who is never first gets the lock and its turn.
func TestOthersAreFirstEachTime(t *testing.T) {
	file := condatest.Write(t, "tool-1.0-0.conda", condatest.Index("tool", "1.0", 0, "noarch"), nil)
	archive.Zstd(nil)
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
			t.Fatal(err)
		}
		lost := 0
		s.Fault = func(key string) (bool, error) {
			_, held, err := lock.Status(t.Context(), s, "")
			if key != "noarch/repodata.json" || held || err != nil {
				return true, nil
			}
			lost++
			return false, fmt.Errorf("put %s: %w", key, store.ErrConflict)
		}
		var log bytes.Buffer
		holdsOne(t, s, publishFile(t, s, file, &log), &log)
		if lost == 0 {
			t.Error("nobody else was first")
		}
	})
}
