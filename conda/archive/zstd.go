package archive

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow is what every zstd decoder takes unasked; a larger window is a
	// way to make readers allocate.
	maxWindow = 128 << 20

	// window makes archives of programs about 3 % smaller than the level's own
	// 8 MiB and costs writer and reader 16 MiB.
	window = 16 << 20
)

// ErrTooLarge reports that decompressed data exceeds the caller's limit.
var ErrTooLarge = errors.New("decompressed data exceeds the limit")

// newEncoder compresses into w as one frame: some clients stop at its end. The
// bytes depend neither on threads nor on how the input is cut into writes.
func newEncoder(w io.Writer, level zstd.EncoderLevel, threads, window int) (*zstd.Encoder, error) {
	return zstd.NewWriter(w,
		zstd.WithEncoderLevel(level),
		zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(threads),
		zstd.WithLowerEncoderMem(window <= textWindow), // buffers that grow suit small texts
		zstd.WithZeroFrames(true))
}

// windowFor is a window for size bytes. One that is larger than what it holds
// costs its memory all the same, which most of a channel's small texts feel.
func windowFor(size int64) int {
	if size >= window {
		return window
	}
	return max(zstd.MinWindowSize, 1<<bits.Len64(uint64(max(size, 0)))) //nolint:gosec // not negative
}

// newDecoder decompresses r with a bounded window. It must be closed.
func newDecoder(r io.Reader, threads int) (*zstd.Decoder, error) {
	return zstd.NewReader(r,
		zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecoderConcurrency(threads),
		zstd.WithDecoderLowmem(true))
}

// smallPart is as much as may be decompressed at once, packed. What comes as a stream
// takes the window that its writer asks for: 128 MiB of level 22, however little
// there is in it.
const smallPart = 1 << 20

// mostSmall bounds what is decompressed at once.
const mostSmall = 16 << 20

// zstdHead is as much of a frame as says what it asks for.
const zstdHead = zstd.HeaderMaxSize

// streamTakesLess tells whether the window of a small part, which begins with head,
// is less than what all of the part is believed to have.
func streamTakesLess(head []byte, packed int64) bool {
	var h zstd.Header
	return h.Decode(head) == nil && !h.SingleSegment && h.WindowSize < uint64(believable(head, packed)) //nolint:gosec // not negative
}

// believable is as much as a small part, which begins with head, is believed to have.
func believable(head []byte, packed int64) int64 {
	return cmp.Or(announced(head, packed, mostSmall), min(believed*packed, mostSmall))
}

// unzstdSmall decompresses b in no more memory than a text of this length can be
// believed to need. One that needs more is an error, as is one that is damaged.
func unzstdSmall(b []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(b, make([]byte, 0, believable(b, int64(len(b)))))
}

// windows are decoders between two small parts: the next one takes the memory of the
// last one's window.
var windows sync.Pool

// stream is a decoder for one small part.
type stream struct{ *zstd.Decoder }

func newStream(r io.Reader) (io.ReadCloser, error) {
	if d, ok := windows.Get().(*zstd.Decoder); ok {
		return stream{d}, d.Reset(r)
	}
	d, err := newDecoder(r, 1)
	return stream{d}, err
}

// Close keeps the decoder, without what it read from.
func (s stream) Close() error {
	defer windows.Put(s.Decoder)
	return s.Reset(nil)
}

// Of texts in bytes that are compressed whole: the tables of the better level
// are a hundred times a small one, and save it one per cent; and for a large one,
// somebody waits. The fastest level makes an index 3 to 6 % larger in a quarter of
// the time. It also makes it smaller than the level between the two.
const (
	small = 32 << 10
	large = 1 << 20

	// textWindow finds as much in an index, where what is alike lies close, as a
	// larger window does, and sooner.
	textWindow = 1 << 20
)

// Zstd returns b compressed as one frame with its size, e.g. for
// repodata.json.zst. Equal input gives equal output on every machine.
func Zstd(b []byte) []byte {
	if len(b) < small || len(b) > large {
		return ZstdShard(b)
	}
	return encoderOf(zstd.SpeedBetterCompression, 1, windowFor(int64(len(b)))).EncodeAll(b, nil)
}

// ZstdShard is Zstd for texts of which there are many, such as the shards of an
// index: it is fast whatever their size. Equal input gives equal output, but for
// texts of 32 KiB to 1 MiB not that of Zstd.
func ZstdShard(b []byte) []byte { return quick().EncodeAll(b, nil) }

// quick is one encoder for all small texts: its tables, a quarter of a megabyte
// for each text that is compressed at the same time, are larger than most.
var quick = sync.OnceValue(func() *zstd.Encoder {
	return encoderOf(zstd.SpeedFastest, min(8, runtime.GOMAXPROCS(0)), textWindow)
})

// ZstdOf is Zstd of the size bytes that r has. Of a large text it never holds all.
func ZstdOf(r io.Reader, size int64) ([]byte, error) {
	if size <= large {
		text, err := io.ReadAll(r)
		return Zstd(text), err
	}
	var out bytes.Buffer
	e, err := newEncoder(nil, zstd.SpeedFastest, min(2, runtime.GOMAXPROCS(0)), textWindow)
	if err != nil {
		return nil, err
	}
	out.Grow(int(size / 8)) // growing as it comes would take twice as much
	e.ResetContentSize(&out, size)
	_, err = io.Copy(e, r)
	err = errors.Join(err, e.Close())
	return out.Bytes(), err
}

// encoderOf is an encoder for whole texts. It takes its memory with the first.
func encoderOf(level zstd.EncoderLevel, threads, window int) *zstd.Encoder {
	e, err := newEncoder(nil, level, threads, window)
	if err != nil {
		panic(err) // no caller's options contradict one another
	}
	return e
}

// Unzstd returns b decompressed, all its frames one after the other. It is
// ErrTooLarge when the result would have more than limit bytes: no more than
// that is ever held.
func Unzstd(b []byte, limit int64) ([]byte, error) {
	d := NewDecompressor()
	defer d.Close()
	return d.Unzstd(b, limit)
}

// Decompressor decompresses many texts, one after the other, in the memory of one.
type Decompressor struct{ d *zstd.Decoder }

// NewDecompressor returns a decompressor, which must be closed.
func NewDecompressor() *Decompressor {
	d, err := newDecoder(nil, 1)
	if err != nil {
		panic(err) // the options do not contradict one another
	}
	return &Decompressor{d}
}

// Close gives back its memory.
func (d *Decompressor) Close() { d.d.Close() }

// Unzstd is the function Unzstd.
func (d *Decompressor) Unzstd(b []byte, limit int64) ([]byte, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("decompress zstd: %w", io.ErrUnexpectedEOF)
	}
	if err := d.d.Reset(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("decompress zstd: %w", err)
	}
	var out bytes.Buffer
	out.Grow(int(announced(b, int64(len(b)), limit)) + bytes.MinRead)
	_, err := out.ReadFrom(io.LimitReader(d.d, limit+1))
	switch {
	case int64(out.Len()) > limit:
		return nil, fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
	case err != nil:
		return nil, fmt.Errorf("decompress zstd: %w", err)
	}
	return out.Bytes(), nil
}

// UnzstdReader decompresses what r has as it comes, while what was decompressed is
// used. More than limit bytes are ErrTooLarge. It must be closed; r stays open.
func UnzstdReader(r io.Reader, limit int64) (io.ReadCloser, error) {
	d, err := newDecoder(r, 2)
	if err != nil {
		return nil, fmt.Errorf("decompress zstd: %w", err)
	}
	return &unzstd{d, limit}, nil
}

type unzstd struct {
	d    *zstd.Decoder
	left int64
}

func (u *unzstd) Read(b []byte) (int, error) {
	n, err := u.d.Read(b)
	if u.left -= int64(n); u.left < 0 {
		return 0, ErrTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("decompress zstd: %w", err)
	}
	return n, err
}

func (u *unzstd) Close() error {
	u.d.Close()
	return nil
}

// believed is how much smaller a text may be when it is packed; few are by 20.
const believed = 64

// announced is the size that the header of the first frame of packed bytes claims, as
// far as a frame of this length can be believed.
func announced(head []byte, packed, limit int64) int64 {
	var h zstd.Header
	if h.Decode(head) != nil || !h.HasFCS || h.FrameContentSize > uint64(limit) {
		return 0
	}
	return min(int64(h.FrameContentSize), believed*packed)
}
