package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/condaworker/condaworker/conda/archive"
)

const (
	pieceSize = 1 << 20 // of what travels from the reading to the compressing side
	pieces    = 8       // in flight: the memory that a payload of any size takes

	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// piece is part of the tar on its way: a header that begins a member, or some
// of its content.
type piece struct {
	header *tar.Header
	data   []byte
}

// feed is a goroutine that reads, hashes and searches the files ahead of the
// compressor.
type feed struct {
	*packer
	ctx  context.Context
	out  chan piece
	free chan []byte
	err  error // why it ended; valid when out is closed
}

// sink is where the content of a file goes.
type sink struct {
	take func() ([]byte, error) // returns an empty piece of pieceSize bytes
	give func([]byte) error     // passes on a piece that take returned
}

// writePkg streams the files into the package. When it returns, the entries
// have their hashes and prefix records.
func (p *packer) writePkg(ctx context.Context, w *archive.Writer) error {
	size := int64(2 * 512)
	for _, e := range p.entries {
		size += tarSize(e.path, e.target, e.size)
	}
	part, err := w.Part(archive.PkgPart, size)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{packer: p, ctx: ctx, out: make(chan piece, pieces), free: make(chan []byte, pieces)}
	for range pieces {
		f.free <- make([]byte, pieceSize)
	}
	go f.run()
	err = f.drain(tar.NewWriter(part))
	cancel()
	for range f.out { // until the feed has let go of the files
	}
	return closePart(part, err)
}

// closePart ends a part. After an error the part is of no use any more, and
// what closing it says adds nothing.
func closePart(part io.Closer, err error) error {
	closing := part.Close()
	if err != nil {
		return err
	}
	return closing
}

// drain writes what comes until the feed ends.
func (f *feed) drain(t *tar.Writer) error {
	for p := range f.out {
		if p.header != nil {
			if err := t.WriteHeader(p.header); err != nil {
				return fmt.Errorf("pack %s: %w", p.header.Name, err)
			}
			continue
		}
		if _, err := t.Write(p.data); err != nil {
			return err
		}
		f.free <- p.data[:pieceSize]
	}
	if f.err != nil {
		return f.err
	}
	return t.Close()
}

// run sends all entries in their order.
func (f *feed) run() {
	defer close(f.out)
	for _, e := range f.entries {
		if f.err = f.entry(e); f.err != nil {
			return
		}
	}
}

func (f *feed) entry(e *entry) error {
	h := f.header(e.path, e.stat.Mode(), e.size)
	if e.isLink() {
		h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, e.target, 0, 0o777
		return f.send(piece{header: h})
	}
	if err := f.send(piece{header: h}); err != nil {
		return err
	}
	return f.read(e, sink{take: f.take, give: func(b []byte) error { return f.send(piece{data: b}) }})
}

func (f *feed) take() ([]byte, error) {
	select {
	case buf := <-f.free:
		return buf, nil
	case <-f.ctx.Done():
		return nil, f.ctx.Err()
	}
}

func (f *feed) send(p piece) error {
	select {
	case f.out <- p:
		return nil
	case <-f.ctx.Done():
		return f.ctx.Err()
	}
}

// read passes e's file in pieces to the sink, replaces the prefix in them, and
// fills in what paths.json says of it.
func (p *packer) read(e *entry, to sink) (err error) {
	file, err := os.Open(p.disk(e.path))
	if err != nil {
		return fmt.Errorf("read %s: %w", e.path, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	stat, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", e.path, err)
	}
	if !unchanged(e.stat, stat) {
		return changed(e.path)
	}
	r := &replacer{from: []byte(p.Prefix), to: []byte(p.Placeholder)}
	replace, err := p.replaces(e, file)
	if err != nil {
		return fmt.Errorf("read %s: %w", e.path, err)
	}
	if !replace {
		r.from = nil
	}
	if err := p.readPieces(e, file, r, to); err != nil {
		return err
	}
	if stat, err = file.Stat(); err != nil || !unchanged(e.stat, stat) {
		return errors.Join(changed(e.path), err)
	}
	e.prefixed = r.found && path.Ext(e.path) != ".pyc"
	return nil
}

func (p *packer) readPieces(e *entry, file io.Reader, r *replacer, to sink) error {
	hash, left := sha256.New(), e.stat.Size()
	var carry []byte // what may begin an occurrence of the prefix
	for last := false; !last; {
		buf, err := to.take()
		if err != nil {
			return err
		}
		kept := copy(buf, carry)
		n, err := io.ReadFull(file, buf[kept:])
		last = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("read %s: %w", e.path, err)
		}
		if left -= int64(n); left < 0 || last && left > 0 {
			return changed(e.path)
		}
		e.binary = e.binary || bytes.IndexByte(buf[kept:kept+n], 0) >= 0
		done := kept + n
		if r.from != nil {
			done = r.next(buf[:done], last)
		}
		carry = append(carry[:0], buf[done:kept+n]...)
		hash.Write(buf[:done])
		if err := to.give(buf[:done]); err != nil {
			return err
		}
	}
	e.sha256 = hex.EncodeToString(hash.Sum(nil))
	return nil
}

// replaces says whether the prefix is to be replaced in e. In .pyc files it
// is, so that they come out alike everywhere, but they get no record: their
// paths only show in tracebacks (conda-build's rule).
func (p *packer) replaces(e *entry, file io.ReaderAt) (bool, error) {
	if p.IgnorePrefixFiles || p.ignore.match(e.path) {
		return false, nil
	}
	if !p.IgnoreBinaryFiles {
		return true, nil
	}
	// Whether it is binary must be known before its first byte is passed on.
	binary, err := hasNUL(io.NewSectionReader(file, 0, e.stat.Size()))
	return !binary, err
}

func hasNUL(r io.Reader) (bool, error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if bytes.IndexByte(buf[:n], 0) >= 0 {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && b.Mode() == a.Mode() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func changed(path string) error {
	return fmt.Errorf("%s changed while it was packed: is a process of the build still running?", path)
}
