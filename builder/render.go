package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/builder/git"
	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

// RenderRequest says which recipe to render, and for what.
type RenderRequest struct {
	Recipe        string   // the recipe's folder, or its file
	Platform      string   // to build for, e.g. linux-64
	BuildPlatform string   // that builds; "" is Platform
	BaseVariants  []string // variant files that the one in the recipe's folder wins over, later ones win
	VariantFiles  []string // those that win over it, later ones win
	Variants      []string // KEY=VALUE,VALUE…: in place of what files say
	NoLocal       bool     // the variant file in the recipe's folder is not read
	Meta          bool     // a folder's meta.yaml is meant, also beside a recipe.yaml
	PackageName   string   // replaces the recipe's; "" keeps it
	BuildNumber   *int     // replaces the recipe's; nil keeps it
	HashCompat    recipe.HashCompat

	// CallerEnv is the environment of git, which templates may ask, and what they
	// may read themselves, but for what may carry the farm's credentials.
	CallerEnv map[string]string
}

// Rendered is a recipe and what it asks for.
type Rendered struct {
	Dir  string // the recipe's folder, absolute
	File string // e.g. recipe.yaml
	recipe.Result

	files   fs.FS // the folder, for reading
	options recipe.Options
}

// MissingRecipeError reports that there is no recipe where one was named.
type MissingRecipeError struct{ Path, Reason string }

// Error says where a recipe was looked for and what would be one.
func (e *MissingRecipeError) Error() string {
	return fmt.Sprintf("no recipe at %s: %s", e.Path, e.Reason)
}

// Render reads the variant files and evaluates the recipe. Errors:
// *MissingRecipeError, tree.Problems in the recipe or in a variant file, or
// whatever the disk said. Warnings are there beside an error, too: one may be
// why.
func Render(ctx context.Context, r RenderRequest) (Rendered, error) {
	out, err := locate(r.Recipe, r.Meta)
	if err != nil {
		return Rendered{}, err
	}
	if r.BuildPlatform == "" {
		r.BuildPlatform = r.Platform
	}
	out.options = recipe.Options{
		TargetPlatform: r.Platform, BuildPlatform: r.BuildPlatform, Env: public(r.CallerEnv),
		PackageName: r.PackageName, BuildNumber: r.BuildNumber, HashCompat: r.HashCompat,
		Git: git.NewClient(ctx, out.Dir, r.CallerEnv),
	}
	warnings, err := out.readVariants(r)
	if err != nil {
		return Rendered{}, fmt.Errorf("render %s: %w", out.Dir, err)
	}
	out.Result, err = recipe.Render(out.files, out.File, out.options)
	out.Warnings = append(warnings, out.Warnings...)
	if err != nil {
		err = fmt.Errorf("render %s: %w", out.Dir, err)
	}
	return out, err
}

// warn passes on the doubts.
func (r Rendered) warn(o Observer) {
	for _, w := range r.Warnings {
		o.Warn(w.Error())
	}
}

// tell passes on what came of it.
func (r Rendered) tell(o Observer, platform string) {
	for _, p := range r.Outputs {
		for _, w := range p.Warnings {
			o.Warn(w.Error())
		}
		o.Info(fmt.Sprintf("rendered %s %s build %s for %s", p.Name, p.Version, p.BuildString, p.Subdir))
	}
	if len(r.Outputs) == 0 {
		o.Info(fmt.Sprintf("skipped: %s builds nothing for %s", filepath.Join(r.Dir, r.File), platform))
	}
}

// readVariants reads the variant files as the recipe's format has them.
func (out *Rendered) readVariants(r RenderRequest) ([]tree.Problem, error) {
	format, err := recipe.FormatOf(out.files, out.File)
	if err != nil {
		return nil, err
	}
	o := &out.options
	if format == recipe.V0 {
		if o.VariantFiles, err = condaVariants(r, out.files); err != nil {
			return nil, err
		}
		o.Variants, _, err = override(variant.Config{}, r.Variants, nil, nil)
		return nil, err
	}
	var warnings []tree.Problem
	o.Variants, warnings, err = readVariants(r, out.files)
	return warnings, err
}

// condaVariants are the texts of conda_build_config.yaml files: the recipe's own,
// and those that are named, which go over it. None is looked for elsewhere.
func condaVariants(r RenderRequest, files fs.FS) ([]recipe.VariantFile, error) {
	var all []recipe.VariantFile
	read := func(fsys fs.FS, name, shown string) error {
		text, err := tree.ReadFile(fsys, name, "the variants")
		if err == nil {
			all = append(all, recipe.VariantFile{Name: shown, Text: text})
		}
		return err
	}
	named := func(files []string) error {
		for _, file := range files {
			fsys, name := besideFile(file)
			if err := read(fsys, name, file); err != nil {
				return err
			}
		}
		return nil
	}
	if err := named(r.BaseVariants); err != nil {
		return nil, err
	}
	if !r.NoLocal {
		if err := read(files, variant.CondaFile, variant.CondaFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return all, named(r.VariantFiles)
}

// besideFile is the folder of a file, as templates in it may read it, and its name.
func besideFile(file string) (fs.FS, string) {
	dir, name := filepath.Split(file)
	return os.DirFS(filepath.Clean(dir + ".")), name
}

// readVariants reads the named files and the recipe's own. All of them are read
// before it: its conditions may ask for what they say.
func readVariants(r RenderRequest, files fs.FS) (variant.Config, []tree.Problem, error) {
	o := variant.Options{Env: public(r.CallerEnv)}
	var err error
	if o.Platform, err = platform.Parse(r.Platform); err != nil {
		return variant.Config{}, nil, err
	}
	if o.Build, err = platform.Parse(r.BuildPlatform); err != nil {
		return variant.Config{}, nil, err
	}
	var warnings []tree.Problem
	read := func(to variant.Config, named []string) (variant.Config, error) {
		for _, file := range named {
			fsys, name := besideFile(file)
			o.Name = file
			c, doubts, err := variant.Read(fsys, name, o)
			if err != nil {
				return to, err
			}
			to, warnings = to.Merge(c), append(warnings, doubts...)
			o.Before = o.Before.Merge(c)
		}
		return to, nil
	}
	base, err := read(variant.Config{}, r.BaseVariants)
	if err != nil {
		return base, nil, err
	}
	named, err := read(variant.Config{}, r.VariantFiles)
	if err != nil {
		return base, nil, err
	}
	local, err := variant.Find(files)
	if err != nil || local == "" || r.NoLocal {
		return override(base.Merge(named), r.Variants, warnings, err)
	}
	o.Name = ""
	c, doubts, err := variant.Read(files, local, o)
	return override(base.Merge(c).Merge(named), r.Variants, append(warnings, doubts...), err)
}

// override applies the command line's values.
func override(c variant.Config, assignments []string, warnings []tree.Problem, err error) (variant.Config, []tree.Problem, error) {
	for _, a := range assignments {
		if err == nil {
			c, err = c.Override(a)
		}
	}
	return c, warnings, err
}

// locate accepts a recipe's folder or its file.
func locate(path string, meta bool) (Rendered, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Rendered{}, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return Rendered{}, &MissingRecipeError{path, "it does not exist; name a folder with a recipe.yaml or a meta.yaml"}
	}
	if !info.IsDir() {
		dir, file := filepath.Split(abs)
		return Rendered{Dir: filepath.Clean(dir), files: os.DirFS(dir), File: file}, nil
	}
	found := Rendered{Dir: abs, files: os.DirFS(abs)}
	found.File, err = recipe.Find(found.files, meta)
	if err != nil {
		return Rendered{}, &MissingRecipeError{path, strings.TrimPrefix(err.Error(), recipe.ErrNotFound.Error()+": ")}
	}
	return found, nil
}
