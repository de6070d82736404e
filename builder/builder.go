// Package builder makes a conda package from a recipe: render, fetch, make the
// environments, run the script, pack, test. Each step is a package of its own
// (recipe, source, env, sandbox, pack) that knows nothing of the others; this
// one calls them in order and hands the values on. It never publishes and
// never prints: what is worth telling goes to an Observer. Start with Build.
package builder

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/sandbox"
	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
)

// Request says what to build and how.
type Request struct {
	RenderRequest
	Archives     []string      // local files that replace the recipe's url sources, in order
	PrefixLength int           // bytes of the padded prefix; 0 is 255
	Channels     []env.Channel // where requirements come from, first has priority
	ChannelNames []string      // the channels as info/about.json lists them
	Work         string        // an existing folder of this build's own; its caller removes it
	OutputDir    string        // the package goes to OutputDir/<subdir>/; "" leaves it below Work
	Outputs      []string      // further folders that builds write to; if the recipe folder has one, it is not packed
	NoTest       bool          // the package's own tests are not run
	Timeout      time.Duration // for each script; 0 is none
	IdleTimeout  time.Duration // for a script that prints nothing; 0 is none
	Walls        sandbox.Walls // around each script; a recipe may open the network
	Sealed       bool          // no recipe may open the network
	Read         []string      // what scripts may read beside the system's and their own files
	Epoch        time.Time     // all times in the package; zero takes the newest in the sources
	Version      string        // of the program, for info/about.json

	// Virtual is what the system offers to a solve for Platform, e.g. __glibc
	// 2.36; it is asked when an environment is made. nil: nothing.
	Virtual func() []conda.Record

	// NextBuildNumber, when set, chooses the build number by what the channel
	// already has in subdirs. again says that this very task had it before: it
	// is tried again, and Stored is asked whether it had published its package.
	NextBuildNumber func(ctx context.Context, name, version string, subdirs []string) (n int, again bool, err error)
	Stored          func(ctx context.Context, key string) (bool, error)

	exporters *env.Exporters    // made by Build, for all outputs
	names     map[string]string // made by Build: packages, as name version build, that got another build string when they were built
}

// Observer hears how a build goes on.
type Observer interface {
	// Phase begins a step and returns what ends it with its outcome.
	Phase(name string) (end func(error))
	// Folder tells where the build makes a folder whose size matters: work,
	// prefix, build prefix or test prefix.
	Folder(name, path string)
	Info(text string)
	Warn(text string)
	// Redact hides secrets in all that is told from now on.
	Redact(secrets ...string)
	// Lines takes the output of a foreign program; it is closed at its end.
	Lines() io.WriteCloser
}

// Package is a finished package.
type Package struct {
	Path       string // e.g. /out/linux-64/blender-4.2.5-hb0f4dca_0.conda
	Record     conda.Record
	Index      []byte // info/index.json
	RunExports []byte // info/run_exports.json; nil: it exports nothing
	Summary    pack.Summary

	// Stored is the key of a package that an earlier run of this task has
	// published; nothing was built, and the other fields are empty.
	Stored string
}

// Build makes every package of the recipe that is not skipped, in build order.
// On an error the packages that were finished before it are returned with it.
// Errors: tree.Problems (the recipe is wrong), *ScriptError, *TestError,
// *RequirementError, *solve.UnsolvableError, *source.HashError, or whatever the disk said.
func Build(ctx context.Context, r Request, o Observer) ([]Package, error) {
	var recipes Rendered
	err := phase(o, "render", func() (err error) {
		recipes, err = Render(ctx, r.RenderRequest)
		recipes.warn(o)
		if err == nil {
			recipes.tell(o, r.Platform)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.exporters, r.names = &env.Exporters{}, map[string]string{}
	r.BuildPlatform = cmp.Or(r.BuildPlatform, r.Platform)
	var packages []Package
	var waiting []*build // whose tests need what comes later
	for i := range recipes.Outputs {
		b, err := buildOutput(ctx, r, recipes, i, packages, o)
		if err != nil {
			return without(packages, waiting), err
		}
		packages = append(packages, b.made)
		if b.waits {
			waiting = append(waiting, b)
		}
	}
	for i, b := range waiting {
		b.earlier = without(packages, waiting[i:i+1])
		if err := phase(o, "test", func() error { return b.test(ctx) }); err != nil {
			return without(packages, waiting[i:]), err
		}
	}
	return packages, nil
}

// without are packages but for those of some builds.
func without(packages []Package, builds []*build) []Package {
	return slices.DeleteFunc(slices.Clone(packages), func(p Package) bool {
		return slices.ContainsFunc(builds, func(b *build) bool { return b.made.Path == p.Path })
	})
}

// buildOutput is the life of one package, a line a step. Its tests are left out when they
// wait for other outputs.
func buildOutput(ctx context.Context, r Request, recipes Rendered, i int, earlier []Package, o Observer) (*build, error) {
	b := &build{
		Request: r, Observer: o, Rendered: recipes, out: recipes.Outputs[i], earlier: earlier,
		tools: environment{section: "build"}, host: environment{section: "host"},
	}
	steps := []struct {
		name string
		do   func(context.Context) error
		skip bool
	}{
		{name: "verify", do: b.verify, skip: len(r.Archives) == 0},
		{name: "number", do: b.number(i), skip: r.NextBuildNumber == nil},
		{name: "fetch", do: b.fetch},
		{name: "environments", do: b.environments, skip: !b.needsEnvironments()},
		{name: "script", do: b.script},
		{name: "pack", do: b.pack},
		{name: "test", do: b.test, skip: r.NoTest},
	}
	if err := b.supported(); err != nil {
		return b, err
	}
	if err := b.layout(); err != nil {
		return b, err
	}
	for _, s := range steps {
		if s.name == "test" && !s.skip {
			b.waits = b.needsAny(recipes.Outputs[i+1:])
		}
		if s.skip || b.waits {
			continue
		}
		if err := phase(o, s.name, func() error { return s.do(ctx) }); err != nil {
			return b, err
		}
		if b.made.Stored != "" {
			break
		}
	}
	return b, nil
}

// phase tells the observer how a step began and ended.
func phase(o Observer, name string, do func() error) error {
	end := o.Phase(name)
	err := do()
	end(err)
	return err
}

// build is one output on its way to a package.
type build struct {
	Request
	Observer
	Rendered

	out     *recipe.Output
	earlier []Package // of the same recipe, which this one may require
	dirs    layout
	tools   environment // in BUILD_PREFIX
	host    environment // in PREFIX
	newest  time.Time   // of the times in the sources
	before  []string    // what the prefix held before the script ran
	packed  []string    // the files of the package
	made    Package
	again   bool   // this task had the build number before
	waits   bool   // its tests run behind all outputs
	beside  string // match spec of the package whose downstream package this is, for its tests; else ""
	layers  string // of the sandbox, as told last
}

// number asks for the build number and renders again: it is part of the build
// string, and a recipe may use it anywhere.
func (b *build) number(i int) func(context.Context) error {
	return func(ctx context.Context) error {
		subdirs := []string{b.out.Subdir, "noarch"}
		n, came, err := b.NextBuildNumber(ctx, b.out.Name, b.out.Version, subdirs)
		if err != nil {
			return fmt.Errorf("choose the build number of %s %s: %w", b.out.Name, b.out.Version, err)
		}
		options := b.options
		options.BuildNumber = &n
		again, err := recipe.Render(b.files, b.File, options)
		if err != nil {
			return err
		}
		if i >= len(again.Outputs) {
			return fmt.Errorf("%s builds something else with build number %d: do not make skip or outputs depend on the build number", b.File, n)
		}
		b.out = again.Outputs[i]
		b.Info(fmt.Sprintf("build number %d, build string %s", n, b.out.BuildString))
		if b.again = came; !came {
			return nil
		}
		return b.findStored(ctx)
	}
}

// findStored looks whether the task, which had this build number before, came
// as far as publishing.
func (b *build) findStored(ctx context.Context) error {
	key := b.out.Subdir + "/" + b.dist() + ".conda"
	stored, err := b.Stored(ctx, key)
	if err != nil || !stored {
		return err
	}
	b.made.Stored = key
	b.Info("an earlier run of this task has published " + key + ": it is not built again")
	return nil
}

// dist is the package's name without suffix, e.g. blender-4.2.5-hb0f4dca_0.
func (b *build) dist() string {
	return b.out.Name + "-" + b.out.Version + "-" + b.out.BuildString
}
