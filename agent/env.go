package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/sandbox"
	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
)

// envOptions are the flags of the verb env create.
type envOptions struct {
	reportOptions
	sourceOptions
	prefix       string
	specs        []string
	file         string
	platform     string
	cache        string
	excludeNewer string
	dryRun       bool
	explicit     string
	update       bool
	linkScripts  bool
}

// environment is what env create reports.
type environment struct {
	Prefix   string            `json:"prefix"`
	Platform string            `json:"platform"`
	Packages []environmentItem `json:"packages"` // dependencies first
}

// environmentItem is a package of an environment, in the keys of its record.
type environmentItem struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Build   string `json:"build"`
	Channel string `json:"channel"`
	Subdir  string `json:"subdir"`
	File    string `json:"fn"`
	SHA256  string `json:"sha256,omitempty"`
	Size    int64  `json:"size,omitempty"`
}

// envCommand declares the verbs below env.
func (d *desk) envCommand() *cobra.Command {
	var o envOptions
	create := &cobra.Command{
		Use:   "create -p PREFIX SPEC... -c URL",
		Short: "Solve match specs against channels and install the packages into a new prefix",
		Example: `  condaworker env create -p /work/env blender=4.2 'python >=3.11' -c s3://studio-packages/Conda/Default
  condaworker env create -p ./env --file environment.yml --dry-run --format json`,
		RunE: func(c *cobra.Command, args []string) error {
			o.specs = args
			return d.createEnv(c.Context(), o)
		},
	}
	f := create.Flags()
	f.StringVarP(&o.prefix, "prefix", "p", "", "the folder to make; one that has exactly these packages stays as it is")
	o.solveFlags(create)
	f.StringVar(&o.file, "file", "", "an environment.yml: its dependencies and channels come after those of the command line, its variables are set on activation")
	f.BoolVar(&o.dryRun, "dry-run", false, "solve, say what would be installed, and do nothing")
	f.StringVar(&o.explicit, "explicit", "", "a list of packages by their URLs (conda list --explicit): they are installed as they are, without solving")
	f.BoolVar(&o.update, "update", false, "make an environment that has other packages into this one, in one step")
	f.BoolVar(&o.linkScripts, "link-scripts", false, "run the packages' post-link and pre-unlink scripts")
	o.flags(create)
	return verbs("env", "Make environments from channels", create, d.enterCommand(), d.exitCommand(), d.envListCommand(), d.envCleanCommand())
}

// solveFlags are those of every verb that solves and installs.
func (o *envOptions) solveFlags(c *cobra.Command) {
	f := c.Flags()
	o.environmentFlags(c)
	f.StringVar(&o.platform, "platform", "", "platform of the packages (default: this machine's)")
	f.StringVar(&o.cache, "cache", "", "folder for archives and unpacked packages, which runs share (default: condaworker in the user's cache folder)")
	f.StringVar(&o.excludeNewer, "exclude-newer", "", "leave out packages that came into their channel later, or, where it does not say when, were built later: 2026-01-31 (the end of that day, UTC) or 2026-01-31T12:00:00Z")
}

// createEnv is the verb.
func (d *desk) createEnv(ctx context.Context, o envOptions) error {
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (string, error) {
		request, err := d.envRequest(ctx, o, p)
		if err != nil {
			return "", err
		}
		request.Update, request.LinkScripts = o.update, o.linkScripts
		phase, do := "create", env.Create
		if o.dryRun {
			phase, do = "solve", env.Preview
		} else {
			p.Folder("prefix", request.Prefix)
		}
		end := p.Phase(phase)
		records, err := do(ctx, request)
		end(err)
		if err != nil {
			return "", misnamed(err, request.Channels)
		}
		would := ""
		if o.dryRun {
			would = "would have "
		}
		for _, rec := range records {
			p.Info(fmt.Sprintf("%s%s %s %s from %s", would, rec.Name, rec.Version, rec.Build, rec.Channel))
		}
		r.Environment = environmentOf(request, records)
		return request.Prefix + " " + cmp.Or(would, "has ") + picture.Count(len(records), "package"), nil
	})
}

func environmentOf(r env.Request, records []conda.Record) *environment {
	e := &environment{Prefix: r.Prefix, Platform: r.Subdir, Packages: []environmentItem{}}
	for _, rec := range records {
		e.Packages = append(e.Packages, environmentItem{
			Name: rec.Name, Version: rec.Version, Build: rec.Build, Channel: rec.Channel, Subdir: rec.Subdir,
			File: rec.FileName, SHA256: rec.SHA256, Size: rec.Size,
		})
	}
	return e
}

// envRequest finds what is wrong with the command line, and opens the channels.
func (d *desk) envRequest(ctx context.Context, o envOptions, p *progress) (env.Request, error) {
	o.prefix = fromHome(o.prefix)
	file, err := o.environmentFile()
	if err != nil {
		return env.Request{}, err
	}
	specs, channels, err := o.wanted(file)
	if err == nil {
		err = checkFolder("prefix", o.prefix)
	}
	if err != nil {
		return env.Request{}, err
	}
	r := env.Request{
		Prefix: absolutePath(o.prefix), Specs: specs, Vars: file.vars, Subdir: o.platform,
		Run: builder.Programs(p, sandbox.Walls{}), Warn: p.Warn,
	}
	if r.NotAfter, err = notAfter(o.excludeNewer); err != nil {
		return r, err
	}
	if r.Priority, err = o.channelPriority(); err != nil {
		return r, err
	}
	if r.Subdir == "" {
		if r.Subdir, err = builder.HostPlatform(); err != nil {
			return r, err
		}
	}
	if r.Subdir == "noarch" || !conda.CanBeSubdir(r.Subdir) {
		return r, usageError{fmt.Errorf("--platform %s: it is a platform such as linux-64", r.Subdir)}
	}
	if r.Cache, err = cacheFolder(o.cache); err != nil {
		return r, err
	}
	r.Virtual = d.virtualPackages(ctx, r.Subdir)()
	if o.explicit != "" {
		err = d.readExplicit(ctx, o.explicit, o.sourceOptions, &r)
	} else {
		r.Channels, err = d.sources(ctx, o.sourceOptions, channels)
	}
	r.Channels = d.observe(r.Channels)
	return r, err
}

// cacheFolder is the one that a flag names, or the user's own.
func cacheFolder(flag string) (string, error) {
	if flag != "" {
		flag = fromHome(flag)
		return absolutePath(flag), checkFolder("--cache", flag)
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return "", usageError{fmt.Errorf("this user has no cache folder (%w): name one by --cache", err)}
	}
	return filepath.Join(folder, "condaworker"), nil
}

// wanted are the specs and channels of the command line and of the file.
func (o envOptions) wanted(file environmentFile) (specs, channels []string, err error) {
	specs, channels = slices.Concat(o.specs, file.specs), slices.Concat(o.channels, file.channels)
	for i, text := range specs {
		specs[i] = store.WithoutSecrets(text) // as the URLs of channels, which a spec may name
		if m, err := conda.ParseMatchSpec(text); err != nil && strings.Contains(text, ",") {
			return nil, nil, usageError{fmt.Errorf("%w; a comma stands between bounds of one version: separate packages by blanks", err)}
		} else if err != nil {
			return nil, nil, usageError{err}
		} else if !m.ExactName() {
			return nil, nil, usageError{fmt.Errorf("match spec %q: name one package, not a pattern", text)}
		}
	}
	switch {
	case o.prefix == "" && !o.dryRun:
		err = usageError{errors.New("say where: --prefix PREFIX")}
	case o.explicit != "" && len(specs)+len(channels) > 0:
		err = usageError{errors.New("--explicit FILE says all: leave out SPEC..., --file and --channel")}
	case o.explicit != "":
	case len(specs) == 0:
		err = usageError{errors.New("say what: SPEC..., e.g. python=3.12, or --file environment.yml")}
	case strings.TrimSpace(strings.Join(channels, "")) == "":
		err = usageError{errors.New("say from where: --channel URL")}
	}
	return specs, channels, err
}

// notAfter reads --exclude-newer: a day, to its end, or a moment; "" is none.
func notAfter(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1).Add(-time.Millisecond), nil
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usageError{fmt.Errorf("--exclude-newer %s: it is a day such as 2026-01-31 or a moment such as 2026-01-31T12:00:00Z", text)}
	}
	return moment, nil
}

// environmentFile is what an environment.yml asks for.
type environmentFile struct {
	specs, channels []string
	vars            map[string]string // to be set on activation
}

// environmentFile reads the environment.yml of --file, if there is one. What it asks for
// and env create cannot give is an error: an environment without it would be another one.
func (o envOptions) environmentFile() (e environmentFile, err error) {
	if o.file == "" {
		return e, nil
	}
	if err := checkFiles("--file", o.file); err != nil {
		return e, err
	}
	dir, name := filepath.Split(absolutePath(o.file))
	text, err := tree.ReadFile(os.DirFS(dir), name, "--file "+o.file)
	if err != nil {
		return e, err
	}
	report := &tree.Report{}
	reader := &tree.Reader{File: name, What: "the environment file", Begin: "dependencies:", Report: report, Typed: tree.Typed}
	root := reader.Parse(text)
	if root != nil {
		e.specs, e.channels = texts(root.Get("dependencies"), report), texts(root.Get("channels"), report)
		e.vars = variables(root.Get("variables"), report)
		for _, f := range root.FieldsBut("name", "prefix", "dependencies", "channels", "variables") {
			report.Fail(f.Pos, "take it out: name, prefix, channels, dependencies and variables are read", "%s is not supported", f.Key)
		}
	}
	if err := report.Err(); err != nil {
		return e, usageError{err}
	}
	return e, nil
}

// variables are a mapping's, each value as its author wrote it: 3.10 stays that.
func variables(n *tree.Node, report *tree.Report) map[string]string {
	vars := map[string]string{}
	if n.IsNull() {
		return vars
	}
	if n.Kind != tree.Map {
		report.Fail(n.Pos, "write NAME: value", "variables are no mapping")
		return vars
	}
	for _, f := range n.FieldsBut() {
		switch {
		case !variableName.MatchString(f.Key) || slices.Contains([]string{"PATH", "CONDA_PREFIX", "CONDA_SHLVL", "CONDA_DEFAULT_ENV"}, strings.ToUpper(f.Key)):
			report.Fail(f.Pos, "take it out, or give it another name", "no environment can set a variable %s", f.Key)
		case f.Value.IsNull() || f.Value.Kind != tree.Scalar || strings.Contains(f.Value.Scalar(), "\x00"):
			report.Fail(f.Pos, `write it in quotes, "" for an empty one`, "the variable %s has no text", f.Key)
		default:
			vars[f.Key] = f.Value.Scalar()
		}
	}
	return vars
}

// variableName is what shells and sessions take for one.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// texts are the items of a list; a mapping among them is pip's part.
func texts(n *tree.Node, report *tree.Report) []string {
	var all []string
	for _, item := range n.All() {
		text, ok := item.Text()
		if !ok {
			hint := "write each as text, without conditions"
			if len(item.Fields) > 0 && item.Fields[0].Key == "pip" {
				hint = "list conda packages, each as text; those of pip are not installed: take them from a channel, or run pip in the prefix"
			}
			report.Fail(item.Pos, hint, "%s is no text", item.Quoted())
			continue
		}
		all = append(all, text)
	}
	return all
}
