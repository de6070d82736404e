package env

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
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/env/repodata"
	"github.com/condaworker/condaworker/env/solve"
	"github.com/condaworker/condaworker/store"
)

// Priority says what the order of the channels means (conda's channel_priority).
type Priority string

const (
	Strict   Priority = "strict"   // a name comes from the first channel that has it, and from no other
	Flexible Priority = "flexible" // a record of an earlier channel is better than any of a later one
	Disabled Priority = "disabled" // the order means nothing: the newest version wins
)

// offers is what a request's archives and channels have. A channel is read
// when a name is first looked for in it, so a request that its own archives
// satisfy reads none.
type offers struct {
	request Request
	ctx     context.Context            // of the one call that asks: solve's callbacks have none
	opened  [][]subdir                 // by channel, as far as they were needed
	asked   map[string]string          // match specs of the request by name
	placed  map[string]conda.MatchSpec // those of them, and pins, that name a channel
	folders map[string]Channel         // that lie outside of the channels, by URL
	err     error                      // the first failure to read a channel
}

// subdir is one of a channel.
type subdir struct {
	name string
	repodata.Subdir
}

// solve also notes the specs, for conda-meta.
func (o *offers) solve() (records []conda.Record, err error) {
	if o.request.Explicit != nil {
		return o.request.Explicit, nil
	}
	if len(o.request.Specs) == 0 {
		return nil, nil
	}
	p := solve.Problem{
		Candidates: o.candidates, Hidden: o.hidden, Names: o.names, Virtual: o.request.Virtual,
		Channels: o.urls(), Installed: o.request.Installed, Locked: o.request.Locked,
	}
	if o.request.Priority == Flexible {
		p.Prefer = o.earlier
	}
	if p.Specs, err = parseSpecs(o.request.Specs); err != nil {
		return nil, err
	}
	pinned, err := o.pins()
	if err != nil {
		return nil, err
	}
	p.Pinned, p.PinnedAt = pinned.specs, pinned.at
	o.asked, o.placed = map[string]string{}, map[string]conda.MatchSpec{}
	asked := map[string]conda.MatchSpec{}
	for i, s := range p.Specs {
		text := o.request.Specs[i]
		if both, ok := conda.Both(asked[s.Name], s); ok {
			s, text = both, both.String()
		}
		asked[s.Name], o.asked[s.Name] = s, text
	}
	for _, s := range slices.Concat(p.Pinned, p.Specs) { // who asks overrules who pins
		if s.Channel() != "" {
			o.placed[s.Name] = s
		}
	}
	defer func() { err = errors.Join(err, o.close()) }()
	records, err = solve.Solve(p)
	if o.err != nil {
		return nil, o.err
	}
	return records, err
}

func (o *offers) urls() []string {
	var all []string
	for _, c := range o.request.Channels {
		all = append(all, c.URL)
	}
	return all
}

// parseSpecs names the spec that cannot be read.
func parseSpecs(texts []string) ([]conda.MatchSpec, error) {
	specs := make([]conda.MatchSpec, len(texts))
	for i, text := range texts {
		spec, err := conda.ParseMatchSpec(text)
		if err != nil {
			return nil, fmt.Errorf("read match spec %q: %w", text, err)
		}
		specs[i] = spec
	}
	return specs, nil
}

// candidates lists the records called name that the order of the channels allows.
// The request's own archives hide every channel's.
func (o *offers) candidates(name string) []conda.Record {
	var all []conda.Record
	for _, p := range o.request.Local {
		if p.Record.Name == name {
			all = append(all, p.Record)
		}
	}
	if all != nil {
		return all
	}
	for _, i := range o.from(name) {
		found, _ := o.inChannel(i, name)
		all = append(all, found...)
		if o.err != nil || all != nil && o.strict() {
			return all
		}
	}
	return all
}

func (o *offers) strict() bool { return o.request.Priority == "" || o.request.Priority == Strict }

// from lists the channels that a name may come from: those that the request names
// with it, whatever their order, or else all.
func (o *offers) from(name string) []int {
	var all, named []int
	for i, c := range o.request.Channels {
		all = append(all, i)
		if spec, asked := o.placed[name]; asked && spec.InChannel(c.URL) {
			named = append(named, i)
		}
	}
	if named != nil {
		return named
	}
	return all
}

// hidden lists the records called name that are left out, by the reasons for it.
func (o *offers) hidden(name string) []solve.Hidden {
	var lower, late []conda.Record
	hiding := slices.ContainsFunc(o.request.Local, func(p install.Package) bool { return p.Record.Name == name })
	for _, i := range o.from(name) {
		found, newer := o.inChannel(i, name)
		if hiding && o.strict() {
			lower = append(lower, found...)
		} else {
			late = append(late, newer...)
		}
		hiding = hiding || found != nil
	}
	return []solve.Hidden{
		{Why: "channel priority hides", Records: lower},
		{Why: "what came after " + o.request.NotAfter.UTC().Format(time.DateTime) + " UTC is left out:", Records: late},
	}
}

// earlier compares records by the order of their channels.
func (o *offers) earlier(a, b *conda.Record) int {
	at := func(r *conda.Record) int {
		return slices.IndexFunc(o.request.Channels, func(c Channel) bool { return c.URL == r.Channel })
	}
	return at(a) - at(b)
}

// names lists the packages of the channels that were read.
func (o *offers) names() []string {
	var all []string
	for _, subdirs := range o.opened {
		for _, s := range subdirs {
			all = append(all, s.Names()...)
		}
	}
	return all
}

// inChannel reads the channels up to this one, each once. late are the records that
// the request has no time for.
func (o *offers) inChannel(i int, name string) (found, late []conda.Record) {
	for len(o.opened) <= i && o.err == nil {
		subdirs, err := o.open(o.request.Channels[len(o.opened)])
		o.opened, o.err = append(o.opened, subdirs), err
	}
	if o.err != nil {
		return nil, nil
	}
	url := o.request.Channels[i].URL
	for _, s := range o.opened[i] {
		records, err := s.Records(name)
		if err != nil {
			o.err = fmt.Errorf("read the index of channel %s: %w", url, err)
			return nil, nil
		}
		for _, r := range records {
			r.Channel, r.Subdir = url, s.name // the archive lies beside its index, whatever the record says
			if o.tooNew(r) {
				late = append(late, r)
			} else {
				found = append(found, r)
			}
		}
	}
	return found, late
}

func (o *offers) tooNew(r conda.Record) bool {
	return !o.request.NotAfter.IsZero() && cmp.Or(r.IndexedTimestamp, r.Timestamp) > o.request.NotAfter.UnixMilli()
}

// open opens a channel's subdirs of the platform and noarch, at the same time. One
// without an index has no packages; a channel without both is no channel. Servers that
// list nothing refuse what is not there: one that refuses the platform beside a noarch
// that can be read is taken to have no packages for it, with a warning, as conda does.
func (o *offers) open(c Channel) ([]subdir, error) {
	names := slices.Compact([]string{o.request.Subdir, "noarch"})
	found, errs := make([]repodata.Subdir, len(names)), make([]error, len(names))
	var work sync.WaitGroup
	for i, name := range names {
		work.Go(func() {
			found[i], errs[i] = repodata.Open(o.ctx, c.Reader, name, repodata.Options{
				Channel: c.URL, Cache: o.request.Cache, Offline: c.Offline, Warn: o.request.Warn, Elsewhere: c.elsewhere(),
			})
		})
	}
	work.Wait()
	var all []subdir
	var failed error
	for i, name := range names {
		switch err := errs[i]; {
		case err == nil:
			all = append(all, subdir{name, found[i]})
		case errors.Is(err, store.ErrNoChannel):
			failed = fmt.Errorf("channel %s: %w", c.URL, err)
		case errors.Is(err, fs.ErrPermission) && i == 0 && errs[len(names)-1] == nil:
			o.warn(fmt.Sprintf("channel %s is taken to have no packages in %s: %v", c.URL, name, err))
		case !errors.Is(err, fs.ErrNotExist):
			failed = fmt.Errorf("read the index of channel %s: %w", c.URL, err)
		}
	}
	if all == nil && failed == nil && c.Offline {
		failed = fmt.Errorf("channel %s: %w", c.URL, errs[0])
	}
	if all == nil && failed == nil {
		failed = fmt.Errorf("channel %s has no %s/repodata.json and no noarch/repodata.json: reindex it, or correct its URL", c.URL, o.request.Subdir)
	}
	return all, failed
}

func (o *offers) warn(text string) {
	if o.request.Warn != nil {
		o.request.Warn(text)
	}
}

// close ends what was begun and is not needed any more.
func (o *offers) close() error {
	var errs []error
	for _, subdirs := range o.opened {
		for _, s := range subdirs {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
