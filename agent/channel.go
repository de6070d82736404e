package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/http"
	"github.com/condaworker/condaworker/store/s3"
)

// openStore opens a channel for writing.
func (d *desk) openStore(ctx context.Context, url string) (store.Store, store.URL, error) {
	u, err := parseURL(url)
	if err != nil {
		return nil, u, err
	}
	switch u.Scheme {
	case store.Folder:
		return dir.Open(u.Path), u, nil
	case store.S3:
		o := s3.Options{Bucket: u.Bucket, Prefix: u.Prefix, Owner: d.env["CONDAWORKER_EXPECTED_BUCKET_OWNER"], Env: d.env}
		keys, err := http.LoadS3Keys(d.env, u.Bucket, u.Prefix)
		if err != nil {
			return nil, u, usageError{err}
		}
		if keys != nil {
			d.out.Redact(keys.Secret, keys.Session)
			o.AccessKey, o.Secret, o.Token = keys.ID, keys.Secret, keys.Session
		}
		s, err := s3.Open(ctx, o)
		return s, u, err
	}
	name := "the folder or the s3:// URL that this server shows"
	if in, ok := u.InS3(); ok {
		name = in.String()
	}
	return nil, u, usageError{fmt.Errorf("channel %s is read only: name %s", u, name)}
}

// lockFlag is how a channel is kept from losing packages.
type lockFlag string

const bestEffort lockFlag = "best-effort"

func (l *lockFlag) add(c *cobra.Command) {
	c.Flags().StringVar((*string)(l), "lock", "strict", "strict, or best-effort: write to a store that does not honour conditional writes too; then two workers at once may lose packages")
}

// lockTimeout is how long a verb waits for the channel's lock; 0 is without end.
type lockTimeout time.Duration

const defaultLockTimeout = lockTimeout(30 * time.Minute)

func (l *lockTimeout) add(c *cobra.Command) {
	c.Flags().DurationVar((*time.Duration)(l), "lock-timeout", time.Duration(defaultLockTimeout), "give up when the channel's lock is not got in this time (0: never)")
}

func (l lockTimeout) validate() error {
	if l < 0 {
		return usageError{fmt.Errorf("--lock-timeout %s: it is a time such as 30m, or 0 for none", time.Duration(l))}
	}
	return nil
}

// prober is a door that can tell whether its server honours the conditions
// that keep packages from getting lost.
type prober interface {
	Probe(ctx context.Context, cache string) error
}

// openTarget opens a channel to write to.
func (d *desk) openTarget(ctx context.Context, url string, l lockFlag) (store.Store, store.URL, error) {
	if l != "strict" && l != bestEffort {
		return nil, store.URL{}, usageError{fmt.Errorf("--lock %s: it is strict or best-effort", l)}
	}
	u, err := parseURL(url)
	if err == nil {
		err = checkRoot(u)
	}
	if err != nil {
		return nil, u, err
	}
	s, u, err := d.openStore(ctx, url)
	if p, ok := s.(prober); ok && err == nil && l != bestEffort {
		cache, _ := os.UserCacheDir() // without a home the server is asked each time
		if cache != "" {
			cache = filepath.Join(cache, "condaworker")
		}
		if err = p.Probe(ctx, cache); errors.Is(err, s3.ErrUnconditional) {
			err = fmt.Errorf("%w; with --lock best-effort one worker at a time may write there", err)
		}
		if err != nil {
			err = fmt.Errorf("open channel %s: %w", u, err)
		}
	}
	return s, u, err
}

// openReader opens a channel for reading. What lets us in by its URL is a secret
// from now on.
func (d *desk) openReader(ctx context.Context, url string) (env.Channel, error) {
	d.out.Redact(store.Secrets(url)...)
	u, err := parseURL(url)
	if err != nil {
		return env.Channel{}, err
	}
	if u.Scheme == store.HTTP {
		return d.openWeb(u)
	}
	s, _, err := d.openStore(ctx, url)
	return env.Channel{URL: u.String(), Reader: s}, err
}

// checkRoot refuses the folder of a subdir, which clients take for the channel that
// it is in: below it they look for nothing.
func checkRoot(u store.URL) error {
	at := u.Prefix
	if u.Scheme == store.Folder {
		at = filepath.ToSlash(u.Path)
	}
	if subdir := path.Base(at); conda.IsSubdir(subdir) {
		return usageError{fmt.Errorf("%s is a subdir of a channel: name the channel, %s", u, strings.TrimSuffix(strings.TrimSuffix(u.String(), subdir), "/"))}
	}
	return nil
}

// parseURL makes a folder's path absolute, so that logs and reports name one
// place.
func parseURL(url string) (store.URL, error) {
	u, err := store.ParseURL(url)
	if err != nil {
		return u, usageError{err}
	}
	if u.Scheme == store.Folder {
		if strings.HasPrefix(strings.TrimSpace(url), "~") {
			u.Path = fromHome(u.Path)
		}
		u.Path, err = filepath.Abs(u.Path)
	}
	return u, err
}
