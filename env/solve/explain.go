package solve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
)

// UnsolvableError says that no choice of records fits, and why.
type UnsolvableError struct {
	// Reasons are sentences without a full stop. Together they leave no way
	// out: what was asked for first, then who needs what.
	Reasons []string

	// Asked are those of Problem.Specs that the reasons begin with.
	Asked []conda.MatchSpec

	Channels []string // Problem.Channels
}

// Error returns all reasons, one a line, below the channels.
func (e *UnsolvableError) Error() string {
	return "no packages" + in(e.Channels) + " fit together:\n  - " + strings.Join(e.Reasons, "\n  - ")
}

// fact is what a clash was read from.
type fact struct {
	kind   factKind
	owner  *name // whose record says it; nil for a request
	who    set   // the candidates of owner that say it
	spec   conda.MatchSpec
	text   string // the spec as the record has it, or of a request, in its canonical form
	extra  string // the group of further dependencies that it is of
	at     string // where a pin is written
	target *name
}

type factKind uint8

const (
	requested  factKind = iota // the caller wants target
	depends                    // owner needs target
	constrains                 // owner bears only some of target
	present                    // the system has target
	unreadable                 // owner needs something that cannot be read
	pinned                     // the caller bears only some of target
)

// explain turns the facts that a clash follows from into sentences.
func (s *solver) explain(c *clash) *UnsolvableError {
	var facts []*fact
	for _, c := range smallest(leaves(c)) {
		facts = append(facts, c.fact)
	}
	facts = inOrder(facts)
	out := &UnsolvableError{Channels: s.problem.Channels}
	for _, f := range facts {
		if text := s.sentence(f, facts); !slices.Contains(out.Reasons, text) {
			out.Reasons = append(out.Reasons, text)
		}
		if f.kind == requested {
			out.Asked = append(out.Asked, f.spec)
		}
	}
	return out
}

// leaves are the clashes that were read, of those that c was learned from.
func leaves(c *clash) []*clash {
	var all []*clash
	seen := map[*clash]bool{}
	for open := []*clash{c}; len(open) > 0; {
		c, open = open[len(open)-1], open[:len(open)-1]
		if c == nil || seen[c] {
			continue
		}
		seen[c] = true
		if c.fact != nil {
			all = append(all, c)
		}
		open = append(open, c.from[1], c.from[0])
	}
	return all
}

// inOrder sorts facts so that a name is asked for before it asks.
func inOrder(facts []*fact) []*fact {
	var out []*fact
	known := map[*name]bool{nil: true}
	for len(facts) > 0 {
		i := slices.IndexFunc(facts, func(f *fact) bool { return known[f.owner] })
		i = max(i, 0) // a name that is only there because the system has it
		out = append(out, facts[i])
		known[facts[i].target] = true
		facts = slices.Delete(facts, i, i+1)
	}
	slices.SortStableFunc(out, func(a, b *fact) int { return min(int(a.kind), 1) - min(int(b.kind), 1) })
	return out
}

func (s *solver) sentence(f *fact, facts []*fact) string {
	switch f.kind {
	case requested:
		return "you asked for " + plain(f.spec) + s.lack(f)
	case depends:
		who, many := s.describe(f, facts)
		if f.extra != "" {
			who += " with " + f.extra
		}
		return who + verb(" needs ", " need ", many) + f.text + s.lack(f)
	case constrains:
		who, many := s.describe(f, facts)
		return who + verb(" works", " work", many) + " only with " + f.text
	case pinned:
		text := f.target.text + " is pinned to " + plain(f.spec)
		if f.at != "" {
			text += in([]string{f.at})
		}
		return text + s.lack(f)
	case present:
		has, _ := versions(f.target, f.target.all)
		return "this system has " + has
	}
	_, err := s.spec(f.text)
	if err == nil {
		err = fmt.Errorf("%s names no single package", f.text)
	}
	who, _ := s.describe(f, facts)
	return who + " cannot be used: " + err.Error()
}

func verb(one, more string, many bool) string {
	if many {
		return more
	}
	return one
}

// plain writes a spec in the words of a recipe: numpy >=1.20 py*.
func plain(spec conda.MatchSpec) string {
	canonical := spec.String()
	words := strings.TrimSpace(strings.Join([]string{spec.Name, spec.Version(), spec.Build()}, " "))
	if again, err := conda.ParseMatchSpec(words); err == nil && again.String() == canonical {
		return words
	}
	return canonical
}

// describe names the candidates that say a fact, of those that the other facts
// leave in play, with their channels where there are several, and says whether these
// are several versions.
func (s *solver) describe(f *fact, facts []*fact) (text string, many bool) {
	wanted := newSet(len(f.owner.candidates) + 1)
	for _, other := range facts {
		if other.target == f.owner && (other.kind == requested || other.kind == depends) {
			wanted = wanted.or(s.allowed(f.owner, other.spec, other.text))
		}
	}
	who := f.who.and(wanted)
	if who.count() == 0 {
		who = f.who
	}
	text, many = versions(f.owner, who)
	if len(s.problem.Channels) > 1 { // else there is no other one
		var meant []*candidate
		for i, c := range f.owner.candidates {
			if who.has(i + 1) {
				meant = append(meant, c)
			}
		}
		text += in(channels(meant))
	}
	return text, many
}

// lack says that nothing fits a spec at all, if so, and what there is.
func (s *solver) lack(f *fact) string {
	switch {
	case len(f.target.candidates) == 0 && strings.HasPrefix(f.target.text, "__"):
		return ", which this system does not have"
	case len(f.target.candidates) == 0:
		return ", and nothing provides " + f.target.text + in(s.problem.Channels) + cmp.Or(s.hidden(f), s.didYouMean(f.target.text))
	case s.allowed(f.target, f.spec, f.text).count() == 0:
		all, _ := versions(f.target, f.target.all)
		if f.target.locked {
			return ", which is locked at " + all
		}
		return ", and there is only " + all + in(channels(f.target.candidates)) + s.hidden(f)
	}
	return ""
}

// hidden says what would fit a spec, if it was not left out, and why it was.
func (s *solver) hidden(f *fact) string {
	if s.problem.Hidden == nil {
		return ""
	}
	var text strings.Builder
	for _, h := range s.problem.Hidden(f.target.text) {
		n := &name{text: f.target.text}
		for _, r := range h.Records {
			if v, err := conda.ParseVersion(r.Version); err == nil && f.spec.MatchVersion(&r, v) {
				n.candidates = append(n.candidates, &candidate{record: &r, version: v})
			}
		}
		if len(n.candidates) == 0 {
			continue
		}
		slices.SortStableFunc(n.candidates, s.better)
		all, _ := versions(n, full(len(n.candidates)))
		text.WriteString("; " + h.Why + " " + all + in(channels(n.candidates)))
	}
	return text.String()
}

// channels are those that candidates come from, in order.
func channels(all []*candidate) []string {
	var urls []string
	for _, c := range all {
		if url := c.record.Channel; url != "" && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	return urls
}

// in names places: " in a and b".
func in(places []string) string {
	if len(places) == 0 {
		return ""
	}
	return " in " + strings.Join(places, " and ")
}

// shown is how many versions a sentence lists.
const shown = 4

// versions lists the candidates in who by version, with their build string
// where only some builds of a version are meant. many says that it is a list.
func versions(n *name, who set) (text string, many bool) {
	var texts []string
	for i, c := range n.candidates {
		if !who.has(i + 1) {
			continue
		}
		var text strings.Builder
		text.WriteString(c.record.Version)
		for j, other := range n.candidates {
			if !who.has(j+1) && other.record.Version == c.record.Version {
				text.WriteString(" " + c.record.Build)
				break
			}
		}
		if !slices.Contains(texts, text.String()) {
			texts = append(texts, text.String())
		}
	}
	if len(texts) > shown {
		last := texts[len(texts)-1]
		texts = append(texts[:shown-1], fmt.Sprintf("%d more down to %s", len(texts)-shown+1, last))
	}
	if len(texts) == 1 {
		return n.text + " " + texts[0], false
	}
	return n.text + " " + strings.Join(texts[:len(texts)-1], ", ") + " and " + texts[len(texts)-1], true
}
