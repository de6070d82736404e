package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/virtual"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
)

// buildOptions are the flags of the verb build. An empty text and a zero
// count as not given, so that a job template can pass every parameter on.
type buildOptions struct {
	reportOptions
	recipeFlags
	sourceOptions
	walls        wallFlags
	to           string
	archives     []string
	packageName  string
	prefixLength int
	buildNumber  string
	outputDir    string
	workDir      string
	timeout      time.Duration
	idleTimeout  time.Duration
	noTest       bool
	keep         bool
	noIndex      bool
	lock         lockFlag
}

// buildCommand declares the verb and its flags.
func (d *desk) buildCommand() *cobra.Command {
	o := buildOptions{reportOptions: reportOptions{summary: true}}
	c := &cobra.Command{
		Use:   "build RECIPE --to URL",
		Short: "Render a recipe, build its package, test it and publish it",
		Example: `  condaworker build recipes/blender --to s3://studio-packages/Conda/Default
  condaworker build recipes/maya --to ./channel --source-archive maya-2026.tgz --build-number auto`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.named(args); err != nil {
				return err
			}
			return d.build(c.Context(), o)
		},
	}
	f := c.Flags()
	o.add(c)
	f.StringVar(&o.to, "to", "", "channel to publish to: a folder, file:// or s3://bucket/prefix")
	o.sourceFlags(c, "channel that requirements come from, after --to; repeatable, or several separated by blanks")
	f.StringArrayVar(&o.archives, "source-archive", nil, "local file in place of the recipe's next url source; its sha256 must still match; repeatable")
	f.StringVar(&o.packageName, "package-name", "", "package name in place of the recipe's")
	f.IntVar(&o.prefixLength, "prefix-length", 0, "length of the padded build prefix in bytes (0: 255)")
	f.StringVar(&o.buildNumber, "build-number", "", "build number in place of the recipe's; auto: one more than the highest in the channel")
	f.StringVar(&o.outputDir, "output-dir", "", "folder that keeps the package, as SUBDIR/NAME.conda")
	f.StringVar(&o.workDir, "work-dir", "", "folder to build in (default: the system's temporary folder)")
	o.flags(c)
	o.lock.add(c)
	o.walls.add(c)
	f.DurationVar(&o.timeout, "timeout", 0, "end a script after this time, e.g. 90m (0: never)")
	f.DurationVar(&o.idleTimeout, "idle-timeout", 0, "end a script that prints nothing for this time (0: never)")
	f.BoolVar(&o.noTest, "no-test", false, "do not run the package's own tests")
	f.BoolVar(&o.noIndex, "no-index", false, noIndexHelp)
	f.BoolVar(&o.keep, "keep", false, "keep the folder that the build took place in")
	return c
}

// validate finds what can be found wrong before anything is opened.
func (o *buildOptions) validate() error {
	o.archives = slices.DeleteFunc(o.archives, func(a string) bool { return a == "" || a == "." })
	switch {
	case o.recipe == "":
		return usageError{errors.New("name a recipe: condaworker build RECIPE --to URL")}
	case o.to == "" && o.outputDir == "":
		return usageError{errors.New("say where the package goes: --to URL, --output-dir DIR, or both")}
	case o.buildNumber == "auto" && o.to == "":
		return usageError{errors.New("--build-number auto needs the channel: --to URL")}
	case o.prefixLength < 0 || o.prefixLength > 255:
		return usageError{fmt.Errorf("--prefix-length %d: it is 1 to 255, or 0 for 255", o.prefixLength)}
	case o.timeout < 0:
		return usageError{fmt.Errorf("--timeout %s: it is a time such as 90m, or 0 for none", o.timeout)}
	case o.idleTimeout < 0:
		return usageError{fmt.Errorf("--idle-timeout %s: it is a time such as 10m, or 0 for none", o.idleTimeout)}
	}
	if err := o.walls.validate(); err != nil {
		return err
	}
	if _, err := o.fixedNumber(); err != nil {
		return err
	}
	if o.packageName != "" {
		if err := conda.ValidName(o.packageName); err != nil {
			return usageError{fmt.Errorf("--package-name %q: %w", o.packageName, err)}
		}
	}
	if err := checkFiles("--source-archive", o.archives...); err != nil {
		return err
	}
	return o.validatePlatform()
}

// validatePlatform fills in this machine's platform and refuses what it could
// not run.
func (o *buildOptions) validatePlatform() error {
	host, err := builder.HostPlatform()
	if err != nil {
		return err
	}
	if o.platform == "" {
		o.platform = host
	}
	if o.platform != host {
		return usageError{fmt.Errorf("--target-platform %s: this machine builds for %s only", o.platform, host)}
	}
	if o.buildPlatform != "" && o.buildPlatform != host {
		return usageError{fmt.Errorf("--build-platform %s: this machine is %s", o.buildPlatform, host)}
	}
	if runtime.GOOS == "windows" {
		return errors.New("building on Windows is not supported by this version")
	}
	return nil
}

// fixedNumber is the build number that the flag names; nil for none or auto.
func (o *buildOptions) fixedNumber() (*int, error) {
	if o.buildNumber == "" || o.buildNumber == "auto" {
		return nil, nil
	}
	n, err := strconv.Atoi(o.buildNumber)
	if err != nil || n < 0 {
		return nil, usageError{fmt.Errorf("--build-number %q: it is a whole number from 0 on, or auto", o.buildNumber)}
	}
	return &n, nil
}

// build is the verb: what needs cleaning up whatever happens is here, the work
// itself is in buildAndPublish.
func (d *desk) build(ctx context.Context, o buildOptions) error {
	return d.run(ctx, o.reportOptions, func(p *progress, r *report) (string, error) {
		if err := o.validate(); err != nil {
			return "", err
		}
		work, err := d.makeWorkDir(o.workDir)
		if err != nil {
			return "", err
		}
		p.Folder("other", work.path)
		err = d.buildAndPublish(ctx, o, work, p, r)
		return built(*r), errors.Join(err, d.removeWork(work, o.keep))
	})
}

// built says what was made, and whether clients see it.
func built(r report) string {
	result := "nothing to build"
	for _, p := range r.Packages {
		done := "built"
		if p.Path == "" && p.Existed {
			done = "found"
		}
		result = fmt.Sprintf("%s %s, %d bytes", done, filepath.Base(cmp.Or(p.Path, p.Key)), p.Size)
		if url, err := parseURL(p.Channel); err == nil {
			result += seen(url, r.Index)
		}
	}
	return result
}

// buildAndPublish reports the packages that were made also with an error: those
// that were published before it are in the channel.
func (d *desk) buildAndPublish(ctx context.Context, o buildOptions, work workDir, p *progress, r *report) error {
	request, target, err := d.buildRequest(ctx, o, work)
	if err != nil {
		return err
	}
	request.Channels = d.observe(request.Channels)
	built, err := builder.Build(ctx, request, p)
	r.built(built)
	if err != nil || target.Store == nil {
		r.Packages = unpublished(built)
		return err
	}
	var packages []candidate
	for _, b := range built {
		packages = append(packages, candidate{Package: indexer.Package{Path: b.Path, SHA256: b.Summary.SHA256, MD5: b.Summary.MD5, IndexJSON: b.Index, RunExports: b.RunExports}, stored: b.Stored})
	}
	if len(packages) > 0 {
		err = d.release(ctx, target, packages, p, r)
	}
	for i := range r.Packages {
		if o.outputDir == "" && !o.keep {
			r.Packages[i].Path = "" // removed with the work folder
		}
	}
	return err
}

// buildRequest opens the channels and hands the options on as plain values.
// A channel that cannot be written is found out now, not after the build.
func (d *desk) buildRequest(ctx context.Context, o buildOptions, work workDir) (builder.Request, destination, error) {
	number, err := o.fixedNumber()
	if err != nil {
		return builder.Request{}, destination{}, err
	}
	epoch, err := sourceDateEpoch(d.env["SOURCE_DATE_EPOCH"])
	if err != nil {
		return builder.Request{}, destination{}, err
	}
	render, err := o.request(d.env)
	if err != nil {
		return builder.Request{}, destination{}, err
	}
	render.PackageName, render.BuildNumber = o.packageName, number
	r := builder.Request{
		RenderRequest: render,
		Archives:      absolute(o.archives), PrefixLength: o.prefixLength, Work: work.path, OutputDir: absolutePath(o.outputDir),
		NoTest: o.noTest, Timeout: o.timeout, IdleTimeout: o.idleTimeout, Epoch: epoch,
		Version: version(), Virtual: d.virtualPackages(ctx, o.platform),
	}
	o.walls.request(&r, work)
	if r.Channels, err = d.sources(ctx, o.sourceOptions, o.channels); err != nil {
		return r, destination{}, err
	}
	for _, c := range r.Channels { // not --to: a package has the same bytes wherever it goes
		r.ChannelNames = append(r.ChannelNames, c.URL)
	}
	if err := makeFolder("--output-dir", o.outputDir); err != nil {
		return r, destination{}, err
	}
	if o.to == "" {
		return r, destination{}, nil
	}
	target, url, err := d.openTarget(ctx, o.to, o.lock)
	if err != nil {
		return r, destination{}, err
	}
	if url.Scheme == store.Folder {
		r.Outputs = append(r.Outputs, url.Path)
	}
	exists, err := checkTarget(ctx, target, url)
	if err != nil {
		return r, destination{}, err
	}
	if exists {
		r.Channels = slices.Insert(r.Channels, 0, env.Channel{URL: url.String(), Reader: target})
	}
	if o.buildNumber == "auto" {
		r.NextBuildNumber = func(ctx context.Context, name, version string, subdirs []string) (int, bool, error) {
			return indexer.ClaimBuildNumber(ctx, target, indexer.Claim{Name: name, Version: version, Subdirs: subdirs, Task: d.task(o), By: d.ids()})
		}
		r.Stored = func(ctx context.Context, key string) (bool, error) {
			_, found, err := indexer.Stored(ctx, target, key)
			return found, err
		}
	}
	return r, destination{Store: target, url: url, noIndex: o.noIndex}, nil
}

// writable is what a door offers that can tell in advance that it cannot be
// written.
type writable interface{ CheckWritable() error }

// checkTarget tells whether the channel has an index to take requirements
// from. A folder that does not exist yet is made by publishing; a bucket is not.
func checkTarget(ctx context.Context, s store.Store, u store.URL) (bool, error) {
	if w, ok := s.(writable); ok {
		if err := w.CheckWritable(); err != nil {
			return false, fmt.Errorf("publish to %s: %w", u, err)
		}
	}
	body, _, err := s.Get(ctx, "noarch/repodata.json", 0, 0)
	switch {
	case err == nil:
		return true, body.Close()
	case errors.Is(err, fs.ErrNotExist) && (u.Scheme == store.Folder || !errors.Is(err, store.ErrNoChannel)):
		return false, nil
	}
	return false, fmt.Errorf("publish to %s: %w", u, err)
}

// sourceDateEpoch reads SOURCE_DATE_EPOCH: seconds since 1970.
func sourceDateEpoch(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, usageError{fmt.Errorf("SOURCE_DATE_EPOCH=%q: it is the seconds since 1970", text)}
	}
	return time.Unix(seconds, 0), nil
}

// virtualPackages finds, when first asked, what the system itself offers to a
// solve for platform.
func (d *desk) virtualPackages(ctx context.Context, platform string) func() []conda.Record {
	return sync.OnceValue(func() []conda.Record {
		host, err := builder.HostPlatform()
		if err != nil {
			host = "" // nothing is known of it
		}
		return virtual.Packages(ctx, virtual.System{Platform: host, Root: os.DirFS("/"), Env: d.env, Run: asked}, platform)
	})
}

// asked is what a command of the system prints, soon.
func asked(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, name).Output()
}

// task is what stays the same when the farm tries a task again, "" outside of
// one: whoever builds by hand wants a new package each time. Chunked tasks have
// no id of their own.
func (d *desk) task(o buildOptions) string {
	if d.env["DEADLINE_JOB_ID"] == "" {
		return ""
	}
	return strings.Join([]string{d.env["DEADLINE_FARM_ID"], d.env["DEADLINE_QUEUE_ID"], d.env["DEADLINE_JOB_ID"], d.env["DEADLINE_STEP_ID"], d.env["DEADLINE_TASK_ID"], o.platform}, " ")
}

// ids are the farm's ids, for people.
func (d *desk) ids() map[string]string {
	all := map[string]string{}
	for name, value := range d.env {
		if id, ok := strings.CutPrefix(name, "DEADLINE_"); ok && strings.HasSuffix(id, "_ID") && value != "" {
			all[id] = value
		}
	}
	return all
}
