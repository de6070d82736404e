// Package meter measures what a run uses: wall time, processor, memory and
// disk, for each phase and in all, this process and everything it starts
// included. It never prints and never slows what it measures by more than about
// one per cent.
//
// Processor time and bytes read and written are the kernel's own sums over this
// process and all children that were waited for, so that children of a
// millisecond count as well (on Linux and macOS; Windows keeps no such sum, and
// there only this process counts). A child counts in the phase in which it was
// waited for.
//
// Memory is the greater of two figures, neither of which is ever more than the
// processes really held at one time:
//
//   - the highest sum over the process tree that was sampled. On Linux each
//     process counts with its proportional set size (PSS), so that pages which
//     processes share, such as those of forks, count once;
//   - the highest resident set that any one process ever had (ru_maxrss), which
//     the kernel notes even if it lasted a millisecond between two samples.
//
// What can be missed is a peak that several processes make up together for less
// than the time between two samples: 50 ms, or more when looking is expensive.
// The memory that the kernel uses to cache files does not count, which is why
// a control group's memory.peak is no source: it holds every file ever read.
//
// Disk is what the watched folders occupy: allocated blocks, folders included,
// each file once however many names it has, as du counts. It is exact at each
// phase's end and sampled in between. Files that share blocks (reflinks) and
// deleted files that are still open are not told apart from others, or seen.
//
// Start with meter.go; what the figures mean is in report.go.
package meter
