package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/scripts/bench/measure"
)

//go:embed cold.py
var coldOracle string

// cold times whole runs, from the start of the process to the answer, on a channel
// of so many records that a web server has, with shards and without: ours and
// py-rattler's, each first with an empty cache and then with a full one.
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
	server := httptest.NewServer(http.FileServer(http.Dir(channel)))
	defer server.Close()
	specs := []string{names[len(names)/2], names[len(names)/3], "python >=3.10"}
	for _, form := range []string{"shards", "repodata.json.zst"} {
		if form != "shards" {
			err = errors.Join(err, os.Remove(filepath.Join(channel, "linux-64", shards.IndexName)))
		}
		ours := append([]string{program, "env", "create", "--dry-run", "-p", filepath.Join(dir, "p"), "-c", server.URL, "--platform", "linux-64", "--cache", filepath.Join(dir, "ours-"+form)}, specs...)
		theirs := append([]string{python, "-I", "-c", coldOracle, server.URL, filepath.Join(dir, "theirs-"+form)}, specs...)
		for _, cache := range []string{"empty", "full", "full"} {
			for _, run := range [][]string{ours, theirs} {
				if err == nil {
					err = timed(ctx, fmt.Sprintf("%d records, %s, %s cache, %s", records, form, cache, filepath.Base(run[0])), run)
				}
			}
		}
	}
	return err
}

func timed(ctx context.Context, what string, args []string) error {
	r, err := measure.Run(ctx, args, "CONDA_OVERRIDE_GLIBC=2.35")
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Printf("%s: %.3f s (%.3f s of CPU), %d MiB: %s\n", what, r.Seconds, r.CPU, r.MiB, r.Last)
	return nil
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
	x := shards.Index{Subdir: "linux-64", BaseURL: "./", ShardsBaseURL: "./shards/", CreatedAt: "2026-01-01T00:00:00Z", Shards: map[string]shards.Sum{}}
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
