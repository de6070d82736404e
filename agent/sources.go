package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/http"
)

// sourceOptions are the flags of verbs that take packages from channels.
type sourceOptions struct {
	channels []string
	alias    string
	mirrors  []string
	priority string
	offline  bool
}

// environmentFlags declares all, for verbs that make environments.
func (o *sourceOptions) environmentFlags(c *cobra.Command) {
	o.sourceFlags(c, "channel to take packages from, in order of priority; repeatable, or several separated by blanks")
	c.Flags().StringVar(&o.priority, "channel-priority", string(env.Strict), "strict: the first channel that has a name wins; flexible: an earlier channel is better; disabled: the newest version is")
}

// sourceFlags declares those that say where channels lie.
func (o *sourceOptions) sourceFlags(c *cobra.Command, channel string) {
	f := c.Flags()
	f.StringArrayVarP(&o.channels, "channel", "c", nil, channel)
	f.StringVar(&o.alias, "channel-alias", "", "where channels lie that are given by name, e.g. https://conda.anaconda.org (default: $CONDA_CHANNEL_ALIAS; without any a name is a folder)")
	f.StringArrayVar(&o.mirrors, "mirror", nil, "CHANNEL=URL: read what lies below the URL CHANNEL from this one first; repeatable")
	f.BoolVar(&o.offline, "offline", false, "take the indexes of remote channels, and packages, from the cache alone")
}

// channelPriority checks the flag.
func (o sourceOptions) channelPriority() (env.Priority, error) {
	switch p := env.Priority(o.priority); p {
	case "", env.Strict, env.Flexible, env.Disabled:
		return p, nil
	}
	return "", usageError{fmt.Errorf("--channel-priority %s: it is strict, flexible or disabled", o.priority)}
}

// sources opens the channels that are given, the flags' names and mirrors applied.
func (d *desk) sources(ctx context.Context, o sourceOptions, arguments []string) ([]env.Channel, error) {
	mirrors, err := o.mirrorURLs()
	if err != nil {
		return nil, err
	}
	var channels []env.Channel
	for text := range strings.FieldsSeq(strings.Join(arguments, " ")) {
		if text == "nodefaults" { // conda's word for having no other channels, as we do
			continue
		}
		c, err := d.source(ctx, d.channelURL(text, o.alias), mirrors, o.offline)
		if err != nil {
			return nil, err
		}
		channels = append(channels, c)
	}
	return channels, nil
}

func isFolder(c env.Channel) bool { return !strings.Contains(c.URL, "://") }

// channelName is what conda takes for the name of a channel, not its place.
var channelName = regexp.MustCompile(`^[\w-][\w.-]*(/[\w-][\w.-]*)*$`)

// channelURL puts the alias before the name of a channel.
func (d *desk) channelURL(text, alias string) string {
	if alias == "" {
		alias = d.env["CONDA_CHANNEL_ALIAS"]
	}
	if alias == "" || !channelName.MatchString(text) {
		return text
	}
	return strings.TrimRight(alias, "/") + "/" + text
}

// misnamed tells who gave a channel by its name, which is then taken for a folder, where it is
// not there.
func misnamed(err error, channels []env.Channel) error {
	if !errors.Is(err, store.ErrNoChannel) {
		return err
	}
	for _, c := range channels {
		name, _ := filepath.Rel(absolutePath("."), c.URL) // "" is no name
		if _, missing := os.Stat(c.URL); missing != nil && isFolder(c) && channelName.MatchString(filepath.ToSlash(name)) {
			return fmt.Errorf("%w; where %s is the name of a channel, say where it lies, e.g. --channel-alias https://conda.anaconda.org", err, name)
		}
	}
	return err
}

// mirror says that what lies below one URL lies below another one, too.
type mirror struct{ of, at string }

func (o sourceOptions) mirrorURLs() ([]mirror, error) {
	var all []mirror
	for _, text := range o.mirrors {
		if text == "" { // a template's parameter that is not given
			continue
		}
		of, at, _ := strings.Cut(text, "=")
		u, err := parseURL(of)
		_, other := parseURL(at)
		if err = errors.Join(err, other); err != nil {
			return nil, usageError{fmt.Errorf("--mirror %s: it is CHANNEL=URL: %w", text, err)}
		}
		all = append(all, mirror{u.String(), strings.TrimRight(at, "/")})
	}
	return all, nil
}

// source opens a channel, or a folder that one names for its packages, with the mirrors
// and credentials of that place.
func (d *desk) source(ctx context.Context, url string, mirrors []mirror, offline bool) (env.Channel, error) {
	c, err := d.openReader(ctx, url)
	if err != nil {
		return c, err
	}
	c.Elsewhere = func(ctx context.Context, url string) (env.Channel, error) {
		return d.source(ctx, url, mirrors, offline)
	}
	if offline && !isFolder(c) {
		c.Offline, c.Reader = true, store.Offline{}
		return c, nil
	}
	var places []store.Place
	for _, m := range mirrors {
		rest, below := strings.CutPrefix(c.URL, m.of)
		if !below || rest != "" && rest[0] != '/' {
			continue
		}
		other, err := d.openReader(ctx, m.at+rest)
		if err != nil {
			return c, err
		}
		places = append(places, store.Place{Name: other.URL, Reader: other.Reader})
	}
	if places != nil {
		c.Reader = store.Mirror(func(text string) { d.out.Log().Warn(text) }, append(places, store.Place{Name: c.URL, Reader: c.Reader})...)
	}
	return c, nil
}

// openWeb opens a channel of a web server with the user's credentials.
func (d *desk) openWeb(u store.URL) (env.Channel, error) {
	known, err := http.LoadCredentials(d.env)
	if err != nil {
		return env.Channel{}, usageError{err}
	}
	return env.Channel{URL: u.String(), Reader: http.Open(u.Web, known)}, nil
}
