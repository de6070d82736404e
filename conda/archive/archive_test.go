package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// memory is an io.ReadWriteSeeker and io.ReaderAt that counts its reads.
type memory struct {
	data  []byte
	pos   int
	reads int
	fail  error // of ReadAt
}

func (m *memory) Write(p []byte) (int, error) {
	m.data = append(m.data, make([]byte, max(0, m.pos+len(p)-len(m.data)))...)
	m.pos += copy(m.data[m.pos:], p)
	return len(p), nil
}

func (m *memory) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		m.pos = int(off)
	case io.SeekCurrent:
		m.pos += int(off)
	default:
		return 0, errors.ErrUnsupported
	}
	return int64(m.pos), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	m.reads++
	if m.fail != nil {
		return 0, m.fail
	}
	return bytes.NewReader(m.data).ReadAt(p, off)
}

// file is a member of a tar.
type file struct{ name, content string }

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.content)), Mode: 0o644, ModTime: time.Unix(1600000000, 0)}
		must(t, w.WriteHeader(h))
		_, err := io.WriteString(w, f.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content is one part of an archive that a test makes.
type content struct {
	part   Part
	tar    []byte
	atMost int64
}

func build(t testing.TB, parts ...content) []byte {
	t.Helper()
	var m memory
	w, err := NewWriter(&m, "demo-1.0-0")
	must(t, err)
	for _, c := range parts {
		p, err := w.Part(c.part, max(c.atMost, int64(len(c.tar))))
		must(t, err)
		for rest := c.tar; len(rest) > 0; { // in odd pieces
			n := min(len(rest), 777)
			_, err := p.Write(rest[:n])
			must(t, err)
			rest = rest[n:]
		}
		must(t, p.Close())
	}
	must(t, w.Close())
	return m.data
}

const indexJSON = `{"name": "demo", "version": "1.0", "build": "0"}`

func demo(t testing.TB) []byte {
	t.Helper()
	return build(t,
		content{part: PkgPart, tar: tarOf(t, file{"bin/tool", "#!/bin/sh\n"}, file{"lib/a", strings.Repeat("a", 1000)})},
		content{part: InfoPart, tar: tarOf(t, file{"info/index.json", indexJSON}, file{"info/paths.json", "{}"}, file{"info/recipe/meta.yaml", "x"})})
}

func noise(n int) string {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return string(b)
}

func TestWriterMakesAPlainZip(t *testing.T) {
	data := demo(t)
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	must(t, err)
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		if f.Method != zip.Store || f.Flags&8 != 0 || !f.Modified.IsZero() && f.Modified.Year() != 1980 || f.Mode() != 0o644 {
			t.Errorf("%s: method %d, flags %x, date %v, mode %v", f.Name, f.Method, f.Flags, f.Modified, f.Mode())
		}
		r, err := f.Open()
		must(t, err)
		_, err = io.Copy(io.Discard, r) // checks the CRC
		must(t, errors.Join(err, r.Close()))
	}
	want := []string{"metadata.json", "pkg-demo-1.0-0.tar.zst", "info-demo-1.0-0.tar.zst"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	got, err := fs.ReadFile(z, "metadata.json")
	must(t, err)
	if string(got) != `{"conda_pkg_format_version": 2}` {
		t.Errorf("metadata.json is %s", got)
	}
}

// A client that unpacks while it downloads sees local headers only.
func TestLocalHeadersStandAlone(t *testing.T) {
	for _, atMost := range []int64{0, 5 << 30} {
		data := build(t, content{PkgPart, tarOf(t, file{"a", "b"}), atMost}, content{InfoPart, tarOf(t, file{"info/index.json", indexJSON}), 0})
		c, err := openContainer(&source{r: bytes.NewReader(data), size: int64(len(data))})
		must(t, err)
		e, err := c.find(PkgPart)
		must(t, err)
		header := data[e.offset:]
		wide := bytes.HasPrefix(header[18:], []byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
		if wide != (atMost != 0) {
			t.Errorf("tar of at most %d bytes: 64-bit sizes %v", atMost, wide)
		}
		e.descriptor = false
		if err := e.checkLocal(bytes.NewReader(header)); err != nil {
			t.Errorf("tar of at most %d bytes: %v", atMost, err)
		}
	}
}

func TestPartLongerThanSaid(t *testing.T) {
	p := &partWriter{w: &Writer{out: &memory{}}, m: member{name: "x", size: max32 - 10}}
	if _, err := p.Write(make([]byte, 20)); !errors.Is(err, errLongerThanSaid) {
		t.Errorf("got %v", err)
	}
}

func TestEncoderIsDeterministic(t *testing.T) {
	text := []byte(strings.Repeat(noise(300_000), 8) + strings.Repeat("conda ", 500_000))
	var want []byte
	for _, threads := range []int{1, 2, 7} {
		for _, chunk := range []int{len(text), 100_003} {
			var out bytes.Buffer
			e, err := newEncoder(&out, zstd.SpeedBetterCompression, threads, window)
			must(t, err)
			for c := range slices.Chunk(text, chunk) {
				_, err := e.Write(c)
				must(t, err)
			}
			must(t, e.Close())
			if want == nil {
				want = out.Bytes()
			}
			if !bytes.Equal(want, out.Bytes()) {
				t.Errorf("%d threads, writes of %d bytes: other output", threads, chunk)
			}
		}
	}
}

func TestReadInfo(t *testing.T) {
	data := demo(t)
	m := &memory{data: data}
	got, err := ReadInfo(m, int64(len(data)), "demo-1.0-0.conda")
	must(t, err)
	want := Info{IndexJSON: []byte(indexJSON), PathsJSON: []byte("{}"), Files: map[string][]byte{"recipe/meta.yaml": []byte("x")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if m.reads != 1 {
		t.Errorf("%d reads, want 1", m.reads)
	}
}

func TestReadInfoOutsideOfTheTail(t *testing.T) {
	info := content{part: InfoPart, tar: tarOf(t, file{"info/index.json", indexJSON})}
	pkg := content{part: PkgPart, tar: tarOf(t, file{"lib/noise", noise(300_000)})}
	data := build(t, info, pkg)
	m := &memory{data: data}
	got, err := ReadInfo(m, int64(len(data)), "demo-1.0-0.conda")
	must(t, err)
	if string(got.IndexJSON) != indexJSON || m.reads != 2 {
		t.Errorf("index.json %q after %d reads, want 2", got.IndexJSON, m.reads)
	}
}

func TestReadInfoOfTarBzip2(t *testing.T) {
	data, err := os.ReadFile("testdata/old-1.0-0.tar.bz2")
	must(t, err)
	got, err := ReadInfo(bytes.NewReader(data), int64(len(data)), "old-1.0-0.tar.bz2")
	must(t, err)
	if !strings.Contains(string(got.IndexJSON), `"old"`) || got.RunExports == nil || got.Files["has_prefix"] == nil {
		t.Errorf("got %q", got)
	}
	// A long one is left as soon as its info is over: the noise is not reached.
	end := data[len(data)-11:]
	cut := slices.Concat(data, []byte(noise(2<<20)))
	long := slices.Concat(cut, end)
	got, err = ReadInfo(bytes.NewReader(long), int64(len(long)), "old-1.0-0.tar.bz2")
	must(t, err)
	if got.IndexJSON == nil || got.RunExports != nil {
		t.Errorf("got %q", got)
	}
	// But one that was cut off is told from its end.
	for _, cut := range [][]byte{cut, long[:len(long)-1], long[:len(long)-4]} {
		if _, err := ReadInfo(bytes.NewReader(cut), int64(len(cut)), "old-1.0-0.tar.bz2"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("%d of %d bytes: %v", len(cut), len(long), err)
		}
	}
}

func walkAll(data []byte, name string) (map[string]string, error) {
	got := map[string]string{}
	err := Walk(bytes.NewReader(data), int64(len(data)), name, func(e Entry, r io.Reader) error {
		b, err := io.ReadAll(r)
		got[string(e.Part)+" "+e.Name] = string(b) + e.Header.Linkname
		return err
	})
	return got, err
}

func TestWalk(t *testing.T) {
	data, err := os.ReadFile("testdata/old-1.0-0.tar.bz2")
	must(t, err)
	got, err := walkAll(data, "old-1.0-0.tar.bz2")
	must(t, err)
	want := []string{"info info/has_prefix", "info info/index.json", "info info/run_exports.json", "pkg bin/link", "pkg bin/tool"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	mine := errors.New("mine")
	err = Walk(bytes.NewReader(data), int64(len(data)), "old-1.0-0.tar.bz2", func(Entry, io.Reader) error { return mine })
	if !errors.Is(err, mine) || errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want the visitor's own error", err)
	}
}

func TestReadErrorIsNotTheArchivesFault(t *testing.T) {
	data := demo(t)
	down := errors.New("connection reset")
	_, err := ReadInfo(&memory{data: data, fail: down}, int64(len(data)), "demo-1.0-0.conda")
	if !errors.Is(err, down) || errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// stride is from one byte that a test cuts or changes to the next: under -short not all are.
func stride() int {
	if testing.Short() {
		return 7
	}
	return 1
}

func TestCutOffAnywhere(t *testing.T) {
	data := demo(t)
	for n := 0; n < len(data); n += stride() {
		if _, err := walkAll(data[:n], "demo-1.0-0.conda"); !errors.Is(err, ErrInvalid) {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(data), err)
		}
	}
	if _, err := walkAll(append(data, 0), "demo-1.0-0.conda"); !errors.Is(err, ErrInvalid) {
		t.Errorf("with a byte behind its end: %v", err)
	}
}

// A changed byte is an error, or it is where nobody looks (dates, versions).
func TestChangedAnywhere(t *testing.T) {
	data := demo(t)
	want, err := walkAll(data, "demo-1.0-0.conda")
	must(t, err)
	unseen := 0
	for i := 0; i < len(data); i += stride() {
		changed := bytes.Clone(data)
		changed[i] ^= 0x55
		got, err := walkAll(changed, "demo-1.0-0.conda")
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if err == nil {
			unseen++
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("byte %d changed, unnoticed: %s", i, diff)
			}
		}
	}
	if changes := len(data) / stride(); unseen > changes/5 {
		t.Errorf("%d of %d changes were not noticed", unseen, changes)
	}
}

// A writer that does not know how much will come asks for the window of its level, of
// which a reader of little needs nothing.
func TestALargeWindowCostsNothing(t *testing.T) {
	data := windowed(t, 27, tarOf(t, file{"info/index.json", indexJSON}), tarOf(t, file{"share/x", "x"}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	must(t, Walk(bytes.NewReader(data), int64(len(data)), "demo-1.0-0.conda", func(Entry, io.Reader) error { n++; return nil }))
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; n != 2 || got > 8<<20 {
		t.Errorf("%d files, %d bytes of memory", n, got)
	}
}

// Packages come by the hundred: what is read of one after the other takes the memory of
// one, which is a window and not the most that its bytes might unpack to.
func TestAPartTakesNoMoreThanItsWindow(t *testing.T) {
	pkg := tarOf(t, file{"lib/a", noise(100<<10) + strings.Repeat("words ", 150<<10)})
	data := build(t, content{part: PkgPart, tar: pkg, atMost: 1 << 20}, content{part: InfoPart, tar: tarOf(t, file{"info/index.json", indexJSON})})
	read := func() {
		must(t, Walk(bytes.NewReader(data), int64(len(data)), "demo-1.0-0.conda", func(Entry, io.Reader) error { return nil }))
	}
	read()
	const packages = 8
	least := uint64(math.MaxUint64) // a decoder that the collector or the race detector took from the pool is made anew
	for range packages {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		read()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if least > 2<<20 {
		t.Errorf("a package of %d bytes, %d unpacked, takes %d bytes of memory", len(data), len(pkg), least)
	}
}
