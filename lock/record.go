package lock

import (
	"encoding/json"
	"fmt"
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
}

// String says who holds the lock, since when, and when that was last heard of.
func (h Held) String() string {
	since := ""
	if !h.Since.IsZero() {
		since = " since " + h.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("held by %s%s, last heard of at %s", h.Holder, since, h.Seen.UTC().Format(time.RFC3339))
}

// held is the current record for people.
func (c current) held() Held { return Held{c.record.Holder, c.record.Since, c.info.Modified} }

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
}

// decode reads any object at the lock's key. What is neither our record nor
// the older scripts' is free, as they take it, and is replaced conditionally.
func decode(text []byte, info store.Info) current {
	c := current{info: info, state: free}
	if n, _ := fmt.Sscanf(string(text), tombstoneMark+"%d", &c.epoch); n == 1 {
		c.served = tombstoneServed(string(text))
		return c
	}
	if json.Unmarshal(text, &c.record) != nil || strings.TrimSpace(string(text)) == "null" {
		c.record = record{}
		return c
	}
	c.state, c.epoch, c.served, c.ttl = held, c.record.Epoch, c.record.Served, time.Duration(c.record.TTLMillis)*time.Millisecond
	if c.record.V == 0 {
		c.ttl = seedTTL * time.Second
	}
	if c.ttl <= 0 {
		c.ttl = defaultTTL
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
