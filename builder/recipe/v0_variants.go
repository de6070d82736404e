package recipe

import (
	"maps"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
	"github.com/condaworker/condaworker/conda"
)

// Step one of a meta.yaml: what it may be built for.

// VariantFile is a conda_build_config.yaml as a meta.yaml's variants read it.
type VariantFile struct {
	Name string // in problems, e.g. conda_build_config.yaml
	Text string
}

// defaultVersions stand for languages that no variant names: conda-build always
// has one, to which it pins a requirement without a version.
var defaultVersions = map[string]any{
	"python": "3.11", "numpy": "1.23", "perl": "5.26.2", "lua": "5", "r_base": "3.5",
	"cpu_optimization_target": "nocona", "cran_mirror": "https://cran.r-project.org",
}

// space reads the layers of variants: conda-build's defaults, the files, and
// what the command line says.
func (j *job) space() variant.Space {
	layers := []variant.Layer{j.defaultLayer()}
	for _, f := range j.VariantFiles {
		layers = append(layers, j.layer(f))
	}
	layers = append(layers, variant.LayerFrom(j.Variants))
	return variant.Combine(layers, j.report)
}

// defaults are the values that conda-build has without any file.
func (j *job) defaults() variant.Config {
	values := maps.Clone(defaultVersions)
	values["target_platform"] = j.TargetPlatform
	for _, language := range []string{"c", "cxx", "fortran"} {
		values[language+"_compiler"] = nativeCompiler(j.platform, language)
	}
	if j.platform.Windows() {
		values["vc"], values["r_base"] = "14", "3.4"
	}
	return variant.Of(values)
}

// defaultLayer is what lies below all files.
func (j *job) defaultLayer() variant.Layer {
	pin := map[string]string{"min_pin": "x.x", "max_pin": "x.x"}
	return variant.LayerFrom(j.defaults()).Pinning(map[string]map[string]string{"python": pin, "r-base": pin}, []string{"python", "numpy"})
}

// layer reads one file: its lines are selected, and all its values are text.
func (j *job) layer(f VariantFile) variant.Layer {
	file := *j
	file.file = f.Name
	r := file.v0(j.defaults().First())
	r.Env = j.Env
	selected := r.choose(f.Text, r.here)
	if strings.TrimSpace(selected.text) == "" {
		return variant.Layer{}
	}
	reader := &tree.Reader{
		File: f.Name, What: "the variant file", Begin: "key: with a list of values", Report: j.report,
		Typed: func(_, text string) any { return textOrNothing(text) },
		At: func(line, column int) tree.Pos {
			return r.here(selected.lines[min(max(line, 1), len(selected.lines))-1], column)
		},
	}
	root := reader.Parse(selected.text)
	if root == nil {
		return variant.Layer{}
	}
	return variant.LayerOf(root, j.report)
}

// textOrNothing is a reading of plain scalars that knows no types.
func textOrNothing(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// v0 is the recipe for one combination of values. Which platform it is built
// for is a value like any other.
func (j *job) v0(values map[string]any) *v0Recipe {
	one := j.with(values)
	if subdir := tree.ScalarText(values["target_platform"]); subdir != one.TargetPlatform && values["target_platform"] != nil {
		p, err := platform.Parse(subdir)
		if err != nil {
			j.report.Fail(tree.Pos{File: j.file}, "", "the variant's target_platform: %v", err)
		} else {
			one.TargetPlatform, one.platform, one.names = subdir, p, nil
		}
	}
	return &v0Recipe{job: one, texts: newV0Texts(), pins: map[*tree.Node]*Pin{}}
}

// newestPython is the part of the space with the newest Python: a noarch package
// is built once.
func newestPython(s variant.Space) variant.Space {
	values := s.Values("python")
	if len(values) < 2 {
		return s
	}
	newest := slices.MaxFunc(values, func(a, b any) int {
		return compareVersions(firstWord(tree.ScalarText(a)), firstWord(tree.ScalarText(b)))
	})
	return s.Where("python", newest)
}

// compareVersions orders versions as conda does, and what is none as text.
func compareVersions(a, b string) int {
	x, errX := conda.ParseVersion(a)
	y, errY := conda.ParseVersion(b)
	if errX != nil || errY != nil {
		return strings.Compare(a, b)
	}
	return x.Compare(y)
}

// firstWord is the text up to the first blank.
func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return word
}
