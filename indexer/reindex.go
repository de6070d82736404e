package indexer

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's ETag
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/indexer/site"
	"github.com/condaworker/condaworker/store"
)

// Options say what to index.
type Options struct {
	Subdirs     []string          // only these, and noarch; empty: all, see Subdirs
	Full        bool              // look into every package again
	Check       bool              // write nothing: the report says what would be done
	Concurrency int               // packages looked into, and shards written, at a time; default 16
	Now         func() time.Time  // the time that new records get; default time.Now
	Log         func(text string) // told about what is worth knowing; may be nil
	Warn        func(text string) // told about what somebody should mend; may be nil
	Current     bool              // write current_repodata.json too; where there is one it is always kept up to date
	ChannelData bool              // write channeldata.json (CEP 38) too; likewise
	RSS         bool              // write rss.xml, and channeldata.json; likewise
	URL         string            // of the channel, for rss.xml
	Patches     map[string][]byte // patch_instructions.json to put in place first, by subdir; see ReadPatches
}

// Report is what an index run did.
type Report struct {
	Subdirs []SubdirReport `json:"subdirs"`
	Skipped []Skipped      `json:"skipped,omitempty"` // objects that were not taken into the index
	Stale   []string       `json:"stale,omitempty"`   // objects of the whole channel that a check found missing or old
}

// SubdirReport is what was done to one subdir.
type SubdirReport struct {
	Subdir   string   `json:"subdir"`
	Packages int      `json:"packages"`          // in the index now
	Added    []string `json:"added,omitempty"`   // file names
	Updated  []string `json:"updated,omitempty"` // whose bytes had changed
	Mended   []string `json:"mended,omitempty"`  // whose records no client could read
	Removed  []string `json:"removed,omitempty"` // whose object is gone
	Written  int64    `json:"written_bytes"`     // 0 when nothing had changed
	Attempts int      `json:"attempts"`          // more than one: other writers were first
	Stale    []string `json:"stale,omitempty"`   // index objects that a check found missing or old, or that do not say of which repodata.json they are
	Swept    int      `json:"swept,omitempty"`   // shards deleted that no index has named for a week

	Shared bool `json:"-"` // after Commit: another indexer has written the index, too, within a month
}

// Add takes in what a later run did. What it did to a subdir that r has already
// is left out.
func (r *Report) Add(later Report) {
	has := r.Subdirs
	for _, s := range later.Subdirs {
		if !slices.ContainsFunc(has, func(was SubdirReport) bool { return was.Subdir == s.Subdir }) {
			r.Subdirs = append(r.Subdirs, s)
		}
	}
	r.Skipped = append(r.Skipped, later.Skipped...)
}

// Skipped is an object that looks like a package and is none, lies where no client
// looks, or may not be read.
type Skipped struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
	Kept   bool   `json:"kept,omitempty"` // the index has its record from before, which may be right

	passing bool // the reason is not in the object: it may be good the next time
}

const (
	indexName   = "repodata.json"
	zstName     = "repodata.json.zst"
	currentName = "current_repodata.json"
	indexCache  = "public, max-age=60"

	attempts = 12

	noarch = "noarch" // the subdir of what any platform can install

	defaultConcurrency = 16
	maxIndex           = 2 << 30
)

// Reindex writes the index of each subdir, and always of noarch, from what is
// stored. For each subdir it
//
//  1. reads repodata.json with its version,
//  2. lists the subdir, after that,
//  3. looks only into packages that are not known to be in the index rightly,
//  4. writes repodata.json over the version from step 1: the commit,
//  5. derives the other index objects from what is committed (see derive).
//
// When another writer was first it starts again at 1. So each committed index
// replaces exactly the one it was computed with knowledge of (S0), and names
// only packages that were stored whole before (S2). A package that cannot be
// read is reported and left out; it never stops the run.
func Reindex(ctx context.Context, s store.Store, o Options) (Report, error) {
	t, err := listTop(ctx, s)
	if err != nil {
		return Report{}, err
	}
	subdirs, doubtful, err := t.subdirs(ctx, s)
	if err != nil {
		return Report{}, err
	}
	var all Report
	indexed := subdirs
	if len(o.Subdirs) > 0 {
		indexed = withNoarch(o.Subdirs)
	} else if all.Skipped, err = t.strays(ctx, s); err != nil {
		return all, err
	} else {
		all.Skipped = append(all.Skipped, doubtful...)
	}
	o.warnOfPatches(indexed)
	for _, subdir := range noarchFirst(indexed) {
		r := run{s: s, o: o, subdir: subdir, before: map[string]sight{}}
		report, err := r.untilCommitted(ctx, r.once)
		all.Skipped = append(all.Skipped, r.skipped...)
		if err != nil {
			return all, fmt.Errorf("index %s: %w", subdir, err)
		}
		all.Subdirs = append(all.Subdirs, report)
	}
	slices.SortFunc(all.Subdirs, func(a, b SubdirReport) int { return strings.Compare(a.Subdir, b.Subdir) })
	r := run{s: s, o: o}
	stale, err := r.channelData(ctx, t, withNoarch(append(subdirs, indexed...)))
	if err != nil {
		return all, err
	}
	if o.Check {
		all.Stale = stale
		return all, nil
	}
	text, err := site.ChannelPage(withNoarch(append(subdirs, indexed...)))
	if err != nil {
		return all, err
	}
	return all, r.page(ctx, site.PageName, text, &object{info: t.page, exists: t.paged})
}

// withNoarch are the subdirs, sorted, and noarch: a channel must have it.
func withNoarch(subdirs []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(append([]string{noarch}, subdirs...))))
}

// noarchFirst is the order in which subdirs are indexed: a channel must have
// noarch, and who finds an index of another subdir takes it for granted.
func noarchFirst(subdirs []string) []string {
	all := []string{noarch}
	for _, subdir := range subdirs {
		if subdir != noarch {
			all = append(all, subdir)
		}
	}
	return all
}

// top is what a channel has beside its subdirs' objects.
type top struct {
	folders []string
	page    store.Info // index.html
	paged   bool       // it is there
	has     map[string]bool
}

func listTop(ctx context.Context, s store.Store) (t top, err error) {
	t.has = map[string]bool{}
	for in, err := range s.List(ctx, "", store.ListOptions{Shallow: true}) {
		if err != nil {
			return t, err
		}
		if folder, ok := strings.CutSuffix(in.Key, "/"); ok {
			t.folders = append(t.folders, folder)
		} else if in.Key == site.PageName {
			t.page, t.paged = in, true
		}
		t.has[in.Key] = true
	}
	return t, nil
}

// Subdirs are the subdirs of a channel, sorted: what a reindex indexes.
func Subdirs(ctx context.Context, s store.Store) ([]string, error) {
	t, err := listTop(ctx, s)
	if err != nil {
		return nil, err
	}
	subdirs, _, err := t.subdirs(ctx, s)
	return subdirs, err
}

// Exists tells whether there is a channel: noarch has an index, or there is
// another subdir.
func Exists(ctx context.Context, s store.Store) (bool, error) {
	_, exists, err := head(ctx, s, noarch+"/"+indexName)
	if exists || err != nil {
		return exists, err
	}
	subdirs, err := Subdirs(ctx, s)
	return len(subdirs) > 1, err // noarch is always one of them
}

// subdirs are, sorted, the folders of the channel that conda's tools know for a
// subdir, or that can be one and are in use; and noarch. doubtful are those that can
// be one and cannot be listed.
func (t top) subdirs(ctx context.Context, s store.Store) (found []string, doubtful []Skipped, err error) {
	for _, folder := range t.folders {
		if !conda.CanBeSubdir(folder) {
			continue
		}
		used := conda.IsSubdir(folder)
		if !used {
			used, err = inUse(ctx, s, folder)
			if closed(err) {
				doubtful = append(doubtful, shut(folder, err))
			} else if err != nil {
				return nil, nil, err
			}
		}
		if used {
			found = append(found, folder)
		}
	}
	return withNoarch(found), doubtful, nil
}

// inUse tells whether a folder has a package, or had one when it was indexed. A
// foreign index alone may be somebody's copy, which is not to be emptied.
func inUse(ctx context.Context, s store.Store, folder string) (bool, error) {
	for in, err := range s.List(ctx, folder+"/", store.ListOptions{Shallow: true}) {
		if err != nil || isPackage(in.Key) || in.Key == folder+"/"+stateName {
			return err == nil, err
		}
	}
	return false, nil
}

// run is the indexing of one subdir.
type run struct {
	s       store.Store
	o       Options
	subdir  string
	skipped []Skipped
	looked  int // packages that the last attempt looked into

	before map[string]sight // what earlier attempts saw, by file name
}

// sight is what came of looking into an object as it was listed.
type sight struct {
	listed store.Info
	looked
}

// untilCommitted makes attempts until no other writer was first.
func (r *run) untilCommitted(ctx context.Context, once func(context.Context) (SubdirReport, error)) (SubdirReport, error) {
	named := 0
	for attempt := 1; ; attempt++ {
		report, err := once(ctx)
		report.Attempts = attempt - named
		if !errors.Is(err, store.ErrConflict) || attempt == attempts {
			return report, err
		}
		if errors.Is(err, errNamed) {
			named++
			continue
		}
		r.log("another writer was first at " + r.subdir + ": once more")
		if err := store.Backoff(ctx, attempt); err != nil {
			return report, err
		}
	}
}

func (r *run) log(text string) {
	if r.o.Log != nil {
		r.o.Log(text)
	}
}

func (r *run) warn(text string) {
	if r.o.Warn != nil {
		r.o.Warn(text)
	}
}

func (r *run) now() time.Time {
	if r.o.Now != nil {
		return r.o.Now()
	}
	return time.Now()
}

// once is one attempt, from the reading of the index to what is derived from
// it.
func (r *run) once(ctx context.Context) (SubdirReport, error) {
	report := SubdirReport{Subdir: r.subdir}
	r.skipped = nil
	if err := r.instruct(ctx); err != nil {
		return report, err
	}
	index, err := r.read(ctx, indexName)
	if err != nil {
		return report, err
	}
	e := r.successor(index)
	e.parse(r)
	stored, err := r.list(ctx, e.data)
	if err != nil {
		return report, err
	}
	known, err := r.readState(ctx, index.info, stored)
	if err != nil {
		return report, err
	}
	if _, found := stored.others[removedName]; found && !e.data.HasEdition() {
		back, err := r.removedByHand(ctx, e)
		if err != nil {
			return report, err
		}
		r.warnOfReturns(back)
	}
	e.patched(known)
	if err := r.complete(ctx, e, stored); err != nil {
		return report, err
	}
	parts := stored.parts(e.names(), known)
	if err := r.overtaken(ctx, e, parts); err != nil {
		return report, err
	}
	if err := r.merge(ctx, e, known, stored.packages, &report); err != nil {
		return report, err
	}
	if err := e.finish(r); err != nil {
		return report, err
	}
	report.Packages = e.data.Len()
	folder, err := r.shardsDue(ctx, known)
	if err != nil {
		return report, err
	}
	if r.o.Check {
		return report, r.check(ctx, e, parts, &report)
	}
	e.shards = folder
	e.again(parts)
	if err := r.write(ctx, e, parts, &report); err != nil {
		return report, err
	}
	if folder != nil {
		known.swept.Swept = r.now().Unix()
		if known.swept.Unnamed, report.Swept, err = r.sweep(ctx, folder, known.swept.Unnamed); err != nil {
			r.warn(fmt.Sprintf("delete old shards of %s: %v", r.subdir, err))
		}
	}
	r.writeState(ctx, known, e, stored, parts)
	page, err := site.SubdirPage(r.subdir)
	if err != nil {
		return report, err
	}
	in, paged := stored.others[site.PageName]
	return report, r.page(ctx, r.subdir+"/"+site.PageName, page, &object{info: in, exists: paged})
}

// check notes which index objects write would replace. Packages that came or
// went are in the report already.
func (r *run) check(ctx context.Context, e *edition, parts map[string]*part, report *SubdirReport) error {
	instructed := e.meta[metaPatched] == e.index.info.Meta[metaPatched]
	if !e.index.exists || e.source != e.was() || !instructed {
		report.Stale = append(report.Stale, indexName)
	}
	for _, name := range e.names() {
		p := parts[name]
		if err := r.learnSource(ctx, p); err != nil {
			return err
		}
		if !p.exists || p.source != e.source {
			report.Stale = append(report.Stale, name)
		}
	}
	missing, err := r.missingShards(ctx, parts[shards.IndexName])
	report.Stale = append(report.Stale, missing...)
	return err
}

// write commits e over the version that it was made from, and derives the rest
// of the index from it. What is derived is written over versions that were
// seen before the commit, or before index was seen to be the newest.
func (r *run) write(ctx context.Context, e *edition, parts map[string]*part, report *SubdirReport) error {
	if e.index.exists && !e.changed() {
		if current, err := r.current(ctx, e, parts); err != nil || current {
			return err
		}
		if err := r.confirm(ctx, e); err != nil {
			return err
		}
		return r.derive(ctx, e, parts, report)
	}
	if err := r.commitWithBase(ctx, e, parts, report); err != nil {
		return err
	}
	return r.derive(ctx, e, parts, report)
}

// commitWithBase commits e, and keeps the records as they are, if instructions change them.
func (r *run) commitWithBase(ctx context.Context, e *edition, parts map[string]*part, report *SubdirReport) error {
	if e.unnamed {
		return r.name(ctx, e)
	}
	if e.patch != nil { // first the records as they are: from patched ones alone nobody can tell what the instructions hid
		written, err := r.deriveOne(ctx, e, unpatchedKey, parts)
		if err != nil {
			return err
		}
		report.Written += written
	}
	return r.commit(ctx, e, report)
}

// confirm makes sure that no other index was committed since e's was read.
func (r *run) confirm(ctx context.Context, e *edition) error {
	now, _, err := head(ctx, r.s, r.subdir+"/"+indexName)
	if err == nil && now.Version != e.index.info.Version {
		err = fmt.Errorf("derive from %s: %w", indexName, store.ErrConflict)
	}
	return err
}

// commit puts e's text in place of the one that it was made from.
func (r *run) commit(ctx context.Context, e *edition, report *SubdirReport) error {
	e.pack()
	in, err := r.s.Put(ctx, r.subdir+"/"+indexName, e.text.Reader(), store.PutOptions{
		Cond: e.index.over(), Meta: e.meta, ContentType: "application/json", CacheControl: indexCache,
	})
	if err != nil {
		return err
	}
	e.index = &object{info: in, exists: true}
	clear(e.dropped)
	report.Written += e.text.Len()
	return nil
}

// page puts a page in the place of the one that a listing saw, unless that is
// the same. It changes only with the program or with the channel's subdirs. Of
// two runs the later one need not win: the next one mends it.
func (r *run) page(ctx context.Context, key string, text []byte, there *object) error {
	if there.exists && there.info.Size == int64(len(text)) {
		if strings.Trim(there.info.Version, `"`) == hexMD5(text) { // an ETag of S3's
			return nil
		}
		body, info, err := r.s.Get(ctx, key, 0, -1)
		if err != nil {
			return err
		}
		stored := object{body: body, info: info}
		was, err := stored.bytes()
		if replaced := errors.Is(err, store.ErrConflict); !replaced && (err != nil || bytes.Equal(was, text)) {
			return err
		}
	}
	_, err := r.s.Put(ctx, key, bytes.NewReader(text), store.PutOptions{Cond: there.over(), ContentType: "text/html; charset=utf-8", CacheControl: indexCache})
	if errors.Is(err, store.ErrConflict) {
		r.log(key + " was written by another meanwhile")
		return nil
	}
	return err
}

func hexMD5(text []byte) string {
	sum := md5.Sum(text) //nolint:gosec // S3's own
	return hex.EncodeToString(sum[:])
}

func hexSHA256(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
