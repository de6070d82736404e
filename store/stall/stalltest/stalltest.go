// Package stalltest serves HTTP in memory, where a connection holds nothing: whoever
// writes waits until the other side reads. In a bubble of testing/synctest the time that
// either side waits passes at once. Start with Serve.
package stalltest

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// Serve answers with h, until the test ends, whatever is sent over the transport.
func Serve(t testing.TB, h http.HandlerFunc) *http.Transport {
	t.Helper()
	l := listener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // it ends with the test
	}()
	transport := &http.Transport{DialContext: l.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close() // nothing is lost that way
		<-ended
		time.Sleep(time.Second) // the server waits a moment before it closes a connection
	})
	return transport
}

// listener accepts what dial connects.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept waits for a connection.
func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. It is called once.
func (l listener) Close() error {
	close(l.closed)
	return nil
}

// Addr is nowhere.
func (listener) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "memory"} }
