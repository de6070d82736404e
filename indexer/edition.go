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
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// edition is a version of a subdir's index in the making: what it replaces,
// and what it says.
type edition struct {
	subdir string
	index  *object           // the repodata.json that it replaces, or is once committed
	base   *conda.RepoData   // records as their packages have them
	data   *conda.RepoData   // records as clients see them: base, patched
	patch  *conda.Patch      // nil: there are no instructions, or none that were read
	meta   map[string]string // of repodata.json
	text   *conda.Text       // repodata.json
	source string            // the sha256 of text
	packed func() packed     // text, compressed; nil: nobody has begun to

	was        func() string              // the sha256 of the text it replaces, "" if that was none
	files      map[string]bool            // by which the two differ
	all        bool                       // or any other
	instructed bool                       // patch is what the subdir's instructions say: nil, there are none
	unnamed    bool                       // it replaces a text that another indexer may write again
	renew      bool                       // it is written also when nothing in it has changed
	part       bool                       // only these files are known to be right: nothing was listed
	learnt     map[string]json.RawMessage // run_exports of packages that were looked into
	exports    *conda.RunExports          // of all, once they are asked for
	lost       bool                       // of some they should be known and are not: a run that lists the subdir looks again
	dropped    map[string]json.RawMessage // records that it takes out, until it is committed; see unpatchedText
	shards     *shardFolder               // nil: not looked at
}

// metadata of repodata.json
const (
	metaAlso    = "also"    // further objects that are derived, separated by blanks
	metaShards  = "shards"  // there are shards, or a run died that was about to write them
	metaOthers  = "others"  // when an index of another indexer was replaced last, in seconds since 1970
	metaPatched = "patched" // the records are not those of repodata_from_packages.json: a hash of the instructions that changed them
)

const (
	patchName    = "patch_instructions.json"
	unpatchedKey = "repodata_from_packages.json"

	shortSum = 16 // digits that tell two instructions from one another
)

// complete adds to a parsed edition what the listing says of the index's other
// objects.
func (r *run) complete(ctx context.Context, e *edition, l listing) error {
	e.meta[metaShards] = "yes"
	e.also(l, r.o.Current)
	_, instructed := l.others[patchName]
	_, kept := l.others[unpatchedKey]
	return r.follow(ctx, e, instructed, kept)
}

// follow makes e's base the records as their packages have them, for finish to change
// them by the subdir's instructions. The caller says whether there may be instructions,
// and records that were kept when earlier ones were followed.
func (r *run) follow(ctx context.Context, e *edition, instructed, kept bool) error {
	sum, err := r.instructions(ctx, e, instructed)
	if err != nil || !e.instructed || e.patch == nil && (e.meta[metaPatched] == "" || !kept) {
		return err
	}
	e.all = true
	was := e.meta[metaPatched]
	e.base, err = r.unpatched(ctx, e, was != "" && (was != sum || e.described()))
	if e.patch == nil {
		delete(e.meta, metaPatched)
	} else {
		e.meta[metaPatched] = sum
	}
	return err
}

// followed is follow where nothing was listed: what only the records that were kept have
// may be stored no more.
func (r *run) followed(ctx context.Context, e *edition) error {
	if err := r.recall(ctx, e); err != nil {
		return err
	}
	if err := r.follow(ctx, e, true, true); err != nil {
		return err
	}
	removed := setOf(e.data.Removed)
	var unsure []string
	for file := range e.base.All() {
		if _, found := e.data.Record(file); !found && !removed[file] {
			unsure = append(unsure, file)
		}
	}
	for _, file := range unsure {
		e.base.Delete(file)
	}
	return nil
}

// recall asks the state what the index's metadata said, if that is lost.
func (r *run) recall(ctx context.Context, e *edition) error {
	if e.described() {
		return nil
	}
	known, err := r.readState(ctx, e.index.info, listing{others: map[string]store.Info{stateName: {}}})
	e.patched(known)
	return err
}

// described tells whether the index has the metadata that our runs give it. What another
// indexer, a hand or a copy leaves has none.
func (e *edition) described() bool { return e.index.info.Meta[metaShards] != "" }

// patched notes what a run knew of the index that has lost its metadata since.
func (e *edition) patched(known state) {
	if !e.described() && known.patched != "" {
		e.meta[metaPatched] = known.patched
	}
}

// also notes what further objects are kept up to date: current_repodata.json, once
// there was one or it is asked for, and what another indexer made, while it is there.
func (e *edition) also(l listing, current bool) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(makers)) {
		_, listed := l.others[name]
		if name == currentName && (listed || current || slices.Contains(strings.Fields(e.meta[metaAlso]), name)) || makers[name].kept && listed {
			names = append(names, name)
		}
	}
	delete(e.meta, metaAlso)
	if names != nil {
		e.meta[metaAlso] = strings.Join(names, " ")
	}
}

// successor is an edition that will replace index.
func (r *run) successor(index *object) *edition {
	e := &edition{
		subdir: r.subdir, index: index, was: noText, meta: map[string]string{}, files: map[string]bool{},
		learnt: map[string]json.RawMessage{}, dropped: map[string]json.RawMessage{},
	}
	maps.Copy(e.meta, index.info.Meta)
	if index.exists {
		e.was = meanwhile(func() string { return hexSHA256(index.text) })
	}
	return e
}

// follows tells whether p was made from the text that e replaces, so that it is
// right but for the files by which the two differ.
func (e *edition) follows(p *part) bool { return !e.all && p.source != "" && p.source == e.was() }

func noText() string { return "" }

// touched are the files of which e says anything new.
func (e *edition) touched() map[string]bool {
	files := maps.Clone(e.files)
	for file := range e.learnt {
		files[file] = true
	}
	return files
}

var (
	errNothing = errors.New("it has no packages and no info")
	errNotUTF8 = errors.New("it is not UTF-8")
)

// readable reads an index to write another in its place. For readers a file
// without anything in it is an empty index (CEP 36); but no indexer writes one:
// it was cut, or made by hand to begin a channel.
func readable(text []byte) (*conda.RepoData, error) {
	data, err := conda.ParseRepoData(text)
	switch {
	case err != nil:
	case data.Len() == 0 && len(data.Other) == 0:
		err = fmt.Errorf("read %s: %w", indexName, errNothing)
	case !utf8.Valid(text): // which only some parsers pass over
		err = fmt.Errorf("read %s: %w", indexName, errNotUTF8)
	}
	return data, err
}

// parse starts from the records of the stored index. One that cannot be read is
// made anew from the packages, and that is said.
func (e *edition) parse(r *run) {
	e.data = conda.NewRepoData(e.subdir)
	e.base = e.data
	if !e.index.exists {
		return
	}
	fresh := e.data
	data, err := readable(e.index.text)
	if errors.Is(err, errNothing) && len(e.index.text) > 0 {
		return
	}
	if err != nil {
		says := "is broken and is made anew from the packages"
		if r.o.Check {
			says = "is broken, and a reindex makes it anew from the packages"
		}
		r.warn(fmt.Sprintf("%s/%s %s: %v", e.subdir, indexName, says, err))
		e.all = true
		return
	}
	for key, value := range fresh.Other { // what an old or empty index lacks
		if _, found := data.Other[key]; !found {
			data.Other[key] = value
		}
	}
	e.unnamed = !data.HasName()
	data.SetSubdir(e.subdir)
	e.data, e.base = data, data
}

// removedByHand takes out again what somebody took out, where the list of that was
// lost with the index, or another indexer wrote over it, who finds all that is stored.
// It returns what was in the index.
func (r *run) removedByHand(ctx context.Context, e *edition) (back []string, err error) {
	byHand, _, err := r.readRemovals(ctx)
	if err != nil {
		return nil, err
	}
	listed := setOf(e.base.Removed)
	for _, file := range slices.Sorted(maps.Keys(byHand.Files)) {
		if _, found := e.base.Record(file); found {
			e.drop(file)
			back = append(back, file)
		}
		if !listed[file] {
			e.base.Removed = append(e.base.Removed, file)
		}
	}
	return back, nil
}

// warnOfReturns names what removedByHand takes out of another indexer's index.
func (r *run) warnOfReturns(back []string) {
	if len(back) == 0 {
		return
	}
	says := "it is taken out once more"
	if r.o.Check {
		says = "a reindex takes it out once more"
	}
	r.warn(fmt.Sprintf("%s: another indexer took in again what channel remove had taken out: %s; %s", r.subdir, strings.Join(back, ", "), says))
}

// instructions tell e what the subdir's patch instructions say, and return a hash
// of their text; "" when there are none. With instructions that cannot be read
// the records stay as clients see them now: without any, what was withdrawn would
// come back.
func (r *run) instructions(ctx context.Context, e *edition, exist bool) (sum string, err error) {
	o := &object{}
	if exist {
		if o, err = r.read(ctx, patchName); err != nil {
			return "", err
		}
	}
	e.instructed = true
	if !o.exists {
		return "", nil
	}
	if e.patch, err = conda.ParsePatch(o.text); err != nil {
		e.instructed = false
		r.skip(r.subdir+"/"+patchName, err.Error()+"; correct it: until then no record is patched anew")
		return "", nil
	}
	return hexSHA256(o.text)[:shortSum], nil
}

// unpatched are the records as their packages have them: those that were kept
// when the index was patched, and those that came since. earlier says that whatever
// differs between the two may be of earlier instructions; else it is of e's, or of a
// hand, and then it stays.
func (r *run) unpatched(ctx context.Context, e *edition, earlier bool) (*conda.RepoData, error) {
	data := e.data
	o, err := r.read(ctx, unpatchedKey)
	if err != nil {
		return nil, err
	}
	base, err := conda.ParseRepoData(o.text)
	if err != nil {
		r.warn(fmt.Sprintf("%s/%s is broken: the records in %s are taken for those of the packages: %v", r.subdir, unpatchedKey, indexName, err))
		base = conda.NewRepoData(r.subdir)
	}
	base.Other, base.V3Other = data.Other, data.V3Other
	byHand, _, err := r.readRemovals(ctx)
	if err != nil {
		return nil, err
	}
	base.Removed = removedNow(base, e, earlier, byHand.Files)
	removed := setOf(base.Removed)
	for file := range removed {
		base.Delete(file)
	}
	if !earlier {
		if err := e.keepEdits(base); err != nil {
			return nil, err
		}
	}
	for file, record := range data.All() {
		if _, found := base.Record(file); !found && !removed[file] {
			base.Set(file, record)
		}
	}
	return base, nil
}

// keepEdits takes into base, of what e's index says of its records, what e's instructions
// do not explain.
func (e *edition) keepEdits(base *conda.RepoData) error {
	changes := *e.patch
	changes.Remove = nil
	patched, err := changes.Apply(base)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", e.subdir, patchName, err)
	}
	for file, seen := range e.data.All() {
		own, found := base.Record(file)
		explained, _ := patched.Record(file)
		switch {
		case !found, bytes.Equal(explained, seen):
			continue
		case sameBytes(seen, own):
			seen, err = conda.WithEdits(own, explained, seen, e.meta[metaPatched] == "")
		}
		if err != nil {
			return fmt.Errorf("%s/%s: %s: %w", e.subdir, unpatchedKey, file, err)
		}
		base.Set(file, seen)
	}
	return nil
}

// removedNow are the files that somebody took out of e's index, and not its
// instructions or, where there may have been such, earlier ones. base, which only a run
// that applies instructions writes, may be older than the index: a restore came since.
// But of what is meant to be out, an indexer that has no list of the removed lost the
// mark.
func removedNow(base *conda.RepoData, e *edition, earlier bool, byHand removals) (all []string) {
	before, listed := setOf(base.Removed), setOf(e.data.Removed)
	for _, file := range e.data.Removed {
		_, kept := base.Record(file)
		_, meant := byHand[file]
		if byPatch := !meant && !before[file] && (e.patch.Removes(file) || kept && earlier); !byPatch {
			all = append(all, file)
		}
	}
	for _, file := range base.Removed {
		if _, meant := byHand[file]; meant && !listed[file] {
			all = append(all, file)
		}
	}
	return all
}

func setOf(files []string) map[string]bool {
	set := make(map[string]bool, len(files))
	for _, file := range files {
		set[file] = true
	}
	return set
}

// finish encodes the edition, once base is what it shall be. One that will be
// committed says what no other says (see sign), so that no text comes twice.
func (e *edition) finish(r *run) error {
	e.data = e.base
	if e.patch != nil {
		patched, err := e.patch.Apply(e.base)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", r.subdir, patchName, err)
		}
		e.data = patched
	}
	surely := e.renew || len(e.files) > 0 // it is another text: to compare it would take as long as to hash it
	if !surely || r.o.Check {
		if err := e.encode(); err != nil || !e.changed() || r.o.Check {
			return err
		}
	}
	e.sign(r.now())
	if surely {
		defer e.pack()
	}
	return e.encode()
}

// sign gives the edition a name: a hash of the version that it replaces and of
// the time. An ETag may be a hash of the text. Were there ever a text again that
// was there before, then a write over it that was lost, and lands when its
// writer has long gone on, would undo what was done since.
func (e *edition) sign(now time.Time) {
	if e.index.exists && !e.base.HasEdition() {
		e.meta[metaOthers] = strconv.FormatInt(now.Unix(), 10)
	}
	name := e.index.successorName(now)
	e.base.SetEdition(name)
	e.data.SetEdition(name)
}

// successorName is of the text that replaces the object.
func (o *object) successorName(now time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", o.info.Version, now.UnixNano()))
	return hex.EncodeToString(sum[:16])
}

// errNamed ends an attempt that found another indexer's text, and gave it a name.
var errNamed = fmt.Errorf("the index of another indexer has a name now: %w", store.ErrConflict)

// name replaces another indexer's text by itself, with a name: that indexer may write
// the very text again, and a write over the first that was lost meanwhile would land on
// the second, whatever was removed in between. One that only names it may do so.
func (r *run) name(ctx context.Context, e *edition) error {
	data, err := conda.ParseRepoData(e.index.text)
	if err != nil {
		return err
	}
	data.SetName(e.index.successorName(r.now()))
	_, err = r.s.Put(ctx, r.subdir+"/"+indexName, data.Encode().Reader(), store.PutOptions{
		Cond: e.index.over(), Meta: e.index.info.Meta, ContentType: "application/json", CacheControl: indexCache,
	})
	if err == nil {
		err = errNamed
	}
	return err
}

// othersFor is how long a channel counts as one that other indexers write to as well.
const othersFor = 30 * 24 * time.Hour

// shared tells whether others write to this channel as well, by data that was read
// from the index.
func (o *object) shared(data *conda.RepoData, now time.Time) bool {
	last, _ := strconv.ParseInt(o.info.Meta[metaOthers], 10, 64)
	return !data.HasEdition() || now.Sub(time.Unix(last, 0)) < othersFor
}

// encode makes the text.
func (e *edition) encode() error {
	e.text = e.data.Encode()
	sum := sha256.New()
	if _, err := io.Copy(sum, e.text.Reader()); err != nil {
		return err
	}
	e.source = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// changed tells whether there is anything to commit.
func (e *edition) changed() bool {
	return e.source != e.was() || !maps.Equal(e.meta, nonNil(e.index.info.Meta))
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// again marks what may lack run_exports that were learnt of packages whose
// records stay: whoever added those may have died before it derived anything.
func (e *edition) again(parts map[string]*part) {
	for file := range e.learnt {
		if e.files[file] {
			continue
		}
		for name, p := range parts {
			p.again = makers[name].exports
		}
		return
	}
}

// names are the objects that are derived from this edition.
func (e *edition) names() []string {
	names := slices.Clone(derivedNames)
	if also := e.meta[metaAlso]; also != "" {
		names = append(names, strings.Fields(also)...)
	}
	if e.patch != nil {
		names = append(names, unpatchedKey)
	}
	return slices.DeleteFunc(names, func(name string) bool { return makers[name] == nil })
}
