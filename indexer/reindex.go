package indexer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// Options say what to index.
type Options struct {
	Subdirs     []string          // only these, and noarch; empty: all that have packages
	Full        bool              // look into every package again
	Check       bool              // write nothing: the report says what would be done
	Concurrency int               // packages looked into at a time; default 16
	Log         func(text string) // told about what is worth knowing; may be nil
}

// Report is what an index run did.
type Report struct {
	Subdirs []SubdirReport `json:"subdirs"`
	Skipped []Skipped      `json:"skipped,omitempty"` // objects that are not in the index
}

// SubdirReport is what was done to one subdir.
type SubdirReport struct {
	Subdir   string   `json:"subdir"`
	Packages int      `json:"packages"`          // in the index now
	Added    []string `json:"added,omitempty"`   // file names
	Updated  []string `json:"updated,omitempty"` // whose bytes had changed
	Removed  []string `json:"removed,omitempty"` // whose object is gone
	Written  int64    `json:"written_bytes"`     // 0 when nothing had changed
	Attempts int      `json:"attempts"`          // more than one: other writers were first
	Stale    []string `json:"stale,omitempty"`   // index objects that a check found missing or old
}

// Skipped is an object that looks like a package and is none.
type Skipped struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`

	passing bool // the reason is not in the object: it may be good the next time
}

const (
	indexName  = "repodata.json"
	zstName    = "repodata.json.zst"
	indexCache = "public, max-age=60"

	attempts   = 12
	firstPause = 200 * time.Millisecond
	longPause  = 10 * time.Second

	// slack is how much older than the index an object must be for its record
	// to be taken from there: it may have been replaced while that index was
	// being made.
	slack = time.Minute

	defaultConcurrency = 16
	maxIndex           = 2 << 30
)

// Reindex writes repodata.json and repodata.json.zst of each subdir, and always
// of noarch, from what is stored. For each subdir it
//
//  1. reads repodata.json with its version,
//  2. lists the packages, after that,
//  3. looks only into those that are not known to be in the index rightly,
//  4. writes repodata.json over the version from step 1: the commit,
//  5. derives repodata.json.zst from what is committed (see derive).
//
// When another writer was first it starts again at 1. So each committed index
// replaces exactly the one it was computed with knowledge of (S0), and names
// only packages that were stored whole before (S2). A package that cannot be
// read is reported and left out; it never stops the run.
func Reindex(ctx context.Context, s store.Store, o Options) (Report, error) {
	subdirs, err := subdirsOf(ctx, s, o.Subdirs)
	if err != nil {
		return Report{}, err
	}
	var all Report
	for _, subdir := range subdirs {
		r := run{s: s, o: o, subdir: subdir}
		report, err := r.untilCommitted(ctx, r.once)
		all.Skipped = append(all.Skipped, r.skipped...)
		if err != nil {
			return all, fmt.Errorf("index %s: %w", subdir, err)
		}
		all.Subdirs = append(all.Subdirs, report)
	}
	return all, nil
}

// subdirsOf is what to index, sorted.
func subdirsOf(ctx context.Context, s store.Store, asked []string) ([]string, error) {
	found := map[string]bool{"noarch": true}
	for _, subdir := range asked {
		found[subdir] = true
	}
	if len(asked) > 0 {
		return slices.Sorted(maps.Keys(found)), nil
	}
	for _, subdir := range conda.Subdirs() {
		for _, err := range s.List(ctx, subdir+"/") {
			if err != nil {
				return nil, err
			}
			found[subdir] = true
			break
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// run is the indexing of one subdir.
type run struct {
	s       store.Store
	o       Options
	subdir  string
	skipped []Skipped
}

// untilCommitted makes attempts until no other writer was first.
func (r *run) untilCommitted(ctx context.Context, once func(context.Context) (SubdirReport, error)) (SubdirReport, error) {
	for attempt := 1; ; attempt++ {
		report, err := once(ctx)
		report.Attempts = attempt
		if !errors.Is(err, store.ErrConflict) || attempt == attempts {
			return report, err
		}
		r.log("another writer was first at " + r.subdir + ": once more")
		if err := pause(ctx, attempt); err != nil {
			return report, err
		}
	}
}

// pause is random up to its bound, so that writers that met do not meet again.
func pause(ctx context.Context, attempt int) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rand.N(min(firstPause<<attempt, longPause))): //nolint:gosec // a pause is no secret
		return nil
	}
}

func (r *run) log(text string) {
	if r.o.Log != nil {
		r.o.Log(text)
	}
}

// object is an index object as it is in the channel.
type object struct {
	info   store.Info
	text   []byte
	exists bool
}

// over is the condition that nobody wrote it since it was read.
func (o object) over() store.Cond {
	if !o.exists {
		return store.IfAbsent
	}
	return store.IfVersion(o.info)
}

func (r *run) read(ctx context.Context, name string) (object, error) {
	body, info, err := r.s.Get(ctx, r.subdir+"/"+name, 0, -1)
	if notThere(err) {
		return object{}, nil
	}
	if err != nil {
		return object{}, err
	}
	text, err := io.ReadAll(io.LimitReader(body, maxIndex))
	return object{info, text, true}, errors.Join(err, body.Close())
}

// once is one attempt, from the reading of the index to its commit.
func (r *run) once(ctx context.Context) (SubdirReport, error) {
	report := SubdirReport{Subdir: r.subdir}
	index, err := r.read(ctx, indexName)
	if err != nil {
		return report, err
	}
	known, err := r.readState(ctx, index.info)
	if err != nil {
		return report, err
	}
	base := r.base(index)
	stored, err := r.stored(ctx, base)
	if err != nil {
		return report, err
	}
	if err := r.merge(ctx, base, known, stored, &report); err != nil {
		return report, err
	}
	if r.o.Check {
		return report, r.check(ctx, base, index, &report)
	}
	if err := r.write(ctx, base, index, &report); err != nil {
		return report, err
	}
	r.writeState(ctx, known, base, stored)
	return report, nil
}

// check notes which index objects write would replace. Packages that came or
// went are in the report already.
func (r *run) check(ctx context.Context, base *conda.RepoData, index object, report *SubdirReport) error {
	report.Packages = len(base.Packages) + len(base.PackagesConda)
	text := base.Encode()
	if !index.exists || !bytes.Equal(index.text, text) {
		report.Stale = append(report.Stale, indexName)
	}
	zst, exists, err := head(ctx, r.s, r.subdir+"/"+zstName)
	if !exists || zst.Meta[metaSource] != hexSHA256(text) {
		report.Stale = append(report.Stale, zstName)
	}
	return err
}

// write commits base over the version that it was made from, and derives the
// rest of the index from it.
func (r *run) write(ctx context.Context, base *conda.RepoData, index object, report *SubdirReport) error {
	report.Packages = len(base.Packages) + len(base.PackagesConda)
	text := base.Encode()
	if !index.exists || !bytes.Equal(index.text, text) {
		in, err := r.s.Put(ctx, r.subdir+"/"+indexName, bytes.NewReader(text), store.PutOptions{
			Cond: index.over(), ContentType: "application/json", CacheControl: indexCache,
		})
		if err != nil {
			return err
		}
		index = object{info: in, text: text, exists: true}
		report.Written += int64(len(text))
	}
	return r.derive(ctx, index, report)
}

// metaSource is the metadata key of a derived object: the sha256 of the
// repodata.json that it was made from.
const metaSource = "repodata-sha256"

// derive brings repodata.json.zst up to date with index, or with what has been
// committed since. It asks for the version of the old object first, then
// whether index is still the newest, and replaces that version alone: whoever
// writes an older text over a newer one meets a conflict, and the last one to
// commit leaves its own. A run that dies before leaves an object that is old
// and right; the next one sees by the metadata that it is old.
func (r *run) derive(ctx context.Context, index object, report *SubdirReport) error {
	for attempt := 1; ; attempt++ {
		zst, exists, err := head(ctx, r.s, r.subdir+"/"+zstName)
		if err != nil {
			return err
		}
		source := hexSHA256(index.text)
		if exists && zst.Meta[metaSource] == source {
			return nil
		}
		now, _, err := head(ctx, r.s, r.subdir+"/"+indexName)
		if err != nil {
			return err
		}
		if now.Version != index.info.Version {
			if index, err = r.read(ctx, indexName); err != nil || !index.exists || attempt == attempts {
				return err // whoever commits so fast derives as well
			}
			continue
		}
		packed := archive.Zstd(index.text)
		_, err = r.s.Put(ctx, r.subdir+"/"+zstName, bytes.NewReader(packed), store.PutOptions{
			Cond: object{info: zst, exists: exists}.over(), Meta: map[string]string{metaSource: source},
			ContentType: "application/zstd", CacheControl: indexCache,
		})
		if !errors.Is(err, store.ErrConflict) {
			report.Written += int64(len(packed))
			return err
		}
		if attempt == attempts {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func hexSHA256(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// base is the index to start from. One that cannot be read is made anew from
// the packages, and that is said.
func (r *run) base(index object) *conda.RepoData {
	fresh := conda.NewRepoData(r.subdir)
	if !index.exists {
		return fresh
	}
	base, err := conda.ParseRepoData(index.text)
	if err != nil {
		r.log(fmt.Sprintf("%s/%s is broken and is made anew from the packages: %v", r.subdir, indexName, err))
		return fresh
	}
	for key, value := range fresh.Other { // what an old or empty index lacks
		if _, found := base.Other[key]; !found {
			base.Other[key] = value
		}
	}
	return base
}

// stored lists the subdir's packages by file name, without those that were
// removed from the index on purpose.
func (r *run) stored(ctx context.Context, base *conda.RepoData) (map[string]store.Info, error) {
	removed := map[string]bool{}
	for _, file := range base.Removed {
		removed[file] = true
	}
	files := map[string]store.Info{}
	for in, err := range r.s.List(ctx, r.subdir+"/") {
		if err != nil {
			return nil, err
		}
		file := strings.TrimPrefix(in.Key, r.subdir+"/")
		if !strings.Contains(file, "/") && isPackage(file) && !removed[file] {
			files[file] = in
		}
	}
	return files, nil
}

func isPackage(file string) bool {
	return strings.HasSuffix(file, ".conda") || strings.HasSuffix(file, ".tar.bz2")
}

// records is the map of base that file belongs to.
func records(base *conda.RepoData, file string) map[string]json.RawMessage {
	if path.Ext(file) == ".conda" {
		return base.PackagesConda
	}
	return base.Packages
}

// merge makes base agree with what is stored.
func (r *run) merge(ctx context.Context, base *conda.RepoData, known state, stored map[string]store.Info, report *SubdirReport) error {
	for ext, all := range map[string]map[string]json.RawMessage{".tar.bz2": base.Packages, ".conda": base.PackagesConda} {
		for file := range all {
			if _, found := stored[file]; !found || !strings.HasSuffix(file, ext) {
				delete(all, file)
				report.Removed = append(report.Removed, file)
			}
		}
	}
	r.skipped = nil
	var fresh []string
	for file, in := range stored {
		switch reason := known.bad(file, in); {
		case !r.o.Full && reason != "":
			r.take(records(base, file), file, looked{bad: badPackage{errors.New(reason)}}, report)
		case r.o.Full || !known.knows(file, records(base, file)[file], in):
			fresh = append(fresh, file)
		}
	}
	slices.Sort(fresh)
	slices.Sort(report.Removed)
	found, err := r.lookAll(ctx, fresh)
	if err != nil {
		return err
	}
	for i, file := range fresh {
		r.take(records(base, file), file, found[i], report)
	}
	slices.SortFunc(r.skipped, func(a, b Skipped) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

func (r *run) take(all map[string]json.RawMessage, file string, l looked, report *SubdirReport) {
	old, had := all[file]
	switch {
	case l.bad != nil:
		delete(all, file) // a record of bytes that are gone would only fail clients
		r.skipped = append(r.skipped, Skipped{r.subdir + "/" + file, l.bad.Error(), notThere(l.bad)})
	case !had:
		report.Added = append(report.Added, file)
		all[file] = l.record
	case !sameBytes(old, l.record):
		report.Updated = append(report.Updated, file)
		all[file] = l.record
	}
}

// sameBytes tells whether two records are of the same archive. The one in the
// index may have been patched since, and stays.
func sameBytes(a, b json.RawMessage) bool {
	var x, y conda.Record
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x.SHA256 == y.SHA256 && x.Size == y.Size
}
