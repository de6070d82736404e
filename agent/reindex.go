package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/lock"
	"github.com/condaworker/condaworker/store"
)

// reindexOptions are the flags of the verb reindex.
type reindexOptions struct {
	reportOptions
	url     string
	subdirs []string
	timeout lockTimeout
	full    bool
	check   bool
	current bool
	about   bool
	rss     bool
	patch   string
	patches map[string][]byte
	lock    lockFlag
}

// reindexCommand declares the verb and its flags.
func (d *desk) reindexCommand() *cobra.Command {
	var o reindexOptions
	c := &cobra.Command{
		Use:   "reindex URL",
		Short: "Bring a channel's index up to date with its packages, under the channel's lock",
		Example: `  condaworker reindex s3://studio-packages/Conda/Default
  condaworker reindex ./channel --subdir linux-64`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.url = args[0]
			return d.reindex(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.subdirs, "subdir", nil, "index this subdir only (noarch is always indexed); repeatable")
	o.timeout.add(c)
	o.flags(c)
	o.lock.add(c)
	f.BoolVar(&o.full, "full", false, "look into every package again")
	f.BoolVar(&o.current, "current-repodata", false, "write current_repodata.json too, for conda's older solver; where there is one it is always kept up to date")
	f.BoolVar(&o.about, "channeldata", false, "write channeldata.json too, what each package says about itself; where there is one it is always kept up to date")
	f.BoolVar(&o.rss, "rss", false, "write rss.xml too, the newest packages as a feed, and channeldata.json; likewise")
	f.StringVar(&o.patch, "patch", "", "put these patch instructions in place first: a folder, .conda or .tar.bz2 with SUBDIR/patch_instructions.json, or one such file for each --subdir; they hold until others come")
	f.BoolVar(&o.check, "check", false, "write nothing: say where the index and what is stored do not agree, and fail if they do not")
	return c
}

// releaseTimeout bounds the giving back of the lock after a signal: a session
// allows seconds before it kills.
const releaseTimeout = 3 * time.Second

// reindex is the verb: it reports what was left out of the index, and what was
// done, after a failure as well.
func (d *desk) reindex(ctx context.Context, o reindexOptions) error {
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (string, error) {
		if err := o.validate(); err != nil {
			return "", err
		}
		if o.check {
			o.lock = bestEffort // it writes nothing
		}
		target, url, err := d.openTarget(ctx, o.url, o.lock)
		if err != nil {
			return "", err
		}
		o.url = url.String()
		if err := mustExist(ctx, target, url.String(), "index"); err != nil {
			return "", err
		}
		if err := knownSubdirs(ctx, target, "--subdir", o.subdirs); err != nil {
			return "", err
		}
		if err := knownSubdirs(ctx, target, "--patch "+o.patch+":", slices.Sorted(maps.Keys(o.patches))); err != nil {
			return "", err
		}
		index, err := d.index(ctx, target, o, p)
		if errors.Is(err, lock.ErrServed) {
			return fmt.Sprintf("%s was indexed by another worker's run that began while this one waited", url), nil
		}
		r.Index = &index
		warnOfSkipped(p, index)
		if o.check {
			return fmt.Sprintf("the index of %s agrees with what is stored: %s", url, counts(index)), errors.Join(err, disagreement(index, o))
		}
		if err == nil {
			warnOfChanges(p, index)
			warnOfEmptiness(p, index, o)
		}
		return fmt.Sprintf("indexed %s: %s", url, counts(index)), err
	})
}

// counts says how many packages an index has, and how many of them changed.
func counts(index indexer.Report) string {
	var packages, added, updated, removed int
	for _, s := range index.Subdirs {
		packages += s.Packages
		added += len(s.Added)
		updated += len(s.Updated) + len(s.Mended)
		removed += len(s.Removed)
	}
	text := picture.Count(packages, "package") + " in " + picture.Count(len(index.Subdirs), "subdir")
	if added+updated+removed > 0 {
		text += fmt.Sprintf("; %d added, %d replaced, %d gone", added, updated, removed)
	}
	return text
}

// named is how many packages of a subdir are named to whoever reads the log;
// the report has all.
const named = 20

// warnOfSkipped names what was not taken into the index, and why.
func warnOfSkipped(p *progress, index indexer.Report) {
	for _, s := range index.Skipped {
		says := "left out of the index"
		if s.Kept {
			says = "in the index as it was before, for it cannot be read now"
		}
		p.Warn(fmt.Sprintf("%s: %s: %s", says, s.Key, s.Reason))
	}
}

// warnOfChanges names what somebody did to packages behind the index's back.
func warnOfChanges(p *progress, index indexer.Report) {
	for _, s := range index.Subdirs {
		for _, what := range []struct {
			files []string
			says  string
		}{
			{s.Updated, "was replaced by other bytes, and its record by that of those: clients that know the old hash will refuse it; publish under another build number"},
			{s.Mended, "had a record that clients cannot read, which its package has mended: who changes repodata.json by hand does better with patch instructions"},
			{s.Removed, "is stored no more, and its record was taken out; condaworker channel remove does that without a gap"},
		} {
			for _, text := range said(s.Subdir, what.files, what.says) {
				p.Warn(text)
			}
		}
	}
}

// warnOfEmptiness asks whether a channel without packages was meant: in a bucket,
// where there are no folders to be missing, a misspelt URL becomes one.
func warnOfEmptiness(p *progress, index indexer.Report, o reindexOptions) {
	holds := func(s indexer.SubdirReport) bool { return s.Packages > 0 }
	if len(o.subdirs) == 0 && !slices.ContainsFunc(index.Subdirs, holds) {
		p.Warn(o.url + " has no packages: if it is not a new channel, correct the URL, and delete the index that was made there")
	}
}

// said is the same of each of a subdir's files.
func said(subdir string, files []string, says string) (all []string) {
	for _, file := range files[:min(len(files), named)] {
		all = append(all, fmt.Sprintf("%s/%s %s", subdir, file, says))
	}
	if more := len(files) - named; more > 0 {
		all = append(all, fmt.Sprintf("%s: and %d more that each %s", subdir, more, says))
	}
	return all
}

// validate finds what can be found wrong before the channel is opened.
func (o *reindexOptions) validate() error {
	o.subdirs = slices.DeleteFunc(o.subdirs, func(s string) bool { return s == "" })
	for _, s := range o.subdirs {
		if !conda.CanBeSubdir(s) {
			return usageError{fmt.Errorf("--subdir %q cannot be a platform of conda, e.g. linux-64 or noarch", s)}
		}
	}
	if o.patch != "" {
		if o.check {
			return usageError{errors.New("--check writes nothing, and --patch does: give one of them")}
		}
		var err error
		if _, err = stat("--patch", o.patch); err != nil {
			return err
		}
		if o.patches, err = indexer.ReadPatches(o.patch, o.subdirs); err != nil {
			return usageError{err}
		}
	}
	return o.timeout.validate()
}

// options are those of the index run.
func (o *reindexOptions) options(p *progress) indexer.Options {
	return indexer.Options{
		Subdirs: o.subdirs, Full: o.full, Check: o.check, Current: o.current, ChannelData: o.about, RSS: o.rss, URL: o.url, Patches: o.patches,
		Log: p.Info, Warn: p.Warn,
	}
}

// knownSubdirs refuses a subdir that conda does not know and the channel does not
// use: most likely it is misspelt. option is where it was named, e.g. "--subdir".
func knownSubdirs(ctx context.Context, s store.Store, option string, subdirs []string) error {
	strange := slices.DeleteFunc(slices.Clone(subdirs), conda.IsSubdir)
	if len(strange) == 0 {
		return nil
	}
	has, err := indexer.Subdirs(ctx, s)
	if err != nil {
		return err
	}
	for _, subdir := range strange {
		if !slices.Contains(has, subdir) {
			return usageError{fmt.Errorf("%s %q is not a platform of conda, e.g. linux-64 or noarch, and the channel has no packages there; it has %s", option, subdir, strings.Join(has, ", "))}
		}
	}
	return nil
}

// index indexes the channel, or checks its index, for which it needs no lock.
func (d *desk) index(ctx context.Context, s store.Store, o reindexOptions, p *progress) (indexer.Report, error) {
	if !o.check {
		return d.indexLocked(ctx, s, o, p)
	}
	end := p.Phase("check")
	report, err := indexer.Reindex(ctx, s, o.options(p))
	end(err)
	if err != nil {
		return report, fmt.Errorf("check channel %s: %w", o.url, err)
	}
	return report, nil
}

// disagreement is what a check found, nil for nothing.
func disagreement(index indexer.Report, o reindexOptions) error {
	var found []string
	for _, s := range index.Subdirs {
		for _, what := range []struct {
			files []string
			says  string
		}{
			{s.Added, "is stored and not in the index"},
			{s.Removed, "is in the index and not stored"},
			{s.Updated, "has other bytes than its record says"},
			{s.Mended, "has a record that clients cannot read"},
			{s.Stale, "is missing, old, or copied without its metadata"},
		} {
			found = append(found, said(s.Subdir, what.files, what.says)...)
		}
	}
	for _, file := range index.Stale {
		found = append(found, file+" is missing or old")
	}
	if found == nil {
		return nil
	}
	o.full = o.full || index.NeedsFull()
	return fmt.Errorf("the index of %s does not agree with what is stored:\n%s\ncondaworker reindex %s mends it", o.url, strings.Join(found, "\n"), strings.Join(append(o.given(), o.url), " "))
}

// given are the options that say what is indexed, as a command line has them.
func (o *reindexOptions) given() (all []string) {
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"--full", o.full},
		{"--current-repodata", o.current},
		{"--channeldata", o.about},
		{"--rss", o.rss},
	} {
		if option.given {
			all = append(all, option.name)
		}
	}
	for _, subdir := range o.subdirs {
		all = append(all, "--subdir", subdir)
	}
	return all
}

// indexLocked indexes the channel under its lock, or leaves that to a run of
// another worker's that began while this one waited.
func (d *desk) indexLocked(ctx context.Context, s store.Store, o reindexOptions, p *progress) (report indexer.Report, err error) {
	err = d.locked(ctx, s, lockWish{o.url, o.timeout, true, o.subdirs, o.usual()}, p, func(ctx context.Context) (err error) {
		end := p.Phase("reindex")
		report, err = indexer.Reindex(ctx, s, o.options(p))
		end(err)
		if err != nil {
			err = fmt.Errorf("index channel %s: %w", o.url, err)
		}
		return err
	})
	return report, err
}

// usual tells whether any other worker's run does what this one is asked for.
func (o *reindexOptions) usual() bool {
	return !o.full && !o.current && !o.about && !o.rss && o.patches == nil
}

// lockWish says whose lock is wanted, and for what.
type lockWish struct {
	url     string
	timeout lockTimeout
	indexes bool     // the work makes the index agree with what is stored
	scope   []string // for these subdirs; empty: all
	share   bool     // a run of another worker's does as well: lock.ErrServed
}

// mostHolds bounds how often a run asks for a lock that it loses: to one of the
// older scripts, which look before they write and no more, or by a pause of the
// whole machine.
const mostHolds = 3

// locked holds the channel's lock while it works. Losing the lock ends the
// work; what was committed by then is right all the same. To make the index
// agree with what is stored is then begun anew.
func (d *desk) locked(ctx context.Context, s store.Store, o lockWish, p *progress, work func(context.Context) error) error {
	for held := 1; ; held++ {
		err := d.holding(ctx, s, o, p, work)
		if !o.indexes || !errors.Is(err, lock.ErrLost) || held == mostHolds {
			return err
		}
		p.Warn(fmt.Sprintf("%v; asking for the lock again", err))
	}
}

// holding works under the lock once.
func (d *desk) holding(ctx context.Context, s store.Store, o lockWish, p *progress, work func(context.Context) error) error {
	end := p.Phase("lock")
	lease, held, err := lock.Acquire(ctx, s, lock.Options{
		Timeout: time.Duration(o.timeout),
		Holder:  d.holder(),
		Waiting: func(h lock.Held) { p.Info("waiting for the channel's lock: " + h.String()) },
		Warn:    p.Warn,
		Scope:   o.scope,
		Share:   o.share,
	})
	if errors.Is(err, lock.ErrServed) {
		end(nil)
		return err
	}
	end(err)
	if err != nil {
		return fmt.Errorf("lock channel %s: %w", o.url, err)
	}
	err = work(held)
	if err != nil && errors.Is(context.Cause(held), lock.ErrLost) && !errors.Is(err, lock.ErrLost) {
		err = fmt.Errorf("%w: %w", lock.ErrLost, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if freed := lease.Release(ctx, o.indexes && err == nil); freed != nil && err == nil {
		p.Warn(fmt.Sprintf("release the channel's lock: %v; others take it over when it ends", freed))
	}
	return err
}

// mustExist refuses a place that is not there: a misspelt URL would
// become a new, empty channel.
func mustExist(ctx context.Context, s store.Reader, url, doing string) error {
	body, _, err := s.Get(ctx, "noarch/repodata.json", 0, 0)
	switch {
	case err == nil:
		return body.Close()
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoChannel):
		return nil
	}
	return fmt.Errorf("%s channel %s: %w", doing, url, err)
}

// holder is who holds the lock, in the words of the farm.
func (d *desk) holder() lock.Holder {
	host, _ := os.Hostname() // a host without a name holds a lock as well
	return lock.Holder{
		FarmID: d.env["DEADLINE_FARM_ID"], QueueID: d.env["DEADLINE_QUEUE_ID"], FleetID: d.env["DEADLINE_FLEET_ID"],
		JobID: d.env["DEADLINE_JOB_ID"], SessionID: d.env["DEADLINE_SESSION_ID"], WorkerID: d.env["DEADLINE_WORKER_ID"],
		Host: host, PID: os.Getpid(),
	}
}
