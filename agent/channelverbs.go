package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
)

// channelOptions are the flags of the verbs below channel.
type channelOptions struct {
	reportOptions
	packages   []string
	url        string
	dryRun     bool
	keepBuilds int
	grace      time.Duration
	timeout    lockTimeout
	lock       lockFlag
}

// channelWork is what a verb does to the channel.
type channelWork func(context.Context, store.Store, channelOptions, *progress, *report) (string, error)

// channelCommand declares the verbs remove, restore and prune.
func (d *desk) channelCommand() *cobra.Command {
	removing := indexChange{"remove", false, "taken out of the index", "; until channel prune deletes what was taken out, channel restore brings it back", indexer.Remove, nil}
	restoring := indexChange{"restore", true, "taken into the index again", "", indexer.Restore, indexer.Restorable}
	return verbs("channel", "Take packages out of a channel, bring them back, or clean up",
		d.channelVerb(&cobra.Command{
			Use:   "remove PACKAGE... --channel URL",
			Short: "Take packages out of the index: no client gets them any more. Their files stay until channel prune",
			Example: `  condaworker channel remove linux-64/blender-4.2.5-hb0f4dca_0.conda --channel s3://studio-packages/Conda/Default
  condaworker channel remove blender==4.2.5=*_0 --channel ./channel --dry-run`,
			Args: cobra.MinimumNArgs(1),
		}, &channelOptions{}, removing.do),
		d.channelVerb(&cobra.Command{
			Use:     "restore PACKAGE... --channel URL",
			Short:   "Take packages into the index again that were removed and not yet pruned",
			Example: `  condaworker channel restore blender-4.2.5-hb0f4dca_0.conda --channel s3://studio-packages/Conda/Default`,
			Args:    cobra.MinimumNArgs(1),
		}, &channelOptions{}, restoring.do),
		d.pruneCommand(),
	)
}

func (d *desk) pruneCommand() *cobra.Command {
	var o channelOptions
	c := d.channelVerb(&cobra.Command{
		Use:     "prune --channel URL",
		Short:   "Delete the files of packages that were removed a while ago, and with --keep-builds remove superseded builds",
		Example: `  condaworker channel prune --channel s3://studio-packages/Conda/Default --keep-builds 3 --dry-run`,
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) > 0 {
				return fmt.Errorf("%s is too much: a channel is named by --channel", given[0])
			}
			return nil
		},
	}, &o, prune)
	c.Flags().IntVar(&o.keepBuilds, "keep-builds", 0, "of each version keep this many build numbers of each variant, and what packages that stay depend on; 0 keeps all")
	c.Flags().DurationVar(&o.grace, "grace", 7*24*time.Hour, "how long the file of a removed package stays: clients may hold an older index")
	return c
}

// channelVerb gives a verb its work and the flags that all of them have.
func (d *desk) channelVerb(c *cobra.Command, o *channelOptions, do channelWork) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		o.packages = args
		return d.changeChannel(c.Context(), *o, do)
	}
	c.Flags().StringVarP(&o.url, "channel", "c", "", "the channel: a folder, file:// or s3://bucket/prefix")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	o.timeout.add(c)
	o.flags(c)
	o.lock.add(c)
	return c
}

// validate finds what can be found wrong before the channel is opened.
func (o *channelOptions) validate() error {
	switch {
	case o.url == "":
		return usageError{errors.New("say which channel: --channel URL")}
	case o.keepBuilds < 0:
		return usageError{fmt.Errorf("--keep-builds %d: it is a number of builds, or 0 for all", o.keepBuilds)}
	case o.grace < 0:
		return usageError{fmt.Errorf("--grace %s: it is a time such as 168h", o.grace)}
	}
	return o.timeout.validate()
}

// changeChannel opens the channel and does the work under its lock.
func (d *desk) changeChannel(ctx context.Context, o channelOptions, do channelWork) error {
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (text string, err error) {
		if err := o.validate(); err != nil {
			return "", err
		}
		if o.dryRun {
			o.lock = bestEffort // it writes nothing
		}
		s, url, err := d.openTarget(ctx, o.url, o.lock)
		if err != nil {
			return "", err
		}
		if err := mustBeChannel(ctx, s, url.String()); err != nil {
			return "", err
		}
		o.url = url.String()
		if o.dryRun {
			return do(ctx, s, o, p, r)
		}
		err = d.locked(ctx, s, lockWish{url: o.url, timeout: o.timeout}, p, func(ctx context.Context) (err error) {
			text, err = do(ctx, s, o, p, r)
			return err
		})
		return text, err
	})
}

// mustBeChannel refuses a place without a channel before anything is written
// there. In a bucket every misspelt prefix is such a place: none is missing.
func mustBeChannel(ctx context.Context, s store.Store, url string) error {
	if err := mustExist(ctx, s, url, "change"); err != nil {
		return err
	}
	exists, err := indexer.Exists(ctx, s)
	if err == nil && !exists {
		err = fmt.Errorf("it has no index: correct the URL, or, where it is one, condaworker reindex %s", url)
	}
	if err != nil {
		return fmt.Errorf("change channel %s: %w", url, err)
	}
	return nil
}

// indexChange is what remove and restore have in common: packages that are
// named change their place in the index.
type indexChange struct {
	phase   string
	removed bool   // they are to come back: a file name is asked for
	says    string // of a package, behind "would be " in a dry run
	hint    string
	change  func(context.Context, store.Store, []string, indexer.Options) (indexer.Report, error)
	ask     func(context.Context, store.Store, []string, indexer.Options) error // what change would refuse; nil: what find finds, it takes
}

func (c indexChange) do(ctx context.Context, s store.Store, o channelOptions, p *progress, r *report) (string, error) {
	end := p.Phase(c.phase)
	keys, err := find(ctx, s, o, c.removed)
	how := indexer.Options{Log: p.Info, Warn: p.Warn}
	switch {
	case err != nil:
	case !o.dryRun:
		var index indexer.Report
		index, err = c.change(ctx, s, keys, how)
		r.Index = &index
		warnOfSkipped(p, index)
	case c.ask != nil:
		err = c.ask(ctx, s, keys, how)
	}
	end(err)
	if err != nil {
		return "", fmt.Errorf("%s packages of %s: %w", c.phase, o.url, err)
	}
	says := c.says
	if o.dryRun {
		says = "would be " + says
	}
	for _, key := range keys {
		p.Info(key + " " + says)
	}
	return fmt.Sprintf("%s of %s %s%s", picture.Count(len(keys), "package"), o.url, says, c.hint), nil
}

// find resolves the packages of the command line. What is not found is a
// mistake of the user's; the rest is the channel's trouble.
func find(ctx context.Context, s store.Store, o channelOptions, removed bool) ([]string, error) {
	keys, err := indexer.Find(ctx, s, o.packages, removed)
	if _, ok := errors.AsType[*indexer.NameError](err); ok {
		err = usageError{err}
	}
	return keys, err
}

func prune(ctx context.Context, s store.Store, o channelOptions, p *progress, r *report) (string, error) {
	end := p.Phase("prune")
	done, err := indexer.Prune(ctx, s, indexer.PruneOptions{KeepBuilds: o.keepBuilds, Grace: o.grace, DryRun: o.dryRun}, indexer.Options{Log: p.Info, Warn: p.Warn})
	end(err)
	r.Prune = &done
	would := ""
	if o.dryRun {
		would = "would be "
	}
	for _, what := range []struct {
		keys []string
		says string
	}{
		{done.Removed, would + "removed from the index"},
		{done.Needed, "stays: a package that stays depends on it"},
		{done.Waiting, "is removed, and its file is kept for now"},
		{done.Deleted, would + "deleted"},
	} {
		for _, key := range what.keys {
			p.Info(what.says + ": " + key)
		}
	}
	if err != nil {
		return "", fmt.Errorf("prune %s: %w", o.url, err)
	}
	abortUploads(ctx, s, o, p)
	return fmt.Sprintf("pruned %s: %s %sremoved from the index, %s %sdeleted, %d kept for now",
		o.url, picture.Count(len(done.Removed), "package"), would, picture.Count(len(done.Deleted), "file"), would, len(done.Waiting)), nil
}

// uploader is a door in which uploads may lie that a killed worker began.
type uploader interface {
	AbortAbandoned(ctx context.Context, dryRun bool) (keys []string, err error)
}

// abortUploads ends them. It needs rights that nothing else needs, and nothing
// depends on it.
func abortUploads(ctx context.Context, s store.Store, o channelOptions, p *progress) {
	u, ok := s.(uploader)
	if !ok {
		return
	}
	keys, err := u.AbortAbandoned(ctx, o.dryRun)
	if err != nil {
		p.Warn(fmt.Sprintf("uploads that nobody goes on with are left to the bucket's lifecycle rules: %v", err))
	}
	would := ""
	if o.dryRun {
		would = "would be "
	}
	for _, key := range keys {
		p.Info(would + "ended, an upload that nobody goes on with: " + key)
	}
}
