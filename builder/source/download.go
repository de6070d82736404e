package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	downloadAttempts = 4
	downloadPause    = time.Second
	// headerTimeout is for the beginning of an answer, stallTimeout for each
	// piece of it: a large archive may take hours, silence may not.
	headerTimeout = time.Minute
	stallTimeout  = 2 * time.Minute
)

// permanent is a failure that trying again cannot mend.
type permanent struct{ error }

func (s Spec) download(ctx context.Context, u string, o Options) (*os.File, error) {
	var err error
	for attempt := range downloadAttempts {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(downloadPause << attempt):
			}
		}
		var f *os.File
		if f, err = s.downloadOnce(ctx, u, o); err == nil {
			return f, nil
		}
		var forGood permanent
		if errors.As(err, &forGood) || ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("download %s: %w", u, err)
}

func (s Spec) downloadOnce(ctx context.Context, u string, o Options) (f *os.File, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, permanent{err}
	}
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: headerTimeout,
		DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext, ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read has been checked
	if resp.StatusCode != http.StatusOK {
		err := errors.New("the server answers " + resp.Status)
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return nil, permanent{err}
		}
		return nil, err
	}
	f, err = os.CreateTemp(o.Download, "download-*")
	if err != nil {
		return nil, permanent{err}
	}
	defer func() {
		err = errors.Join(err, os.Remove(f.Name())) // the open file is enough
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	moved := func(int) {}
	if o.Transfer != nil {
		moved = o.Transfer(resp.ContentLength)
	}
	return f, s.receive(f, resp, moved, func() { cancel(errors.New("the server sends nothing any more")) }, u)
}

func (s Spec) receive(f *os.File, resp *http.Response, moved func(int), stalled func(), u string) error {
	watchdog := time.AfterFunc(stallTimeout, stalled)
	defer watchdog.Stop()
	sums := s.sums()
	n, err := io.Copy(io.MultiWriter(f, sums.writer(), touch(func(n int) {
		watchdog.Reset(stallTimeout)
		moved(n)
	})), resp.Body)
	if err != nil {
		return err
	}
	if resp.ContentLength >= 0 && n != resp.ContentLength {
		return fmt.Errorf("it ended after %d of %d bytes", n, resp.ContentLength)
	}
	if err := sums.compare(u); err != nil {
		return permanent{err}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

func (p permanent) Unwrap() error { return p.error }

// touch is a writer that only notices.
type touch func(n int)

func (t touch) Write(p []byte) (int, error) {
	t(len(p))
	return len(p), nil
}
