package recipe

import (
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Conda-build finds out what a recipe uses by looking at slices of its text, cut
// by regular expressions before any of it is read as YAML. The order of
// sections, and the key with which an output begins, therefore count in a hash.

var (
	outputsBegin      = regexp.MustCompile(`(?m)^outputs:`)
	outputsEnd        = regexp.MustCompile(`(?m)^test:|^extra:|^about:`)
	outputBegin       = regexp.MustCompile(`(?m)^ +- +(?:name|type):`)
	outputEnd         = regexp.MustCompile(`(?m)^\w|^ +- +(?:name|type)`)
	topRequirements   = regexp.MustCompile(`(?m)^requirements:`)
	topEnd            = regexp.MustCompile(`(?m)^test:|^extra:|^about:|^outputs:`)
	innerRequirements = regexp.MustCompile(`(?m)^\s*requirements:`)
	innerEnd          = regexp.MustCompile(`(?m)^\s*test:|^\s*extra:|^\s*about:|^\s*-\s+name:|^outputs:`)
	anyRequirements   = regexp.MustCompile(`requirements:`)
	requirementsEnd   = regexp.MustCompile(`(?m)^\w|^\s+-\s(?:name|type)`)
	sourceBegin       = regexp.MustCompile(`\s*source:`)
	sourceEnd         = regexp.MustCompile(`(?m)^build:|^requirements:|^test:|^extra:|^about:|^outputs:`)
)

// cut is the first piece of text from begin up to end, or to the text's end.
func cut(text string, begin, end *regexp.Regexp) string {
	at := begin.FindStringIndex(text)
	if at == nil {
		return ""
	}
	return text[at[0]:until(text, at[1], end)]
}

// until is where end begins behind a place, or the text's end. The search begins
// at the colon before the place: a line begins neither there nor at the place.
func until(text string, place int, end *regexp.Regexp) int {
	if stop := end.FindStringIndex(text[place-1:]); stop != nil {
		return place - 1 + stop[0]
	}
	return len(text)
}

// outputBlocks are the texts of the outputs, as far as they begin with a name or
// a type.
func outputBlocks(text string) []string {
	var all []string
	for {
		at := outputBegin.FindStringIndex(text)
		if at == nil || at[1] >= len(text) {
			return all
		}
		stop := until(text, at[1], outputEnd)
		all = append(all, text[at[0]:stop])
		text = text[stop:]
	}
}

// v0Texts remembers what was cut for one combination of values: each output asks
// for it again.
type v0Texts struct {
	selected map[string]string // a text to what its selectors leave of it
	blocks   map[bool][]string // the outputs' texts, before and after their selectors
	names    []string          // of the recipe's outputs, as they came to be
}

func newV0Texts() *v0Texts {
	return &v0Texts{selected: map[string]string{}, blocks: map[bool][]string{}}
}

// v0Slices are the pieces of a recipe's text that count for one output of it.
type v0Slices struct {
	r       *v0Recipe
	name    string   // of the output
	top     string   // of the recipe
	outputs []string // the names of the recipe's
}

// separate tells an output with a name of its own.
func (s v0Slices) separate() bool { return s.name != s.top }

// outputsText is the section outputs.
func (s v0Slices) outputsText(selected bool) string {
	return s.chosen(cut(s.r.text, outputsBegin, outputsEnd), selected)
}

// chosen applies the selectors, if asked to.
func (s v0Slices) chosen(text string, selected bool) string {
	if selected {
		text = s.r.selectedText(text)
	}
	return strings.TrimRight(text, " \t\n")
}

// blocks are the outputs' texts.
func (s v0Slices) blocks(selected bool) []string {
	known := s.r.texts.blocks
	if _, ok := known[selected]; !ok {
		known[selected] = outputBlocks(s.outputsText(selected))
	}
	return known[selected]
}

// outputText is the text of this output: that of the same place in the list.
func (s v0Slices) outputText(selected bool) string {
	blocks := s.blocks(selected)
	i := slices.Index(s.outputs, s.name)
	switch {
	case len(s.outputs) == 0 || len(blocks) == 0:
		return ""
	case i < 0:
		return s.name
	case i >= len(blocks):
		return ""
	}
	return blocks[i]
}

// whole is the text that counts as this output's recipe.
func (s v0Slices) whole() string {
	if s.separate() {
		return s.chosen(s.outputText(true), true)
	}
	return s.chosen(s.r.text, true)
}

// isOutput tells whether that text is an output's rather than a recipe's.
func (s v0Slices) isOutput() bool { return !strings.Contains(s.whole(), "package:") }

// searched is the text in which used variables are looked for.
func (s v0Slices) searched(selected bool) string {
	if s.separate() {
		return s.outputText(selected)
	}
	text := s.chosen(s.r.text, selected)
	if outputs := strings.TrimSpace(s.outputsText(selected)); outputs != "" {
		text = strings.ReplaceAll(text, outputs, "")
	}
	return text + s.outputText(selected)
}

// requirements is the part of the searched text that lists requirements.
func (s v0Slices) requirements(selected bool) string {
	return cut(s.searched(selected), anyRequirements, requirementsEnd)
}

// requirementsText is the section requirements of the whole text.
func (s v0Slices) requirementsText() string {
	base := s.r.text
	if s.separate() {
		base = s.outputText(true)
	}
	if strings.Contains(s.whole(), "package:") {
		return s.chosen(cut(base, topRequirements, topEnd), true)
	}
	return s.chosen(cut(base, innerRequirements, innerEnd), true)
}

// selectedText is text after its selectors, without a word about what is wrong
// in it: the recipe itself is read elsewhere.
func (r *v0Recipe) selectedText(text string) string {
	if cached, ok := r.texts.selected[text]; ok {
		return cached
	}
	quiet := *r
	job := *r.job
	job.report = &tree.Report{}
	quiet.job = &job
	selected := quiet.choose(text, quiet.here).text
	r.texts.selected[text] = selected
	return selected
}
