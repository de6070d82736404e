package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/doctor"
	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/sandbox"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/s3"
)

// checks are what doctor reports.
type checks []doctor.Check

// doctorCommand declares the verb.
func (d *desk) doctorCommand() *cobra.Command {
	var o reportOptions
	var work string
	c := &cobra.Command{
		Use:   "doctor [URL]",
		Short: "Look at this host, and at a channel from here, and say what a build would miss",
		Example: `  condaworker doctor
  condaworker doctor s3://studio-packages/Conda/Default --format json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return d.run(c.Context(), o, func(_ *progress, r *report) (string, error) {
				return d.doctor(c.Context(), o, work, strings.Join(args, ""), r)
			})
		},
	}
	c.Flags().StringVar(&work, "work-dir", "", "folder that builds take place in (default: the system's temporary folder)")
	o.flags(c)
	return c
}

// doctor is the verb. It fails when a build could not run.
func (d *desk) doctor(ctx context.Context, o reportOptions, work, url string, r *report) (string, error) {
	r.Checks = doctor.Look(ctx, d.patient(ctx, work))
	r.Checks = append(r.Checks, contained(ctx))
	for _, f := range sandbox.Probe(ctx) {
		c := doctor.Check{Name: f.Name, Status: doctor.OK, Found: f.What}
		if !f.Found {
			c.Status, c.Todo = doctor.Limited, f.Todo
		}
		r.Checks = append(r.Checks, c)
	}
	if url != "" {
		checks, err := d.doctorChannel(ctx, url)
		if err != nil {
			return "", err
		}
		r.Checks = append(r.Checks, checks...)
	}
	if o.format == "text" {
		if err := d.out.Print([]byte(doctor.Table(r.Checks))); err != nil {
			return "", err
		}
	}
	if sick := doctor.Sick(r.Checks); len(sick) > 0 {
		return "", fmt.Errorf("a build could not run here: %s", strings.Join(sick, ", "))
	}
	return "a build can run here", nil
}

// patient is what is known of the host.
func (d *desk) patient(ctx context.Context, work string) doctor.Host {
	h := doctor.Host{Env: d.env, WorkDir: cmp.Or(absolutePath(work), os.TempDir())}
	h.Platform, _ = builder.HostPlatform() // "" is what is checked
	if cache, err := os.UserCacheDir(); err == nil {
		h.Cache = filepath.Join(cache, "condaworker")
	}
	if h.Platform != "" {
		for _, p := range d.virtualPackages(ctx, h.Platform)() {
			h.Virtual = append(h.Virtual, p.Name+"="+p.Version)
		}
	}
	return h
}

// contained runs a script behind the walls, as a build would: what holds together
// is more than what there is of each.
func contained(ctx context.Context) doctor.Check {
	var layers sandbox.Layers
	err := sandbox.Run(ctx, sandbox.Command{
		Args: []string{"/bin/bash", "-ec", "true"}, Dir: "/", Output: io.Discard, Timeout: 10 * time.Second,
		Began: func(l sandbox.Layers) { layers = l },
	})
	c := doctor.Check{Name: "sandbox", Status: doctor.OK, Found: strings.TrimPrefix(layers.String(), "sandbox: ")}
	switch {
	case err != nil:
		c.Status, c.Found, c.Todo = doctor.Missing, "no script runs in it: "+err.Error(), "mend what is limited or missing in this list"
	case len(layers.Missing) > 0:
		c.Status, c.Todo = doctor.Limited, "mend what is limited in this list, where scripts are not trusted: --sandbox=require refuses to build without all layers"
	}
	return c
}

// doctorChannel looks at a channel as far as its door allows.
func (d *desk) doctorChannel(ctx context.Context, url string) ([]doctor.Check, error) {
	u, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case store.Folder:
		return doctorFolder(ctx, u.Path), nil
	case store.HTTP:
		c, err := d.openWeb(u)
		if err != nil {
			return nil, err
		}
		return []doctor.Check{doctor.Read(ctx, c.Reader)}, nil
	}
	s, _, err := d.openStore(ctx, url)
	if err != nil { // no credentials, in most cases
		return []doctor.Check{{Name: "credentials", Status: doctor.Missing, Found: err.Error(), Todo: "set AWS_PROFILE, or give the queue a role"}}, nil
	}
	var checks []doctor.Check
	if b, ok := s.(*s3.Store); ok {
		checks = append(checks, identity(ctx, b))
	}
	return append(checks, doctor.Write(ctx, s)...), nil
}

// identity tells who asks.
func identity(ctx context.Context, b *s3.Store) doctor.Check {
	i, err := b.Identity(ctx)
	if err != nil {
		return doctor.Check{Name: "credentials", Status: doctor.Missing, Found: err.Error()}
	}
	text := fmt.Sprintf("%s from %s, region %s", i.KeyID, i.Source, i.Region)
	if !i.Expires.IsZero() {
		text += ", good until " + i.Expires.UTC().Format(time.RFC3339)
	}
	if i.Endpoint != "" {
		text += ", at " + i.Endpoint
	}
	return doctor.Check{Name: "credentials", Status: doctor.OK, Found: text}
}

// doctorFolder tries a scratch channel inside the folder, or beside it when it
// is not there yet: its file system is what has to work.
func doctorFolder(ctx context.Context, path string) []doctor.Check {
	at := path
	for parent := filepath.Dir(at); parent != at; parent = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, os.ErrNotExist) {
			break
		}
		at = parent
	}
	err := dir.Open(path).CheckWritable()
	if err != nil {
		return []doctor.Check{{Name: "write", Status: doctor.Missing, Found: err.Error(), Todo: "make the channel's folder writable for this user, or name another one"}}
	}
	scratch, err := os.MkdirTemp(at, ".condaworker-doctor-")
	if err != nil {
		return []doctor.Check{{Name: "write", Status: doctor.Missing, Found: err.Error()}}
	}
	defer func() { _ = os.RemoveAll(scratch) }() // ours
	checks := doctor.Write(ctx, dir.Open(scratch))
	if at != path {
		return checks // publishing makes it
	}
	return append(checks, doctor.Read(ctx, dir.Open(path)))
}
