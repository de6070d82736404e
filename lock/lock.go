// Package lock keeps two workers from indexing one channel at a time.
//
// It is a courtesy that saves work: what keeps the channel right is that the
// index itself is written conditionally. So a lock that was lost, stolen or
// forgotten costs time and never a package. Start with Acquire.
//
// What it promises, as ARCHITECTURE.md has it in full:
//
//   - S4 epochs: each epoch is granted to one holder, and they rise;
//   - S5 timed exclusion: a Lease's context ends at three quarters of its TTL,
//     counted from before its last confirmed write, so that at most one live
//     holder works while clocks run at about the same rate;
//   - L1 takeover: a holder that stops is replaced within its TTL and a poll;
//   - L2 turns: a waiter that shares (Options.Share) ends with the first whole
//     hold that began after it came; others have a chance at each release;
//   - L3 clocks: what a waiter's clock says of the time of day is of no account.
package lock

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/condaworker/condaworker/store"
)

// Key is where the lock of a channel lies. Older scripts keep their mutex
// there; they read our record as held and our tombstone as free.
const Key = ".s3-object-mutex-lock.json"

// ErrLost is what the cause of a lease's context matches once it can no longer be
// trusted.
var ErrLost = errors.New("the channel's lock was lost")

// ErrTimeout reports that the lock was not got in Options.Timeout.
var ErrTimeout = errors.New("the channel's lock was not got in time")

// ErrServed reports that the work for which the lock was asked is done: another
// holder began it after this one had begun to wait, and finished it.
var ErrServed = errors.New("another holder of the channel's lock did this work meanwhile")

// Options say what to lock and for whom. The zero value of a field is its
// default.
type Options struct {
	Key     string        // default Key
	TTL     time.Duration // a holder that is silent for this long has lost the lock; default 60 s, at most 900 s
	Timeout time.Duration // give up waiting after this time; default never
	Holder  Holder        // who asks
	Waiting func(Held)    // told about each holder that is waited for, again every few minutes
	Warn    func(string)  // told about what lay at Key and was no lock, when it is replaced

	Scope []string // what the work is on, e.g. subdirs; none: on everything
	Share bool     // leave with ErrServed once another holder has done all of Scope
}

// The parts of a lease's time. The holder stops trusting the lease well before
// anybody else may take it.
const (
	defaultTTL = 60 * time.Second
	renewEvery = 4  // a TTL's part between two renewals
	fenceAfter = 4  // a TTL's part before its end at which the holder stops
	pollEvery  = 40 // a TTL's part between two looks of a waiter, on average

	maxTTL = 900 * time.Second // what a record of the older scripts holds, and no record more

	watchAtLeast = 20 * time.Second // of a lock that is old already: a holder that lives renews in this time
	ageMargin    = 5 * time.Second  // for the whole seconds, and the several clocks, of a store

	tellEvery = 5 * time.Minute // a waiter says whom it waits for
)

// Lease is a held lock.
type Lease struct {
	s      store.Store
	o      Options
	record record
	at     store.Info // the last version of the lock object that is known to be ours
	open   bool       // whether the record's write is of unknown end
	begun  time.Time  // when the record's first write began
	within bool       // the session had entered before, and goes on holding
	script []byte     // what an older script wrote that had entered for the session; it goes back there
	before record     // of the session, if one of ours had entered
	cancel context.CancelCauseFunc
	lost   func() error  // the cause of the lease's context, if it matches ErrLost
	done   chan struct{} // closed when renewing has ended
}

// Acquire waits for the lock until ctx ends or o.Timeout passes. The context
// that it returns ends with ErrLost as soon as the lease cannot be trusted any
// more; work under the lock must use it.
//
// A lock whose object has not changed for its holder's TTL, by the clock of
// the one who watches, is taken over. Who comes late need not watch for so long
// if the store says that the object is older than that: the store's clock is
// compared with itself alone, and no two clocks with one another.
func Acquire(ctx context.Context, s store.Store, o Options) (*Lease, context.Context, error) {
	if o.Key == "" {
		o.Key = Key
	}
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	o.TTL = min(o.TTL, maxTTL)
	w := waiter{s: s, o: o, start: time.Now()}
	for {
		cur, err := read(ctx, s, o.Key)
		if err != nil {
			return nil, nil, err
		}
		w.look(cur)
		if o.Share && cur.served.covers(w.enrolled, o.Scope) {
			return nil, nil, ErrServed
		}
		if w.free(cur) {
			l, err := w.take(ctx, cur)
			if err == nil {
				w.warn(cur)
				lctx := l.keep(ctx)
				return l, lctx, nil
			}
			if !errors.Is(err, store.ErrConflict) {
				return nil, nil, err
			}
			if err := w.again(ctx, cur); err != nil { // another was first: see who
				return nil, nil, err
			}
			continue
		}
		if err := w.wait(ctx, cur); err != nil {
			return nil, nil, err
		}
	}
}

// waiter watches the lock object.
type waiter struct {
	s     store.Store
	o     Options
	start time.Time
	seen  string    // the version under watch
	since time.Time // when it was first seen
	told  string    // the holder that Waiting was told about
	at    time.Time // when

	refused  string // the version over which a write was refused
	refusals int    // how often in a row

	looked   bool
	enrolled int64 // the epoch when the waiting began: whoever has a higher one began later
}

func (w *waiter) look(cur current) {
	if !w.looked {
		w.looked, w.enrolled = true, cur.epoch
	}
	if cur.info.Version != w.seen {
		w.seen, w.since = cur.info.Version, time.Now()
	}
}

// warn tells of an object that was in the lock's place.
func (w *waiter) warn(cur current) {
	if cur.foreign && w.o.Warn != nil {
		w.o.Warn(fmt.Sprintf("%s was no record of a lock and has been replaced by one: nothing else may write it", w.o.Key))
	}
}

func (w *waiter) free(cur current) bool {
	watched := time.Since(w.since)
	dead := watched >= cur.ttl || watched >= watchAtLeast && cur.info.Age >= cur.ttl+ageMargin
	return cur.state == free || dead || cur.entered(w.o.Holder)
}

// take writes our record in place of what was read. The epoch rises with each
// holder; nonce and op make every write's bytes its own, so that no write can
// be taken for another's.
func (w *waiter) take(ctx context.Context, cur current) (*Lease, error) {
	l := &Lease{s: w.s, o: w.o, done: make(chan struct{})}
	if l.within, l.script = cur.entered(w.o.Holder), cur.script; l.within {
		l.before = cur.record
	}
	l.record = record{Holder: w.o.Holder, V: 2, State: stateHeld, Epoch: cur.next(), Nonce: rand.Text(), TTLMillis: w.o.TTL.Milliseconds(), Since: time.Now().UTC().Truncate(time.Second), Served: cur.served}
	cond := store.IfAbsent
	if cur.info.Version != "" {
		cond = store.IfVersion(cur.info)
	}
	err := l.write(ctx, cond)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		l.disown(ctx, cond)
	}
	return l, err
}

// mostRefusals is how often in a row the lock may be refused to a waiter although it
// has not changed.
const mostRefusals = 8

// again waits before another look after a conflict. Where the object stays as it is,
// and is not to be replaced all the same, nobody was first.
func (w *waiter) again(ctx context.Context, cur current) error {
	if w.refusals == 0 || w.refused != cur.info.Version {
		w.refused, w.refusals = cur.info.Version, 0
	}
	w.refusals++
	if w.refusals >= mostRefusals {
		return fmt.Errorf("take the lock %s: it is refused each time, though nobody takes it: move away what lies there (a folder?), or use a server whose ETags can be given back to it", w.o.Key)
	}
	if w.o.Timeout > 0 && time.Since(w.start) >= w.o.Timeout {
		return fmt.Errorf("%w (%s): others were first each time", ErrTimeout, w.o.Timeout)
	}
	return store.Backoff(ctx, w.refusals)
}

// disownTimeout bounds what is tried for others when all has failed, after a
// signal perhaps.
const disownTimeout = 3 * time.Second

// disown gives back a lock whose taking has an unknown end: nobody would renew it,
// and the others would wait for its whole time. It is a courtesy and may fail.
func (l *Lease) disown(ctx context.Context, cond store.Cond) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), disownTimeout)
	defer cancel()
	if l.write(ctx, cond) == nil {
		_ = l.giveBack(ctx, l.record.Served)
	}
}

func (w *waiter) wait(ctx context.Context, cur current) error {
	held := cur.held()
	if w.o.Timeout > 0 && time.Since(w.start) >= w.o.Timeout {
		return fmt.Errorf("%w (%s): %s", ErrTimeout, w.o.Timeout, held)
	}
	if who := held.Holder.String(); w.o.Waiting != nil && (w.told != who || time.Since(w.at) >= tellEvery) {
		w.told, w.at = who, time.Now()
		w.o.Waiting(held)
	}
	least := w.o.TTL / pollEvery / 2
	most := least + w.o.TTL/pollEvery
	if w.o.Timeout > 0 {
		left := max(w.o.Timeout-time.Since(w.start), time.Millisecond)
		least, most = min(least, left), min(most, left)
	}
	return store.Pause(ctx, least, most)
}

// keep starts renewing.
func (l *Lease) keep(ctx context.Context) context.Context {
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.lost = func() error {
		if err := context.Cause(ctx); errors.Is(err, ErrLost) {
			return err
		}
		return nil
	}
	if time.Since(l.begun) >= l.trust() { // the write took too long: nothing may begin
		l.cancel(lostBy(nil))
	}
	go l.renew(ctx)
	return ctx
}

// trust is how long after its last write began the lease is believed in.
func (l *Lease) trust() time.Duration { return l.o.TTL - l.o.TTL/fenceAfter }

// renew counts the lease from before each write began. A watchdog ends the
// context in time even when a write hangs.
func (l *Lease) renew(ctx context.Context) {
	defer close(l.done)
	var failed atomic.Pointer[error] // what the last write came to
	failed.Store(new(error))
	watchdog := time.AfterFunc(l.trust()-time.Since(l.begun), func() { l.cancel(lostBy(*failed.Load())) })
	defer watchdog.Stop()
	pause := l.o.TTL / renewEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err := l.write(ctx, store.IfVersion(l.at))
		failed.Store(&err)
		switch {
		case err == nil:
			watchdog.Reset(l.trust() - time.Since(l.begun))
			pause = l.o.TTL/renewEvery - time.Since(l.begun)
		case errors.Is(err, store.ErrConflict):
			l.cancel(fmt.Errorf("%w: another worker has taken it", ErrLost))
			return
		default: // there is time for many more attempts
			pause = l.o.TTL / pollEvery
		}
	}
}

// lostBy says that a lease could not be renewed in time: err, or it took too long.
func lostBy(err error) error {
	if err == nil {
		return fmt.Errorf("%w: it could not be renewed in time", ErrLost)
	}
	return fmt.Errorf("%w: it could not be renewed: %w", ErrLost, err)
}

// Release gives the lock back. The object stays, as a tombstone: not every
// server honours a conditional delete, and the epoch must go on rising. done
// says that the work on Options.Scope is finished, for those who wait for no
// more than that. The error matches ErrLost when the lease had ended before.
func (l *Lease) Release(ctx context.Context, done bool) error {
	l.cancel(context.Canceled)
	<-l.done
	if err := l.lost(); err != nil {
		return err
	}
	if l.open { // learn which version is ours
		if err := l.write(ctx, store.IfVersion(l.at)); err != nil {
			return err
		}
	}
	finished := l.record.Served
	if done {
		finished = served{l.record.Epoch, l.o.Scope}
	}
	return l.giveBack(ctx, finished)
}

// giveBack leaves the lock to the session that had entered, or to all.
func (l *Lease) giveBack(ctx context.Context, finished served) error {
	switch {
	case l.within && l.script != nil: // its exit knows nothing but its own bytes
		return l.replace(ctx, l.script)
	case l.within:
		if l.before.Entered { // it is the session that goes on, not this process
			l.record.Holder, l.record.Since = l.before.Holder, l.before.Since
		}
		l.record.Entered, l.record.TTLMillis, l.record.Served = true, enteredTTL.Milliseconds(), finished
		return l.write(ctx, store.IfVersion(l.at))
	}
	return l.replace(ctx, l.record.tombstone(rand.Text(), finished))
}

// replace puts what is no record of ours over the version that is.
func (l *Lease) replace(ctx context.Context, text []byte) error {
	_, err := l.s.Put(ctx, l.o.Key, bytes.NewReader(text), store.PutOptions{Cond: store.IfVersion(l.at)})
	if errors.Is(err, store.ErrConflict) {
		return nil // nobody may take a lease that lasts, so an attempt before this one landed and the next holder has been quick
	}
	return err
}

// write puts the next record. After a write of unknown end it puts the same
// bytes again, so that the store can tell that the first one landed; the lease
// counts from before the first.
func (l *Lease) write(ctx context.Context, cond store.Cond) error {
	if !l.open {
		l.begun, l.open = time.Now(), true
		l.record.Beat++
		l.record.Op = rand.Text()
	}
	in, err := l.s.Put(ctx, l.o.Key, bytes.NewReader(l.record.encode()), store.PutOptions{Cond: cond, ContentType: "application/json"})
	if err != nil {
		return err
	}
	l.at, l.open = in, false
	return nil
}

// maxRecord bounds what is read of a lock object in bytes.
const maxRecord = 1 << 16

func read(ctx context.Context, s store.Reader, key string) (current, error) {
	var text []byte
	var info store.Info
	err := store.Whole(ctx, func() error {
		body, in, err := s.Get(ctx, key, 0, maxRecord)
		if err != nil {
			return err
		}
		info = in
		text, err = io.ReadAll(body)
		return errors.Join(err, body.Close())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return current{state: free}, nil
	}
	if err != nil {
		return current{}, fmt.Errorf("read the lock: %w", err)
	}
	return decode(text, info), nil
}
