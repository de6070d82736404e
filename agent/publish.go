package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
)

// publishOptions are the flags of the verb publish.
type publishOptions struct {
	reportOptions
	packages []string
	to       string
}

// publishCommand declares the verb and its flags.
func (d *desk) publishCommand() *cobra.Command {
	var o publishOptions
	c := &cobra.Command{
		Use:     "publish PACKAGE... --to URL",
		Short:   "Put finished packages into a channel; never replaces one",
		Example: `  condaworker publish out/linux-64/*.conda --to s3://studio-packages/Conda/Default`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.packages = args
			return d.publish(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.to, "to", "", "channel to publish to: a folder, file:// or s3://bucket/prefix")
	o.flags(c)
	return c
}

// publish is the verb. It stops at the first package that fails; run again,
// those before it are there already.
func (d *desk) publish(ctx context.Context, o publishOptions) error {
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (_ string, err error) {
		if o.to == "" {
			return "", usageError{errors.New("say where the packages go: --to URL")}
		}
		target, url, err := d.openStore(ctx, o.to)
		if err != nil {
			return "", err
		}
		end := p.Phase("publish")
		defer func() { end(err) }()
		for _, path := range o.packages {
			one, err := d.publishOne(ctx, target, o.to, indexer.Package{Path: path})
			if err != nil {
				return "", err
			}
			r.Packages = append(r.Packages, one)
		}
		return fmt.Sprintf("published %d packages; to show them to clients: condaworker reindex %s", len(r.Packages), url), nil
	})
}

// published is one package and where it went.
type published struct {
	Path    string `json:"path,omitempty"` // of the file that is kept, e.g. out/linux-64/x-1.0-0.conda
	Key     string `json:"key,omitempty"`  // in the channel, e.g. linux-64/x-1.0-0.conda
	Channel string `json:"channel,omitempty"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`             // in bytes
	Existed bool   `json:"existed,omitzero"` // the same bytes were there already
}

// publishOne publishes and logs where the package lies, with the hash by which
// it can be found again.
func (d *desk) publishOne(ctx context.Context, target store.Store, to string, p indexer.Package) (published, error) {
	got, err := indexer.Publish(ctx, target, p)
	if err != nil {
		return published{}, fmt.Errorf("publish to %s: %w", to, err)
	}
	u, err := parseURL(to)
	if err != nil {
		return published{}, err
	}
	text := "published"
	if got.Existed {
		text = "already published, same bytes:"
	}
	d.out.Log().Info(fmt.Sprintf("%s %s/%s, %d bytes, sha256 %s", text, u, got.Key, got.Size, got.SHA256))
	return published{Path: p.Path, Key: got.Key, Channel: u.String(), SHA256: got.SHA256, Size: got.Size, Existed: got.Existed}, nil
}

// unpublished describes packages that stay in --output-dir.
func unpublished(built []builder.Package) []published {
	var all []published
	for _, b := range built {
		all = append(all, published{Path: b.Path, SHA256: b.Summary.SHA256, Size: b.Summary.PackedBytes})
	}
	return all
}
