package pack

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda/archive"
)

// BenchmarkWrite packs files like those of a program: text and noise, small
// and large.
func BenchmarkWrite(b *testing.B) {
	prefix := prefixOf(b, 200)
	var size int64
	for i := range 200 {
		text := strings.Repeat(fmt.Sprintf("line %d of a file in %s\n", i, prefix), 2000)
		text += noise(len(text)/4, byte(i))
		write(b, prefix, fmt.Sprintf("lib/d%d/f%d", i%10, i), text, 0o644)
		size += int64(len(text))
	}
	o := options(b, prefix)
	b.SetBytes(size)
	for b.Loop() {
		_, _, err := pack(b, o)
		must(b, err)
	}
}

// BenchmarkWriteBeyond4GiB makes a package that needs zip64 and looks at it.
// It takes 9 GiB of disk. Run it by name, with -benchtime 1x.
func BenchmarkWriteBeyond4GiB(b *testing.B) {
	prefix := prefixOf(b, 200)
	must(b, os.MkdirAll(filepath.Join(prefix, "lib"), 0o755))
	f, err := os.Create(filepath.Join(prefix, "lib/noise"))
	must(b, err)
	const pieces = 4200
	for i := range pieces {
		_, err := f.WriteString(noise(1<<20, byte(i))) // equal ones are out of the window
		must(b, err)
	}
	must(b, f.Close())
	o := options(b, prefix)
	b.SetBytes(pieces << 20)
	for b.Loop() {
		s, out, err := pack(b, o)
		must(b, err)
		if s.PackedBytes < 1<<32 {
			b.Fatalf("it has only %d bytes", s.PackedBytes)
		}
		z, err := zip.NewReader(out, s.PackedBytes)
		must(b, err)
		if n := len(z.File); n != 3 {
			b.Errorf("%d members", n)
		}
		_, err = archive.ReadInfo(out, s.PackedBytes, out.Name())
		must(b, err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys>>20), "MiB-of-memory")
}
