package sim

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
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
	cut        fault = "body cut"
	hollow     fault = "200 with an error body"
	expired    fault = "403 ExpiredToken"
	slow       fault = "slow"
	killed     fault = "worker killed"
	killedDone fault = "worker killed after it landed"
)

// faults are those that each operation may meet.
func faults(q request) []fault {
	all := []fault{error500, error503, reset, expired, slow, killed}
	switch {
	case q.writes():
		all = append(all, after503, afterReset, late, killedDone)
		if q.method == http.MethodPut {
			all = append(all, conflict, hollow)
		}
	case q.method == http.MethodGet:
		all = append(all, cut)
	}
	return all
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
	if err := w.travel(r, time.Millisecond+time.Duration(draw.Int64N(int64(80*time.Millisecond)))); err != nil {
		return nil, err
	}
	f := none
	if w.world.faulty() && draw.Float64() < w.world.rate {
		kinds := faults(q)
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
	resp.Header.Set("Date", time.Now().Add(w.skew).UTC().Format(http.TimeFormat))
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
	id := fmt.Sprintf("%d %s %s %s", w.id, q.method, q.key, q.query["prefix"]+q.query["continuation-token"])
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

// meet serves the request as its fate wants.
func (w *worker) meet(r *http.Request, q request, f fault, draw *rand.Rand) (answer, error) {
	if signed, err := time.Parse("20060102T150405Z", q.header.Get("X-Amz-Date")); err == nil {
		if off := signed.Sub(time.Now().Add(w.skew)); off > maxSkew || off < -maxSkew {
			w.world.note(w, q, "clock off", http.StatusForbidden)
			return refusal(http.StatusForbidden, "RequestTimeTooSkewed"), nil
		}
	}
	var a answer
	err := error(nil)
	switch f {
	case error500:
		a = refusal(http.StatusInternalServerError, "InternalError")
	case error503:
		a = refusal(http.StatusServiceUnavailable, "SlowDown")
	case conflict:
		a = refusal(http.StatusConflict, "ConditionalRequestConflict")
	case expired:
		a = refusal(http.StatusForbidden, "ExpiredToken")
	case hollow:
		a = refusal(http.StatusOK, "InternalError")
	case reset:
		err = errReset
	case killed:
		w.kill()
		err = errReset
	case late:
		w.world.later(w, q, time.Second+time.Duration(draw.Int64N(int64(10*time.Minute))))
		err = errReset
	case slow:
		if err = w.travel(r, time.Second+time.Duration(draw.Int64N(int64(time.Minute)))); err == nil {
			a = w.world.serve(q)
		}
	default:
		a = w.world.serve(q)
		switch f {
		case after503:
			a = refusal(http.StatusServiceUnavailable, "SlowDown")
		case afterReset:
			err = errReset
		case killedDone:
			w.kill()
			err = errReset
		}
	}
	w.world.note(w, q, f, a.status)
	return a, err
}
