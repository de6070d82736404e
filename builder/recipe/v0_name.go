package recipe

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

// Step five of a meta.yaml: the hash and the build string.

// hashExempt are names that a build string shows instead of hashing them:
// conda-build compares only how a key begins.
var hashExempt = []string{"python", "r_base", "perl", "lua"}

var (
	numpyPinned     = regexp.MustCompile(`numpy\s*x\.x|pin_compatible\(['"]numpy.*max_pin=['"]x\.x['"]`)
	numpyCompatible = regexp.MustCompile(`pin_\w+\(['"]numpy['"]`)
	numpyPin        = regexp.MustCompile(`pin_\w+\(['"]numpy['"].*x_pin=['"]([x.]*)['"]`)
)

// v0Labels are the languages that a build string shows, in its order, with the
// names of their packages and how many parts of the version follow.
var v0Labels = []struct {
	label    string
	packages []string
	parts    int
}{
	{"np", []string{"numpy"}, 2},
	{"py", []string{"python"}, 2},
	{"pl", []string{"perl"}, 3},
	{"lua", []string{"lua"}, 2},
	{"r", []string{"r", "r-base"}, 2},
	{"mro", []string{"mro-base"}, 3},
	{"mro", []string{"mro-base_impl"}, 3},
}

// Naming is what a meta.yaml's hash and build string are made of beside its requirements.
// These are final only when the environments are there: what their packages export may be
// hashed, and the versions that are installed are shown.
type Naming struct {
	Hashed   map[string]any    // the part of Variant that is hashed
	Versions map[string]string // of languages, by the name of their packages, in the variant
	Numpy    bool              // numpy's version is shown
	Features []string
	Custom   string // build.string, with a mark for the hash; "" is the default
}

// nameBuild makes hash and build string as conda-build does: none for a
// recipe that depends on nothing but the platform.
func (r *v0Recipe) nameBuild(out *Output, s v0Slices, used map[string]bool) {
	out.Variant = map[string]any{}
	for key := range used {
		if v, ok := r.variant[key]; ok {
			out.Variant[key] = tree.ScalarText(v)
		}
	}
	numpy := numpyPinned.MatchString(s.requirementsText())
	out.Naming = &Naming{Hashed: r.hashed(out, s, numpy), Versions: map[string]string{}, Numpy: numpy, Features: r.words(r.build.Get("features"))}
	for _, l := range v0Labels {
		for _, name := range l.packages {
			out.Naming.Versions[name] = r.languageVersion(strings.ReplaceAll(name, "-", "_"))
		}
	}
	custom := r.build.Get("string")
	if custom.Scalar() != "" {
		out.Naming.Custom = r.str(custom, "build.string")
	}
	built := out.Requirements.Host
	if !hasField(orMap(requirementLists(r.root.Get("requirements"))), "host") {
		built = out.Requirements.Build
	}
	*out = *out.Named(validSpecs(out.Requirements.Run), validSpecs(built))
	r.explain(out, s)
	if out.Naming.Custom != "" {
		r.checkCustom(custom, out.BuildString)
	}
	r.putBuild("number", &tree.Node{Value: strconv.Itoa(out.BuildNumber)})
	r.putBuild("string", &tree.Node{Value: out.BuildString})
}

// hashed is the part of the variant that a hash is made of.
func (r *v0Recipe) hashed(out *Output, s v0Slices, numpy bool) map[string]any {
	exempt := append(slices.Clone(hashExempt), r.space.IgnoreVersion...)
	if m := numpyPin.FindStringSubmatch(s.requirementsText()); numpy ||
		numpyCompatible.MatchString(s.requirementsText()) && m != nil && strings.Count(m[1], "x") == 2 {
		exempt = append(exempt, "numpy")
	}
	contents := maps.Clone(out.Variant)
	maps.DeleteFunc(contents, func(key string, v any) bool {
		return slices.ContainsFunc(exempt, func(p string) bool { return strings.HasPrefix(key, p) }) && !strings.Contains(tree.ScalarText(v), " ")
	})
	if _, only := contents["target_platform"]; only && len(contents) == 1 {
		clear(contents)
	}
	return contents
}

// validSpecs are requirements as they are shown, without those that are not finished yet.
func validSpecs(list []Dependency) []string {
	var all []string
	for _, d := range list {
		if _, err := conda.ParsePlainSpec(starred(d.Spec)); err == nil {
			all = append(all, d.Spec)
		}
	}
	return all
}

// Named is the output of a meta.yaml with the hash and the build string that it has with
// these run requirements and these packages to build with, each a match spec or name,
// version and build.
func (o *Output) Named(run, built []string) *Output {
	named := *o
	contents := maps.Clone(o.Naming.Hashed)
	for _, spec := range slices.Sorted(slices.Values(run)) { // of several on one package the last counts
		if strings.HasPrefix(spec, "__") {
			contents[firstWord(spec)] = spec
		}
	}
	named.HashInput, named.Hash = pythonJSON(contents, true), ""
	hash := ""
	if len(contents) > 0 {
		named.Hash = shortHash(named.HashInput)
		hash = "h" + named.Hash
	}
	named.BuildString = strings.NewReplacer("h"+hashPlaceholder, hash, hashPlaceholder, named.Hash).Replace(o.Naming.Custom)
	if o.Naming.Custom != "" {
		return &named
	}
	front := o.languages(run, built) + hash
	if front != "" {
		front += "_"
	}
	for _, feature := range o.Naming.Features {
		front += feature + "_"
	}
	named.BuildString = front + strconv.Itoa(o.BuildNumber)
	return &named
}

// explain notes where each used key is looked for.
func (r *v0Recipe) explain(out *Output, s v0Slices) {
	keys, text := variantKeys(r.variant), s.searched(false)
	lines := tree.NewLines(r.text)
	inTemplates, inSelectors := r.usesIn(text, keys, false), r.usesIn(text, keys, true)
	for _, key := range variantKeys(out.Variant) {
		read := Read{Key: key, Pos: out.Pos, Why: "used in the recipe's text"}
		offset, found := inTemplates[key]
		if selected, ok := inSelectors[key]; ok && (!found || selected < offset) {
			offset, found = selected, true
		}
		switch {
		case key == "target_platform":
			read.Why = "every package for one platform depends on it"
		case found:
			read.Pos = r.lineOf(lines, text, offset, out.Pos)
		default:
			read.Why = "used in a script, or by force_use_keys"
		}
		out.Reads = append(out.Reads, read)
	}
}

// lineOf is the file's line of an offset in a piece of its text; one that was
// put together from several is somewhere in the output.
func (r *v0Recipe) lineOf(lines *tree.Lines, piece string, offset int, output tree.Pos) tree.Pos {
	at := strings.Index(r.text, piece)
	if at < 0 {
		line, _, _ := strings.Cut(piece[strings.LastIndexByte(piece[:offset], '\n')+1:], "\n")
		if at, offset = strings.Index(r.text, line), 0; at < 0 {
			return output
		}
	}
	line, _ := lines.Place(at + offset)
	begin := lines.Offset(line, 1)
	return r.here(line, len(r.text[begin:])-len(strings.TrimLeft(r.text[begin:], " "))+1)
}

// checkCustom looks at a build string of the recipe's own.
func (r *v0Recipe) checkCustom(n *tree.Node, text string) {
	if len(r.blockers) == 0 {
		r.buildString(n, "build.string", text)
	}
	if r.BuildNumber != nil && !slices.Contains(r.mentioned, "PKG_BUILDNUM") {
		r.report.Warn(n.Pos, "use {{ PKG_BUILDNUM }} in it, or remove it",
			"build.string %q does not follow the build number %d that was chosen for this build", text, *r.BuildNumber)
	}
}

// putBuild sets a key of the evaluated recipe, so that info/recipe shows the
// number and string that were used.
func (r *v0Recipe) putBuild(key string, v *tree.Node) {
	build := &tree.Node{Kind: tree.Map}
	if r.build != nil {
		build.Pos, build.Fields = r.build.Pos, slices.Clone(r.build.Fields)
	}
	replaceField(build, key, v)
	r.build = build
	replaceField(r.root, "build", build)
}

// languages shows those that the package is built with and runs with.
func (o *Output) languages(run, built []string) string {
	var all []string
	for _, l := range v0Labels {
		for _, name := range l.packages {
			named := func(spec string) bool { return specName(spec) == name }
			if !slices.ContainsFunc(run, named) || !slices.ContainsFunc(built, named) || name == "numpy" && !o.Naming.Numpy {
				continue
			}
			entry := l.label
			if o.Noarch != name {
				entry += o.languageShown(built, l.packages, l.parts)
			}
			if !slices.Contains(all, entry) {
				all = append(all, entry)
			}
		}
	}
	return strings.Join(all, "")
}

// languageShown is the version of a language without dots: what it is built with, or
// the variant's.
func (o *Output) languageShown(built, packages []string, parts int) string {
	version := ""
	for _, name := range packages {
		for _, spec := range built {
			if words := strings.Fields(spec); len(words) > 1 && words[0] == name {
				version = words[1]
			}
		}
		if version == "" {
			version = o.Naming.Versions[name]
		}
		if version != "" {
			break
		}
	}
	pieces := strings.Split(version, ".")
	return strings.Join(pieces[:min(parts, len(pieces))], "")
}

// replaceField sets a key of an evaluated mapping.
func replaceField(n *tree.Node, key string, v *tree.Node) {
	if v == nil {
		v = &tree.Node{}
	}
	for i, f := range n.Fields {
		if f.Key == key {
			n.Fields[i].Value = v
			return
		}
	}
	n.Fields = append(n.Fields, tree.Field{Key: key, Value: v})
}
