package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/env/solve"
)

// environment is what a script builds with in one prefix.
type environment struct {
	section string // of the requirements, as recipes name it: build or host
	wants   []want
	records []conda.Record // that were installed, dependencies first
	exports []exporter     // of the packages that were wanted, in the order of wants
}

// want is a match spec that an environment is made of.
type want struct {
	spec  string
	pos   tree.Pos // in the recipe
	from  string   // the package whose strong run_exports it is; "" is the recipe's own
	quiet bool     // what the package exports does not count
}

// exporter is a package of an environment and what it exports.
type exporter struct {
	from string // its name
	conda.Exports
}

// RequirementError reports that an environment of a build cannot be made, and
// which lines of the recipe ask for it.
type RequirementError struct {
	Section string   // build or host
	Wants   []string // the requirements that collide, each behind its place, e.g. recipe.yaml:7:12: lib >=2
	Err     error    // a *solve.UnsolvableError
}

// Error says what cannot be had together, where it is asked for, and why.
func (e *RequirementError) Error() string {
	return fmt.Sprintf("%s\nthe %s environment cannot be made: %v", strings.Join(e.Wants, "\n"), e.Section, e.Err)
}

// Unwrap returns the cause.
func (e *RequirementError) Unwrap() error { return e.Err }

// environments makes the prefixes that the script builds with: build
// requirements in BUILD_PREFIX, and in PREFIX those of host with what packages of
// build export strongly. It ends with the run requirements that follow from them.
func (b *build) environments(ctx context.Context) error {
	q := b.out.Requirements
	tools, err := b.pinned(q.Build)
	if err != nil {
		return err
	}
	section := b.out.Format == recipe.V0 && q.Host != nil
	if b.mergedPrefix() {
		// All of a meta.yaml's without a section host are build requirements then, and
		// export; of others those of host do. With the section, those of build export
		// strongly all the same.
		b.host.wants = wanted(tools, section || b.out.Format == recipe.V1)
	}
	if section || !b.mergedPrefix() {
		b.tools.wants = wanted(tools, false)
	}
	if err := b.make(ctx, &b.tools, b.dirs.buildPrefix, b.BuildPlatform); err != nil {
		return err
	}
	host, err := b.pinned(q.Host)
	if err != nil {
		return err
	}
	// Exports of what build packages want in host count in a meta.yaml with that section,
	// as with conda-build, and not with rattler-build.
	b.host.wants = slices.Concat(wanted(host, false), b.host.wants, b.strongWants(!section))
	if err := b.make(ctx, &b.host, b.dirs.prefix, b.Platform); err != nil {
		return err
	}
	n, err := b.runNeeds()
	for _, text := range n.told {
		b.Info(text)
	}
	if err != nil || b.out.Format != recipe.V0 {
		return err
	}
	return b.rename(ctx, n)
}

// rename gives a meta.yaml's package the build string that conda-build gives it when the
// environments are there.
func (b *build) rename(ctx context.Context, n needs) error {
	built := b.host
	if b.out.Requirements.Host == nil && !b.mergedPrefix() {
		built = b.tools
	}
	before := b.exact()
	if b.out = b.out.Named(n.written, built.installed()); b.exact() == before {
		return nil
	}
	b.names[before] = b.exact()
	b.Info("build string " + b.out.BuildString + ", with what the environments have and export")
	if !b.again {
		return nil
	}
	return b.findStored(ctx)
}

// spec is the match spec of a requirement, "" for a pin that is not resolved.
func (b *build) spec(d recipe.Dependency) string {
	spec := d.MatchSpec()
	if renamed, ok := b.names[spec]; ok {
		return renamed
	}
	return spec
}

// wanted are the wants of a list of requirements.
func wanted(list []recipe.Dependency, quiet bool) []want {
	var all []want
	for _, d := range list {
		all = append(all, want{spec: d.MatchSpec(), pos: d.Pos, quiet: quiet})
	}
	return all
}

// strongWants are what the packages of the build environment want in PREFIX.
func (b *build) strongWants(quiet bool) []want {
	var all []want
	for _, e := range b.tools.exports {
		for _, spec := range unignored(b.out, e.Strong) {
			all = append(all, want{spec: b.out.RunSpec(spec), from: e.from, quiet: quiet})
		}
	}
	return all
}

// pinned gives the pins of build or host requirements the version that the build
// environment has. conda-build knows none at that point: the name counts.
func (b *build) pinned(list []recipe.Dependency) ([]recipe.Dependency, error) {
	list = slices.Clone(list)
	for i, d := range list {
		var err error
		list[i].Resolved = b.spec(d)
		switch {
		case list[i].Resolved != "":
		case b.out.Format == recipe.V0:
			list[i].Resolved = d.Spec
		default:
			if list[i].Resolved, err = applyPin(b.out, d, "build", b.tools); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// make solves and installs e, and learns what the packages that it was made for
// export. Of two that are one prefix the first is only solved.
func (b *build) make(ctx context.Context, e *environment, prefix, platform string) error {
	create, done := env.Create, "installed"
	if e == &b.tools && b.mergedPrefix() {
		create, done = env.Solve, "to be installed with host:"
	}
	request := env.Request{
		Prefix: prefix, Channels: b.Channels, Subdir: platform, Virtual: b.virtual(), Cache: b.dirs.cache, Local: b.local(),
		Run: Programs(b.Observer, b.walls()), LinkScripts: true, Warn: b.Warn,
	}
	for _, w := range e.wants {
		request.Specs = append(request.Specs, w.spec)
	}
	var err error
	if e.records, err = create(ctx, request); err != nil {
		if err = e.explain(err); len(b.Channels) == 0 {
			err = fmt.Errorf("%w\nthere is no channel to take it from: name one with -c", err)
		}
		return err
	}
	b.exporters.Request = request
	for _, r := range e.records {
		b.Info(fmt.Sprintf("%s %s %s %s from %s", done, r.Name, r.Version, r.Build, r.Channel))
	}
	for _, w := range e.wants {
		r, found := e.record(nameOf(w.spec))
		if !found || w.quiet || ignoresFrom(b.out, r.Name) || slices.ContainsFunc(e.exports, func(x exporter) bool { return x.from == r.Name }) {
			continue
		}
		x, err := b.exporters.Of(ctx, r)
		if err != nil {
			return err
		}
		e.exports = append(e.exports, exporter{r.Name, x})
	}
	return nil
}

// explain points to the requirements that an unsatisfiable environment has.
func (e *environment) explain(err error) error {
	unsolvable, ok := errors.AsType[*solve.UnsolvableError](err)
	if !ok {
		return fmt.Errorf("make the %s environment: %w", e.section, err)
	}
	out := &RequirementError{Section: e.section, Err: err}
	for _, w := range e.wants {
		spec, err := conda.ParseMatchSpec(w.spec)
		if err == nil && slices.ContainsFunc(unsolvable.Asked, func(m conda.MatchSpec) bool { return m.String() == spec.String() }) {
			out.Wants = append(out.Wants, w.String())
		}
	}
	return out
}

// String is the place of a want and what it is.
func (w want) String() string {
	if w.from != "" {
		return w.spec + ", which " + w.from + " exports strongly"
	}
	return w.pos.String() + ": " + w.spec
}

// record is the environment's package of a name.
func (e *environment) record(name string) (conda.Record, bool) {
	i := slices.IndexFunc(e.records, func(r conda.Record) bool { return r.Name == name })
	if i < 0 {
		return conda.Record{}, false
	}
	return e.records[i], true
}

// installed are the packages as name version build, sorted.
func (e *environment) installed() []string {
	var all []string
	for _, r := range e.records {
		all = append(all, r.Name+" "+r.Version+" "+r.Build)
	}
	slices.Sort(all)
	return all
}

// nameOf is the package that a match spec is for.
func nameOf(spec string) string {
	m, err := conda.ParseMatchSpec(spec)
	if err != nil {
		return ""
	}
	return m.Name
}

// virtual is what the system offers to a solve.
func (b *build) virtual() []conda.Record {
	if b.Virtual == nil {
		return nil
	}
	return b.Virtual()
}

// needsEnvironments is false for most vendor archives, whose builds then need
// no channel at all.
func (b *build) needsEnvironments() bool {
	return len(b.out.Requirements.Host)+len(b.out.Requirements.Build) > 0
}

// mergedPrefix tells whether build and host requirements share PREFIX.
func (b *build) mergedPrefix() bool { return b.out.Build.MergeBuildHost }

// local are the packages that this run has built already.
func (b *build) local() []install.Package {
	var all []install.Package
	for _, p := range b.earlier {
		if p.Path != "" { // else it is in the channel
			all = append(all, install.Package{Path: p.Path, Record: p.Record, URL: "file://" + p.Path})
		}
	}
	return all
}
