package indexer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// PruneOptions say what a channel does not need any more.
type PruneOptions struct {
	KeepBuilds int           // how many build numbers of a version stay in the index; 0: all
	Grace      time.Duration // how long the object of a removed package stays
	DryRun     bool          // only report
}

// Pruned is what Prune did, or would do. All are keys, e.g.
// linux-64/x-1.0-0.conda.
type Pruned struct {
	Removed []string `json:"removed,omitempty"` // from the index
	Deleted []string `json:"deleted,omitempty"` // objects
	Waiting []string `json:"waiting,omitempty"` // objects of removed packages whose grace is not over
	Needed  []string `json:"needed,omitempty"`  // older builds that stay since a package that stays asks for them
}

// Prune removes from the index the builds of a version that have newer ones,
// and deletes the objects of packages that were removed a grace ago. Of each
// package, version and variant (the build string without hash and number) the
// KeepBuilds highest build numbers stay, and what a package that stays can get
// on its platform in no newer build. Only objects of packages that Remove or Prune took out are
// deleted: what patch instructions or another tool hide may be meant to come
// back.
func Prune(ctx context.Context, s store.Store, p PruneOptions, o Options) (Pruned, error) {
	subdirs, err := Subdirs(ctx, s)
	if err != nil {
		return Pruned{}, err
	}
	var done Pruned
	if p.KeepBuilds > 0 {
		all, err := indexedPackages(ctx, s, subdirs)
		if err != nil {
			return done, err
		}
		done.Removed, done.Needed = superseded(all, p.KeepBuilds)
		if !p.DryRun {
			removed, err := Remove(ctx, s, done.Removed, o)
			if err != nil {
				done.Removed = removed.removed()
				return done, fmt.Errorf("remove from the index: %w", err)
			}
		}
	}
	for _, subdir := range subdirs {
		r := run{s: s, o: o, subdir: subdir}
		if err := r.deleteRemoved(ctx, p, &done); err != nil {
			return done, fmt.Errorf("delete removed packages of %s: %w", subdir, err)
		}
	}
	return done, nil
}

// removed are the keys of what was taken out of the index.
func (r *Report) removed() (keys []string) {
	for _, s := range r.Subdirs {
		for _, file := range s.Removed {
			keys = append(keys, s.Subdir+"/"+file)
		}
	}
	return keys
}

// build is a package in the index.
type build struct {
	key    string
	record conda.Record
}

func indexedPackages(ctx context.Context, s store.Store, subdirs []string) ([]build, error) {
	var all []build
	for _, subdir := range subdirs {
		data, err := readIndex(ctx, s, subdir)
		if err != nil {
			return nil, err
		}
		for file, raw := range data.All() {
			b := build{key: subdir + "/" + file}
			if err := json.Unmarshal(raw, &b.record); err != nil {
				return nil, fmt.Errorf("read the record of %s: %w; condaworker reindex --full makes it anew", b.key, err)
			}
			b.record.Subdir = subdir
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b build) int { return strings.Compare(a.key, b.key) })
	return all, nil
}

// variant is the build string of a record without what says nothing of the
// variant: its build number and a hash. Another number at its end, as in py311,
// is part of it.
func variant(r conda.Record) string {
	text := r.Build
	number := strconv.Itoa(r.BuildNumber)
	if text == number {
		return ""
	}
	text = strings.TrimSuffix(text, "_"+number)
	if at := len(text) - hashLength; at >= 0 && text[at] == 'h' && strings.Trim(text[at+1:], "0123456789abcdef") == "" {
		text = strings.TrimSuffix(text[:at], "_")
	}
	return text
}

// hashLength is that of the hash in a build string, e.g. h1234567.
const hashLength = 8

// superseded are the keys of builds that have keep newer ones, without those
// that are needed.
func superseded(all []build, keep int) (old, needed []string) {
	type line struct{ subdir, name, version, variant string }
	of := func(b build) line {
		return line{b.record.Subdir, b.record.Name, b.record.Version, variant(b.record)}
	}
	numbers := map[line][]int{}
	for _, b := range all {
		numbers[of(b)] = append(numbers[of(b)], b.record.BuildNumber)
	}
	lowest := map[line]int{} // that stays
	for l, has := range numbers {
		slices.Sort(has)
		has = slices.Compact(has)
		lowest[l] = has[max(0, len(has)-keep)]
	}
	gone := map[string]bool{}
	for _, b := range all {
		gone[b.key] = b.record.BuildNumber < lowest[of(b)]
	}
	needed = keepNeeded(all, gone)
	for _, b := range all {
		if gone[b.key] {
			old = append(old, b.key)
		}
	}
	return old, needed
}

// keepNeeded takes back what a package that stays depends on and finds in no
// build that stays: of those that satisfy it the highest build number. A
// package of noarch is looked at on each platform that it may come to.
func keepNeeded(all []build, gone map[string]bool) (needed []string) {
	offers := offersOf(all, gone)
	platforms := platformsOf(all)
	type question struct{ platform, spec string }
	asked := map[question]bool{} // many packages ask for the same, and what was answered once stays so
	stay := slices.DeleteFunc(slices.Clone(all), func(b build) bool { return gone[b.key] })
	for len(stay) > 0 {
		b := stay[0]
		stay = stay[1:]
		on := []string{b.record.Subdir}
		if b.record.Subdir == noarch {
			on = platforms
		}
		for _, platform := range on {
			for _, spec := range b.record.Depends {
				if q := (question{platform, spec}); !asked[q] {
					asked[q] = true
					if back, found := offers.lacking(platform, spec, gone); found {
						gone[back.key] = false
						needed, stay = append(needed, back.key), append(stay, back)
					}
				}
			}
		}
	}
	slices.Sort(needed)
	return needed
}

// platformsOf are the subdirs that have packages, and noarch: it stands for the
// platforms that the channel has nothing else for.
func platformsOf(all []build) []string {
	found := map[string]bool{noarch: true}
	for _, b := range all {
		found[b.record.Subdir] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// offers are the builds that a subdir has of each name. Only names of which a
// build is to go are there.
type offers map[offer][]build

type offer struct{ subdir, name string }

func offersOf(all []build, gone map[string]bool) offers {
	hasOld := map[string]bool{}
	for _, b := range all {
		hasOld[b.record.Name] = hasOld[b.record.Name] || gone[b.key]
	}
	o := offers{}
	for _, b := range all {
		if at := (offer{b.record.Subdir, b.record.Name}); hasOld[at.name] {
			o[at] = append(o[at], b)
		}
	}
	return o
}

// lacking is the build that has to come back for who asks for spec on platform,
// if no build that stays and is found there satisfies it.
func (o offers) lacking(platform, text string, gone map[string]bool) (back build, found bool) {
	spec, err := conda.ParseMatchSpec(text)
	if err != nil {
		return build{}, false
	}
	for _, subdir := range slices.Compact([]string{platform, noarch}) {
		for _, b := range o[offer{subdir, spec.Name}] {
			switch {
			case !spec.Match(&b.record):
			case !gone[b.key]:
				return build{}, false
			case !found || b.record.BuildNumber > back.record.BuildNumber:
				back, found = b, true
			}
		}
	}
	return back, found
}

// deleteRemoved deletes the objects of packages that were removed a grace ago.
// Each is marked before: a Restore either comes first, and the mark is not
// made, or sees the mark and gives up. The index is written anew after that, so
// that the write of a Restore which was lost before cannot land any more, and a
// package that it names is not deleted.
func (r *run) deleteRemoved(ctx context.Context, p PruneOptions, done *Pruned) error {
	var due, waiting []string
	sort := func(all removalFile) error { // by what is newer than they are
		data, err := readIndex(ctx, r.s, r.subdir)
		if err != nil {
			return err
		}
		l, err := r.list(ctx, data)
		due, waiting = all.Files.due(data, l, r.now(), p.Grace)
		all.dropRecords(data)
		return err
	}
	var err error
	if p.DryRun {
		var file removalFile
		if file, _, err = r.readRemovals(ctx); err == nil {
			err = sort(file)
		}
	} else {
		err = r.noteRemovals(ctx, false, sort)
	}
	if err != nil {
		return err
	}
	for _, file := range waiting {
		done.Waiting = append(done.Waiting, r.subdir+"/"+file)
	}
	if !p.DryRun {
		due, err = r.deleteMarked(ctx, due)
	}
	for _, file := range due {
		done.Deleted = append(done.Deleted, r.subdir+"/"+file)
	}
	return err
}

// due marks and returns the files whose grace is over; the others wait. Those
// that are in the index again, or whose object is gone, are forgotten after a
// while: a Remove may just have noted them, and write the index next. A mark stays
// in any case: whoever made it may be about to delete, or have deleted a moment ago.
func (all removals) due(data *conda.RepoData, l listing, now time.Time, grace time.Duration) (due, waiting []string) {
	for _, file := range slices.Sorted(maps.Keys(all)) {
		was := all[file]
		if was.At > was.Deleted && !was.ending(now) { // what came in the place of a deleted one was removed, too
			was = removal{At: was.At}
			all[file] = was
		}
		age := now.Sub(time.Unix(was.At, 0))
		_, found := data.Record(file)
		indexed := found && data.HasEdition() // another indexer finds all that is stored
		_, stored := l.packages[file]
		switch {
		case was.Deleting && !was.ending(now):
			delete(all, file)
		case was.Deleted != 0:
		case !was.Deleting && (indexed || !stored):
			if age >= landsWithin {
				delete(all, file)
			}
		case !was.Deleting && age < grace:
			waiting = append(waiting, file)
		default:
			all[file] = removal{At: was.At, Deleting: true}
			due = append(due, file)
		}
	}
	return due, waiting
}

// deleteMarked deletes the objects that the index still lists as removed, and
// returns them.
func (r *run) deleteMarked(ctx context.Context, marked []string) (deleted []string, err error) {
	if len(marked) == 0 {
		return nil, nil
	}
	var removed []string
	if _, err := r.edited(ctx, func(e *edition, _ *SubdirReport) error {
		removed = slices.DeleteFunc(slices.Clone(marked), func(file string) bool {
			_, indexed := e.base.Record(file)
			return indexed || !slices.Contains(e.base.Removed, file)
		})
		e.renew = len(removed) > 0
		return nil
	}); err != nil {
		return nil, err
	}
	for _, file := range removed {
		if err := r.s.Delete(ctx, r.subdir+"/"+file); err != nil {
			return deleted, err
		}
		deleted = append(deleted, file)
	}
	now := r.now().Unix()
	return deleted, r.noteRemovals(ctx, false, func(all removalFile) error {
		for _, file := range deleted {
			all.Files[file] = removal{At: all.Files[file].At, Deleting: true, Deleted: now}
		}
		return nil
	})
}
