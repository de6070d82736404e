package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/persist"
	"github.com/condaworker/condaworker/store/dir"
)

// cleanOptions say what of a root may go.
type cleanOptions struct {
	root  string
	hours float64
	dry   bool
}

func (o *cleanOptions) add(c *cobra.Command) {
	c.Flags().StringVar(&o.root, "persist-envs-hashed", "", "the folder of kept environments")
	c.Flags().Float64Var(&o.hours, "cleanup-after-hours", 96, "remove environments that no session entered or left for so many hours, and that none is in")
}

func (o *cleanOptions) check() error {
	o.root = absolutePath(fromHome(o.root))
	if !isHours(o.hours) {
		return usageError{fmt.Errorf("--cleanup-after-hours %g: it is hours, from 0 on", o.hours)}
	}
	return checkFolder("--persist-envs-hashed", o.root)
}

// isHours refuses what is no number, and more than a Duration has.
func isHours(hours float64) bool { return hours >= 0 && hours <= 1e6 }

// cleanRoot removes what nobody uses.
func (d *desk) cleanRoot(ctx context.Context, o cleanOptions, p *progress, r *report) error {
	root, _ := d.envRoot(o.root)
	end := p.Phase("clean")
	cleaned, err := root.Clean(ctx, time.Duration(o.hours*float64(time.Hour)), o.dry)
	end(err)
	would := "removed "
	if o.dry {
		would = "would have removed "
	}
	for _, c := range cleaned {
		p.Info(would + c.String())
	}
	r.Cleaned = append([]persist.Cleaned{}, cleaned...)
	return err
}

// envCleanOptions are the flags of the verb env clean.
type envCleanOptions struct {
	exitOptions
	cache      string
	cacheHours float64
}

// patience is how long a clean waits for a cache that is in use.
const patience = time.Minute

// envCleanCommand declares the verb.
func (d *desk) envCleanCommand() *cobra.Command {
	var o envCleanOptions
	c := &cobra.Command{
		Use:     "clean [--persist-envs-hashed ROOT]",
		Short:   "Remove kept environments that nobody used for long, never one that a session is in; and such parts of the cache",
		Example: `  condaworker env clean --persist-envs-hashed ~/.persistent_envs --cleanup-after-hours 24 --dry-run`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return d.run(c.Context(), o.reportOptions, func(p *progress, r *report) (string, error) {
				return d.cleanEnvs(c.Context(), o, p, r)
			})
		},
	}
	o.add(c)
	f := c.Flags()
	f.StringVar(&o.cache, "cache", "", "the cache of archives, unpacked packages and indexes (default: condaworker in the user's cache folder)")
	f.Float64Var(&o.cacheHours, "cache-after-hours", 720, "remove from the cache what no run used for so many hours")
	f.BoolVar(&o.dry, "dry-run", false, "only say what would be removed")
	o.flags(c)
	return c
}

// cleanEnvs is the verb.
func (d *desk) cleanEnvs(ctx context.Context, o envCleanOptions, p *progress, r *report) (string, error) {
	if err := o.check(); err != nil {
		return "", err
	}
	if !isHours(o.cacheHours) {
		return "", usageError{fmt.Errorf("--cache-after-hours %g: it is hours, from 0 on", o.cacheHours)}
	}
	cache, err := cacheFolder(o.cache)
	if err != nil {
		return "", err
	}
	result := ""
	var failed error
	if o.root != "" {
		failed = d.cleanRoot(ctx, o.cleanOptions, p, r)
		result = fmt.Sprintf("%d prefixes in %s were not in use; ", len(r.Cleaned), o.root)
	}
	end := p.Phase("clean cache")
	cleaned, err := env.CleanCache(ctx, cache, time.Duration(o.cacheHours*float64(time.Hour)), patience, o.dry)
	end(err)
	if errors.Is(err, dir.ErrHeld) { // whoever cleans regularly does it the next time
		p.Warn(err.Error())
		err = nil
	}
	r.Cache = &cleaned
	would := "removed "
	if o.dry {
		would = "would have removed "
	}
	return result + would + cleaned.String(), errors.Join(failed, err)
}

// envListCommand declares the verb.
func (d *desk) envListCommand() *cobra.Command {
	var o exitOptions
	c := &cobra.Command{
		Use:     "list --persist-envs-hashed ROOT",
		Short:   "List kept environments: what they were made from, who uses them",
		Example: `  condaworker env list --persist-envs-hashed ~/.persistent_envs --format json`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return d.run(c.Context(), o.reportOptions, func(p *progress, r *report) (string, error) {
				if err := o.check(); err != nil {
					return "", err
				}
				if o.root == "" {
					return "", usageError{errors.New("say where: --persist-envs-hashed ROOT")}
				}
				root, _ := d.envRoot(o.root)
				list, err := root.List()
				for _, e := range list {
					p.Info(listed(e))
				}
				r.Environments = append([]persist.Environment{}, list...) // none are told, too
				return fmt.Sprintf("%s in %s", picture.Count(len(list), "environment"), o.root), err
			})
		},
	}
	c.Flags().StringVar(&o.root, "persist-envs-hashed", "", "the folder of kept environments")
	o.flags(c)
	return c
}

// listed is an environment's line.
func listed(e persist.Environment) string {
	return fmt.Sprintf("%s: %s from %s for %s; %d sessions, last used %s", e.Name,
		strings.Join(e.Packages, ", "), strings.Join(e.Channels, ", "), e.Platform, e.Sessions, e.Used.UTC().Format(time.RFC3339))
}
