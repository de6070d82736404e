package indexer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// Commit shows packages that were just published to clients: it adds their
// records to the index of their subdirs and lists nothing, so that one more
// package costs a handful of requests however large the channel is. o says no
// more than how: Now, Log, Warn and Concurrency.
//
// Patch instructions hold for them, too, if the index says that a reindex followed
// some: the subdir then costs three requests more.
//
// It keeps S0 as Reindex does: what it writes is the version that it read plus
// records of packages that were stored before (S2), and it replaces no other
// version. An older script that synchronizes an index which it read before does, and
// takes no notice: SubdirReport.Shared says where to look for one. Where the index of
// subdirs is missing or broken, all others are done, and the error is a *NoIndexError
// that names them: Reindex makes it, and that of noarch, without which a channel is none.
func Commit(ctx context.Context, s store.Store, packages []Published, o Options) (Report, error) {
	bySubdir := map[string]map[string]looked{}
	for _, p := range packages {
		subdir := path.Dir(p.Key)
		if bySubdir[subdir] == nil {
			bySubdir[subdir] = map[string]looked{}
		}
		bySubdir[subdir][path.Base(p.Key)] = looked{record: p.Record, runExports: p.RunExports}
	}
	var all Report
	var missing []string
	for _, subdir := range slices.Sorted(maps.Keys(bySubdir)) {
		r := run{s: s, o: o, subdir: subdir}
		report, err := r.untilCommitted(ctx, func(ctx context.Context) (SubdirReport, error) { return r.add(ctx, bySubdir[subdir]) })
		if _, none := errors.AsType[*NoIndexError](err); none {
			missing = append(missing, subdir)
			continue
		}
		all.Skipped = append(all.Skipped, r.skipped...)
		if err != nil {
			return all, fmt.Errorf("index %s: %w", subdir, err)
		}
		all.Subdirs = append(all.Subdirs, report)
	}
	if missing != nil {
		return all, &NoIndexError{missing}
	}
	return all, nil
}

// add is one attempt to add packages to a subdir's index.
func (r *run) add(ctx context.Context, packages map[string]looked) (SubdirReport, error) {
	r.skipped = nil
	return r.edit(ctx, func(e *edition, report *SubdirReport) error {
		if e.meta[metaPatched] != "" { // a channel without instructions pays for none
			if err := r.followed(ctx, e); err != nil {
				return err
			}
		}
		for _, file := range slices.Sorted(maps.Keys(packages)) {
			if slices.Contains(e.base.Removed, file) {
				r.skipped = append(r.skipped, Skipped{Key: r.subdir + "/" + file, Reason: "it was removed from the index on purpose; condaworker channel restore shows it again"})
				continue
			}
			if e.patch.Removes(file) {
				r.skipped = append(r.skipped, Skipped{Key: r.subdir + "/" + file, Reason: r.subdir + "/" + patchName + " removes it from the index"})
			}
			r.take(e, state{}, file, packages[file], report)
		}
		return nil
	})
}

// NoIndexError reports subdirs that have no index, or none that can be read:
// only a listing tells what belongs into it.
type NoIndexError struct{ Subdirs []string }

// Error says it to the user.
func (e *NoIndexError) Error() string {
	return fmt.Sprintf("there is no index of %s that could be changed", strings.Join(e.Subdirs, " and "))
}

// edit is one attempt to change a subdir's index by what is known of it alone.
// The versions of what is derived are asked for before the index is read, so
// that they may be replaced also when there is nothing to commit: an earlier
// run may have died before it derived them. change may follow the instructions.
func (r *run) edit(ctx context.Context, change func(*edition, *SubdirReport) error) (report SubdirReport, err error) {
	report = SubdirReport{Subdir: r.subdir}
	parts, err := r.ask(ctx, derivedNames)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, closeAll(parts)) }()
	index, err := r.read(ctx, indexName)
	if err != nil {
		return report, err
	}
	data, err := readable(index.text)
	if !index.exists || err != nil || !allObjects(data) {
		return report, &NoIndexError{[]string{r.subdir}}
	}
	report.Shared = index.shared(data, r.now())
	e := r.successor(index)
	e.data, e.base, e.part, e.unnamed = data, data, true, !data.HasName()
	if !data.HasEdition() {
		if _, err := r.removedByHand(ctx, e); err != nil {
			return report, err
		}
	}
	if err := change(e, &report); err != nil {
		return report, err
	}
	if err := e.finish(r); err != nil {
		return report, err
	}
	report.Packages = e.data.Len()
	if err := r.askMore(ctx, e, parts); err != nil {
		return report, err
	}
	e.again(parts)
	if e.changed() {
		err = r.commitWithBase(ctx, e, parts, &report)
	} else if len(parts) > len(derivedNames) { // versions that were asked for after the index was read
		err = r.confirm(ctx, e)
	}
	if err != nil {
		return report, err
	}
	return report, r.derive(ctx, e, parts, &report)
}

// allObjects tells whether each record is one: in place of another only the package
// tells what belongs there.
func allObjects(data *conda.RepoData) bool {
	for _, record := range data.All() {
		if record[0] != '{' {
			return false
		}
	}
	return true
}

// askMore asks for the objects that this channel has beside the usual ones.
func (r *run) askMore(ctx context.Context, e *edition, parts map[string]*part) error {
	var names []string
	for _, name := range e.names() {
		if parts[name] == nil {
			names = append(names, name)
		}
	}
	more, err := r.ask(ctx, names)
	maps.Copy(parts, more)
	return err
}
