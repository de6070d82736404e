package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/builder/sandbox"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/activate"
	"github.com/condaworker/condaworker/env/persist"
)

// enterOptions are the flags of env enter: those of conda-queue-env-enter, and
// of env create what they lack.
type enterOptions struct {
	envOptions
	packages    []string
	root        string
	updateAfter int // minutes
	shell       string
	env0        bool
}

// enterCommand declares the verb.
func (d *desk) enterCommand() *cobra.Command {
	var o enterOptions
	c := &cobra.Command{
		Use:   "enter [DIR] --packages SPECS --channels URLS",
		Short: "Make an environment, or take one that is kept, and activate it for the session",
		Example: `  condaworker env enter .env --packages 'blender=4.2 "python >=3.11"' --channels s3://studio-packages/Conda/Default
  condaworker env enter --packages blender=4.2 --channels s3://studio-packages/Conda/Default --persist-envs-hashed ~/.persistent_envs`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.prefix = args[0]
			}
			return d.enterEnv(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&o.packages, "packages", "p", nil, "match specs, separated by blanks; one with blanks of its own in quotes; repeatable; without any there is nothing to enter")
	f.StringVar(&o.root, "persist-envs-hashed", "", "keep the environment in this folder, for all sessions that want the same, in place of DIR")
	f.IntVar(&o.updateAfter, "update-after-minutes", 600, "compare a kept environment with its channels when that was last done so many minutes ago")
	f.BoolVar(&o.env0, "print-env0", false, "print all variables after the activation as NAME=value, each followed by NUL, in place of openjd_env lines; the log goes to stderr")
	f.StringVar(&o.shell, "windows-activation-shell", "", "bash or cmd; without effect: scripts are not run on Windows by this version")
	o.solveFlags(c)
	f.Var(f.Lookup("channel").Value, "channels", "the same as --channel")
	o.flags(c)
	return c
}

// check also fills in what the options of conda-queue-env-enter leave open.
func (o *enterOptions) check(session string) error {
	o.specs = nil
	for _, text := range o.packages {
		o.specs = append(o.specs, specWords(text)...)
	}
	if o.root = absolutePath(fromHome(o.root)); o.root != "" {
		o.prefix = o.root // the prefix is found below it
	}
	if o.prefix == "" && session != "" {
		o.prefix = filepath.Join(session, ".env")
	}
	switch {
	case !slices.Contains([]string{"", "bash", "cmd"}, o.shell):
		return usageError{fmt.Errorf("--windows-activation-shell %s: it is bash or cmd", o.shell)}
	case o.updateAfter < 0:
		return usageError{fmt.Errorf("--update-after-minutes %d: it is 0 or more", o.updateAfter)}
	case o.env0 && o.format == "json":
		return usageError{errors.New("--print-env0 and --format json both want stdout: take one")}
	case o.prefix == "":
		return usageError{errors.New("say where: DIR, or --persist-envs-hashed ROOT")}
	case strings.ContainsRune(absolutePath(o.prefix), os.PathListSeparator):
		return usageError{fmt.Errorf("the folder %s has a %c in its name, which PATH would take for its end: name another one", o.prefix, os.PathListSeparator)}
	case len(o.specs) > 0 && strings.TrimSpace(strings.Join(o.channels, "")) == "":
		return usageError{errors.New("say from where: --channels URLS")}
	}
	return checkFolder("--persist-envs-hashed", o.root)
}

// specWords are the words of a list of match specs. A word in quotes may hold
// blanks: 'python >=3.11'.
func specWords(text string) []string {
	var words []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if quote := text[:1]; quote == `'` || quote == `"` {
			if word, rest, closed := strings.Cut(text[1:], quote); closed {
				words, text = append(words, strings.TrimSpace(word)), rest
				continue
			}
		}
		end := strings.IndexFunc(text, unicode.IsSpace)
		if end < 0 {
			end = len(text)
		}
		words, text = append(words, text[:end]), text[end:]
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// enterEnv is the verb.
func (d *desk) enterEnv(ctx context.Context, o enterOptions) error {
	o.document = o.env0
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (string, error) {
		_, session := d.jobSession()
		if err := o.check(session); err != nil {
			return "", err
		}
		if len(o.specs) == 0 {
			return "no packages: the session stays as it is", d.passEnv(ctx, o.root)
		}
		request, err := d.envRequest(ctx, o.envOptions, p)
		if err != nil {
			return "", err
		}
		end := p.Phase("environment")
		leave := func() error { return nil }
		if o.root == "" {
			_, err = env.Create(ctx, request)
		} else {
			request.Prefix, leave, err = d.keptEnv(ctx, o, request, p)
		}
		end(err)
		if err != nil {
			return "", misnamed(err, request.Channels)
		}
		if err := d.activateEnv(ctx, request.Prefix, o.env0, p); err != nil {
			return "", errors.Join(err, leave())
		}
		records, err := env.Installed(request.Prefix)
		r.Environment = environmentOf(request, records)
		return fmt.Sprintf("entered %s, %s", request.Prefix, picture.Count(len(records), "package")), err
	})
}

// envRoot is a folder of kept environments, and who is asking for one.
func (d *desk) envRoot(folder string) (persist.Root, persist.Session) {
	machine := persist.ThisMachine()
	id, session := d.jobSession()
	return persist.Root{Dir: folder, Machine: machine, Now: time.Now}, machine.SessionOf(id, session, os.Getpid())
}

// passEnv lets the exit that will follow end nothing. Without a root it ends nothing anyway.
func (d *desk) passEnv(ctx context.Context, folder string) error {
	if folder == "" {
		return nil
	}
	root, session := d.envRoot(folder)
	return root.Pass(ctx, session)
}

// mostMinutes is a century: a Duration has no more than three.
const mostMinutes = 100 * 366 * 24 * 60

// keptEnv enters an environment of the root, which request makes if need be.
func (d *desk) keptEnv(ctx context.Context, o enterOptions, request env.Request, p *progress) (prefix string, leave func() error, err error) {
	var channels []string
	for _, c := range request.Channels {
		channels = append(channels, c.URL)
	}
	wanted, err := persist.Want(request.Specs, channels, request.Subdir, request.Virtual, o.settings()...)
	if err != nil {
		return "", nil, usageError{err}
	}
	root, session := d.envRoot(o.root)
	leave = func() error {
		_, err := root.Leave(ctx, session)
		return errors.Join(err, root.Pass(ctx, session))
	}
	prefix, err = root.Enter(ctx, wanted, session, time.Duration(min(o.updateAfter, mostMinutes))*time.Minute, persist.Maker{
		Create: func(ctx context.Context, prefix string) error {
			p.Info("making " + prefix)
			request.Prefix = prefix
			_, err := env.Create(ctx, request)
			return err
		},
		Newest: func(ctx context.Context, prefix string) (bool, error) {
			records, err := env.Solve(ctx, request)
			if err != nil {
				return false, err
			}
			return env.Has(prefix, records)
		},
		Keep: func(err error) {
			p.Warn(fmt.Sprintf("the environment is used as it is, for it cannot be updated: %v", err))
		},
	})
	return prefix, leave, err
}

// settings are the options that choose other packages.
func (o enterOptions) settings() []string {
	settings := []string{"channel-priority=" + cmp.Or(o.priority, string(env.Strict))}
	if o.excludeNewer != "" {
		settings = append(settings, "exclude-newer="+o.excludeNewer)
	}
	return settings
}

// activateEnv tells the session, or who reads stdout, what activating prefix
// changes.
func (d *desk) activateEnv(ctx context.Context, prefix string, env0 bool, p *progress) (err error) {
	end := p.Phase("activate")
	defer func() { end(err) }()
	result, err := activate.Changes(ctx, prefix, d.env, activationShell(p))
	for _, w := range result.Warnings {
		p.Warn(w)
	}
	if err != nil {
		return err
	}
	if env0 {
		return d.out.Environ(changed(d.env, result.Changes))
	}
	for _, c := range result.Changes {
		if c.Unset {
			err = d.out.Unsetenv(c.Name)
		} else {
			err = d.out.Setenv(c.Name, c.Value)
		}
		if err != nil {
			p.Warn(fmt.Sprintf("not set: %v", err))
		}
	}
	return nil
}

// changed is vars after the changes.
func changed(vars map[string]string, changes []activate.Change) map[string]string {
	vars = maps.Clone(vars)
	for _, c := range changes {
		vars[c.Name] = c.Value
		if c.Unset {
			delete(vars, c.Name)
		}
	}
	return vars
}

// activationShell runs activation scripts in the sandbox, with their output in
// the log.
func activationShell(p *progress) activate.Shell {
	return func(ctx context.Context, c activate.Command) error {
		lines := p.Lines()
		err := sandbox.Run(ctx, sandbox.Command{
			Args: c.Args, Env: c.Env, Dir: c.Write, Output: lines,
			View: sandbox.View{Read: c.Read, Write: []string{c.Write}, Tmp: c.Write},
		})
		return errors.Join(err, lines.Close())
	}
}

// exitOptions are the flags of env exit: those of conda-queue-env-exit.
type exitOptions struct {
	reportOptions
	cleanOptions
}

// exitCommand declares the verb.
func (d *desk) exitCommand() *cobra.Command {
	var o exitOptions
	c := &cobra.Command{
		Use:     "exit",
		Short:   "End the session's use of a kept environment, and remove what nobody used for long",
		Example: `  condaworker env exit --persist-envs-hashed ~/.persistent_envs --cleanup-after-hours 96`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return d.run(c.Context(), o.reportOptions, func(p *progress, r *report) (string, error) {
				return d.exitEnv(c.Context(), o, p, r)
			})
		},
	}
	o.add(c)
	o.flags(c)
	return c
}

// exitEnv is the verb. The variables go with the session's environment, by the
// runtime's own doing. A clean that fails is no reason to fail a session.
func (d *desk) exitEnv(ctx context.Context, o exitOptions, p *progress, r *report) (string, error) {
	if err := o.check(); err != nil {
		return "", err
	}
	if o.root == "" {
		return "nothing is kept: the environment ends with the session", nil
	}
	root, session := d.envRoot(o.root)
	name, err := root.Leave(ctx, session)
	if err != nil {
		return "", err
	}
	if err := d.cleanRoot(ctx, o.cleanOptions, p, r); err != nil && ctx.Err() == nil {
		p.Warn(fmt.Sprintf("unused environments are not removed: %v", err))
	}
	return "left " + cmp.Or(name, "no environment: none was entered"), nil
}
