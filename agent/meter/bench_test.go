package meter

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

func BenchmarkLook(b *testing.B) {
	w := &tree{}
	b.Run("rss", func(b *testing.B) {
		for b.Loop() {
			w.look(1<<50, false)
		}
	})
	b.Run("pss", func(b *testing.B) {
		for b.Loop() {
			w.look(0, true)
		}
	})
}

func BenchmarkCounters(b *testing.B) {
	for b.Loop() {
		readCounters()
	}
}

// BenchmarkWalk walks 20,000 files in 200 folders.
func BenchmarkWalk(b *testing.B) {
	dir := b.TempDir()
	manyFiles(b, dir)
	for b.Loop() {
		if _, done := walk([]folder{{"work", dir}}, new(atomic.Bool)); !done {
			b.Fatal("stopped")
		}
	}
}

// manyFiles makes 20,000 files in 200 folders.
func manyFiles(b *testing.B, dir string) {
	b.Helper()
	for i := range 200 {
		sub := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(sub, 0o700); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(j)), []byte("x"), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
}
