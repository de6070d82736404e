package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
)

//go:embed cold.py
var coldOracle string

// cold times whole runs, from the start of the process to the answer, on a folder
// channel of so many records: ours and py-rattler's, each first with an empty cache
// and then with a full one.
func cold(ctx context.Context, python string, records int, seed uint64) (err error) {
	dir, err := os.MkdirTemp("", "condaworker-cold-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	channel, names, err := syntheticChannel(dir, records, seed)
	if err != nil {
		return err
	}
	program := filepath.Join(dir, "condaworker")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/condaworker/condaworker").CombinedOutput(); err != nil { //nolint:gosec // our own
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	specs := []string{names[len(names)/2], names[len(names)/3], "python >=3.10"}
	ours := append([]string{program, "env", "create", "--dry-run", "-p", filepath.Join(dir, "p"), "-c", channel, "--platform", "linux-64", "--cache", filepath.Join(dir, "ours")}, specs...)
	theirs := append([]string{python, "-I", "-c", coldOracle, channel, filepath.Join(dir, "theirs")}, specs...)
	for _, cache := range []string{"empty", "full"} {
		for _, run := range [][]string{ours, theirs} {
			if err := timed(ctx, fmt.Sprintf("%d records, %s cache, %s", records, cache, filepath.Base(run[0])), run); err != nil {
				return err
			}
		}
	}
	return nil
}

func timed(ctx context.Context, what string, args []string) error {
	c := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the bench's own commands
	c.Env = append(os.Environ(), "CONDA_OVERRIDE_GLIBC=2.35")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	begun := time.Now()
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	peak := make(chan int)
	go func() { peak <- peakOf(c.Process.Pid, ended) }()
	err := c.Wait()
	took := time.Since(begun)
	close(ended)
	mib := <-peak
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, out.Bytes())
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	fmt.Printf("%s: %.3f s, %d MiB: %s\n", what, took.Seconds(), mib, lines[len(lines)-1])
	return nil
}

// peakOf is the most memory that a process had, in MiB, as often as it was looked
// at. (What the system says at the end counts the parent's before the exec, too.)
func peakOf(pid int, ended <-chan struct{}) (mib int) {
	for {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone at the end
		if _, after, ok := bytes.Cut(text, []byte("VmHWM:")); ok {
			var kib int
			if _, err := fmt.Sscan(string(after), &kib); err == nil {
				mib = max(mib, kib/1024)
			}
		}
		select {
		case <-ended:
			return mib
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// syntheticChannel writes a channel with all forms of its index, and returns its
// package names, sorted.
func syntheticChannel(dir string, n int, seed uint64) (channel string, names []string, err error) {
	file, err := synthetic(dir, n, seed)
	if err != nil {
		return "", nil, err
	}
	text, err := os.ReadFile(file) //nolint:gosec // our own
	if err != nil {
		return "", nil, err
	}
	data, err := conda.ParseRepoData(text)
	if err != nil {
		return "", nil, err
	}
	all := map[string]map[string]shards.Entry{}
	for file, record := range data.PackagesConda.All() {
		name, err := conda.ParseFileName(file)
		if err != nil {
			return "", nil, err
		}
		if all[name.Name] == nil {
			all[name.Name] = map[string]shards.Entry{}
			names = append(names, name.Name)
		}
		all[name.Name][file] = shards.Entry{Record: record}
	}
	channel = filepath.Join(dir, "channel")
	put := func(key string, text []byte) error {
		path := filepath.Join(channel, key)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, text, 0o600))
	}
	x := shards.Index{Subdir: "linux-64", BaseURL: "./", ShardsBaseURL: "./shards/", Shards: map[string]shards.Sum{}}
	for name, entries := range all {
		b, err := shards.Shard{PackagesConda: entries}.Encode()
		if err != nil {
			return "", nil, err
		}
		b = archive.Zstd(b)
		x.Shards[name] = sha256.Sum256(b)
		if err := put("linux-64/"+x.Shards[name].Key(), b); err != nil {
			return "", nil, err
		}
	}
	slices.Sort(names)
	empty := []byte(`{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{},"repodata_version":1}`)
	return channel, names, errors.Join(put("linux-64/repodata.json", text), put("linux-64/repodata.json.zst", archive.Zstd(text)),
		put("linux-64/"+shards.IndexName, archive.Zstd(x.Encode())), put("noarch/repodata.json", empty), put("noarch/repodata.json.zst", archive.Zstd(empty)))
}
