package sim

import (
	"bytes"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// fault is what may become of a request.
type fault string

const (
	none       fault = ""
	error500   fault = "500 before"
	error503   fault = "503 before"
	after503   fault = "503 after it landed"
	reset      fault = "reset before"
	afterReset fault = "reset after it landed"
	late       fault = "lost, lands later"
	conflict   fault = "409"
	vanished   fault = "404 for If-Match"
	cut        fault = "body cut"
	hollow     fault = "200 with an error body"
	expired    fault = "403 ExpiredToken"
	jump       fault = "403 RequestTimeTooSkewed"
	slow       fault = "slow on the way"
	slowAnswer fault = "slow answer"
	paused     fault = "host stands still"
	killed     fault = "worker killed"
	killedDone fault = "worker killed after it landed"

	// never drawn
	landsLate fault = "landing late"
	byOthers  fault = "of another indexer"
)

// faults are those that an operation may meet.
func faults(op operation) []fault {
	all := []fault{error500, error503, reset, expired, jump, slow, slowAnswer, paused, killed}
	switch op {
	case get, list:
		return append(all, cut)
	case put, create:
		return append(all, after503, afterReset, late, killedDone, conflict, hollow)
	case over:
		return append(all, after503, afterReset, late, killedDone, conflict, hollow, vanished)
	case remove:
		return append(all, after503, afterReset, late, killedDone)
	}
	return all
}

// scarce operations meet faults more often than others, so that the few there
// are meet all.
func (w *world) rateOf(op operation) float64 {
	rate := w.trouble.rate
	switch {
	case rate == 0:
		return 0
	case op == remove:
		return 0.8
	case op == put:
		return w.trouble.plain
	case op == over:
		return 2 * rate
	}
	return rate
}

var errReset = errors.New("connection reset by peer")

// Do is the S3 client's connection: it lets the request travel, picks its fate
// by the seed and gives the answer. What is drawn depends on the worker, the
// request and how often it was made, never on the order in which goroutines
// happen to run.
func (w *worker) Do(r *http.Request) (*http.Response, error) {
	q, err := readRequest(r)
	if err != nil {
		return nil, err
	}
	draw := w.draw(q)
	w.mu.Lock()
	halt := time.Until(w.until)
	w.mu.Unlock()
	if err := w.travel(r, max(0, halt)+time.Millisecond+time.Duration(draw.Int64N(int64(80*time.Millisecond)))); err != nil {
		return nil, err
	}
	f := none
	if w.world.faulty() && draw.Float64() < w.world.rateOf(q.operation()) {
		kinds := faults(q.operation())
		f = kinds[draw.IntN(len(kinds))]
	}
	a, err := w.meet(r, q, f, draw)
	if err == nil {
		err = w.travel(r, time.Duration(draw.Int64N(int64(40*time.Millisecond))))
	}
	if err != nil {
		return nil, err
	}
	resp := a.response(r)
	resp.Header.Set("Date", w.serverTime().Format(http.TimeFormat))
	if f == cut && len(a.body) > 1 {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(a.body[:draw.IntN(len(a.body))]), broken{}))
	}
	return resp, nil
}

// broken is a body's end that comes too early.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// draw is the source of chance for one request.
func (w *worker) draw(q request) *rand.Rand {
	id := strconv.Itoa(w.id) + " " + q.method + " " + q.key + " " + q.query["prefix"] + q.query["continuation-token"]
	w.mu.Lock()
	w.made[id]++
	n := w.made[id]
	w.mu.Unlock()
	h := fnv.New64a()
	_, _ = io.WriteString(h, id+" "+strconv.Itoa(n)) // a hash takes everything
	return rand.New(rand.NewPCG(w.world.seed, h.Sum64()))
}

// travel takes time, and ends with the request or with its worker.
func (w *worker) travel(r *http.Request, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
		return r.Context().Err()
	}
	if w.life.Err() != nil {
		return w.life.Err()
	}
	return nil
}

// maxSkew is how far off a signature's time may be.
const maxSkew = 15 * time.Minute

func (w *worker) serverTime() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew).UTC()
}

// meet serves the request as its fate wants.
func (w *worker) meet(r *http.Request, q request, f fault, draw *rand.Rand) (answer, error) {
	if f == jump {
		w.mu.Lock()
		w.skew += 2 * maxSkew // the SDK knows the old one
		w.mu.Unlock()
	}
	if signed, err := time.Parse("20060102T150405Z", q.header.Get("X-Amz-Date")); err == nil {
		if off := signed.Sub(w.serverTime()); off > maxSkew || off < -maxSkew {
			w.world.note(w, q, jump, http.StatusForbidden)
			return refusal(http.StatusForbidden, "RequestTimeTooSkewed"), nil
		}
	}
	if a, refused := refusals[f]; refused {
		w.world.note(w, q, f, a.status)
		return a, nil
	}
	a, err := w.fare(r, q, f, draw)
	w.world.note(w, q, f, a.status)
	return a, err
}

// refusals are faults after which nothing was done, and that is said.
var refusals = map[fault]answer{
	error500: refusal(http.StatusInternalServerError, "InternalError"),
	error503: refusal(http.StatusServiceUnavailable, "SlowDown"),
	conflict: refusal(http.StatusConflict, "ConditionalRequestConflict"),
	vanished: refusal(http.StatusNotFound, "NoSuchKey"),
	expired:  refusal(http.StatusForbidden, "ExpiredToken"),
	hollow:   refusal(http.StatusOK, "InternalError"),
}

// fare lets the request fare as the other faults want.
func (w *worker) fare(r *http.Request, q request, f fault, draw *rand.Rand) (a answer, err error) {
	most := time.Minute
	if f == late || f == paused {
		most = 10 * time.Minute
	}
	wait := time.Second + time.Duration(draw.Int64N(int64(most)))
	switch f {
	case reset:
		return a, errReset
	case killed:
		w.kill()
		return a, errReset
	case late:
		w.world.later(w, q, wait)
		return a, errReset
	case paused:
		w.mu.Lock()
		w.until = time.Now().Add(wait)
		w.mu.Unlock()
		err = w.travel(r, wait)
	case slow:
		err = w.travel(r, wait)
	}
	if err != nil {
		return a, err
	}
	a = w.world.serve(q)
	switch f {
	case after503:
		return refusal(http.StatusServiceUnavailable, "SlowDown"), nil
	case afterReset:
		return a, errReset
	case killedDone:
		w.kill()
		return a, errReset
	case slowAnswer:
		err = w.travel(r, wait)
	}
	return a, err
}

// possible are all outcomes that an operation can come to. What is not among
// them cannot happen: a HEAD and a write have no body that could be cut; a
// request that reads has nothing that lands; 409 and an error in the body of a
// 200 answer bodies that are stored; only If-Match asks for what may be gone.
func possible(op operation) []outcome {
	var all []outcome
	for _, f := range faults(op) {
		all = append(all, outcome(f))
		if f == late {
			all = append(all, outcome(landsLate))
		}
	}
	return slices.Concat(answers[op], all)
}

// answers are those of a request that meets no fault. None deletes what others
// overwrite, so that 404 for If-Match is only ever a fault.
var answers = map[operation][]outcome{
	get:    {"answered 200", "answered 404"},
	head:   {"answered 200", "answered 404"},
	list:   {"answered 200"},
	put:    {"answered 200"},
	over:   {"answered 200", "answered 412"},
	create: {"answered 200", "answered 412"},
	remove: {"answered 204"},
}
