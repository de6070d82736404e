package agent

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/condaworker/condaworker/lock"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// A run that loses the lock, as to an older script that writes over it, asks for
// it again, so that its task need not fail; not for ever, and not when the work
// was another than to make the index agree with what is stored.
func TestALostLockIsAskedForAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		indexes        bool
		losses, worked int
		code           int
	}{
		"never lost":    {true, 0, 1, 0},
		"lost once":     {true, 1, 2, 0},
		"always lost":   {true, 99, mostHolds, exitLock},
		"not to repeat": {false, 1, 1, exitLock},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			d := &desk{host: Host{Stdout: &log, Stderr: &log}, env: map[string]string{}}
			s := &mem.Store{}
			worked := 0
			err := d.run(t.Context(), reportOptions{format: "text"}, func(p *progress, _ *report) (string, error) {
				return "", d.locked(t.Context(), s, lockWish{indexes: tt.indexes}, p, func(ctx context.Context) error {
					worked++
					if worked > tt.losses {
						return nil
					}
					if _, err := s.Put(t.Context(), lock.Key, strings.NewReader("not ours"), store.PutOptions{}); err != nil {
						t.Error(err)
					}
					<-ctx.Done()
					return ctx.Err() // as a store may say it
				})
			})
			if worked != tt.worked || exitCode(err) != tt.code && err != nil || (err != nil) != (tt.code != 0) || err != nil && !errors.Is(err, lock.ErrLost) {
				t.Errorf("%s: worked %d times, %v\n%s", name, worked, err, &log)
			}
		})
	}
}
