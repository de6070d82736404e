//go:build linux

package sandbox

import (
	"io"
	"os/exec"
	"testing"
	"time"
)

// What the walls cost a script that does nothing, beside the same script started
// by itself.
func BenchmarkEmptyScript(b *testing.B) {
	args := []string{"/bin/sh", "-c", ""}
	b.Run("alone", func(b *testing.B) {
		fastest := time.Hour
		for b.Loop() {
			begun := time.Now()
			cmd := &exec.Cmd{Path: args[0], Args: args, Dir: "/", Env: []string{}}
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatal(err, string(out))
			}
			fastest = min(fastest, time.Since(begun))
		}
		b.ReportMetric(float64(fastest), "fastest-ns")
	})
	for _, m := range []Mode{Off, Landlock, Require} {
		b.Run(string(m), func(b *testing.B) {
			dir, tmp := b.TempDir(), b.TempDir()
			fastest := time.Hour // what it costs where nobody else wants the processors
			for b.Loop() {
				begun := time.Now()
				c := Command{Args: args, Dir: dir, Output: io.Discard, Walls: Walls{Mode: m}, View: View{Write: []string{dir}, Tmp: tmp}}
				if err := Run(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				fastest = min(fastest, time.Since(begun))
			}
			b.ReportMetric(float64(fastest), "fastest-ns")
		})
	}
}
