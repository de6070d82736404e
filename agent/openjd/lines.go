package openjd

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"unicode/utf8"
)

const (
	prefix     = "| "
	lineLength = 8000     // characters, the prefix not counted
	chunk      = 32 << 10 // bytes of input that are worked on at a time
)

// Lines returns a writer for the output of a foreign program. What is written
// to it reaches the log as lines that begin with "| ": cleaned of everything a
// session or a terminal acts on, split at \n, \r\n and \r and after 8,000
// characters, with the secrets of Redact hidden. A line is printed when it is
// complete; Close prints the last one. Writing never fails, so that the
// program is not ended by a log that is gone; after Close it gives
// os.ErrClosed. Memory does not grow with the length of a line. When all such
// output together exceeds Options.Volume, what follows is left out, but for its
// end, which Close prints.
func (o *Output) Lines() io.WriteCloser {
	l := &lines{out: o}
	masker := newMasker(o.hide(), l.text)
	l.clean = cleaner{
		text: masker.write,
		end: func() {
			masker.flush()
			l.end()
		},
	}
	return l
}

type lines struct {
	out    *Output
	mu     sync.Mutex
	clean  cleaner
	ready  []byte // complete lines to print
	line   []byte // the one that is not complete
	width  int    // of it, in characters
	over   *tail  // what the log does not take any more
	closed bool
}

// Write takes the next output of the program.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, os.ErrClosed
	}
	for part := range slices.Chunk(p, chunk) {
		l.clean.write(part)
		l.print()
	}
	return len(p), nil
}

// Close prints the last line, if it did not end in a newline.
func (l *lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.clean.close()
	l.print()
	if l.over != nil {
		summary, kept := l.over.summary()
		l.out.logger.Warn(summary)
		l.out.log.print(string(kept))
	}
	return nil
}

// text adds to the line, and begins another where it gets too long.
func (l *lines) text(p []byte) {
	for len(p) > 0 {
		if l.width == lineLength {
			l.end()
		}
		n, width := cut(p, lineLength-l.width)
		l.line = append(l.line, p[:n]...)
		l.width += width
		p = p[n:]
	}
}

func (l *lines) end() {
	l.ready = l.out.format.output(l.ready, l.line)
	l.line, l.width = l.line[:0], 0
}

// print writes all complete lines in one go.
func (l *lines) print() {
	if len(l.ready) == 0 {
		return
	}
	if ok, first := l.out.volume.take(len(l.ready)); ok {
		l.out.log.print(string(l.ready))
	} else {
		if first {
			l.out.logger.Warn(fmt.Sprintf("the log has %d bytes of output: what follows is left out, but for its end", l.out.volume.limit))
		}
		if l.over == nil {
			l.over = new(tail)
		}
		l.over.add(l.ready)
	}
	l.ready = l.ready[:0]
}

// cut returns how many bytes the first characters of p are, at most limit
// characters, and how many these are. It never splits a character.
func cut(p []byte, limit int) (n, width int) {
	for n < len(p) && width < limit {
		size := 1
		if p[n] >= utf8.RuneSelf {
			_, size = utf8.DecodeRune(p[n:])
		}
		n += size
		width++
	}
	return n, width
}
