package lock

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store"
)

// Holder is who holds a lock: the six ids that the older scripts write, and
// where our process runs.
type Holder struct {
	FarmID    string `json:"farmId"`
	QueueID   string `json:"queueId"`
	FleetID   string `json:"fleetId"`
	JobID     string `json:"jobId"`
	SessionID string `json:"sessionId"`
	WorkerID  string `json:"workerId"`
	Host      string `json:"host,omitempty"`
	PID       int    `json:"pid,omitempty"`
}

// String names the holder for people, by what it has.
func (h Holder) String() string {
	var parts []string
	for _, p := range []struct{ name, value string }{{"job", h.JobID}, {"worker", h.WorkerID}, {"session", h.SessionID}, {"host", h.Host}} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	if h.PID != 0 {
		parts = append(parts, fmt.Sprint("process ", h.PID))
	}
	if parts == nil {
		return "someone who left no name"
	}
	return strings.Join(parts, ", ")
}

// Held is a lock that somebody else has.
type Held struct {
	Holder Holder    `json:"holder"`
	Since  time.Time `json:"since,omitzero"` // when it was taken, by the holder's clock; zero: it does not say
	Seen   time.Time `json:"last_heard_of"`  // by the store's clock

	// Script says that an older script holds it, whose indexer replaces whatever
	// index there is by the one that it read, and those that it made of that.
	Script bool `json:"script,omitempty"`

	// Foreign says that what lies at the lock's key is no record of a lock: the
	// older scripts hold it for one, for fifteen minutes.
	Foreign bool `json:"foreign,omitempty"`
}

// String says who holds the lock, since when, and when that was last heard of.
func (h Held) String() string {
	if h.Foreign {
		return fmt.Sprintf("held by an object that is no record of a lock, written at %s: it holds for fifteen minutes; delete %s if nobody indexes the channel",
			h.Seen.UTC().Format(time.RFC3339), Key)
	}
	since := ""
	if !h.Since.IsZero() {
		since = " since " + h.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("held by %s%s, last heard of at %s", h.Holder, since, h.Seen.UTC().Format(time.RFC3339))
}

// held is the current record for people. The older scripts write theirs once.
func (c current) held() Held {
	h := Held{Holder: c.record.Holder, Since: c.record.Since, Seen: c.info.Modified, Script: c.script != nil, Foreign: c.foreign}
	if c.record.V == 0 && h.Since.IsZero() {
		h.Since = c.info.Modified
	}
	return h
}

// served is the newest work under the lock that was finished: whose, and on
// what. It goes on from holder to holder.
type served struct {
	Epoch int64    `json:"epoch,omitempty"`
	Scope []string `json:"scope,omitempty"` // none: everything
}

// covers tells whether the work was begun after epoch and did all of scope.
func (s served) covers(epoch int64, scope []string) bool {
	if s.Epoch <= epoch {
		return false
	}
	for _, part := range scope {
		if len(s.Scope) > 0 && !slices.Contains(s.Scope, part) {
			return false
		}
	}
	return len(s.Scope) == 0 || len(scope) > 0
}

const stateHeld = "held"

// record is the lock object while the lock is held.
type record struct {
	Holder
	V         int    `json:"v"`
	State     string `json:"state"`
	Epoch     int64  `json:"epoch"` // rises with each holder
	Nonce     string `json:"nonce"` // of this lease
	Op        string `json:"op"`    // of this write
	Beat      int    `json:"beat"`  // writes of this lease so far
	TTLMillis int64  `json:"ttlMs"`

	Since  time.Time `json:"since,omitzero"`  // when the lease was taken, by its holder's clock: for people
	Served served    `json:"served,omitzero"` // before this lease

	// Entered is a lock that a session holds from one process to another:
	// nobody renews it.
	Entered bool `json:"entered,omitempty"`
}

// session tells whether two holders are one session on one worker.
func (h Holder) session(other Holder) bool {
	return h.SessionID != "" && h.SessionID == other.SessionID && h.WorkerID == other.WorkerID
}

func (r record) encode() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return text
}

const tombstoneMark = "#condaworker-lock v2 free epoch="

// tombstone is the lock object while the lock is free. It is no JSON: the
// older scripts take such an object for an unlocked mutex.
func (r record) tombstone(op string, s served) []byte {
	return fmt.Appendf(nil, "%s%d op=%s served=%d scope=%s\n", tombstoneMark, r.Epoch, op, s.Epoch, strings.Join(s.Scope, ","))
}

type lockState int

const (
	held lockState = iota
	free
)

// current is the lock object as it was read.
type current struct {
	info   store.Info
	state  lockState
	record record
	epoch  int64
	served served
	ttl    time.Duration // of the one who wrote it

	foreign bool   // it is no record of a lock
	script  []byte // the record of an older script as it wrote it; else nil
}

// entered tells whether h's session holds the lock from one process to another.
// The older scripts hold it in no other way.
func (c current) entered(h Holder) bool {
	return c.state == held && (c.record.Entered || c.script != nil) && c.record.session(h)
}

// next is the epoch of the one who takes the lock. Where nobody has left one
// (the older scripts delete the object) it is the time in milliseconds, so that
// it is hardly one that was given before.
func (c current) next() int64 {
	if c.epoch > 0 && c.epoch < math.MaxInt64 {
		return c.epoch + 1
	}
	return time.Now().UnixMilli()
}

// decode reads any object at the lock's key. What is neither our record nor a
// tombstone is held or free as the older scripts take it: JSON other than null
// holds for its fifteen minutes, anything else is free. Both are foreign, unless
// it has the scripts' ids.
func decode(text []byte, info store.Info) current {
	c := current{info: info, state: free}
	if n, _ := fmt.Sscanf(string(text), tombstoneMark+"%d", &c.epoch); n == 1 {
		return c.since(c.epoch, tombstoneServed(string(text)))
	}
	if err := json.Unmarshal(text, &c.record); err != nil || c.record.V == 0 && c.record.Holder == (Holder{}) {
		c.record = record{}
		c.foreign = len(text) > 0
		if !json.Valid(text) || strings.TrimSpace(string(text)) == "null" {
			return c
		}
	}
	c.state = held
	c = c.since(c.record.Epoch, c.record.Served)
	switch c.ttl = time.Duration(c.record.TTLMillis) * time.Millisecond; {
	case c.record.V == 0:
		c.ttl = maxTTL
		if !c.foreign {
			c.script = text
		}
	case c.ttl <= 0:
		c.ttl = defaultTTL
	}
	c.ttl = min(c.ttl, maxTTL)
	return c
}

// since has the epoch, and the work that was finished by then. Work of a later one is
// none: whoever believed in it would leave without a reindex, now and ever after.
func (c current) since(epoch int64, done served) current {
	c.epoch, c.served = max(epoch, 0), served{}
	if done.Epoch <= c.epoch {
		c.served = done
	}
	return c
}

// tombstoneServed reads what a tombstone says of finished work.
func tombstoneServed(text string) served {
	var s served
	for field := range strings.FieldsSeq(text) {
		if epoch, ok := strings.CutPrefix(field, "served="); ok {
			s.Epoch, _ = strconv.ParseInt(epoch, 10, 64) // junk is no work
		}
		if scope, ok := strings.CutPrefix(field, "scope="); ok && scope != "" {
			s.Scope = strings.Split(scope, ",")
		}
	}
	return s
}
