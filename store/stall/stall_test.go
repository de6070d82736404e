package stall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store/stall"
	"github.com/condaworker/condaworker/store/stall/stalltest"
)

const half = "half of it"

// slowly is a body that comes, or that is read, n bytes at a time, with pauses between.
type slowly struct {
	io.Reader
	n     int
	pause time.Duration
}

func (s slowly) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Reader.Read(p[:min(len(p), s.n)])
}

// stands sends half of its answer and no more until the test ends.
func stands(ctx context.Context) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "20")
		_, _ = io.WriteString(w, half)
		w.(http.Flusher).Flush()
		<-ctx.Done()
	}
}

// client gives up after a minute.
func client(t *testing.T, h http.HandlerFunc) *http.Client {
	t.Helper()
	return &http.Client{Transport: stall.Client{Send: stalltest.Serve(t, h).RoundTrip, Limit: time.Minute}}
}

// send sends body with c and reads the answer's.
func send(ctx context.Context, t *testing.T, c *http.Client, url string, body io.Reader) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(answer.Body)
	return string(b), errors.Join(err, answer.Body.Close())
}

func isStalled(err error) bool { return err != nil && strings.Contains(err.Error(), "stands still") }

func TestAnAnswerThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, stands(t.Context()))
		if got, err := send(t.Context(), t, c, "http://x/", nil); got != half || !isStalled(err) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// A server may read nothing of a body, or some, or may have all of it and not answer.
func TestABodyThatNobodyReads(t *testing.T) {
	for _, reads := range []int64{0, 100 << 10, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			c := client(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, reads)
				<-t.Context().Done()
			})
			body := strings.NewReader(strings.Repeat("x", 1<<20))
			if got, err := send(t.Context(), t, c, "http://x/", body); !isStalled(err) {
				t.Errorf("%d bytes are read: %q, %v", reads, got, err)
			}
		})
	}
}

func TestWhatMovesIsNotCut(t *testing.T) {
	text := strings.Repeat("x", 100)
	all := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		body   io.Reader
	}{
		"a slow answer": {func(w http.ResponseWriter, _ *http.Request) {
			for range 5 {
				_, _ = io.WriteString(w, text[:20])
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Second)
			}
		}, nil},
		"a body that is read slowly": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, slowly{r.Body, 4096, 5 * time.Second})
			_, _ = io.WriteString(w, text)
		}, strings.NewReader(strings.Repeat("x", 1<<20))},
		"a body that is made slowly": {all, slowly{strings.NewReader(text), 1, 10 * time.Second}},
		"a body that rests for long": {all, slowly{strings.NewReader(text), 60, 10 * time.Minute}},
		"an answer that takes time": {func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			time.Sleep(50 * time.Second)
			_, _ = w.Write(b)
		}, strings.NewReader(text)},
	} {
		synctest.Test(t, func(t *testing.T) {
			if got, err := send(t.Context(), t, client(t, tt.answer), "http://x/", tt.body); got != text || err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		})
	}
}

// HTTP/2 asks for more at once than a slow line takes in a minute.
func TestALargeFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frame := make([]byte, 512<<10)
		var sent int
		c := &http.Client{Transport: stall.Client{Limit: time.Minute, Send: func(r *http.Request) (*http.Response, error) {
			for {
				n, err := r.Body.Read(frame)
				sent += n
				if err != nil {
					return &http.Response{Body: http.NoBody}, r.Context().Err()
				}
				time.Sleep(time.Duration(n) * time.Second / 1024)
			}
		}}}
		if _, err := send(t.Context(), t, c, "http://x/", strings.NewReader(strings.Repeat("x", 1<<20))); sent != 1<<20 || err != nil {
			t.Errorf("%d bytes, %v", sent, err)
		}
	})
}

func TestAReaderMayPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Repeat("x", 1<<20)
		c := client(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
		answer, err := c.Get("http://x/") //nolint:noctx // nothing ends it
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		first := make([]byte, 100)
		if _, err := io.ReadFull(answer.Body, first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		rest, err := io.ReadAll(answer.Body)
		if err != nil || len(first)+len(rest) != len(text) || answer.Body.Close() != nil {
			t.Errorf("%d bytes, %v", len(first)+len(rest), err)
		}
	})
}

func TestARequestThatIsCancelled(t *testing.T) {
	for name, body := range map[string]string{"answer": "", "body": strings.Repeat("x", 1<<20)} {
		synctest.Test(t, func(t *testing.T) {
			c := client(t, stands(t.Context()))
			if body != "" {
				c = client(t, func(http.ResponseWriter, *http.Request) { <-t.Context().Done() })
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := send(ctx, t, c, "http://x/", strings.NewReader(body)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A client in front of one that follows redirects watches the body that is sent anew.
func TestABodyThatIsSentElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := stalltest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/moved" {
				_, _ = io.Copy(io.Discard, r.Body)
				http.Redirect(w, r, "/here", http.StatusTemporaryRedirect)
				return
			}
			n, _ := io.Copy(io.Discard, slowly{r.Body, 4096, 5 * time.Second})
			_, _ = fmt.Fprint(w, n)
		})
		inner := &http.Client{Transport: transport}
		c := &http.Client{Transport: stall.Client{Send: inner.Do, Limit: time.Minute}}
		if got, err := send(t.Context(), t, c, "http://x/moved", strings.NewReader(strings.Repeat("x", 1<<20))); got != fmt.Sprint(1<<20) || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// An answer that comes before all of a body was sent is what counts from then on.
func TestAnEarlyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			for range 5 {
				_, _ = io.WriteString(w, half)
				w.(http.Flusher).Flush()
				_, _ = io.CopyN(io.Discard, r.Body, 20<<10)
				time.Sleep(50 * time.Second)
			}
			for range 5 {
				_, _ = io.WriteString(w, half)
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Second)
			}
		})
		got, err := send(t.Context(), t, c, "http://x/", strings.NewReader(strings.Repeat("x", 1<<20)))
		if got != strings.Repeat(half, 10) || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// With encryption, and where many requests share a connection, it is the same.
func TestOverTLS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // long enough
	defer cancel()
	for _, http2 := range []bool{false, true} {
		done := make(chan struct{})
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if (r.ProtoMajor == 2) != http2 {
				t.Errorf("it is %s", r.Proto)
			}
			if r.URL.Path == "/answer" {
				w.Header().Set("Content-Length", "20")
				_, _ = io.WriteString(w, half)
				w.(http.Flusher).Flush()
			}
			<-done
		}))
		server.EnableHTTP2 = http2
		server.StartTLS()
		transport := server.Client().Transport.(*http.Transport)
		const limit = time.Second
		stall.Bound(transport, limit)
		c := &http.Client{Transport: stall.Client{Send: transport.RoundTrip, Limit: limit}}
		if _, err := send(ctx, t, c, server.URL+"/answer", nil); !isStalled(err) {
			t.Errorf("an answer, HTTP/2 %t: %v", http2, err)
		}
		if _, err := send(ctx, t, c, server.URL+"/body", strings.NewReader(strings.Repeat("x", 64<<20))); !isStalled(err) {
			t.Errorf("a body, HTTP/2 %t: %v", http2, err)
		}
		close(done)
		server.Close()
	}
}

// Over HTTP/2 a request that was given up leaves its connection to others: one that is
// dead is closed.
func TestADeadConnection(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // long enough
	defer cancel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	l := &dying{Listener: server.Listener, ended: make(chan struct{})}
	server.Listener, server.EnableHTTP2 = l, true
	server.StartTLS()
	defer server.Close()
	defer close(l.ended)
	transport := server.Client().Transport.(*http.Transport)
	stall.Bound(transport, 200*time.Millisecond)
	c := &http.Client{Transport: transport}
	for _, body := range []string{"x", strings.Repeat("x", 64<<20), "y"} {
		got, err := send(ctx, t, c, server.URL, strings.NewReader(body))
		for len(body) == 1 && err != nil && ctx.Err() == nil {
			got, err = send(ctx, t, c, server.URL, strings.NewReader(body))
		}
		if len(body) > 1 != (err != nil) || err == nil && got != body {
			t.Errorf("%d bytes: %v", len(body), err)
		}
		l.dead.Store(l.first.Load())
	}
}

// dying is a listener whose first connection can be dead: nothing more is read of it.
type dying struct {
	net.Listener
	first, dead atomic.Pointer[dyingConn]
	ended       chan struct{}
}

func (d *dying) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	mine := &dyingConn{c, d}
	d.first.CompareAndSwap(nil, mine)
	return mine, nil
}

type dyingConn struct {
	net.Conn
	of *dying
}

func (c *dyingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.of.dead.Load() == c {
		<-c.of.ended
	}
	return n, err
}
