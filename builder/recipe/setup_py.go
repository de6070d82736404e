package recipe

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
)

// What a setup.py says to setuptools, as far as it can be known without running
// it: arguments that are literals, or names of the file that literals are
// assigned to.

var (
	setupCall       = regexp.MustCompile(`\bsetup\s*\(`)
	setupAssignment = regexp.MustCompile(`(?m)^(\w+)[ \t]*=[ \t]*(.)`)
	setupKeyword    = regexp.MustCompile(`^(\w+)\s*=\s*`)
)

// maxAssignments are more than a setup.py that people write has.
const maxAssignments = 1000

// errNotLiteral is a value that only Python knows.
var errNotLiteral = errors.New("this is no literal")

// setupArguments are the arguments of the file's call of setup() that are known,
// in their order: texts, whole numbers, booleans, lists and mappings of them.
func setupArguments(text string) *jinja.Dict {
	known := map[string]any{}
	for _, m := range setupAssignment.FindAllStringSubmatchIndex(text, maxAssignments) {
		p := pythonLiteral{text: text[m[4]:], known: known}
		if v, err := p.value(0); err == nil && p.ended("\n#;") {
			known[text[m[2]:m[3]]] = v
		}
	}
	out := jinja.NewDict()
	call := setupCall.FindStringIndex(text)
	if call == nil {
		return out
	}
	p := pythonLiteral{text: text[call[1]:], known: known}
	for p.space(); p.text != "" && p.text[0] != ')'; p.space() {
		keyword := setupKeyword.FindStringSubmatch(p.text)
		if keyword != nil {
			p.text = p.text[len(keyword[0]):]
			if v, err := p.value(0); err == nil && p.ended(",)") {
				out.Set(keyword[1], v)
			}
		}
		p.skip()
	}
	return out
}

// pythonLiteral reads Python's literals from the begin of text.
type pythonLiteral struct {
	text  string
	known map[string]any // names of the file
}

// space passes over blanks, line ends and comments.
func (p *pythonLiteral) space() {
	for {
		p.text = strings.TrimLeft(p.text, " \t\r\n\\")
		if !strings.HasPrefix(p.text, "#") {
			return
		}
		_, p.text, _ = strings.Cut(p.text, "\n")
	}
}

// ended tells whether one of these signs is next: else the literal is part of
// an expression.
func (p *pythonLiteral) ended(signs string) bool {
	rest := strings.TrimLeft(p.text, " \t\r")
	if !strings.Contains(signs, "\n") {
		p.space()
		rest = p.text
	}
	return rest == "" || strings.ContainsRune(signs, rune(rest[0]))
}

// skip passes over what is left of an argument, and over the comma behind it.
func (p *pythonLiteral) skip() {
	for depth := 0; p.text != ""; {
		switch c := p.text[0]; {
		case strings.IndexByte(`'"`, c) >= 0:
			if _, err := p.quoted(); err != nil {
				p.text = ""
			}
			continue
		case c == '#':
			p.space()
			continue
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case depth == 0 && c == ')':
			return
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case depth == 0 && c == ',':
			p.text = p.text[1:]
			return
		}
		p.text = p.text[1:]
	}
}

var (
	pythonName   = regexp.MustCompile(`^[A-Za-z_]\w*`)
	pythonNumber = regexp.MustCompile(`^-?\d+\b`)
	pythonString = regexp.MustCompile(`^[rRuU]?["']`)
)

// value reads one literal.
func (p *pythonLiteral) value(depth int) (any, error) {
	p.space()
	switch {
	case p.text == "" || depth > 20:
		return nil, errNotLiteral
	case pythonString.MatchString(p.text):
		return p.strings()
	case p.text[0] == '[':
		return p.list(']', depth)
	case p.text[0] == '(':
		return p.list(')', depth)
	case p.text[0] == '{':
		return p.mapping(depth)
	}
	if number := pythonNumber.FindString(p.text); number != "" {
		p.text = p.text[len(number):]
		return strconv.ParseInt(number, 10, 64)
	}
	name := pythonName.FindString(p.text)
	p.text = p.text[len(name):]
	switch name {
	case "True", "False":
		return name == "True", nil
	case "None":
		return nil, nil //nolint:nilnil // None is a value
	}
	v, ok := p.known[name]
	if !ok {
		return nil, errNotLiteral
	}
	return v, nil
}

// strings reads texts that stand behind one another: they are one.
func (p *pythonLiteral) strings() (any, error) {
	var all strings.Builder
	for pythonString.MatchString(p.text) {
		s, err := p.quoted()
		if err != nil {
			return nil, err
		}
		all.WriteString(s)
		rest := p.text
		if p.space(); !pythonString.MatchString(p.text) {
			p.text = rest // a line's end may be one
		}
	}
	return all.String(), nil
}

// quoted reads one text.
func (p *pythonLiteral) quoted() (string, error) {
	raw := strings.IndexByte("rR", p.text[0]) >= 0
	s := strings.TrimLeft(p.text, "rRuU")
	quote := s[:1]
	if strings.HasPrefix(s, strings.Repeat(quote, 3)) {
		quote = s[:3]
	}
	var out strings.Builder
	for s = s[len(quote):]; s != ""; s = s[1:] {
		switch {
		case strings.HasPrefix(s, quote):
			p.text = s[len(quote):]
			return out.String(), nil
		case s[0] == '\\' && len(s) > 1 && !raw:
			s = s[1:]
			if plain := strings.IndexByte("nt\\'\"", s[0]); plain >= 0 {
				out.WriteByte("\n\t\\'\""[plain])
			} else if s[0] != '\n' {
				return "", errNotLiteral
			}
		default:
			out.WriteByte(s[0])
		}
	}
	return "", errNotLiteral
}

// list reads a list or a tuple; what stands alone in parentheses is itself.
func (p *pythonLiteral) list(end byte, depth int) (any, error) {
	p.text = p.text[1:]
	all, comma := []any{}, false
	for p.space(); p.text != "" && p.text[0] != end; p.space() {
		v, err := p.value(depth + 1)
		if err != nil || !p.ended(","+string(end)) || p.text == "" {
			return nil, errNotLiteral
		}
		all = append(all, v)
		if p.text[0] == ',' {
			p.text, comma = p.text[1:], true
		}
	}
	if p.text == "" {
		return nil, errNotLiteral
	}
	p.text = p.text[1:]
	if end == ')' && len(all) == 1 && !comma {
		return all[0], nil
	}
	return all, nil
}

func (p *pythonLiteral) mapping(depth int) (any, error) {
	p.text = p.text[1:]
	d := jinja.NewDict()
	for p.space(); p.text != "" && p.text[0] != '}'; p.space() {
		key, err := p.value(depth + 1)
		name, isText := key.(string)
		if err != nil || !isText || !p.ended(":") || p.text == "" {
			return nil, errNotLiteral
		}
		p.text = p.text[1:]
		v, err := p.value(depth + 1)
		if err != nil || !p.ended(",}") {
			return nil, errNotLiteral
		}
		d.Set(name, v)
		p.text = strings.TrimPrefix(p.text, ",")
	}
	if p.text == "" {
		return nil, errNotLiteral
	}
	p.text = p.text[1:]
	return d, nil
}
