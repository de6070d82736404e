package archive

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Part is one of the two tars in a package.
type Part string

const (
	PkgPart  Part = "pkg"  // the files to install
	InfoPart Part = "info" // the metadata, below info/
)

// The member that makes a zip a .conda (CEP 35).
const (
	metadataName = "metadata.json"
	metadata     = `{"conda_pkg_format_version": 2}`
)

// Writer writes a .conda: metadata.json, then the parts in the order in which
// they are asked for. CEP 35 leaves the order open; with pkg first, info lies
// at the end, where one ranged read finds it together with the directory.
//
// The members are stored, and their local headers carry sizes and checksum:
// clients that unpack while they download cannot read stored members that are
// followed by a data descriptor. All dates are 1980-01-01.
type Writer struct {
	out     io.WriteSeeker
	base    int64  // where the archive begins in out
	pos     int64  // the next byte of the archive
	dist    string // e.g. blender-4.2.5-hb0f4dca_0
	members []member
}

// NewWriter begins the archive of dist (name-version-build) at out's position.
func NewWriter(out io.WriteSeeker, dist string) (*Writer, error) {
	base, err := out.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	w := &Writer{out: out, base: base, dist: dist}
	m := member{name: metadataName, size: int64(len(metadata)), crc: crc32.ChecksumIEEE([]byte(metadata))}
	w.members = append(w.members, m)
	return w, w.write(append(m.localHeader(), metadata...))
}

// Part begins the zstd-compressed tar of p. The caller writes the tar's bytes
// and closes it before the next Part or Close. atMost bounds the tar's length;
// it decides now, before the length is known, whether zip64 is needed, so a
// longer tar may be an error.
func (w *Writer) Part(p Part, atMost int64) (io.WriteCloser, error) {
	// Data that cannot be compressed grows by 3 bytes per block of up to 128 KiB.
	bound := atMost + atMost>>10 + 1<<16
	m := member{
		name: string(p) + "-" + w.dist + ".tar.zst", offset: w.pos,
		zip64: bound >= max32,
	}
	pw := &partWriter{w: w, m: m}
	if err := w.write(m.localHeader()); err != nil {
		return nil, err
	}
	enc, err := newEncoder(pw, zstd.SpeedBetterCompression, 2, windowFor(atMost))
	if err != nil {
		return nil, err
	}
	return &part{Encoder: enc, pw: pw}, nil
}

// Close writes the directory. It does not close the underlying writer.
func (w *Writer) Close() error { return w.write(directory(w.members, w.pos)) }

func (w *Writer) write(b []byte) error {
	n, err := w.out.Write(b)
	w.pos += int64(n)
	return err
}

// part is a tar that is being compressed.
type part struct {
	*zstd.Encoder
	pw *partWriter
}

// Close ends the frame and fills in the member's local header.
func (p *part) Close() error {
	if err := p.Encoder.Close(); err != nil {
		return err
	}
	w, m := p.pw.w, p.pw.m
	if _, err := w.out.Seek(w.base+m.offset, io.SeekStart); err != nil {
		return err
	}
	if _, err := w.out.Write(m.localHeader()); err != nil {
		return err
	}
	if _, err := w.out.Seek(w.base+w.pos, io.SeekStart); err != nil {
		return err
	}
	w.members = append(w.members, m)
	return nil
}

var errLongerThanSaid = errors.New("the content is longer than was said before")

// partWriter counts and sums what the encoder makes.
type partWriter struct {
	w *Writer
	m member
}

// Write is called by the encoder only.
func (p *partWriter) Write(b []byte) (int, error) {
	if !p.m.zip64 && p.m.size+int64(len(b)) >= max32 {
		return 0, fmt.Errorf("write member %s: %w", p.m.name, errLongerThanSaid)
	}
	p.m.size += int64(len(b))
	p.m.crc = crc32.Update(p.m.crc, crc32.IEEETable, b)
	return len(b), p.w.write(b)
}
