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
	hashCall        = regexp.MustCompile(`h\{\{\s*PKG_HASH\s*\}\}`)
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
	out.HashInput = pythonJSON(r.hashed(out, s, numpy), true)
	hash := ""
	if string(out.HashInput) != "{}" {
		out.Hash = shortHash(out.HashInput)
		hash = "h" + out.Hash
	}
	r.explain(out, s)
	out.BuildString = r.buildStringV0(out, s, hash, numpy)
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
	for _, d := range out.Requirements.Run {
		if name := d.Name(); strings.HasPrefix(name, "__") {
			contents[name] = d.Spec
		}
	}
	return contents
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

// buildStringV0 is the recipe's own, or made of languages, hash and number.
func (r *v0Recipe) buildStringV0(out *Output, s v0Slices, hash string, numpy bool) string {
	n := r.build.Get("string")
	if n == nil || n.Scalar() == "" {
		prefix := r.labels(out, numpy)
		if prefix != "" {
			prefix += hash + "_"
		} else if hash != "" {
			prefix = hash + "_"
		}
		for _, feature := range r.words(r.build.Get("features")) {
			prefix += feature + "_"
		}
		return prefix + strconv.Itoa(out.BuildNumber)
	}
	text := r.str(n, "build.string")
	if hashCall.MatchString(s.buildText()) || strings.Contains(text, "h"+hashPlaceholder) {
		text = strings.ReplaceAll(text, "h"+hashPlaceholder, hash)
	}
	text = strings.ReplaceAll(text, hashPlaceholder, out.Hash)
	if len(r.blockers) == 0 {
		r.buildString(n, "build.string", text)
	}
	if r.BuildNumber != nil && !slices.Contains(r.mentioned, "PKG_BUILDNUM") {
		r.report.Warn(n.Pos, "use {{ PKG_BUILDNUM }} in it, or remove it",
			"build.string %q does not follow the build number %d that was chosen for this build", text, *r.BuildNumber)
	}
	return text
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

// labels shows the languages that the package was built with and runs with.
func (r *v0Recipe) labels(out *Output, numpy bool) string {
	built := out.Requirements.Host
	if !hasField(orMap(requirementLists(r.root.Get("requirements"))), "host") {
		built = out.Requirements.Build
	}
	var all []string
	for _, l := range v0Labels {
		for _, name := range l.packages {
			named := func(d Dependency) bool { return d.Name() == name && d.valid() }
			if !slices.ContainsFunc(out.Requirements.Run, named) || !slices.ContainsFunc(built, named) || name == "numpy" && !numpy {
				continue
			}
			entry := l.label
			if out.Noarch != name {
				entry += r.builtWith(built, l.packages, l.parts)
			}
			if !slices.Contains(all, entry) {
				all = append(all, entry)
			}
		}
	}
	return strings.Join(all, "")
}

// valid tells a requirement from one that is not finished yet.
func (d Dependency) valid() bool {
	_, err := conda.ParsePlainSpec(starred(d.Spec))
	return err == nil
}

// builtWith is the version of a language without dots: what a requirement says,
// or the variant's.
func (r *v0Recipe) builtWith(built []Dependency, packages []string, parts int) string {
	version := ""
	for _, name := range packages {
		for _, d := range built {
			if words := strings.Fields(d.Spec); d.Name() == name && len(words) > 1 && words[0] == name {
				version = words[1]
			}
		}
		if version == "" {
			version = r.languageVersion(strings.ReplaceAll(name, "-", "_"))
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
