package indexer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// Commit shows packages that were just published to clients: it adds their
// records to the index of their subdirs and lists nothing, so that one more
// package costs a handful of requests however large the channel is. Only
// o.Log and o.Concurrency matter.
//
// It keeps S0 as Reindex does: what it writes is the version that it read plus
// records of packages that were stored before (S2), and it replaces no other
// version. A subdir whose index is missing or broken is indexed anew.
func Commit(ctx context.Context, s store.Store, packages []Published, o Options) (Report, error) {
	bySubdir := map[string]map[string]json.RawMessage{"noarch": {}}
	for _, p := range packages {
		subdir := path.Dir(p.Key)
		if bySubdir[subdir] == nil {
			bySubdir[subdir] = map[string]json.RawMessage{}
		}
		bySubdir[subdir][path.Base(p.Key)] = p.Record
	}
	var all Report
	for _, subdir := range slices.Sorted(maps.Keys(bySubdir)) {
		r := run{s: s, o: o, subdir: subdir}
		report, err := r.untilCommitted(ctx, func(ctx context.Context) (SubdirReport, error) {
			return r.add(ctx, bySubdir[subdir])
		})
		all.Skipped = append(all.Skipped, r.skipped...)
		if err != nil {
			return all, fmt.Errorf("index %s: %w", subdir, err)
		}
		all.Subdirs = append(all.Subdirs, report)
	}
	return all, nil
}

// add is one attempt to add records to a subdir's index.
func (r *run) add(ctx context.Context, records map[string]json.RawMessage) (SubdirReport, error) {
	report := SubdirReport{Subdir: r.subdir}
	if len(records) == 0 { // noarch must have an index, whatever is in it
		_, exists, err := head(ctx, r.s, r.subdir+"/"+indexName)
		if err != nil || exists {
			return report, err
		}
		return r.once(ctx)
	}
	index, err := r.read(ctx, indexName)
	if err != nil {
		return report, err
	}
	base, err := conda.ParseRepoData(index.text)
	if !index.exists || err != nil {
		return r.once(ctx)
	}
	if !r.merged(base, records, &report) {
		return report, r.derive(ctx, index, &report) // an earlier run may have died before it did
	}
	return report, r.write(ctx, base, index, &report)
}

// merged puts records into base and tells whether that changed it. A file that
// was taken out of the index on purpose stays out.
func (r *run) merged(base *conda.RepoData, packages map[string]json.RawMessage, report *SubdirReport) bool {
	report.Packages = len(base.Packages) + len(base.PackagesConda)
	for _, file := range slices.Sorted(maps.Keys(packages)) {
		if slices.Contains(base.Removed, file) {
			r.log(fmt.Sprintf("%s/%s was removed from the index on purpose, and stays out of it", r.subdir, file))
			continue
		}
		r.take(records(base, file), file, looked{record: packages[file]}, report)
	}
	return len(report.Added)+len(report.Updated) > 0
}
