package indexer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// What is looked at of a channel's folders that are no subdirs: a bucket may
// hold much else beside a channel.
const (
	strayFolders = 20
	strayKeys    = 1000 // of each
)

// strays are the packages that lie where no client looks: beside the subdirs,
// or in a folder whose name conda does not take for a subdir, e.g. Linux-64.
func (t top) strays(ctx context.Context, s store.Store) ([]Skipped, error) {
	var all []Skipped
	for _, key := range slices.Sorted(maps.Keys(t.has)) {
		if isPackage(key) {
			all = append(all, Skipped{Key: key, Reason: "it lies beside the subdirs, where no client looks: publish it, and delete this object"})
		}
	}
	folders := slices.DeleteFunc(slices.Clone(t.folders), func(f string) bool { return conda.CanBeSubdir(f) || strings.HasPrefix(f, ".") })
	for _, folder := range folders[:min(len(folders), strayFolders)] {
		holds, err := beginsWithPackage(ctx, s, folder)
		if closed(err) {
			continue // e.g. lost+found, which each volume has at its top
		}
		if err != nil {
			return all, err
		}
		if holds {
			all = append(all, Skipped{Key: folder + "/", Reason: "it has packages, and its name is no subdir of conda's, e.g. linux-64: publish them, and delete the folder"})
		}
	}
	return all, nil
}

// shut is what is said of a folder that may be a subdir, and cannot be listed.
func shut(folder string, err error) Skipped {
	return Skipped{Key: folder + "/", Reason: fmt.Sprintf("it may be a subdir, and cannot be listed: let this user read it, or move it out of the channel: %v", err)}
}

// beginsWithPackage tells whether a package is among the first keys of a folder.
func beginsWithPackage(ctx context.Context, s store.Store, folder string) (bool, error) {
	seen := 0
	for in, err := range s.List(ctx, folder+"/", store.ListOptions{Shallow: true}) {
		if err != nil || isPackage(in.Key) {
			return err == nil, err
		}
		if seen++; seen == strayKeys {
			break
		}
	}
	return false, nil
}
