package lock

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"

	"github.com/condaworker/condaworker/store"
)

// enteredTTL is how long a lock holds that nobody renews, as the older scripts
// have it.
const enteredTTL = maxTTL

// Enter takes the lock for a session whose work is other processes: a step
// environment of a job enters, and exits at its end. Nobody renews the lock
// meanwhile, so it holds for fifteen minutes at most. A session that has entered
// already, in a task that is tried again, gets its whole time anew. o.Holder
// must have a SessionID.
//
// Acquire by a process of the session works within it. One that an older script
// has entered goes on as that: the script's exit gives the lock back, and Exit does.
func Enter(ctx context.Context, s store.Store, o Options) error {
	if o.Holder.SessionID == "" {
		return errors.New("a lock is entered by a session: it has no id")
	}
	o.Share = false
	l, lctx, err := Acquire(ctx, s, o)
	if err != nil {
		return err
	}
	_ = lctx // the writes below are conditional
	l.within = true
	return l.Release(ctx, false)
}

// Exit gives back the lock that h's session entered. It tells whether the
// session had it: a lock that is another's by now stays.
func Exit(ctx context.Context, s store.Store, h Holder, key string) (had bool, err error) {
	if key == "" {
		key = Key
	}
	cur, err := read(ctx, s, key)
	if err != nil || cur.state == free || !cur.record.session(h) {
		return false, err
	}
	_, err = s.Put(ctx, key, bytes.NewReader(cur.record.tombstone(rand.Text(), cur.served)), store.PutOptions{Cond: store.IfVersion(cur.info)})
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// Status tells who holds the lock; held is false when nobody does. Whether a
// holder that has been silent for long is alive cannot be told by one look.
func Status(ctx context.Context, s store.Reader, key string) (who Held, held bool, err error) {
	if key == "" {
		key = Key
	}
	cur, err := read(ctx, s, key)
	if err != nil || cur.state == free {
		return Held{}, false, err
	}
	return cur.held(), true, nil
}
