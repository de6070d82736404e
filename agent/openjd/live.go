package openjd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Width is how many columns the terminal has that w leads to; 0: w is none, or
// one that cannot move its cursor.
func Width(w io.Writer, env map[string]string) int {
	f, ok := w.(*os.File)
	if !ok || env["TERM"] == "" || env["TERM"] == "dumb" {
		return 0
	}
	fd := int(f.Fd()) //nolint:gosec // a descriptor is small
	if !term.IsTerminal(fd) {
		return 0
	}
	if width, _, err := term.GetSize(fd); err == nil && width > 0 {
		return width
	}
	return 80
}

// live is the line at the bottom of a terminal that tells how a phase goes on.
type live struct {
	mu          sync.Mutex
	phase       string
	begun       time.Time
	moving      time.Time // when the first byte was moved
	done, total int64     // bytes
}

const redraw = 200 * time.Millisecond

// Phase tells that a phase begins, as Status does. On a terminal a line at its
// bottom tells how long it takes and how many bytes are moved, until end is
// called.
func (o *Output) Phase(name string) (end func()) {
	o.Status(name)
	if o.width == 0 {
		return func() {}
	}
	l := &live{phase: name, begun: o.now()}
	o.mu.Lock()
	o.live = l
	o.mu.Unlock()
	quit := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		for tick := time.NewTicker(redraw); ; {
			select {
			case <-quit:
				tick.Stop()
				return
			case <-tick.C:
				o.log.draw(l.text(o.now(), o.width))
			}
		}
	})
	return sync.OnceFunc(func() {
		close(quit)
		loop.Wait()
		o.log.draw("")
	})
}

// Transfer tells that so many bytes are to be moved in the present phase, less
// than 0 when that is not known; moved tells of some that were.
func (o *Output) Transfer(total int64) (moved func(n int)) {
	o.mu.Lock()
	l := o.live
	o.mu.Unlock()
	if l == nil {
		return func(int) {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += max(0, total)
	left := total
	return func(n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if total >= 0 { // what is sent again does not count again
			n = int(min(int64(n), left))
			left -= int64(n)
		}
		if l.moving.IsZero() {
			l.moving = o.now()
		}
		l.done += int64(n)
	}
}

// text is the line, e.g. "fetch 12s  312.0 of 1228.8 MiB, 24.1 MiB/s, 38s left".
func (l *live) text(now time.Time, width int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	const mib = 1 << 20
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", l.phase, now.Sub(l.begun).Truncate(time.Second))
	switch {
	case l.total > l.done:
		fmt.Fprintf(&b, "  %.1f of %.1f MiB", float64(l.done)/mib, float64(l.total)/mib)
	case l.done > 0:
		fmt.Fprintf(&b, "  %.1f MiB", float64(l.done)/mib)
	}
	if took := now.Sub(l.moving); l.done > 0 && took >= time.Second {
		rate := float64(l.done) / took.Seconds()
		fmt.Fprintf(&b, ", %.1f MiB/s", rate/mib)
		if l.total > l.done {
			fmt.Fprintf(&b, ", %s left", time.Duration(float64(l.total-l.done)/rate*float64(time.Second)).Round(time.Second))
		}
	}
	text := []rune(b.String())
	return string(text[:min(len(text), width-1)]) // the last column would wrap
}
