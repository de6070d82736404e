package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
)

// channelOptions are the flags of the verbs below channel.
type channelOptions struct {
	reportOptions
	packages    []string
	url         string
	dryRun      bool
	keepBuilds  int
	grace       time.Duration
	lockTimeout time.Duration
	lock        lockFlag
}

// channelCommand declares the verbs remove, restore and prune.
func (d *desk) channelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "channel",
		Short: "Take packages out of a channel, bring them back, or clean up",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("name a verb: channel remove, channel restore or channel prune")}
		},
	}
	var remove, restore, prune channelOptions
	removing := &cobra.Command{
		Use:   "remove PACKAGE... --channel URL",
		Short: "Take packages out of the index: no client gets them any more. Their files stay until channel prune",
		Example: `  condaworker channel remove linux-64/blender-4.2.5-hb0f4dca_0.conda --channel s3://studio-packages/Conda/Default
  condaworker channel remove blender==4.2.5=*_0 --channel ./channel --dry-run`,
		Args: cobra.MinimumNArgs(1),
	}
	d.channelVerb(removing, &remove, d.removePackages)
	restoring := &cobra.Command{
		Use:     "restore PACKAGE... --channel URL",
		Short:   "Take packages into the index again that were removed and not yet pruned",
		Example: `  condaworker channel restore blender-4.2.5-hb0f4dca_0.conda --channel s3://studio-packages/Conda/Default`,
		Args:    cobra.MinimumNArgs(1),
	}
	d.channelVerb(restoring, &restore, d.restorePackages)
	pruning := &cobra.Command{
		Use:     "prune --channel URL",
		Short:   "Delete the files of packages that were removed a while ago, and with --keep-builds remove superseded builds",
		Example: `  condaworker channel prune --channel s3://studio-packages/Conda/Default --keep-builds 3 --dry-run`,
		Args:    cobra.NoArgs,
	}
	d.channelVerb(pruning, &prune, d.prune)
	pruning.Flags().IntVar(&prune.keepBuilds, "keep-builds", 0, "of each version keep this many build numbers of each variant, and what packages that stay depend on; 0 keeps all")
	pruning.Flags().DurationVar(&prune.grace, "grace", 7*24*time.Hour, "how long the file of a removed package stays: clients may hold an older index")
	c.AddCommand(removing, restoring, pruning)
	return c
}

// channelVerb gives a verb the flags that all of them have.
func (d *desk) channelVerb(c *cobra.Command, o *channelOptions, do func(context.Context, store.Store, channelOptions, *progress, *report) (string, error)) {
	c.RunE = func(c *cobra.Command, args []string) error {
		o.packages = args
		return d.changeChannel(c.Context(), *o, do)
	}
	f := c.Flags()
	f.StringVarP(&o.url, "channel", "c", "", "the channel: a folder, file:// or s3://bucket/prefix")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.DurationVar(&o.lockTimeout, "lock-timeout", 30*time.Minute, "give up when the channel's lock is not got in this time")
	o.flags(c)
	o.lock.add(c)
}

// changeChannel opens the channel and does the work under its lock.
func (d *desk) changeChannel(ctx context.Context, o channelOptions, do func(context.Context, store.Store, channelOptions, *progress, *report) (string, error)) error {
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (string, error) {
		switch {
		case o.url == "":
			return "", usageError{errors.New("say which channel: --channel URL")}
		case o.lockTimeout < 0:
			return "", usageError{fmt.Errorf("--lock-timeout %s: it is a time such as 30m", o.lockTimeout)}
		case o.keepBuilds < 0:
			return "", usageError{fmt.Errorf("--keep-builds %d: it is a number of builds, or 0 for all", o.keepBuilds)}
		case o.grace < 0:
			return "", usageError{fmt.Errorf("--grace %s: it is a time such as 168h", o.grace)}
		}
		if o.dryRun {
			o.lock = bestEffort // it writes nothing
		}
		s, url, err := d.openTarget(ctx, o.url, o.lock)
		if err != nil {
			return "", err
		}
		if err := mustExist(ctx, s, url); err != nil {
			return "", err
		}
		o.url = url.String()
		if o.dryRun {
			return do(ctx, s, o, p, r)
		}
		var text string
		err = d.locked(ctx, s, lockWish{url: o.url, timeout: o.lockTimeout}, p, func(ctx context.Context) (err error) {
			text, err = do(ctx, s, o, p, r)
			return err
		})
		return text, err
	})
}

func (d *desk) removePackages(ctx context.Context, s store.Store, o channelOptions, p *progress, r *report) (string, error) {
	end := p.Phase("remove")
	keys, err := find(ctx, s, o, false)
	if err == nil && !o.dryRun {
		var index indexer.Report
		index, err = indexer.Remove(ctx, s, keys, indexer.Options{Log: p.Info, Warn: p.Warn})
		r.Index = &index
	}
	end(err)
	if err != nil {
		return "", fmt.Errorf("remove from %s: %w", o.url, err)
	}
	say := "removed from the index: "
	if o.dryRun {
		say = "would be removed from the index: "
	}
	for _, key := range keys {
		p.Info(say + key)
	}
	return fmt.Sprintf("%s%d packages of %s; channel restore brings them back until channel prune deletes them", say, len(keys), o.url), nil
}

func (d *desk) restorePackages(ctx context.Context, s store.Store, o channelOptions, p *progress, r *report) (string, error) {
	end := p.Phase("restore")
	keys, err := find(ctx, s, o, true)
	if err == nil && !o.dryRun {
		var index indexer.Report
		index, err = indexer.Restore(ctx, s, keys, indexer.Options{Log: p.Info, Warn: p.Warn})
		r.Index = &index
	}
	end(err)
	if err != nil {
		return "", fmt.Errorf("restore in %s: %w", o.url, err)
	}
	say := "in the index again: "
	if o.dryRun {
		say = "would be in the index again: "
	}
	for _, key := range keys {
		p.Info(say + key)
	}
	return fmt.Sprintf("%s%d packages of %s", say, len(keys), o.url), nil
}

// find resolves the packages of the command line. What is not found is a
// mistake of the user's; the rest is the channel's trouble.
func find(ctx context.Context, s store.Store, o channelOptions, removed bool) ([]string, error) {
	keys, err := indexer.Find(ctx, s, o.packages, removed)
	if errors.Is(err, fs.ErrNotExist) {
		err = usageError{err}
	}
	return keys, err
}

func (d *desk) prune(ctx context.Context, s store.Store, o channelOptions, p *progress, r *report) (string, error) {
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
	return fmt.Sprintf("pruned %s: %d packages %sremoved from the index, %d files %sdeleted, %d kept for now",
		o.url, len(done.Removed), would, len(done.Deleted), would, len(done.Waiting)), nil
}
