package meter

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkOverhead is the share of one processor that the meter takes while it
// watches so many processes, each of 20 MiB, and 20,000 files; "none" is the
// same without a meter.
func BenchmarkOverhead(b *testing.B) {
	dir := b.TempDir()
	manyFiles(b, dir)
	for _, watched := range []int{0, 1, 10, 50, 200} {
		name := fmt.Sprint(watched, "_processes")
		if watched == 0 {
			name = "none"
		}
		b.Run(name, func(b *testing.B) {
			for range watched {
				defer start(b, "hold 20")()
			}
			if watched > 0 {
				m := Start(Options{})
				defer m.Stop()
				m.Watch("work", dir)
				defer m.Phase("script").End(nil)
				time.Sleep(3 * time.Second) // until it knows how often it may look
			}
			own, begun := ownCPU(b), time.Now()
			for b.Loop() {
				time.Sleep(2 * time.Second)
			}
			b.ReportMetric(100*(ownCPU(b)-own).Seconds()/time.Since(begun).Seconds(), "%cpu")
		})
	}
}
