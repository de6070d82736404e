package indexer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// Remove takes packages out of the index, so that no client chooses them any
// more, and lists them under "removed" there: no later run takes them in again.
// Their objects stay, for clients that hold an older index or an environment
// that was solved with them, until Prune deletes them; Restore brings them
// back. keys are such as linux-64/x-1.0-0.conda. One that is not in the index
// is an error that matches fs.ErrNotExist, and then its subdir stays as it was.
func Remove(ctx context.Context, s store.Store, keys []string, o Options) (Report, error) {
	return eachSubdir(ctx, s, keys, o, func(ctx context.Context, r *run, files []string) (SubdirReport, error) {
		now := r.now()
		var records map[string]json.RawMessage
		report, err := r.edited(ctx, func(e *edition, report *SubdirReport) (err error) {
			if records, err = r.asPackaged(ctx, e, files); err != nil {
				return err
			}
			if err := e.remove(files, report); err != nil {
				return err
			}
			return r.noteRemovals(ctx, false, func(all removalFile) error { // ahead of the index: see removedByHand
				all.add(files, records, now)
				return nil
			})
		})
		if err != nil {
			return report, err
		}
		return report, r.settle(ctx, files, records)
	})
}

// asPackaged are the records that files have in e, which is not changed yet, without
// what patch instructions made of them. Of those that the index does not have, or that
// were patched by instructions that cannot be read now, there are none.
func (r *run) asPackaged(ctx context.Context, e *edition, files []string) (map[string]json.RawMessage, error) {
	was := &edition{subdir: e.subdir, index: e.index, data: e.base, base: e.base, meta: maps.Clone(e.meta)}
	if err := r.followed(ctx, was); err != nil {
		return nil, err
	}
	records := map[string]json.RawMessage{}
	for _, file := range files {
		if record, found := was.base.Record(file); found && (was.instructed || was.meta[metaPatched] == "") {
			records[file] = record
		}
	}
	return records, nil
}

// remove moves files from the records to the removed. The index is written also
// when they are there already: a restore that was lost must not land any more.
func (e *edition) remove(files []string, report *SubdirReport) error {
	e.renew = true
	for _, file := range files {
		_, found := e.base.Record(file)
		switch {
		case slices.Contains(e.base.Removed, file) && !found:
			if e.dropped[file] != nil { // another indexer had taken it in again
				report.Removed = append(report.Removed, file)
			}
			continue
		case !found:
			return fmt.Errorf("%s/%s is not in the index: %w", e.subdir, file, fs.ErrNotExist)
		}
		e.drop(file)
		e.base.Removed = append(e.base.Removed, file)
		report.Removed = append(report.Removed, file)
	}
	return nil
}

// Restore shows packages to clients again that Remove took out of the index, with the
// records that they had there, changed by the patch instructions of today. One whose
// object is deleted, or is about to be, cannot come back: that is an error that matches
// fs.ErrNotExist. One that the patch instructions remove is an error, too. Restorable
// finds out what of this is so, but for what others do meanwhile.
func Restore(ctx context.Context, s store.Store, keys []string, o Options) (Report, error) {
	return eachSubdir(ctx, s, keys, o, func(ctx context.Context, r *run, files []string) (SubdirReport, error) {
		if err := r.askRestorable(ctx, files); err != nil {
			return SubdirReport{}, err
		}
		var removed map[string]json.RawMessage
		if err := r.noteRemovals(ctx, true, func(all removalFile) error {
			removed = all.Records
			return all.Files.forget(files, r.subdir, r.now())
		}); err != nil {
			return SubdirReport{}, err
		}
		// What is there now stays. A Prune that was done before may have left the
		// very text that was to be written, which then counts as written.
		stored, err := r.lookedWhole(ctx, files)
		if err != nil {
			return SubdirReport{}, err
		}
		report, err := r.edited(ctx, func(e *edition, report *SubdirReport) error {
			if err := r.followed(ctx, e); err != nil {
				return err
			}
			e.renew = true // likewise, a removal that was lost
			for i, file := range files {
				e.base.Removed = slices.DeleteFunc(e.base.Removed, func(f string) bool { return f == file })
				r.take(e, state{}, file, stored[i].as(removed[file]), report)
			}
			return nil
		})
		if err != nil {
			return report, err
		}
		return report, r.settle(ctx, files, nil)
	})
}

// as has the record that was removed, if that is of the same archive: it may have been
// changed by hand.
func (l looked) as(removed json.RawMessage) looked {
	if removed != nil && sameBytes(removed, l.record) {
		if kept := conda.WithHashes(removed, l.record); readableRecord(kept) {
			l.record = kept
		}
	}
	return l
}

// Restorable asks whether Restore would bring the packages back, and writes nothing.
// Its error is what Restore's would be.
func Restorable(ctx context.Context, s store.Store, keys []string, o Options) error {
	_, err := eachSubdir(ctx, s, keys, o, func(ctx context.Context, r *run, files []string) (SubdirReport, error) {
		return SubdirReport{}, r.askRestorable(ctx, files)
	})
	return err
}

// askRestorable finds what keeps files of a subdir from coming back.
func (r *run) askRestorable(ctx context.Context, files []string) error {
	if _, err := r.lookedWhole(ctx, files); err != nil {
		return err
	}
	all, _, err := r.readRemovals(ctx)
	if err != nil {
		return err
	}
	if err := all.Files.mayReturn(files, r.subdir, r.now()); err != nil {
		return err
	}
	return r.notInstructed(ctx, files)
}

// notInstructed refuses what the patch instructions remove: the next run that follows
// them would take it out again. Of those that cannot be read nobody knows, but that they
// are none where none were followed before, as a reindex takes them.
func (r *run) notInstructed(ctx context.Context, files []string) error {
	o, err := r.read(ctx, patchName)
	if err != nil || !o.exists {
		return err
	}
	patch, err := conda.ParsePatch(o.text)
	if err != nil {
		was, err2 := r.wasPatched(ctx)
		if err2 != nil || !was {
			return err2
		}
		return fmt.Errorf("restore %s/%s: %s/%s may be about it, and cannot be read: correct it, or delete it: %w", r.subdir, files[0], r.subdir, patchName, err)
	}
	for _, file := range files {
		if patch.Removes(file) {
			return fmt.Errorf("restore %s/%s: %s/%s removes it: take it off the list remove there (x.tar.bz2 stands for x.conda, too), run condaworker reindex, and then restore it", r.subdir, file, r.subdir, patchName)
		}
	}
	return nil
}

// wasPatched tells whether instructions changed the index.
func (r *run) wasPatched(ctx context.Context) (bool, error) {
	info, exists, err := head(ctx, r.s, r.subdir+"/"+indexName)
	if err != nil || !exists {
		return false, err
	}
	e := r.successor(&object{info: info})
	err = r.recall(ctx, e)
	return e.meta[metaPatched] != "", err
}

// lookedWhole looks into the packages that are to come back: all must be whole.
func (r *run) lookedWhole(ctx context.Context, files []string) ([]looked, error) {
	stored, err := r.lookAll(ctx, files, nil)
	if err != nil {
		return nil, err
	}
	for i, file := range files {
		bad := stored[i].bad
		if notThere(bad) {
			return nil, fmt.Errorf("restore %s/%s: its file is not stored any more: publish it again, and then restore it: %w", r.subdir, file, fs.ErrNotExist)
		}
		if bad != nil {
			return nil, fmt.Errorf("restore %s/%s: %w", r.subdir, file, bad)
		}
	}
	return stored, nil
}

// eachSubdir does the work for the files of each subdir that keys name.
func eachSubdir(ctx context.Context, s store.Store, keys []string, o Options, work func(context.Context, *run, []string) (SubdirReport, error)) (Report, error) {
	files := map[string][]string{}
	for _, key := range keys {
		subdir := path.Dir(key)
		if !slices.Contains(files[subdir], path.Base(key)) {
			files[subdir] = append(files[subdir], path.Base(key))
		}
	}
	var all Report
	for _, subdir := range slices.Sorted(maps.Keys(files)) {
		r := run{s: s, o: o, subdir: subdir}
		report, err := work(ctx, &r, files[subdir])
		all.Skipped = append(all.Skipped, r.skipped...)
		if err != nil {
			return all, err
		}
		all.Subdirs = append(all.Subdirs, report)
	}
	return all, nil
}

// edited changes the subdir's index, which is made first if there is none.
func (r *run) edited(ctx context.Context, change func(*edition, *SubdirReport) error) (SubdirReport, error) {
	for {
		report, err := r.untilCommitted(ctx, func(ctx context.Context) (SubdirReport, error) {
			r.skipped = nil
			return r.edit(ctx, change)
		})
		if _, none := errors.AsType[*NoIndexError](err); !none {
			return report, err
		}
		if _, err := Reindex(ctx, r.s, Options{Subdirs: []string{r.subdir}, Now: r.o.Now, Log: r.o.Log, Warn: r.o.Warn, Concurrency: r.o.Concurrency}); err != nil {
			return report, err
		}
	}
}

// Find resolves what a user calls packages to their keys in the channel. A name
// is a package's key (linux-64/x-1.0-0.conda), its file name, or, of those that
// are in the index, a match spec with a version (x=1.0, x==1.0=h1234567_0,
// x>=1,<2). A file's name finds what the index lists as removed, too: a command
// that was killed is run again. For a restore, which restoring says, it must be
// one. A name that finds nothing, or too much, is a *NameError.
func Find(ctx context.Context, s store.Store, names []string, restoring bool) ([]string, error) {
	subdirs, err := Subdirs(ctx, s)
	if err != nil {
		return nil, err
	}
	wanted := make([]func(file string, record json.RawMessage) bool, len(names))
	for i, name := range names {
		if wanted[i], err = finder(path.Base(name), restoring); err != nil {
			return nil, err
		}
	}
	found := make([][]string, len(names))
	for _, subdir := range subdirs {
		data, err := readIndex(ctx, s, subdir)
		if err != nil {
			return nil, err
		}
		for file, record := range candidates(data) {
			for i, name := range names {
				if wanted[i](file, record) && (path.Dir(name) == "." || path.Dir(name) == subdir) {
					found[i] = append(found[i], subdir+"/"+file)
				}
			}
		}
	}
	for i, name := range names {
		if found[i] == nil && restoring {
			return nil, &NameError{name, "no package in the index, or removed from it, is called so"}
		}
		if found[i] == nil {
			return nil, &NameError{name, "no package in the index is called so or matches it"}
		}
	}
	keys := slices.Concat(found...)
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// NameError is a name by which Find finds no packages.
type NameError struct{ Name, Reason string }

// Error says which and why.
func (e *NameError) Error() string { return "package " + e.Name + ": " + e.Reason }

// candidates are the files of an index with their records, and those removed
// from it without.
func candidates(data *conda.RepoData) func(func(string, json.RawMessage) bool) {
	return func(yield func(string, json.RawMessage) bool) {
		for file, record := range data.All() {
			if !yield(file, record) {
				return
			}
		}
		for _, file := range data.Removed {
			if !yield(file, nil) {
				return
			}
		}
	}
}

// finder tells which files are meant by a file name or a match spec.
func finder(name string, restoring bool) (func(string, json.RawMessage) bool, error) {
	if isPackage(name) {
		return func(file string, _ json.RawMessage) bool { return file == name }, nil
	}
	if restoring {
		return nil, &NameError{name, "it is not the file name of a package, e.g. x-1.0-h1234567_0.conda"}
	}
	spec, err := conda.ParseMatchSpec(name)
	if err != nil {
		return nil, &NameError{name, err.Error()}
	}
	if !spec.ExactName() || spec.Version() == "" {
		return nil, &NameError{name, "it names no version, and may mean several; name a file, e.g. x-1.0-h1234567_0.conda, or give a version, e.g. x=1.0"}
	}
	return func(file string, raw json.RawMessage) bool {
		var record conda.Record
		return raw != nil && strings.HasPrefix(strings.ToLower(file), strings.ToLower(spec.Name)+"-") && json.Unmarshal(raw, &record) == nil && spec.Match(&record)
	}, nil
}

// readIndex is a subdir's index; a subdir without one has no packages.
func readIndex(ctx context.Context, s store.Store, subdir string) (*conda.RepoData, error) {
	r := run{s: s, subdir: subdir}
	o, err := r.read(ctx, indexName)
	if err != nil || !o.exists {
		return conda.NewRepoData(subdir), err
	}
	data, err := conda.ParseRepoData(o.text)
	if err != nil {
		err = fmt.Errorf("%s: %w; a reindex makes it anew", subdir, err)
	}
	return data, err
}
