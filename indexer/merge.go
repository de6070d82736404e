package indexer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// listing is what a subdir stores, by file name. Folders below it are left out.
type listing struct {
	packages map[string]store.Info
	others   map[string]store.Info // the index's own objects, and strays
}

// list lists the subdir. What the index named before says where its pages lie.
func (r *run) list(ctx context.Context, before *conda.RepoData) (listing, error) {
	l := listing{map[string]store.Info{}, map[string]store.Info{}}
	for in, err := range r.s.List(ctx, r.subdir+"/", store.ListOptions{Shallow: true, Known: r.keys(before)}) {
		if err != nil {
			return l, err
		}
		file := strings.TrimPrefix(in.Key, r.subdir+"/")
		switch {
		case strings.Contains(file, "/"):
		case isPackage(file) && store.ValidKey(in.Key) != nil:
			r.skip(strings.Trim(strconv.Quote(in.Key), `"`), "its name has characters that no key of a channel has: rename it, or delete it")
		case isPackage(file):
			l.packages[file] = in
		default:
			l.others[file] = in
		}
	}
	return l, nil
}

// skip notes an object that is left out for a reason that each run finds anew.
func (r *run) skip(key, reason string) {
	r.skipped = append(r.skipped, Skipped{Key: key, Reason: reason, passing: true})
}

// keys are those of the packages in an index, sorted.
func (r *run) keys(d *conda.RepoData) []string {
	all := make([]string, 0, d.Len())
	for file := range d.All() {
		all = append(all, r.subdir+"/"+file)
	}
	slices.Sort(all)
	return all
}

func isPackage(file string) bool {
	return strings.HasSuffix(file, ".conda") || strings.HasSuffix(file, ".tar.bz2")
}

// merge makes e.base agree with what is stored, but for what was removed from
// the index on purpose.
func (r *run) merge(ctx context.Context, e *edition, known state, stored map[string]store.Info, report *SubdirReport) error {
	for _, file := range e.base.Removed {
		delete(stored, file)
	}
	e.dropGone(stored, report)
	exports, err := r.exportsAtFirst(ctx, e, known)
	if err != nil {
		return err
	}
	var fresh []string
	for file, in := range stored {
		record, _ := e.base.Record(file)
		switch reason := known.bad(file, in); {
		case !r.o.Full && reason != "":
			r.take(e, known, file, looked{bad: badPackage{errors.New(reason)}}, report)
		case r.o.Full || !known.knows(file, record, in), known.exported(file, record) && exports.Get(file) == nil:
			fresh = append(fresh, file)
		default:
			e.restamp(file, record, known)
		}
	}
	slices.Sort(fresh)
	r.looked = len(fresh)
	found, err := r.lookAgain(ctx, fresh, stored)
	if err != nil {
		return err
	}
	for i, file := range fresh {
		r.take(e, known, file, found[i], report)
	}
	slices.SortFunc(r.skipped, func(a, b Skipped) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

// exported tells whether run_exports.json should know the package and perhaps
// does not: one of ours, in a run that no state tells what earlier ones came to
// (one may have died between the index, where its packages bear its stamp, and
// run_exports.json), or one that another indexer lists again, who may have left
// it out for a while.
func (s state) exported(file string, record json.RawMessage) bool {
	stamped := conda.Stamped(record) != 0
	if s.files == nil {
		return stamped
	}
	return !stamped && s.files[file].Indexed != 0
}

// exportsAtFirst is run_exports.json, if a package may be missing there.
func (r *run) exportsAtFirst(ctx context.Context, e *edition, known state) (*conda.RunExports, error) {
	none := &conda.RunExports{}
	doubtful := false
	for file, record := range e.base.All() {
		doubtful = doubtful || known.exported(file, record)
	}
	if known.files != nil && !doubtful {
		return none, nil
	}
	o, err := r.read(ctx, runExportsName)
	if err != nil || !o.exists {
		return none, err
	}
	exports, err := conda.ParseRunExports(o.text)
	if err != nil {
		return none, nil //nolint:nilerr // it is made anew
	}
	return exports, nil
}

// dropGone takes out records whose objects are gone, and those that lie in the
// map of another kind of package, where clients would not find them. Those that
// older clients would misunderstand it moves to v3.
func (e *edition) dropGone(stored map[string]store.Info, report *SubdirReport) {
	for kind, records := range map[string]*conda.Records{".tar.bz2": &e.base.Packages, ".conda": &e.base.PackagesConda} {
		var misplaced []string
		for file := range records.All() {
			if !strings.HasSuffix(file, kind) {
				misplaced = append(misplaced, file)
			}
		}
		for _, file := range misplaced {
			records.Delete(file)
		}
		report.Removed = append(report.Removed, misplaced...)
	}
	if !e.data.HasEdition() { // ours files each where it belongs
		for _, file := range e.base.Refile() {
			e.files[file] = true
		}
	}
	var gone []string
	for file := range e.base.All() {
		if _, found := stored[file]; !found {
			gone = append(gone, file)
		}
	}
	for _, file := range gone {
		e.drop(file)
	}
	report.Removed = append(report.Removed, gone...)
	slices.Sort(report.Removed)
}

// take puts what came of looking into a package into the edition.
func (r *run) take(e *edition, known state, file string, l looked, report *SubdirReport) {
	old, had := e.base.Record(file)
	if l.bad != nil {
		unread := closed(l.bad)
		kept := unread && had && readableRecord(old) // nobody knows that it is wrong
		if !kept {
			e.drop(file) // a record of bytes that are gone would only fail clients
		}
		r.skipped = append(r.skipped, Skipped{r.subdir + "/" + file, l.bad.Error(), kept, notThere(l.bad) || unread})
		return
	}
	if l.runExports != nil {
		e.learnt[file] = l.runExports
	}
	record, same, readable := l.record, had && (sameBytes(old, l.record) || known.settled(file, l) && alike(old, l.record)), had && readableRecord(old)
	if same {
		if kept := conda.WithHashes(old, l.record); readable || readableRecord(kept) {
			record = kept // it may have been changed since by hand, and stays
		}
	}
	switch {
	case !had:
		report.Added = append(report.Added, file)
	case !readable:
		report.Mended = append(report.Mended, file)
	case !same:
		report.Updated = append(report.Updated, file)
	case bytes.Equal(record, old):
		e.restamp(file, old, known)
		return
	}
	at := r.now().UnixMilli()
	if was := known.files[file].Indexed; was != 0 && known.knew(file, l.info, l.record) {
		at = was // another indexer lost the record, or spoilt it
	}
	e.base.Set(file, conda.Stamp(record, cmp.Or(conda.Stamped(record), at)))
	e.files[file] = true
}

// drop takes a file's record out, if there is one.
func (e *edition) drop(file string) {
	record, found := e.base.Record(file)
	if !found {
		return
	}
	e.base.Delete(file)
	e.files[file], e.dropped[file] = true, record
}

// restamp gives a record back the time at which it was first indexed (CEP 47):
// some indexers lose it when they rewrite the index.
func (e *edition) restamp(file string, record json.RawMessage, known state) {
	at := known.files[file].Indexed
	if at == 0 || conda.Stamped(record) != 0 {
		return
	}
	e.base.Set(file, conda.Stamp(record, at))
	e.files[file] = true
}

// readableRecord tells whether clients can do anything with a record: not all of
// them pass over one that is no good.
func readableRecord(record json.RawMessage) bool { return conda.CheckRecord(record) == nil }

// sameBytes tells whether a record is of the archive that a package's own one is of,
// by what it says of it: some have one hash alone, in any letters (CEP 36). The one in
// the index may have been patched since.
func sameBytes(old, own json.RawMessage) bool {
	var x, y conda.Record
	if json.Unmarshal(old, &x) != nil || json.Unmarshal(own, &y) != nil || x.Size > 0 && x.Size != y.Size {
		return false
	}
	if x.SHA256 != "" {
		return strings.EqualFold(x.SHA256, y.SHA256)
	}
	return strings.EqualFold(x.MD5, y.MD5)
}

// alike tells whether nothing in a record without hashes speaks against its being of the
// archive that a package's own one is of.
func alike(old, own json.RawMessage) bool {
	var x, y conda.Record
	if json.Unmarshal(old, &x) != nil || json.Unmarshal(own, &y) != nil || x.SHA256 != "" || x.MD5 != "" {
		return false
	}
	return x.Size == y.Size && x.Name == y.Name && x.Version == y.Version && x.Build == y.Build && x.BuildNumber == y.BuildNumber && x.Timestamp == y.Timestamp
}
