package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/lock"
)

// lockOptions are the flags of the verbs below lock.
type lockOptions struct {
	reportOptions
	url     string
	timeout lockTimeout
	lock    lockFlag
}

// lockCommand declares the verbs enter, exit and status.
func (d *desk) lockCommand() *cobra.Command {
	return verbs("lock", "Hold a channel's lock from one step of a job to another, or see who does",
		d.lockVerb("enter", "Take the lock for this session, for fifteen minutes at most; reindex works within it", d.lockEnter),
		d.lockVerb("exit", "Give back the lock that this session entered", d.lockExit),
		d.lockVerb("status", "Say who holds the lock", d.lockStatus),
	)
}

// lockVerb declares one of them.
func (d *desk) lockVerb(name, short string, do func(context.Context, lockOptions, *progress, *report) (string, error)) *cobra.Command {
	var o lockOptions
	c := &cobra.Command{
		Use: name + " URL", Short: short, Args: cobra.ExactArgs(1),
		Example: "  condaworker lock " + name + " s3://studio-packages/Conda/Default",
		RunE: func(c *cobra.Command, args []string) error {
			o.url = args[0]
			return d.run(c.Context(), o.reportOptions, func(p *progress, r *report) (string, error) {
				return do(c.Context(), o, p, r)
			})
		},
	}
	o.flags(c)
	o.lock.add(c)
	if name == "enter" {
		o.timeout.add(c)
	}
	return c
}

// session is the holder of a lock that is entered; outside of a farm there is
// none.
func (d *desk) session() (lock.Holder, error) {
	h := d.holder()
	h.PID = 0 // of no process
	if h.SessionID == "" {
		return h, usageError{errors.New("a lock is entered and exited by a session of the farm: DEADLINE_SESSION_ID is not set")}
	}
	return h, nil
}

func (d *desk) lockEnter(ctx context.Context, o lockOptions, p *progress, _ *report) (string, error) {
	h, err := d.session()
	if err != nil {
		return "", err
	}
	if err := o.timeout.validate(); err != nil {
		return "", err
	}
	s, url, err := d.openTarget(ctx, o.url, o.lock)
	if err != nil {
		return "", err
	}
	if err := mustExist(ctx, s, url.String(), "lock"); err != nil {
		return "", err
	}
	end := p.Phase("lock")
	err = lock.Enter(ctx, s, lock.Options{
		Timeout: time.Duration(o.timeout), Holder: h,
		Waiting: func(h lock.Held) { p.Info("waiting for the channel's lock: " + h.String()) },
		Warn:    p.Warn,
	})
	end(err)
	if err != nil {
		return "", fmt.Errorf("lock channel %s: %w", url, err)
	}
	return fmt.Sprintf("session %s holds the lock of %s", h.SessionID, url), nil
}

func (d *desk) lockExit(ctx context.Context, o lockOptions, _ *progress, _ *report) (string, error) {
	h, err := d.session()
	if err != nil {
		return "", err
	}
	s, url, err := d.openTarget(ctx, o.url, o.lock)
	if err != nil {
		return "", err
	}
	had, err := lock.Exit(ctx, s, h, "")
	if err != nil {
		return "", fmt.Errorf("unlock channel %s: %w", url, err)
	}
	if !had {
		return fmt.Sprintf("session %s does not hold the lock of %s (any more)", h.SessionID, url), nil
	}
	return fmt.Sprintf("session %s gave back the lock of %s", h.SessionID, url), nil
}

// lockStatus only looks.
func (d *desk) lockStatus(ctx context.Context, o lockOptions, _ *progress, r *report) (string, error) {
	c, err := d.openReader(ctx, o.url)
	if err != nil {
		return "", err
	}
	if err := mustExist(ctx, c.Reader, c.URL, "look at the lock of"); err != nil {
		return "", err
	}
	who, held, err := lock.Status(ctx, c.Reader, "")
	if err != nil {
		return "", fmt.Errorf("look at the lock of %s: %w", c.URL, err)
	}
	if !held {
		return fmt.Sprintf("the lock of %s is free", c.URL), nil
	}
	r.Lock = &who
	return fmt.Sprintf("the lock of %s is %s", c.URL, who), nil
}
