package conda

import (
	"errors"
	"io"
	"slices"
)

// Text is a long text in pieces. Those that come from another text share its
// memory: an index of hundreds of megabytes with one package more takes little
// more than the index. It must not be changed once it is read.
type Text struct {
	pieces [][]byte
	size   int64
	chunk  []byte // where small pieces are put; its spare room is free
}

const (
	firstChunk = 1 << 10 // bytes; each chunk is twice as large as the one before
	chunkSize  = 64 << 10
	smallest   = 128 // bytes that are worth a piece of their own
)

// TextOf is a text of pieces, which it shares.
func TextOf(pieces ...[]byte) *Text {
	t := &Text{}
	for _, b := range pieces {
		if len(b) > 0 {
			t.pieces = append(t.pieces, b)
			t.size += int64(len(b))
		}
	}
	return t
}

// Len is the text's length in bytes.
func (t *Text) Len() int64 { return t.size }

// Bytes are the whole text, in memory of its own unless it has one piece.
func (t *Text) Bytes() []byte {
	if len(t.pieces) == 1 {
		return t.pieces[0]
	}
	return slices.Concat(t.pieces...)
}

// add copies b to the end.
func (t *Text) add(b []byte) {
	if len(b) > cap(t.chunk)-len(t.chunk) {
		t.chunk = make([]byte, 0, max(firstChunk, min(2*cap(t.chunk), chunkSize), len(b)))
	}
	from := len(t.chunk)
	t.chunk = append(t.chunk, b...)
	t.size += int64(len(b))
	if last := len(t.pieces) - 1; from > 0 && last >= 0 && &t.chunk[from-1] == &t.pieces[last][len(t.pieces[last])-1] {
		t.pieces[last] = t.chunk[from-len(t.pieces[last]) : len(t.chunk) : len(t.chunk)]
		return
	}
	t.pieces = append(t.pieces, t.chunk[from:len(t.chunk):len(t.chunk)])
}

// share puts b at the end, whose memory the text keeps.
func (t *Text) share(b []byte) {
	if len(b) < smallest {
		t.add(b)
		return
	}
	t.pieces = append(t.pieces, b)
	t.size += int64(len(b))
}

// Reader reads the text from its begin.
func (t *Text) Reader() io.ReadSeeker { return &textReader{text: t} }

type textReader struct {
	text  *Text
	piece int
	off   int // in the piece
	pos   int64
}

func (r *textReader) Read(b []byte) (n int, err error) {
	for n < len(b) && r.piece < len(r.text.pieces) {
		c := copy(b[n:], r.text.pieces[r.piece][r.off:])
		n, r.off = n+c, r.off+c
		if r.off == len(r.text.pieces[r.piece]) {
			r.piece, r.off = r.piece+1, 0
		}
	}
	r.pos += int64(n)
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// WriteTo writes what was not read yet, a piece at a time.
func (r *textReader) WriteTo(w io.Writer) (all int64, err error) {
	for ; r.piece < len(r.text.pieces) && err == nil; r.piece, r.off = r.piece+1, 0 {
		var n int
		n, err = w.Write(r.text.pieces[r.piece][r.off:])
		all += int64(n)
	}
	r.pos += all
	return all, err
}

func (r *textReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.text.size
	}
	if offset < 0 {
		return r.pos, errors.New("seek before the begin of a text")
	}
	r.piece, r.off, r.pos = 0, 0, offset
	for left := offset; r.piece < len(r.text.pieces); r.piece++ {
		n := int64(len(r.text.pieces[r.piece]))
		if left < n {
			r.off = int(left)
			break
		}
		left -= n
	}
	return offset, nil
}
