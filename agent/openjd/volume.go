package openjd

import (
	"bytes"
	"fmt"
	"sync"
)

const (
	volumeLimit = 256 << 20 // bytes of foreign output that the log takes
	tailLength  = 64 << 10  // bytes of what is left out that are shown at its end
)

// volume bounds how much foreign output the log takes: a session's log is paid
// for by the byte, and whoever reads it wants its beginning and its end.
type volume struct {
	limit int64
	mu    sync.Mutex
	used  int64
	full  bool
}

// take reports whether n bytes more may be printed, and whether these are the
// first that may not.
func (v *volume) take(n int) (ok, first bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.full && v.used+int64(n) <= v.limit {
		v.used += int64(n)
		return true, false
	}
	first = !v.full
	v.full = true // for anything shorter, too: lines stay in order
	return false, first
}

// tail keeps the end of what was left out.
type tail struct {
	lines, bytes int // left out so far, those kept included
	kept         []byte
}

// add takes whole lines.
func (t *tail) add(text []byte) {
	t.lines += bytes.Count(text, []byte("\n"))
	t.bytes += len(text)
	t.kept = append(t.kept, text...)
	if len(t.kept) > 4*tailLength {
		t.trim()
	}
}

// trim forgets the lines that begin before the last tailLength bytes.
func (t *tail) trim() {
	if over := len(t.kept) - tailLength; over > 0 {
		next := bytes.IndexByte(t.kept[over-1:], '\n') + 1 // a line is shorter than the tail
		t.kept = append(t.kept[:0], t.kept[over-1+next:]...)
	}
}

// summary says what is missing between the log so far and the lines kept.
func (t *tail) summary() (text string, kept []byte) {
	t.trim()
	return fmt.Sprintf("%d lines of output, %d bytes, are left out above; these are the last",
		t.lines-bytes.Count(t.kept, []byte("\n")), t.bytes-len(t.kept)), t.kept
}
