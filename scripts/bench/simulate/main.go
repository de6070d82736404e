// Command simulate runs many schedules of the simulation (package sim) and
// prints how often each operation met each fault, for each batch. A batch of
// 1000 or more fails when a cell that can be is empty, one of 10000 or more
// when a cell has less than 100:
//
//	go run ./scripts/bench/simulate -n 1000000
//	go run ./scripts/bench/simulate -seed 172 -n 1   # one, with its trace if it fails
//
// A seed whose schedule breaks an invariant is printed and ends the run with
// exit code 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"time"
)

func main() {
	n := flag.Uint64("n", 10_000, "schedules to run")
	seed := flag.Uint64("seed", 1, "the first one's seed")
	batch := flag.Uint64("batch", 10_000, "schedules between two tables")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	begun := time.Now()
	for done := uint64(0); done < *n; done += *batch {
		now := min(*batch, *n-done)
		//nolint:gosec // go test with two numbers
		c := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=24h", "-run=^TestSchedules$", "-v", "./sim")
		c.Env = append(os.Environ(), fmt.Sprint("CONDAWORKER_SIM_SCHEDULES=", now), fmt.Sprint("CONDAWORKER_SIM_SEED=", *seed+done),
			"GODEBUG=madvdontneed=0,adaptivestackstart=1") // see deepStacks; and a schedule needs again at once what it gives back to the system
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			fmt.Printf("failed between the seeds %d and %d: %v\n", *seed+done, *seed+done+now-1, err)
			os.Exit(1)
		}
		fmt.Printf("%d of %d schedules in %s, no violation\n", done+now, *n, time.Since(begun).Round(time.Second))
	}
}
