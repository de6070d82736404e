package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryAbove tells whether the processes hold more than most. What it looks at
// first is quick to read and never too little.
func (k *keeper) memoryAbove(most Size, pids []int) bool {
	files := machineMemory("Shmem")
	k.shmem = min(k.shmem, files)
	if resident(pids)+files-k.shmem <= most {
		return false
	}
	var held, mapped Size
	for _, pid := range pids {
		all, files := proportional(pid)
		held, mapped = held+all, mapped+files
	}
	return held+max(0, k.filesInMemory(pids)-mapped) > most
}

// resident is the processes' memory; what they share counts fully for each.
func resident(pids []int) (held Size) {
	for _, pid := range pids {
		all, _ := statm(pid)
		held += all
	}
	return held
}

// statm is a process's memory, and how much of it is its own.
func statm(pid int) (all, own Size) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 3 {
		return 0, 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, _ := strconv.ParseInt(string(fields[2]), 10, 64)
	page := int64(os.Getpagesize())
	return Size(pages * page), Size((pages - shared) * page)
}

// proportional is a process's memory with its part of what it shares, and how
// much of that is files in memory, of one moment: a file that it lets go of between
// two readings would count twice. It costs the kernel time in proportion. Where it
// does not tell, as before 4.14 or of a process that lets nobody look, it is the
// process's own alone; it tells of files since 5.4.
func proportional(pid int) (held, files Size) {
	text, _ := os.ReadFile(rollup(pid)) // of one that has ended there is none
	if held = kilobytes(text, "Pss"); held > 0 {
		return held, kilobytes(text, "Pss_Shmem")
	}
	_, held = statm(pid)
	return held, 0
}

func rollup(pid int) string { return fmt.Sprintf("/proc/%d/smaps_rollup", pid) }

// filesInMemory is what the command's files occupy that are on no disk: those
// without a name that its processes have open, System V's and /dev/shm. Before
// 5.4 we would not know which of it is in an address space and counted already.
func (k *keeper) filesInMemory(pids []int) Size {
	if text, _ := os.ReadFile(rollup(os.Getpid())); !bytes.Contains(text, []byte("Pss_Shmem:")) {
		return 0
	}
	files := map[uint64]Size{}
	for _, pid := range pids {
		openFilesInMemory(pid, files)
	}
	var all Size
	for _, size := range files {
		all += size
	}
	if k.Spaces { // else they would be the machine's
		all += systemVMemory() + sharedFolder()
	}
	return all
}

// openFilesInMemory adds the sizes of a process's memfds, by inode.
func openFilesInMemory(pid int, sizes map[uint64]Size) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // a pattern of ours
	for _, link := range links {
		target, _ := os.Readlink(link) // it may be closed again
		var stat unix.Stat_t
		if strings.HasPrefix(target, "/memfd:") && unix.Stat(link, &stat) == nil {
			sizes[stat.Ino] = Size(stat.Blocks) * statBlock
		}
	}
}

const statBlock = 512 // of st_blocks, whatever the file system

// sharedFolder is what is in /dev/shm, without a name too.
func sharedFolder() Size {
	var s unix.Statfs_t
	if unix.Statfs("/dev/shm", &s) != nil {
		return 0
	}
	return Size(s.Blocks-s.Bfree) * Size(s.Bsize) //nolint:gosec // it is at most 1 GiB
}

// systemVMemory is what the segments of our ipc namespace occupy.
func systemVMemory() Size {
	text, _ := os.ReadFile("/proc/sysvipc/shm") // without it there are none
	var all Size
	column := -1
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if column < 0 {
			column = slices.Index(fields, "rss")
			continue
		}
		n, _ := strconv.ParseInt(fields[column], 10, 64)
		all += Size(n)
	}
	return all
}

// machineMemory is a line of /proc/meminfo.
func machineMemory(name string) Size {
	text, _ := os.ReadFile("/proc/meminfo") // without it nothing is known
	return kilobytes(text, name)
}

// kilobytes finds "name: n kB".
func kilobytes(text []byte, name string) Size {
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return Size(n) * 1024
		}
	}
	return 0
}

// mostMemory is nine tenths of what there is: the machine's memory, or what our
// cgroup may have of it.
func mostMemory() Size {
	most := machineMemory("MemTotal")
	table, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(table)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		file := filepath.Join("/sys/fs/cgroup", parts[2], "memory.max")
		if parts[1] == "memory" {
			file = filepath.Join("/sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		} else if parts[1] != "" {
			continue
		}
		text, _ := os.ReadFile(file) // "max" and a file that is not there limit nothing
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			most = min(most, Size(n))
		}
	}
	return most / 10 * 9
}
