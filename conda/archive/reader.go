package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

const (
	// maxInfo bounds the info part: what is held of a package in memory.
	maxInfo = 256 << 20

	chunkFile  = 128 << 10 // of one read while a whole archive is walked
	chunkBzip2 = 1 << 20   // the same of a .tar.bz2, whose beginning is all that is wanted of many
	chunkRange = 8 << 20   // of one read where each may be a request
)

// Info is the metadata of a package.
type Info struct {
	IndexJSON  []byte // info/index.json; always there
	AboutJSON  []byte // info/about.json, or nil
	PathsJSON  []byte // info/paths.json, or nil
	RunExports []byte // info/run_exports.json, or nil

	// Files has every other file, by its name below info/, e.g.
	// recipe/meta.yaml, icon.png or link.json.
	Files map[string][]byte
}

// Entry is a member of one of a package's tars.
type Entry struct {
	Part   Part
	Name   string      // clean and slash-separated, e.g. lib/libz.so.1; it may still lead anywhere
	Header *tar.Header // as in the archive
}

// ReadInfo reads the metadata of the package in r, whose format is told by
// fileName. Of a .conda it reads the last 64 KiB and, if the info part does
// not lie there, that part. A .tar.bz2 of more than 1 MiB is read from its
// beginning until info/index.json was seen and the files beside info/ begin;
// what of info/ comes later is not found. Of the rest only the end is looked at.
// An archive that is no good is ErrInvalid.
func ReadInfo(r io.ReaderAt, size int64, fileName string) (Info, error) {
	s := &source{r: r, size: size}
	b := infoBuilder{info: Info{Files: map[string][]byte{}}}
	err := b.read(s, fileName)
	if err == nil && b.info.IndexJSON == nil {
		err = errors.New("it has no info/index.json")
	}
	return b.info, s.blame(fileName, err)
}

// Walk calls visit for each member of the package in r, whose format is told
// by fileName: of a .conda first those of info, then those of pkg; of a
// .tar.bz2 in its own order. The reader is valid during the call; what visit
// leaves of it is skipped. An error of visit ends the walk and is returned as
// it is. Every checksum that the formats have is verified.
func Walk(r io.ReaderAt, size int64, fileName string, visit func(Entry, io.Reader) error) error {
	s := &source{r: r, size: size}
	return s.blame(fileName, walk(s, fileName, func(e Entry, r io.Reader) error {
		member := &memberReader{r: r}
		err := visit(e, member)
		if member.err != nil {
			return member.err // the archive's fault, whatever visit makes of it
		}
		if err != nil {
			return &visitError{err}
		}
		return nil
	}))
}

// memberReader remembers whether reading failed.
type memberReader struct {
	r   io.Reader
	err error
}

// Read reads on in the member.
func (m *memberReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

func walk(s *source, fileName string, visit func(Entry, io.Reader) error) error {
	switch {
	case strings.HasSuffix(fileName, ".tar.bz2"):
		return walkBzip2(s, visit)
	case !strings.HasSuffix(fileName, ".conda"):
		return errUnknownFormat
	}
	c, err := openContainer(s)
	if err != nil {
		return err
	}
	if err := c.checkVersion(); err != nil {
		return err
	}
	for _, p := range []Part{InfoPart, PkgPart} {
		if err := c.walkPart(p, chunkFile, visit); err != nil {
			return err
		}
	}
	return nil
}

var (
	errUnknownFormat = errors.New("its name ends neither in .conda nor in .tar.bz2")
	errStop          = errors.New("enough was read")
	errCutOff        = errors.New("it is cut off: the end of its bzip2 stream is missing")
)

// infoBuilder collects the files below info/.
type infoBuilder struct {
	info  Info
	size  int64 // of what is held
	whole bool  // read to the end
}

func (b *infoBuilder) read(s *source, fileName string) error {
	if strings.HasSuffix(fileName, ".tar.bz2") {
		b.whole = s.size <= chunkBzip2 // the first read has it all
		err := walkBzip2(s, b.visit)
		if errors.Is(err, errStop) {
			return s.checkBzip2End()
		}
		return err
	}
	if !strings.HasSuffix(fileName, ".conda") {
		return errUnknownFormat
	}
	c, err := openContainer(s)
	if err != nil {
		return err
	}
	return c.walkPart(InfoPart, chunkRange, b.visit)
}

func (b *infoBuilder) visit(e Entry, r io.Reader) error {
	name, ok := strings.CutPrefix(e.Name, "info/")
	if !ok {
		if !b.whole && e.Part == PkgPart && b.info.IndexJSON != nil && e.Header.Typeflag != tar.TypeDir {
			return errStop
		}
		return nil
	}
	if e.Header.Typeflag != tar.TypeReg {
		return nil
	}
	data, err := b.readFile(name, e.Header.Size, r)
	if err != nil {
		return err
	}
	switch name {
	case "index.json":
		b.info.IndexJSON = data
	case "about.json":
		b.info.AboutJSON = data
	case "paths.json":
		b.info.PathsJSON = data
	case "run_exports.json":
		b.info.RunExports = data
	default:
		b.info.Files[name] = data
	}
	return nil
}

// checkBzip2End tells a .tar.bz2 that was cut off, of which only the beginning was
// read: a bzip2 stream ends with a mark and a checksum, at any bit of a byte.
func (s *source) checkBzip2End() error {
	const (
		mark     = 0x177245385090
		markBits = 48
		checksum = 4 // bytes
	)
	var end [7 + checksum]byte // the mark, the checksum, and up to seven bits
	if _, err := s.ReadAt(end[:], s.size-int64(len(end))); err != nil {
		return err
	}
	var bits uint64
	for _, b := range end[:len(end)-checksum] {
		bits = bits<<8 | uint64(b)
	}
	for range 8 {
		if bits&(1<<markBits-1) == mark {
			return nil
		}
		bits >>= 1
	}
	return errCutOff
}

// readFile reads a member of the announced size, but allocates no more than
// was really there.
func (b *infoBuilder) readFile(name string, size int64, r io.Reader) ([]byte, error) {
	if b.size += size; size > maxInfo || b.size > maxInfo {
		return nil, fmt.Errorf("info/%s: %w of %d bytes for all of info", name, ErrTooLarge, int64(maxInfo))
	}
	var buf bytes.Buffer
	buf.Grow(int(min(size, 64<<10)) + bytes.MinRead)
	if _, err := buf.ReadFrom(r); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// checkVersion reads metadata.json, if it is there: some writers left it out.
func (c *container) checkVersion() error {
	for _, e := range c.extents {
		if e.name != metadataName {
			continue
		}
		r, err := c.open(e, tailSize)
		if err != nil {
			return err
		}
		var m struct {
			Version int `json:"conda_pkg_format_version"`
		}
		text, err := io.ReadAll(io.LimitReader(r, tailSize))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &m); err != nil || m.Version != 2 {
			return fmt.Errorf("its %s does not say version 2", metadataName)
		}
	}
	return nil
}

func (c *container) walkPart(p Part, chunk int64, visit func(Entry, io.Reader) error) error {
	e, err := c.find(p)
	if err != nil {
		return err
	}
	member, err := c.open(e, chunk)
	if err != nil {
		return err
	}
	d, err := decompressed(member, e.size, p)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only read
	var r io.Reader = d
	if p == InfoPart {
		r = &limitedReader{r: d, left: maxInfo}
	}
	return walkTar(r, visit, func(string) Part { return p })
}

// decompressed is the tar in a part's member of size bytes. It must be closed.
func decompressed(member io.Reader, size int64, p Part) (io.ReadCloser, error) {
	if size <= smallPart {
		in := bufio.NewReader(member)
		head, _ := in.Peek(zstdHead) // what is wrong with it, reading on says
		if streamTakesLess(head, size) {
			return newStream(in)
		}
		var packed bytes.Buffer
		packed.Grow(int(size) + bytes.MinRead)
		if _, err := packed.ReadFrom(in); err != nil {
			return nil, err
		}
		if text, err := unzstdSmall(packed.Bytes()); err == nil {
			return io.NopCloser(bytes.NewReader(text)), nil
		}
		member = &packed
	}
	threads := 2
	if p == InfoPart {
		threads = 1
	}
	d, err := newDecoder(member, threads)
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func walkBzip2(s *source, visit func(Entry, io.Reader) error) error {
	section := io.NewSectionReader(s, 0, s.size)
	return walkTar(bzip2.NewReader(bufio.NewReaderSize(section, chunkBzip2)), visit, func(name string) Part {
		if strings.HasPrefix(name, "info/") {
			return InfoPart
		}
		return PkgPart
	})
}

// walkTar reads the tar in r and r to its end: only then are all checksums
// verified, and nothing may follow that another reader would take for members.
func walkTar(r io.Reader, visit func(Entry, io.Reader) error, partOf func(name string) Part) error {
	seen := map[string]bool{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return onlyZeros(r)
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeDir {
			if seen[name] {
				return fmt.Errorf("it has the file %s twice", name)
			}
			seen[name] = true
		}
		if err := visit(Entry{Part: partOf(name), Name: name, Header: h}, t); err != nil {
			return err
		}
	}
}

func onlyZeros(r io.Reader) error {
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return errors.New("there is data behind the end of a tar")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// limitedReader fails with ErrTooLarge where io.LimitReader would end.
type limitedReader struct {
	r    io.Reader
	left int64
}

// Read reads while there is something left to allow.
func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%w of %d bytes for all of info", ErrTooLarge, int64(maxInfo))
	}
	return n, err
}
