package indexer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/indexer/site"
	"github.com/condaworker/condaworker/store"
)

// part is an object that is derived from repodata.json, as it is stored.
type part struct {
	*object
	name   string
	source string // the sha256 of the repodata.json that it was made from, "" if not known
	again  bool   // it may lack what this run has learnt
	listed bool   // only its version is known: source was not asked for

	adopted bool // what another indexer's says of the other packages is kept, right or not
}

// metaSource is the metadata key of a derived object: the sha256 of the
// repodata.json that it was made from.
const metaSource = "repodata-sha256"

// maker makes the text of a derived object.
type maker struct {
	make        makeText
	reads       bool // it is made from its older self
	exports     bool // it says what packages export
	kept        bool // it is another indexer's, and never made where there is none
	contentType string
}

// derivedNames are the objects that every subdir has beside repodata.json.
var derivedNames = []string{runExportsName, shards.IndexName, site.DataName, zstName}

// makers has one for each object that can be derived.
var makers = map[string]*maker{
	zstName:          {make: zstd, contentType: zstdType},
	runExportsName:   {make: makeRunExports, reads: true, exports: true, contentType: "application/json"},
	shards.IndexName: {make: makeShards, reads: true, exports: true, contentType: "application/octet-stream"},
	unpatchedKey:     {make: unpatchedText, contentType: "application/json"},
	currentName:      {make: currentText, contentType: "application/json"},
	site.DataName:    {make: pageData, reads: true, contentType: "text/javascript; charset=utf-8"},

	runExportsName + zstdEnding: {make: compressed(makeRunExports), exports: true, kept: true, contentType: zstdType},
	currentName + zstdEnding:    {make: compressed(currentText), kept: true, contentType: zstdType},
}

const (
	zstdEnding = ".zst"
	zstdType   = "application/zstd"
)

type makeText func(ctx context.Context, r *run, e *edition, parts map[string]*part) (*conda.Text, error)

// compressed makes what another does and compresses it.
func compressed(text makeText) makeText {
	return func(ctx context.Context, r *run, e *edition, parts map[string]*part) (*conda.Text, error) {
		plain, err := text(ctx, r, e, parts)
		if err != nil {
			return nil, err
		}
		b, err := archive.ZstdOf(plain.Reader(), plain.Len())
		return conda.TextOf(b), err
	}
}

func zstd(_ context.Context, _ *run, e *edition, _ map[string]*part) (*conda.Text, error) {
	if e.packed == nil {
		e.pack()
	}
	p := e.packed()
	return p.text, p.err
}

// pack begins to compress e's text, beside what comes before it is needed.
func (e *edition) pack() {
	text := e.text
	e.packed = meanwhile(func() packed {
		b, err := archive.ZstdOf(text.Reader(), text.Len())
		return packed{conda.TextOf(b), err}
	})
}

type packed struct {
	text *conda.Text
	err  error
}

// meanwhile begins to do what will be asked for later, maybe more than once.
func meanwhile[T any](do func() T) func() T {
	done := make(chan T, 1)
	go func() { done <- do() }()
	return sync.OnceValue(func() T { return <-done })
}

func currentText(_ context.Context, _ *run, e *edition, _ map[string]*part) (*conda.Text, error) {
	return e.data.Current().Encode(), nil
}

// pageData changes what it has of the packages that e changes.
func pageData(ctx context.Context, r *run, e *edition, parts map[string]*part) (*conda.Text, error) {
	p := parts[site.DataName]
	if !e.follows(p) {
		return site.Data(e.subdir, e.data, e.source, nil, nil), nil
	}
	old, err := r.older(ctx, p)
	if err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for file := range e.files {
		if f, err := conda.ParseFileName(file); err == nil {
			changed[f.Name] = true
		}
	}
	return site.Data(e.subdir, e.data, e.source, old, changed), nil
}

// unpatchedText has, ahead of the commit, also what e takes out: by a listing that
// is older than the index, that may be what another run took in and then hid. e's
// commit fails then, and without the record nobody could tell what hid it.
func unpatchedText(_ context.Context, _ *run, e *edition, _ map[string]*part) (*conda.Text, error) {
	for file, record := range e.dropped {
		e.base.Set(file, record)
	}
	text := e.base.Encode()
	for file := range e.dropped {
		e.base.Delete(file)
	}
	return text, nil
}

// ask finds out the versions of derived objects, a request for each at a time.
// Of those that are made from their older selves the bytes are on their way.
func (r *run) ask(ctx context.Context, names []string) (map[string]*part, error) {
	parts := make([]*part, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			n := int64(0)
			if makers[name].reads {
				n = -1
			}
			var o *object
			if o, errs[i] = r.open(ctx, name, n); errs[i] == nil {
				parts[i] = &part{object: o, name: name, source: o.info.Meta[metaSource]}
			}
		})
	}
	wg.Wait()
	all := map[string]*part{}
	for _, p := range parts {
		if p != nil {
			all[p.name] = p
		}
	}
	err := errors.Join(errs...)
	if err != nil {
		err = errors.Join(err, closeAll(all))
	}
	return all, err
}

// closeAll ends what is on its way and was not needed.
func closeAll(parts map[string]*part) error {
	var errs []error
	for _, p := range parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// parts are derived objects as the listing has them.
func (l listing) parts(names []string, known state) map[string]*part {
	all := map[string]*part{}
	for _, name := range names {
		in, exists := l.others[name]
		p := &part{object: &object{info: in, exists: exists}, name: name, listed: exists}
		if was := known.parts[name]; exists && was.Version == in.Version {
			p.source, p.listed = was.Source, false
		}
		all[name] = p
	}
	return all
}

// learnSource asks for what a listing does not tell.
func (r *run) learnSource(ctx context.Context, p *part) error {
	if !p.listed {
		return nil
	}
	info, exists, err := head(ctx, r.s, r.subdir+"/"+p.name)
	if err != nil {
		return err
	}
	if !exists || info.Version != p.info.Version {
		return fmt.Errorf("ask for %s: it changed meanwhile: %w", p.name, store.ErrConflict)
	}
	p.source, p.listed = info.Meta[metaSource], false
	return nil
}

// current tells whether all derived objects are made from e. Once one is not,
// it asks only about those that would else be made for nothing.
func (r *run) current(ctx context.Context, e *edition, parts map[string]*part) (bool, error) {
	all := e.shards.complete()
	for _, name := range e.names() {
		if !all && makers[name].reads {
			continue
		}
		p := parts[name]
		if err := r.learnSource(ctx, p); err != nil {
			return false, err
		}
		all = all && p.exists && p.source == e.source && !p.again
	}
	return all, nil
}

// derive brings the derived objects up to date with e, or with what has been
// committed since. Each replaces the version that was there before e was known
// to be the newest, and no other: whoever writes an older text over a newer one
// meets a conflict, and the last one to commit leaves its own. A run that dies
// before leaves objects that are old and right; the next one sees by their
// metadata that they are old.
func (r *run) derive(ctx context.Context, e *edition, parts map[string]*part, report *SubdirReport) error {
	for attempt := 1; ; attempt++ {
		err := r.deriveOnce(ctx, e, parts, report)
		err = errors.Join(err, closeAll(parts))
		if !errors.Is(err, store.ErrConflict) || attempt == attempts {
			return err
		}
		if err := store.Backoff(ctx, attempt); err != nil {
			return err
		}
		if err := r.renew(ctx, e, parts); err != nil {
			return err
		}
	}
}

// renew asks for the derived objects anew, and after that makes e the newest edition,
// which may have more of them.
func (r *run) renew(ctx context.Context, e *edition, parts map[string]*part) error {
	for {
		newest, err := r.ask(ctx, e.names())
		if err != nil {
			return err
		}
		clear(parts)
		maps.Copy(parts, newest)
		e.exports = nil // they were made with what is there no more
		for name, p := range parts {
			p.again = makers[name].exports && len(e.learnt) > 0 // whoever was first need not know it
		}
		err = r.catchUp(ctx, e)
		if err == nil && !slices.ContainsFunc(e.names(), func(name string) bool { return parts[name] == nil }) {
			return nil
		}
		if err = errors.Join(err, closeAll(parts)); err != nil {
			return err
		}
	}
}

// catchUp makes e the newest committed edition, if another was committed.
func (r *run) catchUp(ctx context.Context, e *edition) error {
	now, exists, err := head(ctx, r.s, r.subdir+"/"+indexName)
	if err != nil || now.Version == e.index.info.Version {
		return err
	}
	index, err := r.read(ctx, indexName)
	if err != nil {
		return err
	}
	if !exists || !index.exists {
		return fmt.Errorf("%s/%s was deleted meanwhile", r.subdir, indexName)
	}
	data, err := conda.ParseRepoData(index.text)
	if err != nil {
		return err // whoever broke it knows more
	}
	e.instructed = e.instructed && e.patch == nil && index.info.Meta[metaPatched] == e.meta[metaPatched] // else another run knows more
	e.index, e.data, e.base, e.text, e.source = index, data, data, conda.TextOf(index.text), hexSHA256(index.text)
	e.packed = nil
	e.was, e.all, e.patch, e.meta = noText, true, nil, nonNil(maps.Clone(index.info.Meta))
	return nil
}

// deriveOnce writes what is not made from e, several objects at a time: a write
// is mostly waiting. An error that is no conflict comes before one that is.
func (r *run) deriveOnce(ctx context.Context, e *edition, parts map[string]*part, report *SubdirReport) error {
	due := slices.DeleteFunc(e.names(), func(name string) bool { return !e.due(parts[name]) })
	if slices.ContainsFunc(due, func(name string) bool { return makers[name].exports }) {
		if _, err := r.runExports(ctx, e, parts); err != nil { // which all of these need
			return fmt.Errorf("derive %s: %w", runExportsName, err)
		}
	}
	errs, written := make([]error, len(due)), make([]int64, len(due))
	var wg sync.WaitGroup
	for i, name := range due {
		wg.Go(func() { written[i], errs[i] = r.deriveOne(ctx, e, name, parts) })
	}
	wg.Wait()
	for _, n := range written {
		report.Written += n
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, store.ErrConflict) }); i >= 0 {
		return errs[i]
	}
	return errors.Join(errs...)
}

// due tells whether p has to be made from e. The shards of a channel that another
// indexer keeps without any are as many as its packages, and left to a run that
// lists the subdir. What was kept for another indexer, and is gone, somebody
// deleted.
func (e *edition) due(p *part) bool {
	isShards := p.name == shards.IndexName
	if !p.exists && (makers[p.name].kept || isShards && e.part && e.meta[metaShards] == "") {
		return false
	}
	return !p.exists || p.source != e.source || p.again || isShards && !e.shards.complete()
}

// deriveOne writes one derived object and returns its bytes.
func (r *run) deriveOne(ctx context.Context, e *edition, name string, parts map[string]*part) (int64, error) {
	p := parts[name]
	current := p.exists && p.source == e.source
	text, err := makers[name].make(ctx, r, e, parts)
	if err != nil {
		return 0, fmt.Errorf("derive %s: %w", name, err)
	}
	if current {
		if old, err := r.older(ctx, p); err != nil || bytes.Equal(text.Bytes(), old) {
			return 0, err
		}
	}
	meta := map[string]string{metaSource: e.source}
	switch {
	case p.adopted, e.lost && makers[name].exports:
		meta = nil // of the other packages it says what it said
	case name == unpatchedKey && len(e.dropped) > 0:
		meta = nil // it is made again after the commit
	}
	in, err := r.s.Put(ctx, r.subdir+"/"+name, text.Reader(), store.PutOptions{
		Cond: p.over(), Meta: meta,
		ContentType: makers[name].contentType, CacheControl: indexCache,
	})
	if err != nil {
		return 0, err
	}
	*p = part{object: &object{info: in, exists: true}, name: name, source: meta[metaSource]}
	return text.Len(), nil
}

// older are the bytes of the object that is about to be replaced, nil when
// there is none.
func (r *run) older(ctx context.Context, p *part) ([]byte, error) {
	if p.exists && p.body == nil && p.text == nil && p.info.Size > 0 {
		o, err := r.read(ctx, p.name)
		if err != nil {
			return nil, err
		}
		if o.info.Version != p.info.Version {
			return nil, fmt.Errorf("read %s: it changed meanwhile: %w", p.name, store.ErrConflict)
		}
		p.object, p.source, p.listed = o, o.info.Meta[metaSource], false
	}
	return p.bytes()
}
