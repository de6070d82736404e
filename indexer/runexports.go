package indexer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/condaworker/condaworker/conda"
)

const runExportsName = "run_exports.json"

// mostLost is how many packages of other runs, which died before they said what
// those export or have not come to it, a run looks into that lists nothing.
const mostLost = 64

// makeRunExports makes run_exports.json (CEP 12). Packages of which nobody has
// looked what they export are left out of it, as CEP 21 has it for shards: a
// full run looks.
func makeRunExports(ctx context.Context, r *run, e *edition, parts map[string]*part) (*conda.Text, error) {
	all, err := r.runExports(ctx, e, parts)
	if err != nil {
		return nil, err
	}
	return all.Encode(e.subdir, e.source), nil
}

// runExports are those of all files in e: what this run has learnt, what
// run_exports.json knows, and what another indexer keeps in the record itself.
func (r *run) runExports(ctx context.Context, e *edition, parts map[string]*part) (*conda.RunExports, error) {
	if e.exports != nil {
		return e.exports, nil
	}
	text, err := r.older(ctx, parts[runExportsName])
	if err != nil {
		return nil, err
	}
	all := &conda.RunExports{}
	if text != nil {
		if all, err = conda.ParseRunExports(text); err != nil {
			r.warn(fmt.Sprintf("%s/%s is made anew: %v", e.subdir, runExportsName, err))
			all = &conda.RunExports{}
		}
	}
	e.exports = all
	lost := e.export(all, text != nil && err == nil && e.follows(parts[runExportsName]))
	e.lost = e.part && len(lost) > mostLost
	if e.lost {
		return all, nil
	}
	return all, r.findLost(ctx, e, lost)
}

// export brings run_exports up to e: of the files that e changes if they were
// right before, else of all. It returns files of which a run of ours has known
// them, and nobody does now.
func (e *edition) export(all *conda.RunExports, right bool) (lost []string) {
	set := func(file string, record json.RawMessage) {
		if patched, found := e.patch.RunExports(file); found {
			all.SetPatched(file, patched)
			return
		}
		takenBack := e.instructed && all.Patched(file)
		if takenBack { // only the package tells what was there before
			all.Set(file, nil)
		}
		exports := e.exportsOf(file, record, all)
		all.Set(file, exports)
		if exports == nil && (takenBack || conda.Stamped(record) != 0) {
			lost = append(lost, file)
		}
	}
	for file := range e.touched() {
		if record, found := e.data.Record(file); found {
			set(file, record)
		} else {
			all.Set(file, nil)
		}
	}
	if right {
		return lost
	}
	lost = nil
	for file, record := range e.data.All() {
		set(file, record)
	}
	var gone []string
	for file := range all.Files() {
		if _, found := e.data.Record(file); !found {
			gone = append(gone, file)
		}
	}
	for _, file := range gone {
		all.Set(file, nil)
	}
	return lost
}

// findLost looks again into packages that an index run of ours has looked into
// and whose run_exports are no longer there: another indexer may have left a
// package out of the index for a while, and lists it again, or instructions for
// it were taken back.
func (r *run) findLost(ctx context.Context, e *edition, files []string) error {
	slices.Sort(files)
	found, err := r.lookAll(ctx, files, nil)
	if err != nil {
		return err
	}
	for i, file := range files {
		if found[i].bad == nil && found[i].runExports != nil {
			e.exports.Set(file, found[i].runExports)
		}
	}
	return nil
}

func (e *edition) exportsOf(file string, record json.RawMessage, old *conda.RunExports) json.RawMessage {
	if learnt := e.learnt[file]; learnt != nil {
		return learnt
	}
	if known := old.Get(file); known != nil {
		return known
	}
	return conda.RunExportsOf(record)
}

// overtaken renews the edition if one was committed that did not follow the
// instructions since they were followed last. What is derived from that has the
// run_exports of its packages as they are, and in the records nobody sees it.
func (r *run) overtaken(ctx context.Context, e *edition, parts map[string]*part) error {
	if !e.patch.ChangesRunExports() {
		return nil
	}
	p := parts[unpatchedKey]
	err := r.learnSource(ctx, p)
	e.renew = e.renew || p.source != e.was()
	return err
}
