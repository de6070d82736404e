package archive

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// ErrInvalid reports that an archive itself is no good: cut off, damaged, or
// made to be read differently by different readers. An error that does not
// match it came from reading, and another attempt may succeed.
var ErrInvalid = errors.New("not a valid conda package")

// source is the archive's bytes with the last of them held in memory, so that
// each ReadAt of the underlying reader can be a request to a server.
type source struct {
	r      io.ReaderAt
	size   int64
	tail   []byte
	tailAt int64
	err    error // the first that r itself returned
}

func (s *source) readTail() error {
	s.tailAt = max(0, s.size-tailSize)
	tail := make([]byte, s.size-s.tailAt)
	if _, err := s.ReadAt(tail, s.tailAt); err != nil {
		return err
	}
	s.tail = tail
	return nil
}

// ReadAt fills p or says why not.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > s.size {
		return 0, io.ErrUnexpectedEOF
	}
	if s.tail != nil && off >= s.tailAt {
		n := copy(p, s.tail[off-s.tailAt:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	n, err := s.r.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	if err != nil && !errors.Is(err, io.EOF) && s.err == nil {
		s.err = err
	}
	return n, err
}

// blame gives err its cause and the archive its name.
func (s *source) blame(fileName string, err error) error {
	if err == nil {
		return nil
	}
	var own *visitError
	switch {
	case errors.As(err, &own):
		return own.error
	case s.err != nil:
		return fmt.Errorf("read %s: %w", fileName, s.err)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s: %w: %w", fileName, ErrInvalid, err)
}

// visitError carries a visitor's error through the readers, untouched.
type visitError struct{ error }

// open reads the member e, in pieces of up to chunk bytes, and fails at its
// end when its checksum is wrong.
func (c *container) open(e extent, chunk int64) (io.Reader, error) {
	section := io.NewSectionReader(c.source, e.offset, e.end-e.offset)
	r := bufio.NewReaderSize(section, int(min(e.end-e.offset, chunk)))
	if err := e.checkLocal(r); err != nil {
		return nil, err
	}
	return &checkedReader{r: r, left: e.size, want: e.crc, name: e.name}, nil
}

// checkedReader reads left bytes and compares their CRC-32.
type checkedReader struct {
	r         io.Reader
	left      int64
	got, want uint32
	name      string
}

// Read returns io.EOF only for a whole and unchanged member.
func (c *checkedReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		if c.got != c.want {
			return 0, fmt.Errorf("the checksum of its member %s is wrong", c.name)
		}
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.got = crc32.Update(c.got, crc32.IEEETable, p[:n])
	c.left -= int64(n)
	if errors.Is(err, io.EOF) && c.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
