package indexer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
	"github.com/condaworker/condaworker/store/s3"
	"github.com/condaworker/condaworker/store/s3/s3test"
)

// claimers is how many tasks claim at once; each comes three times.
const claimers = 5

// register gives each task a number of its own, the same whenever it comes
// again.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return [claimers]int{} }, // the number of each task, from 1 on
		Step: func(s, input, output any) (bool, any) {
			numbers, task, got := s.([claimers]int), input.(int), output.(int)+1
			if numbers[task] != 0 {
				return numbers[task] == got, numbers
			}
			for _, n := range numbers {
				if n == got {
					return false, numbers
				}
			}
			numbers[task] = got
			return true, numbers
		},
		Equal:             func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("task %v: %v", input, output) },
	}
}

// claimAll has all tasks claim at the same time.
func claimAll(t *testing.T, open func() store.Store, name string) []porcupine.Operation {
	begun := time.Now()
	var ops []porcupine.Operation
	var mu sync.Mutex
	var wg sync.WaitGroup
	for task := range claimers {
		wg.Go(func() {
			ctx := store.WithChance(t.Context(), func(int64) int64 { return 0 })
			for range 3 {
				s := open()
				call := time.Since(begun)
				n, _, err := ClaimBuildNumber(ctx, s, Claim{Name: name, Version: "1.0", Subdirs: []string{"linux-64"}, Task: fmt.Sprint("task-", task)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ops = append(ops, porcupine.Operation{ClientId: task, Input: task, Output: n, Call: call.Nanoseconds(), Return: time.Since(begun).Nanoseconds()})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ops
}

func TestClaimsAreLinearizable(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		t.Setenv("AWS_CA_BUNDLE", "") // of a client that is not the SDK's
		server.Bucket(t, "studio")
		open := func() store.Store {
			s, err := s3.Open(t.Context(), s3.Options{Bucket: "studio", Env: server.Env(), HTTP: s3test.LosesAnswers{}})
			if err != nil {
				t.Error(err)
			}
			return s
		}
		for i := range s3test.Histories(t) {
			ops := claimAll(t, open, fmt.Sprint("package", i))
			if r := porcupine.CheckOperationsTimeout(register(), ops, time.Minute); r != porcupine.Ok {
				t.Errorf("history %d is %s: %+v", i, r, ops)
			}
		}
	})
}

// careless takes no notice of conditions.
type careless struct{ *mem.Store }

func (c careless) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	o.Cond = store.Always
	time.Sleep(time.Millisecond) // for others to come between
	return c.Store.Put(ctx, key, body, o)
}

func TestClaimsOnACarelessStoreAreFound(t *testing.T) {
	s := careless{&mem.Store{}}
	for i := range 20 {
		ops := claimAll(t, func() store.Store { return s }, fmt.Sprint("package", i))
		if porcupine.CheckOperationsTimeout(register(), ops, time.Minute) == porcupine.Illegal {
			return
		}
	}
	t.Error("no history was illegal")
}
