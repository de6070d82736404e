package indexer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/condaworker/condaworker/conda"
)

const runExportsName = "run_exports.json"

// makeRunExports makes run_exports.json (CEP 12). Packages of which nobody has
// looked what they export are left out of it, as CEP 21 has it for shards: a
// full run looks.
func makeRunExports(ctx context.Context, r *run, e *edition, parts map[string]*part) ([]byte, error) {
	all, err := r.runExports(ctx, e, parts)
	if err != nil {
		return nil, err
	}
	return all.Encode(e.subdir), nil
}

// runExports are those of all files in e: what this run has learnt, what
// run_exports.json knows, and what another indexer keeps in the record itself.
func (r *run) runExports(ctx context.Context, e *edition, parts map[string]*part) (conda.RunExports, error) {
	if e.exports != nil {
		return e.exports, nil
	}
	text, err := r.older(ctx, parts[runExportsName])
	if err != nil {
		return nil, err
	}
	old := conda.RunExports{}
	if text != nil {
		if old, err = conda.ParseRunExports(text); err != nil {
			r.warn(fmt.Sprintf("%s/%s is made anew: %v", e.subdir, runExportsName, err))
		}
	}
	e.exports = conda.RunExports{}
	var lost []string
	for file, record := range e.data.All() {
		exports := e.exportsOf(file, record, old)
		if exports != nil {
			e.exports[file] = exports
		} else if conda.Stamped(record) != 0 {
			lost = append(lost, file)
		}
	}
	e.lost = len(lost) > 0
	if e.part {
		return e.exports, nil
	}
	e.lost = false
	return e.exports, r.findLost(ctx, e, lost)
}

// findLost looks again into packages that an index run of ours has looked into
// and whose run_exports are no longer there: when a package that was removed
// comes back, the file has the bytes again that it had before, so that a write
// which was begun in between may land upon them.
func (r *run) findLost(ctx context.Context, e *edition, files []string) error {
	slices.Sort(files)
	found, err := r.lookAll(ctx, files, nil)
	if err != nil {
		return err
	}
	for i, file := range files {
		if found[i].bad == nil && found[i].runExports != nil {
			e.exports[file] = found[i].runExports
		}
	}
	return nil
}

func (e *edition) exportsOf(file string, record json.RawMessage, old conda.RunExports) json.RawMessage {
	if patched, found := e.patch.RunExports(file); found {
		return patched
	}
	if learnt := e.learnt[file]; learnt != nil {
		return learnt
	}
	if old[file] != nil {
		return old[file]
	}
	return conda.RunExportsOf(record)
}
