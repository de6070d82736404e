// Package repodata reads what a subdir of a channel offers, name by name: of 10^6
// records only those that a solve looks at. It keeps what it read, in a folder that
// processes share, for as long as the channel has not changed. Start with Open.
//
// cache.go decides what is read anew, sharded.go reads shards (CEP 16), shelf.go
// puts a whole repodata.json on disk so that single names can be read.
package repodata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/store"
)

// maxSize bounds an index in bytes: conda-forge's largest has 254 MB.
const maxSize = 4 << 30

// Subdir offers the records of a subdir.
type Subdir interface {
	// Records returns the records called name that can be read, in the order of
	// their file names, with the Folder that their archives lie in. A .conda hides
	// the .tar.bz2 of the same build.
	Records(name string) ([]conda.Record, error)

	// Names returns the names of all packages, in no order.
	Names() []string

	// Close ends what is still being read.
	Close() error
}

// Options say how to read.
type Options struct {
	Channel string            // its URL: what is kept belongs to it
	Cache   string            // a folder to keep in; "" keeps nothing after Close
	Offline bool              // take what was kept, and ask no server
	Warn    func(text string) // what the caller should know; may be nil

	// Elsewhere opens a place outside of the channel, for shards. Where it is nil, an
	// index whose packages or shards lie outside cannot be read.
	Elsewhere func(ctx context.Context, url string) (store.Reader, error)
}

// The forms of an index, best first.
var forms = []string{shards.IndexName, "repodata.json.zst", "repodata.json"}

// Open finds the best form of a subdir's index that is there and not older than
// repodata.json, and reads it unless the copy that was kept is of this version. A
// form that is broken is passed over with a warning, as long as there is another: also
// shards of which one turns out not to be there when it is asked for. A
// subdir without any is an error that matches fs.ErrNotExist. ctx must last until
// Close.
func Open(ctx context.Context, r store.Reader, subdir string, o Options) (Subdir, error) {
	p, err := openPlace(r, subdir, o)
	if err != nil {
		return nil, err
	}
	f, err := p.open(ctx)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return &opened{p, ctx, f}, nil
}

// opened is a Subdir in the form of the index that is read.
type opened struct {
	place *place
	ctx   context.Context // of all reads, until Close
	form  Subdir
}

// Names returns those of the form.
func (s *opened) Names() []string { return s.form.Names() }

// Close ends what the form reads, and tells what was left out.
func (s *opened) Close() error { return errors.Join(s.form.Close(), s.place.Close()) }

// renewals is how often an index is opened anew: the one that was kept may be out of
// date, and the channel's own wrong.
const renewals = 2

// Records reads them from another form, or from a newer index, where a shard is none.
func (s *opened) Records(name string) ([]conda.Record, error) {
	for try := 0; ; try++ {
		records, err := s.form.Records(name)
		wrong, is := errors.AsType[shardError](err)
		if !is || s.place.Offline || try == renewals || s.renew(wrong.version, err) != nil {
			return records, err
		}
	}
}

// renew opens the index as it is now, but not shards of the version of which why was found.
func (s *opened) renew(version string, why error) error {
	err := s.form.Close()
	if err == nil {
		var f Subdir
		if f, err = s.place.anywhere(s.ctx, map[string]declined{shards.IndexName: {version, why.Error()}}); err == nil {
			s.form = f
		}
	}
	return err
}

// errBroken reports that an index, not the way to it, is at fault.
var errBroken = errors.New("it is broken")

func (p *place) open(ctx context.Context) (Subdir, error) {
	kept, known := p.read()
	age := time.Since(kept.Checked) // negative where a clock was set back: then nobody knows
	if known && (p.Offline || age >= 0 && age < kept.Fresh) {
		if s, err := p.load(ctx, kept); err == nil {
			return s, nil
		}
	}
	if p.Offline {
		return nil, fmt.Errorf("there is no copy of %s in the cache: run once without --offline: %w", p.subdir, fs.ErrNotExist)
	}
	s, err := p.anywhere(ctx, kept.Declined)
	if err != nil && known && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && ctx.Err() == nil {
		err = fmt.Errorf("%w; with --offline the copy of %s UTC is used", err, kept.Checked.UTC().Format(time.DateTime))
	}
	return s, err
}

// anywhere takes the index from the first of the channel's places that has one which can
// be used, but for what was declined before.
func (p *place) anywhere(ctx context.Context, before map[string]declined) (s Subdir, err error) {
	err = store.Try(ctx, p.reader, func(at store.Place) error {
		p.at = at
		seen, err := p.ask(ctx)
		if err == nil {
			s, err = p.first(ctx, choose(seen), before)
		}
		return err
	})
	return s, err
}

// first opens the best form that can be used. Those that were declined before, in
// this version, are not read again.
func (p *place) first(ctx context.Context, all []store.Info, before map[string]declined) (s Subdir, err error) {
	err = fmt.Errorf("there is no %s/repodata.json: %w", p.subdir, fs.ErrNotExist)
	for _, form := range all {
		if d := before[form.Key]; d.Version != "" && d.Version == version(form) {
			p.decline(form, d.Why)
			continue
		}
		s, err = p.get(ctx, form)
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, errBroken):
			p.decline(form, err.Error()+reindex)
		case errors.Is(err, fs.ErrNotExist):
			p.decline(form, "")
		default:
			return nil, err
		}
	}
	if errors.Is(err, errBroken) {
		err = fmt.Errorf("%w"+reindex, err)
	}
	return nil, err
}

// reindex ends a sentence about an index that is wrong.
const reindex = ": reindex the channel"

// decline warns of a form that is passed over, unless that is as it should be.
func (p *place) decline(form store.Info, why string) {
	if p.declined == nil {
		p.declined = map[string]declined{}
	}
	p.declined[form.Key] = declined{version(form), why}
	if why != "" && p.Warn != nil {
		p.Warn(fmt.Sprintf("channel %s: %s", cmp.Or(p.at.Name, p.Channel), why))
	}
}

// ask describes the forms that are there. One that nobody may read, or that the server
// fails to tell of, is not there for us, as long as there is another; but what there is
// of repodata.json has to be known, by which the age of the others is judged.
func (p *place) ask(ctx context.Context) ([]store.Info, error) {
	found := make([]store.Info, len(forms))
	errs := make([]error, len(forms))
	var work sync.WaitGroup
	for i, name := range forms {
		work.Go(func() { found[i], errs[i] = head(ctx, p.at, p.subdir, name) })
	}
	work.Wait()
	if !slices.ContainsFunc(found, func(form store.Info) bool { return form.Key != "" }) {
		return found, cmp.Or(errs[2], errs[1], errs[0])
	}
	for i, err := range errs {
		switch {
		case err == nil || errors.Is(err, fs.ErrPermission):
		case i == len(forms)-1 || ctx.Err() != nil:
			return nil, err
		case p.Warn != nil:
			p.Warn(fmt.Sprintf("channel %s: %v: another form of the index is read", p.Channel, err))
		}
	}
	return found, nil
}

// head describes an object; one that is not there has no key.
func head(ctx context.Context, r store.Reader, subdir, name string) (store.Info, error) {
	body, info, err := r.Get(ctx, subdir+"/"+name, 0, 0)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoChannel) {
		return store.Info{}, nil
	}
	if err != nil {
		return store.Info{}, err
	}
	info.Key = name
	return info, body.Close()
}

// compressing is how much later than its compressed form some indexers write
// repodata.json.
const compressing = 10 * time.Minute

// choose lists the forms to try, best first. Shards that are older than repodata.json
// are left out: an indexer that makes none has been there since, and what it added is
// not in them. (All that make both write the shards last, or at the same time; where
// they did not, reading everything costs time, no more.)
func choose(seen []store.Info) []store.Info {
	var all []store.Info
	plain := seen[len(seen)-1]
	for i, form := range seen {
		slack := []time.Duration{0, compressing, 0}[i]
		if form.Key != "" && (plain.Key == "" || form.Modified.IsZero() || !form.Modified.Add(slack).Before(plain.Modified)) {
			all = append(all, form)
		}
	}
	return all
}
