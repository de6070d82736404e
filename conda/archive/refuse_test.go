package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestRefused(t *testing.T) {
	index := file{"info/index.json", indexJSON}
	info := content{part: InfoPart, tar: tarOf(t, index)}
	pkg := content{part: PkgPart, tar: tarOf(t, file{"a", "b"})}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"two info parts":        {build(t, info, info), "two members"},
		"no pkg":                {build(t, info), "no member pkg-"},
		"format version 3":      {edit(t, sigLocal, 0, lenLocal+len(metadataName)+len(metadata)-2, "3"), ""},
		"no info":               {build(t, pkg), "no member info-"},
		"a file twice":          {build(t, content{part: InfoPart, tar: tarOf(t, index, file{"./info/index.json", "{}"})}, pkg), "twice"},
		"a tar behind the tar":  {build(t, content{part: InfoPart, tar: append(tarOf(t, index), tarOf(t, index)...)}, pkg), "behind the end"},
		"half a tar":            {build(t, content{part: InfoPart, tar: tarOf(t, index)[:520]}, pkg), "unexpected EOF"},
		"not a tar":             {build(t, content{part: InfoPart, tar: []byte(strings.Repeat("x", 2000))}, pkg), "tar"},
		"another local name":    {edit(t, sigLocal, 1, lenLocal, "q"), "contradicts"},
		"another local size":    {edit(t, sigLocal, 1, 18, "\x01"), "contradicts"},
		"a compressed member":   {edit(t, sigEntry, 1, 10, "\x08"), "compressed"},
		"an encrypted member":   {edit(t, sigEntry, 1, 8, "\x01"), "encrypted"},
		"members that overlap":  {edit(t, sigEntry, 2, 42, "\x10"), "overlaps"},
		"another directory":     {edit(t, sigEnd, 0, 16, "\x01"), "directory is damaged"},
		"fewer entries":         {edit(t, sigEnd, 0, 10, "\x02"), "more than its entries"},
		"data before the zip":   {append([]byte("#!/bin/sh\n"), demo(t)...), "damaged"},
		"an empty file":         {nil, "end is missing"},
		"a changed member":      {edit(t, 0xFD2FB528, 0, 30, "\x55"), ""},
		"another checksum":      {otherChecksum(t), "checksum"},
		"a window of 1 GiB":     {windowed(t, 30, nil, nil), "window"},
		"metadata of 256 MiB 1": {build(t, content{part: InfoPart, tar: tarOf(t, file{"info/index.json", strings.Repeat("a", maxInfo+1)})}, pkg), "exceeds the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := walkAll(c.data, "demo-1.0-0.conda")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "demo-1.0-0.conda") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// edit overwrites bytes at off from the nth occurrence of sig in a good archive.
func edit(t *testing.T, sig uint32, nth, off int, with string) []byte {
	t.Helper()
	data := demo(t)
	at := 0
	for range nth + 1 {
		i := bytes.Index(data[at:], binary.LittleEndian.AppendUint32(nil, sig))
		if i < 0 {
			t.Fatal("no such part")
		}
		at += i + 1
	}
	copy(data[at-1+off:], with)
	return data
}

// otherChecksum is an archive whose two headers agree on a wrong checksum.
func otherChecksum(t *testing.T) []byte {
	t.Helper()
	data := edit(t, sigLocal, 1, 14, "\x01\x02\x03\x04")
	i := bytes.LastIndex(data, binary.LittleEndian.AppendUint32(nil, sigEntry)) // of info, behind pkg
	i = bytes.LastIndex(data[:i], binary.LittleEndian.AppendUint32(nil, sigEntry))
	copy(data[i+16:], "\x01\x02\x03\x04")
	return data
}

// windowed is an archive whose parts ask for 2^log bytes of memory; each is one block
// as it is.
func windowed(t *testing.T, log int, info, pkg []byte) []byte {
	t.Helper()
	m := &memory{}
	w, err := NewWriter(m, "demo-1.0-0")
	must(t, err)
	for _, c := range []content{{part: InfoPart, tar: info}, {part: PkgPart, tar: pkg}} {
		// A frame's header: magic, no flags, window descriptor; the last block's header.
		frame := []byte{0x28, 0xB5, 0x2F, 0xFD, 0, byte((log - 10) << 3), byte(1 | len(c.tar)<<3), byte(len(c.tar) >> 5), byte(len(c.tar) >> 13)}
		pw := &partWriter{w: w, m: member{name: string(c.part) + "-x.tar.zst", offset: w.pos}}
		must(t, w.write(pw.m.localHeader()))
		_, err := pw.Write(append(frame, c.tar...))
		must(t, err)
		end := w.pos
		_, err = m.Seek(pw.m.offset, io.SeekStart)
		must(t, err)
		_, err = m.Write(pw.m.localHeader())
		must(t, err)
		_, err = m.Seek(end, io.SeekStart)
		must(t, err)
		w.members = append(w.members, pw.m)
	}
	must(t, w.Close())
	return m.data
}

func TestUnknownFormat(t *testing.T) {
	_, err := ReadInfo(bytes.NewReader(nil), 0, "demo.zip")
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// sparse is a huge file of which only some parts are not zero.
type sparse map[int64][]byte

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for at, b := range s {
		if at < off+int64(len(p)) && off < at+int64(len(b)) {
			copy(p[max(0, at-off):], b[max(0, off-at):])
		}
	}
	return len(p), nil
}

func TestDirectoryBeyond4GiB(t *testing.T) {
	for name, m := range map[string]member{
		"large member":  {name: "info-x.tar.zst", offset: 100, size: 6 << 30, zip64: true},
		"far away":      {name: "info-x.tar.zst", offset: 5 << 30, size: 100},
		"large and far": {name: "info-x.tar.zst", offset: 5 << 30, size: 6 << 30, zip64: true},
		"exactly 4 GiB": {name: "info-x.tar.zst", offset: 0, size: max32, zip64: true},
	} {
		t.Run(name, func(t *testing.T) {
			at := m.offset + int64(len(m.localHeader())) + m.size
			end := directory([]member{m}, at)
			s := &source{r: sparse{m.offset: m.localHeader(), at: end}, size: at + int64(len(end))}
			c, err := openContainer(s)
			must(t, err)
			e, err := c.find(InfoPart)
			must(t, err)
			if e.offset != m.offset || e.size != m.size {
				t.Errorf("found %d bytes at %d, want %d at %d", e.size, e.offset, m.size, m.offset)
			}
			_, err = c.open(e, chunkFile)
			must(t, err)
		})
	}
}

func TestZstd(t *testing.T) {
	for _, text := range []string{"", "x", strings.Repeat("conda ", 100_000)} {
		packed := Zstd([]byte(text))
		got, err := Unzstd(packed, int64(len(text)))
		must(t, err)
		if string(got) != text {
			t.Errorf("%d bytes came back as %d", len(text), len(got))
		}
		if text == "" {
			continue
		}
		if _, err := Unzstd(packed, int64(len(text))-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("over the limit: %v", err)
		}
		if _, err := Unzstd(packed[:len(packed)-1], 1<<20); err == nil || errors.Is(err, ErrTooLarge) {
			t.Errorf("cut off: %v", err)
		}
	}
	if _, err := Unzstd(nil, 10); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("nothing: %v", err)
	}
	// Two frames are one text for those who read on.
	got, err := Unzstd(append(Zstd([]byte("a")), Zstd([]byte("b"))...), 2)
	if err != nil || string(got) != "ab" {
		t.Errorf("two frames: %q, %v", got, err)
	}
}

func TestUnzstdStopsAtTheLimit(t *testing.T) {
	var packed bytes.Buffer
	e, err := newEncoder(&packed, zstd.SpeedBetterCompression, 1, window)
	must(t, err)
	for range 512 {
		_, err := e.Write(make([]byte, 1<<20))
		must(t, err)
	}
	must(t, e.Close())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Unzstd(packed.Bytes(), 1000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 200 {
		t.Errorf("it allocated %d MiB", n)
	}
}

func TestUnzstdDoesNotBelieveTheHeader(t *testing.T) {
	// A frame of 1 TiB, says its header, without any content.
	frame := []byte{0x28, 0xB5, 0x2F, 0xFD, 0xC0, 13 << 3, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0}
	if n := announced(frame, int64(len(frame)), 2<<40); n > 64*int64(len(frame)) {
		t.Errorf("%d bytes would be allocated", n)
	}
	if _, err := Unzstd(frame, 2<<40); err == nil {
		t.Error("it was taken")
	}
}

func TestSum(t *testing.T) {
	for _, n := range []int{0, 3, 1 << 20, 3<<20 + 5} {
		d, err := Sum(t.Context(), strings.NewReader(strings.Repeat("a", n)))
		must(t, err)
		if d.Size != int64(n) {
			t.Errorf("size %d, want %d", d.Size, n)
		}
		if n == 3 && (d.MD5 != "47bce5c74f589f4867dbd57e9ca9f808" || d.SHA256 != "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0") {
			t.Errorf("digest of aaa: %+v", d)
		}
		if n == 3<<20+5 && d.SHA256 != "" {
			again, err := Sum(t.Context(), io.MultiReader(strings.NewReader(strings.Repeat("a", 7)), strings.NewReader(strings.Repeat("a", n-7))))
			if err != nil || again != d {
				t.Errorf("read in pieces: %+v, %v", again, err)
			}
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(demo(f), true)
	old, err := os.ReadFile("testdata/old-1.0-0.tar.bz2")
	must(f, err)
	f.Add(old, false)
	f.Fuzz(func(t *testing.T, data []byte, conda bool) {
		name := "demo-1.0-0.tar.bz2"
		if conda {
			name = "demo-1.0-0.conda"
		}
		if _, err := walkAll(data, name); err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("Walk: %v", err)
		}
		info, err := ReadInfo(bytes.NewReader(data), int64(len(data)), name)
		if err != nil && !errors.Is(err, ErrInvalid) || err == nil && info.IndexJSON == nil {
			t.Errorf("ReadInfo: %v", err)
		}
	})
}

func FuzzUnzstd(f *testing.F) {
	f.Add(Zstd([]byte("conda")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := Unzstd(data, 1000); err == nil && len(got) > 1000 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
