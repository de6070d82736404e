// Package meter measures what a run uses: wall time, processor, memory and
// disk, for each phase and in all, this process and everything it starts
// included. It never prints and never slows what it measures by more than about
// one per cent.
//
// Processor time and bytes read and written are the kernel's own sums over this
// process and all children that were waited for, so that children of a
// millisecond count as well (on Linux and macOS; Windows keeps no such sum, and
// there only this process counts). A child counts in the phase in which it was
// waited for. What a pid namespace's processes used comes with its first
// process, which waits for the others; those that nobody waits for, since it
// was killed before them, count as far as they were seen alive.
//
// Memory is the greatest of these figures, and its method says which:
//
//   - the highest sum over the process tree that was sampled. On Linux each
//     process counts with its proportional set size (PSS), so that pages which
//     processes share, such as those of forks, count once; one that may not be
//     asked counts with its anonymous memory;
//   - the highest resident set that any one process ever had (ru_maxrss), which
//     the kernel notes even if it lasted a millisecond between two samples;
//   - where this run has a control group (version 2) of its own, the group's
//     memory.peak, which misses nothing. It counts cached files too, as a limit
//     on the group would, so that it can be far more than processes held.
//
// The first two are never more than processes really held at one time. What
// they can miss is a peak that several processes make up together for less
// than the time between two samples: 50 ms, or 400 times what looking costs, which
// is some 16 ms for each gigabyte; and one process's peak that is lower than an
// earlier one's.
//
// TestTruth compares with what is known on 2,000 short children, on four forks
// that share 110 MiB and on a process that has 1 GiB for 50 ms, each out here
// and in a pid namespace: processor time is within 0.3 % of what wait4 says,
// memory (by sum_pss, and by max_rss for the last) from 5 to 12 MiB above the known
// figure, which is what the programs themselves need. BenchmarkOverhead tells
// what measuring costs: 0.2 to 0.6 % of a processor for 1, 10, 50 and 200
// processes, for looks come the more rarely the more processor time they take.
//
// Disk is what the watched folders occupy: allocated blocks, folders included,
// each file once however many names it has, as du counts. It is exact at each
// phase's end and sampled in between. Files that share blocks (reflinks) and
// deleted files that are still open are not told apart from others, or seen.
//
// Start with meter.go; what the figures mean is in report.go.
package meter
