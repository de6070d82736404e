package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/env"
)

// testOptions are the flags of the verb test.
type testOptions struct {
	reportOptions
	packages    []string
	channels    []string
	walls       wallFlags
	workDir     string
	timeout     time.Duration
	idleTimeout time.Duration
	keep        bool
}

// testCommand declares the verb and its flags.
func (d *desk) testCommand() *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use:   "test PACKAGE... -c URL",
		Short: "Run the tests that packages have in them, in a fresh environment",
		Example: `  condaworker test out/linux-64/blender-4.2.5-hb0f4dca_0.conda -c s3://studio-packages/Conda/Default
  condaworker test s3://studio-packages/Conda/Default/linux-64/blender-4.2.5-hb0f4dca_0.conda -c s3://studio-packages/Conda/Default`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.packages = args
			return d.test(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&o.channels, "channel", "c", nil, "channel that requirements come from, after the packages themselves; repeatable, or several separated by blanks")
	f.StringVar(&o.workDir, "work-dir", "", "folder to test in (default: the system's temporary folder)")
	f.DurationVar(&o.timeout, "timeout", 0, "end a test after this time, e.g. 90m (0: never)")
	f.DurationVar(&o.idleTimeout, "idle-timeout", 0, "end a test that prints nothing for this time (0: never)")
	f.BoolVar(&o.keep, "keep", false, "keep the folder that the tests ran in")
	o.walls.add(c)
	o.flags(c)
	return c
}

// test is the verb.
func (d *desk) test(ctx context.Context, o testOptions) error {
	return d.run(ctx, o.reportOptions, func(p *progress, _ *report) (result string, err error) {
		if o.timeout < 0 || o.idleTimeout < 0 {
			return "", usageError{errors.New("--timeout and --idle-timeout are times such as 90m, or 0 for none")}
		}
		if err := errors.Join(o.walls.validate(), checkPackages(o.packages)); err != nil {
			return "", err
		}
		work, err := d.makeWorkDir(o.workDir)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, d.removeWork(work, o.keep)) }()
		r := builder.Request{Work: work.path, Timeout: o.timeout, IdleTimeout: o.idleTimeout, Version: version()}
		r.CallerEnv = d.env
		o.walls.request(&r, work)
		if r.Platform, err = builder.HostPlatform(); err != nil {
			return "", err
		}
		r.Virtual = d.virtualPackages(ctx, r.Platform)
		if r.Channels, err = d.sources(ctx, sourceOptions{}, o.channels); err != nil {
			return "", err
		}
		files, err := d.fetched(ctx, o.packages, filepath.Join(work.path, "packages"), p)
		if err != nil {
			return "", err
		}
		ran, err := builder.Test(ctx, r, files, p)
		return picture.Count(ran, "test") + " of " + picture.Count(len(files), "package") + " passed", damaged(err)
	})
}

// fetched are files of packages; those at a URL come into dir.
func (d *desk) fetched(ctx context.Context, packages []string, dir string, p *progress) ([]string, error) {
	var files []string
	for _, at := range packages {
		if !isURL(at) {
			files = append(files, at)
			continue
		}
		o, err := d.findOriginal(ctx, at)
		if err != nil {
			return nil, err
		}
		if o.sha256 == "" {
			p.Warn("nobody says which sha256 " + at + " has: it is tested as it arrives")
		}
		file := filepath.Join(dir, filepath.FromSlash(o.key()))
		if _, err := env.Download(ctx, o.channel.Reader, o.key(), file, archive.Digest{SHA256: o.sha256}); err != nil {
			return nil, fmt.Errorf("read package %s: %w", at, err)
		}
		files = append(files, file)
	}
	return files, nil
}
