package dir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/condaworker/condaworker/store"
)

// atOnce is the size in bytes of a part that is read when it is opened: records of locks
// and claims, which are replaced often, are always whole.
const atOnce = 64 << 10

// part is an open part of an object.
type part struct {
	io.Reader
	file *os.File
	info store.Info
}

// open opens n bytes of a file from off on, as Get.
func (s *Store) open(name, key string, off, n int64) (*part, error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return nil, noFile(name, st)
	}
	f, err := os.Open(name) //nolint:gosec // of a valid key
	if err != nil {
		return nil, s.missing(err)
	}
	p := &part{file: f}
	if p.info, err = s.describe(f, key); err == nil {
		err = p.narrow(off, n)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

// noFile says what is wrong with something that has an object's place, and is not even
// opened: a pipe would wait for its other end, and no signal would end that. A folder is
// no object; whatever else is there hides one, and must not seem to be nothing.
func noFile(name string, st fs.FileInfo) error {
	if st.IsDir() {
		return fmt.Errorf("%s is not a file: %w", name, fs.ErrNotExist)
	}
	return fmt.Errorf("%s is no regular file: move it away", name)
}

// describe tells what the open file is as an object.
func (s *Store) describe(f *os.File, key string) (store.Info, error) {
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() { // since open looked
		err = noFile(f.Name(), st)
	}
	if err != nil {
		return store.Info{}, err
	}
	in := info(key, st)
	in.Meta, err = s.meta(in)
	return in, err
}

// narrow makes p read n bytes from off on.
func (p *part) narrow(off, n int64) error {
	if off < 0 {
		off = max(0, p.info.Size+off)
	}
	left := max(0, p.info.Size-off)
	if n < 0 || n > left {
		n = left
	}
	if n > atOnce {
		p.Reader = io.NewSectionReader(p.file, off, n)
		return nil
	}
	text := make([]byte, n)
	got, err := p.file.ReadAt(text, off)
	p.Reader = bytes.NewReader(text[:got])
	if errors.Is(err, io.EOF) { // somebody cuts it by hand
		return nil
	}
	return err
}

// Read returns what is there. The next file of that name has another size and version
// than Get told, so that the reader has to begin anew.
func (p *part) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if errors.Is(err, syscall.ESTALE) {
		err = fmt.Errorf("read %s, which was replaced meanwhile (%w): %w", p.info.Key, err, store.ErrConflict)
	}
	return n, err
}

// Close ends the reading.
func (p *part) Close() error { return p.file.Close() }

// newest describes the file that has a name. Of one that another host replaced, an NFS
// client may remember the attributes for seconds: only who opens it is told by the server
// (close-to-open consistency).
func newest(name string) (fs.FileInfo, error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return st, nil // a pipe is not opened: that would wait for its other end
	}
	return again(func() (fs.FileInfo, error) {
		f, err := os.Open(name) //nolint:gosec // of a valid key
		if errors.Is(err, fs.ErrPermission) {
			return os.Stat(name)
		}
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		return st, errors.Join(err, f.Close())
	})
}

// openings is how often a file is opened that others replace each time.
const openings = 10

// again repeats what ends because another host replaced or removed the file on its server
// meanwhile (ESTALE): by its name, the next one can be found.
func again[T any](try func() (T, error)) (T, error) {
	for n := 1; ; n++ {
		got, err := try()
		if !errors.Is(err, syscall.ESTALE) || n == openings {
			return got, err
		}
	}
}
