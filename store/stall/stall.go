// Package stall gives up on HTTP requests whose connection stands still, which
// net/http waits for without end: a proxy that keeps a connection open and passes
// nothing on, a server that reads no more. It knows nothing of channels. Start with
// Client.
package stall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Client sends requests with Send and gives up on one of whose body nothing has moved
// for Limit, on the way there or back; what it returns then, or the Read of the answer's
// body, is an error that says so. A transfer may be slow, down to 32 KiB in Limit of what
// is sent, and whoever reads the answer, or makes the body that is sent, may take any
// time: only waiting for the connection counts. From the end of a body that is sent to
// the beginning of the answer is such a wait, too.
type Client struct {
	Send  func(*http.Request) (*http.Response, error) // of an http.Client or a transport
	Limit time.Duration
}

// Bound bounds the waits of a transport that a Client in front of it does not see: for
// the answer to a request without a body, and for a connection of HTTP/2, on which
// other requests would go on.
func Bound(t *http.Transport, limit time.Duration) {
	t.ResponseHeaderTimeout = limit
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: limit / 2, PingTimeout: limit / 2, WriteByteTimeout: limit}
}

// RoundTrip is Do, for an http.Client.
func (c Client) RoundTrip(r *http.Request) (*http.Response, error) { return c.Do(r) }

// Do sends a request. The answer's body must be closed, or read to its end.
func (c Client) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	giveUp := func() { cancel(stalled(c.Limit)) }
	r, answered := c.watchSending(r.WithContext(ctx), giveUp)
	answer, err := c.Send(r)
	answered()
	if err != nil {
		err = why(ctx, err)
		cancel(nil)
		return answer, err
	}
	answer.Body = &received{ReadCloser: answer.Body, ctx: ctx, cancel: cancel, waits: c.waits(giveUp)}
	return answer, nil
}

// watchSending is r with a body that is watched, until the answer is there.
func (c Client) watchSending(r *http.Request, giveUp func()) (_ *http.Request, answered func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, func() {}
	}
	var there atomic.Bool // whoever sends may go on after that
	waits := c.waits(func() {
		if !there.Load() {
			giveUp()
		}
	})
	r.Body = &sent{r.Body, waits}
	if again := r.GetBody; again != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			return &sent{body, waits}, err
		}
	}
	return r, func() {
		there.Store(true)
		waits.end()
	}
}

// stalled is the error of a request that was given up, by the time that was waited.
type stalled time.Duration

// Error tells what to look for.
func (s stalled) Error() string {
	return fmt.Sprintf("the connection stands still: nothing came or went for %s; see whether a proxy or a firewall holds it up", time.Duration(s))
}

// why is err, or that the request under ctx was given up.
func why(ctx context.Context, err error) error {
	if s, ok := errors.AsType[stalled](context.Cause(ctx)); ok && !errors.Is(err, io.EOF) {
		return s
	}
	return err
}

// waits is the time that the connection is waited for.
type waits struct {
	timer *time.Timer
	limit time.Duration
}

// waits calls tooLong when one wait lasts longer than the limit.
func (c Client) waits(tooLong func()) waits {
	w := waits{time.AfterFunc(c.Limit, tooLong), c.Limit}
	w.end()
	return w
}

func (w waits) begin() { w.timer.Reset(w.limit) }
func (w waits) end()   { w.timer.Stop() }

// sent is a request's body. Whoever sends it waits for the connection from each Read
// to the next.
type sent struct {
	io.ReadCloser
	waits
}

// atOnce bounds what is sent between two Reads, in bytes: a slow line must take it
// within the limit.
const atOnce = 32 << 10

// Read returns some of the body.
func (s *sent) Read(p []byte) (int, error) {
	s.end()
	defer s.begin()
	return s.ReadCloser.Read(p[:min(len(p), atOnce)])
}

// received is an answer's body, for which whoever reads it waits in each Read.
type received struct {
	io.ReadCloser
	waits
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
}

// Read returns what has arrived.
func (r *received) Read(p []byte) (int, error) {
	r.begin()
	n, err := r.ReadCloser.Read(p)
	r.end()
	if err != nil {
		err = why(r.ctx, err)
		r.cancel(nil)
	}
	return n, err
}

// Close ends the request.
func (r *received) Close() error {
	defer r.cancel(nil)
	return r.ReadCloser.Close()
}
