package agent

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/lock"
	"github.com/condaworker/condaworker/store"
)

// publishOptions are the flags of the verb publish.
type publishOptions struct {
	reportOptions
	packages []string
	to       string
	noIndex  bool
	workDir  string
	lock     lockFlag
}

const noIndexHelp = "do not add the package to the channel's index: a reindex will"

// publishCommand declares the verb and its flags.
func (d *desk) publishCommand() *cobra.Command {
	var o publishOptions
	c := &cobra.Command{
		Use:   "publish PACKAGE... --to URL",
		Short: "Put finished packages, from disk or from another channel, into a channel; never replaces one",
		Long: `Put finished packages, from disk or from another channel, into a channel; never replaces one.

Files that no channel would take are named before anything is stored. At the first package that fails
after that it stops: clients see those before it, and those after it, which may need it, are not tried.`,
		Example: `  condaworker publish out/linux-64/*.conda --to s3://studio-packages/Conda/Default
  condaworker publish s3://test-packages/Conda/linux-64/blender-4.2.5-hb0f4dca_0.conda --to s3://studio-packages/Conda/Default`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.packages = args
			return d.publish(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.to, "to", "", "channel to publish to: a folder, file:// or s3://bucket/prefix")
	c.Flags().BoolVar(&o.noIndex, "no-index", false, noIndexHelp)
	c.Flags().StringVar(&o.workDir, "work-dir", "", "folder for packages that come from a URL (default: the system's temporary folder)")
	o.flags(c)
	o.lock.add(c)
	return c
}

// publish is the verb. What is wrong in a file is found before anything is
// stored. It stops at the first package that fails all the same, for those
// after it may need it, and shows those before it to clients; run again, they
// are there already.
func (d *desk) publish(ctx context.Context, o publishOptions) error {
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (string, error) {
		if o.to == "" {
			return "", usageError{errors.New("say where the packages go: --to URL")}
		}
		if err := checkPackages(o.packages); err != nil {
			return "", err
		}
		target, url, err := d.openTarget(ctx, o.to, o.lock)
		if err != nil {
			return "", err
		}
		packages := make([]candidate, len(o.packages))
		for i, path := range o.packages {
			if isURL(path) {
				packages[i].from = path
			} else {
				packages[i].Path = path
			}
		}
		if err := checkCandidates(packages); err != nil {
			return "", fmt.Errorf("publish to %s: %w", url, err)
		}
		err = d.release(ctx, destination{target, url, o.noIndex, o.workDir}, packages, p, r)
		return fmt.Sprintf("published %s%s", picture.Count(len(r.Packages), "package"), seen(url, r.Index)), err
	})
}

// destination is the channel that packages go to.
type destination struct {
	store.Store
	url     store.URL
	noIndex bool   // leave the index to a reindex
	workDir string // for what comes from another channel
}

// candidate is a package to publish, or one that is there already.
type candidate struct {
	indexer.Package
	from   string // its URL in another channel; "" for one on disk
	stored string // its key in the channel; "" for one that is not known to be there
}

// checkCandidates names all files that would be refused by any channel.
func checkCandidates(packages []candidate) error {
	var all []error
	for _, one := range packages {
		if one.from == "" {
			all = append(all, damaged(indexer.Check(one.Package)))
		}
	}
	return errors.Join(all...)
}

// release publishes packages and adds them to the channel's index, up to the
// first that fails.
func (d *desk) release(ctx context.Context, to destination, packages []candidate, p *progress, r *report) error {
	to.Store = observedStore{to.Store, d.out}
	done, failed := d.publishAll(ctx, to, packages, p, r)
	before := "published before it"
	if !to.noIndex && len(done) > 0 && (failed == nil || ctx.Err() == nil) {
		err := d.show(ctx, to, done, p, r)
		switch {
		case failed == nil:
			return err
		case err != nil:
			p.Warn(err.Error()) // the run fails by what came first
		case len(r.Index.Skipped) == 0:
			before += ", and in the index"
		}
	}
	return stopped(failed, before, len(done), len(packages))
}

// stopped adds to why one of several packages failed what came of the others.
func stopped(err error, before string, done, all int) error {
	if err == nil || all == 1 {
		return err
	}
	return fmt.Errorf("%w; %s: %s; not tried: %s", err, before, picture.Count(done, "package"), picture.Count(all-done-1, "package"))
}

// publishAll publishes packages and reports them, up to the first that fails.
func (d *desk) publishAll(ctx context.Context, to destination, packages []candidate, p *progress, r *report) (done []indexer.Published, err error) {
	end := p.Phase("publish")
	defer func() { end(err) }()
	for _, one := range packages {
		got, err := d.publishOne(ctx, to, one, p)
		if err != nil {
			return done, fmt.Errorf("publish to %s: %w", to.url, damaged(err))
		}
		text := "published"
		if got.Existed {
			text = "already published, same bytes:"
		}
		p.Info(fmt.Sprintf("%s %s/%s, %d bytes, sha256 %s", text, to.url, got.Key, got.Size, got.SHA256))
		r.Packages = append(r.Packages, published{Path: one.Path, From: one.from, Key: got.Key, Channel: to.url.String(), SHA256: got.SHA256, Size: got.Size, Existed: got.Existed})
		done = append(done, got)
	}
	return done, nil
}

// show adds what was published to the channel's index, and reports it.
func (d *desk) show(ctx context.Context, to destination, done []indexer.Published, p *progress, r *report) error {
	index, err := d.addToIndex(ctx, to, done, p)
	if err != nil {
		err = fmt.Errorf("add to the index of %s what is published there now: %w; condaworker reindex %s does it as well", to.url, err, to.url)
	} else {
		r.Index = &index
	}
	warnOfSkipped(p, index)
	return err
}

// addToIndex shows clients what was published. Where a commit does not, one of the
// workers that come at once indexes what is stored for all of them; the others see
// that theirs are in it, for it leaves out what its maker's credentials may not read.
func (d *desk) addToIndex(ctx context.Context, to destination, done []indexer.Published, p *progress) (indexer.Report, error) {
	end := p.Phase("index")
	o := indexer.Options{Log: p.Info, Warn: p.Warn}
	index, err := indexer.Commit(ctx, to, done, o)
	subdirs, why, err := lacking(ctx, to, done, index, err)
	end(err)
	if why == "" {
		return index, err
	}
	p.Info(why)
	anew, err := d.indexLocked(ctx, to, reindexOptions{url: to.url.String(), subdirs: subdirs, timeout: defaultLockTimeout}, p)
	if errors.Is(err, lock.ErrServed) {
		p.Info("another worker's run did that")
		anew, err = indexer.Commit(ctx, to, done, o)
	}
	index.Add(anew)
	return index, err
}

// lacking says which subdirs must be indexed under the lock, and why, since a commit
// that came to index and err does not show clients what was published.
func lacking(ctx context.Context, to destination, done []indexer.Published, index indexer.Report, err error) (subdirs []string, why string, _ error) {
	for _, p := range done {
		subdirs = append(subdirs, path.Dir(p.Key))
	}
	none, ok := errors.AsType[*indexer.NoIndexError](err)
	switch {
	case ok:
		return none.Subdirs, none.Error() + ": it is made from all that is stored", nil
	case errors.Is(err, store.ErrConflict):
		return subdirs, "others have changed the index each time meanwhile: it is made under the lock", nil
	case err != nil || !slices.ContainsFunc(index.Subdirs, func(s indexer.SubdirReport) bool { return s.Shared }):
		return nil, "", err
	}
	who, _, err := lock.Status(ctx, to, "")
	if err != nil {
		return nil, "", fmt.Errorf("see whether an older script indexes the channel: %w", err)
	}
	if !who.Script {
		return nil, "", nil
	}
	return subdirs, "an older script has the lock, and may yet put an index without the package there: " + who.String(), nil
}

// publishOne puts a package into the channel, unless it is there already.
func (d *desk) publishOne(ctx context.Context, to destination, one candidate, p *progress) (indexer.Published, error) {
	switch {
	case one.from != "":
		return d.copyPackage(ctx, to, one.from, to.workDir, p)
	case one.stored == "":
		return indexer.Publish(ctx, to, one.Package)
	}
	got, found, err := indexer.Stored(ctx, to, one.stored)
	if err == nil && !found {
		err = fmt.Errorf("%s was there and is gone", one.stored)
	}
	return got, err
}

// seen says whether clients see what was published.
func seen(channel store.URL, index *indexer.Report) string {
	switch {
	case index == nil:
		return fmt.Sprintf("; to show it to clients: condaworker reindex %s", channel)
	case len(index.Skipped) > 0:
		return fmt.Sprintf("; %d of what is stored in %s is left out of its index: see the warnings", len(index.Skipped), channel)
	}
	return fmt.Sprintf("; clients of %s see it", channel)
}

// published is one package and where it went.
type published struct {
	Path    string `json:"path,omitempty"` // of the file that is kept, e.g. out/linux-64/x-1.0-0.conda
	From    string `json:"from,omitempty"` // the URL that it was copied from
	Key     string `json:"key,omitempty"`  // in the channel, e.g. linux-64/x-1.0-0.conda
	Channel string `json:"channel,omitempty"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`             // in bytes
	Existed bool   `json:"existed,omitzero"` // the same bytes were there already
}

// unpublished describes packages that stay in --output-dir.
func unpublished(built []builder.Package) []published {
	var all []published
	for _, b := range built {
		all = append(all, published{Path: b.Path, SHA256: b.Summary.SHA256, Size: b.Summary.PackedBytes})
	}
	return all
}
