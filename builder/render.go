package builder

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe"
)

// rendered is a recipe and the outputs it asks for.
type rendered struct {
	dir     string // the recipe's folder, absolute
	files   fs.FS  // the same, for reading
	file    string // e.g. recipe.yaml
	options func(number *int) recipe.Options
	outputs []*recipe.Output
}

// MissingRecipeError reports that there is no recipe where one was named.
type MissingRecipeError struct{ Path, Reason string }

// Error says where a recipe was looked for and what would be one.
func (e *MissingRecipeError) Error() string {
	return fmt.Sprintf("no recipe at %s: %s", e.Path, e.Reason)
}

// render evaluates the recipe and passes its warnings on.
func render(r Request, o Observer) (rendered, error) {
	out, err := locate(r.Recipe)
	if err != nil {
		return rendered{}, err
	}
	out.options = func(number *int) recipe.Options {
		return recipe.Options{
			TargetPlatform: r.Platform,
			BuildPlatform:  r.Platform,
			Env:            public(r.CallerEnv),
			PackageName:    r.PackageName,
			BuildNumber:    number,
		}
	}
	result, err := recipe.Render(out.files, out.file, out.options(r.BuildNumber))
	if err != nil {
		return rendered{}, fmt.Errorf("render %s: %w", out.dir, err)
	}
	out.outputs = result.Outputs
	for _, w := range result.Warnings {
		o.Warn(w.Error())
	}
	for _, p := range out.outputs {
		for _, w := range p.Warnings {
			o.Warn(w.Error())
		}
		o.Info(fmt.Sprintf("rendered %s %s build %s for %s", p.Name, p.Version, p.BuildString, p.Subdir))
	}
	if len(out.outputs) == 0 {
		o.Info(fmt.Sprintf("skipped: %s builds nothing for %s", filepath.Join(out.dir, out.file), r.Platform))
	}
	return out, nil
}

// locate accepts a recipe's folder or its file.
func locate(path string) (rendered, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return rendered{}, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return rendered{}, &MissingRecipeError{path, "it does not exist; name a folder with a recipe.yaml or a meta.yaml"}
	}
	if !info.IsDir() {
		dir, file := filepath.Split(abs)
		return rendered{dir: filepath.Clean(dir), files: os.DirFS(dir), file: file}, nil
	}
	found := rendered{dir: abs, files: os.DirFS(abs)}
	found.file, err = recipe.Find(found.files)
	if err != nil {
		return rendered{}, &MissingRecipeError{path, strings.TrimPrefix(err.Error(), path+": ")}
	}
	return found, nil
}
