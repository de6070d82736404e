package jinja

import (
	"slices"
	"strings"
)

// parser turns tokens into statements; parse_expr.go into expressions.
type parser struct {
	tokens []token
	pos    int
	depth  int
}

// newParser reads all tokens at once; bare says that source is an expression
// without delimiters, as conditions of recipe.yaml are.
func newParser(source string, d Dialect, bare bool) (*parser, error) {
	tokens, err := lex(source, d, bare)
	if err != nil {
		return nil, err
	}
	return &parser{tokens: tokens}, nil
}

// peek is the next token.
func (p *parser) peek() token { return p.tokens[p.pos] }

// next takes a token; the last one, the end, comes again and again.
func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != tokenEOF {
		p.pos++
	}
	return t
}

// accept takes the next token if it is the operator or word text.
func (p *parser) accept(text string) bool {
	if t := p.peek(); (t.kind == tokenOperator || t.kind == tokenName) && t.text == text {
		p.pos++
		return true
	}
	return false
}

// expect takes the operator or word, which must come next.
func (p *parser) expect(text string) error {
	if !p.accept(text) {
		return errorAt(p.peek().offset, "expected %q, found %s", text, p.peek())
	}
	return nil
}

// end takes the closing delimiter.
func (p *parser) end() error {
	if t := p.next(); t.kind != tokenEnd {
		return errorAt(t.offset, "unexpected %s in an expression", t)
	}
	return nil
}

// enter counts nesting; the returned function counts back.
func (p *parser) enter() (func(), error) {
	p.depth++
	if p.depth > maxNesting {
		return nil, errorAt(p.peek().offset, "nested more than %d deep", maxNesting)
	}
	return func() { p.depth-- }, nil
}

// template reads all statements.
func (p *parser) template() ([]stmt, error) {
	body, stop, err := p.body()
	if err == nil && stop.kind != tokenEOF {
		err = errorAt(stop.offset, "%q without its beginning", stop.text)
	}
	return body, err
}

// body reads statements up to one of the words, which it takes with its {%.
func (p *parser) body(words ...string) ([]stmt, token, error) {
	leave, err := p.enter()
	if err != nil {
		return nil, token{}, err
	}
	defer leave()
	var body []stmt
	for {
		t := p.next()
		var s stmt
		var err error
		switch t.kind {
		case tokenEOF:
			return body, t, nil
		case tokenText:
			s = &textStmt{place(t.offset), t.text}
		case tokenOutput:
			s, err = p.output(t.offset)
		case tokenBlock:
			if word := p.peek(); isClosing(word.text) || slices.Contains(words, word.text) {
				p.next()
				return body, word, nil
			}
			s, err = p.block(t.offset)
		}
		if err != nil {
			return nil, token{}, err
		}
		body = append(body, s)
	}
}

// isClosing holds for the words that end or divide a block.
func isClosing(word string) bool {
	return strings.HasPrefix(word, "end") || word == "else" || word == "elif"
}

// closed reads a body that must end with one of the words.
func (p *parser) closed(start int, opener string, words ...string) ([]stmt, string, error) {
	body, stop, err := p.body(words...)
	if err != nil {
		return nil, "", err
	}
	if !slices.Contains(words, stop.text) {
		return nil, "", errorAt(start, "{%% %s %%} has no {%% %s %%}", opener, words[len(words)-1])
	}
	return body, stop.text, nil
}

// output is {{ … }}. A tuple prints as one, as in Jinja2.
func (p *parser) output(offset int) (stmt, error) {
	x, err := p.expressionOrTuple()
	if err != nil {
		return nil, err
	}
	return &outputStmt{place(offset), x}, p.end()
}

// block reads the statement behind {%.
func (p *parser) block(offset int) (stmt, error) {
	word := p.next()
	switch word.text {
	case "set":
		return p.set(offset)
	case "if":
		return p.ifBlock(offset)
	case "for":
		return p.forBlock(offset)
	case "macro":
		return p.macro(offset)
	case "include", "import", "from":
		return p.include(word.offset, word.text)
	}
	return nil, errorAt(word.offset, "the statement %s is not supported", word).hint("set, if, for, macro and raw are")
}

// set is {% set x = … %}, or {% set x %} with a body up to endset.
func (p *parser) set(offset int) (stmt, error) {
	s := &setStmt{place: place(offset)}
	var err error
	if s.names, err = p.targets(); err != nil {
		return nil, err
	}
	if p.accept("=") {
		if s.x, err = p.expressionOrTuple(); err != nil {
			return nil, err
		}
		return s, p.end()
	}
	if err = p.end(); err != nil {
		return nil, err
	}
	if s.body, _, err = p.closed(offset, "set", "endset"); err != nil {
		return nil, err
	}
	return s, p.end()
}

// targets reads a, b of set and for.
func (p *parser) targets() ([]string, error) {
	var names []string
	for {
		t := p.next()
		if t.kind != tokenName {
			return nil, errorAt(t.offset, "expected a name, found %s", t)
		}
		names = append(names, t.text)
		if !p.accept(",") {
			return names, nil
		}
	}
}

// ifBlock reads the arms up to endif.
func (p *parser) ifBlock(offset int) (stmt, error) {
	s := &ifStmt{place: place(offset)}
	for word := "if"; ; {
		if word == "else" {
			if err := p.end(); err != nil {
				return nil, err
			}
			var err error
			if s.alt, _, err = p.closed(offset, "if", "endif"); err != nil {
				return nil, err
			}
			return s, p.end()
		}
		cond, err := p.expression()
		if err == nil {
			err = p.end()
		}
		if err != nil {
			return nil, err
		}
		arm := ifArm{cond: cond}
		if arm.body, word, err = p.closed(offset, "if", "elif", "else", "endif"); err != nil {
			return nil, err
		}
		s.arms = append(s.arms, arm)
		if word == "endif" {
			return s, p.end()
		}
	}
}

// forBlock reads up to endfor. What it goes over has no inline if, since that
// if belongs to the loop.
func (p *parser) forBlock(offset int) (stmt, error) {
	s := &forStmt{place: place(offset)}
	var err error
	if s.names, err = p.targets(); err != nil {
		return nil, err
	}
	if err = p.expect("in"); err != nil {
		return nil, err
	}
	if s.over, err = p.or(); err != nil {
		return nil, err
	}
	if p.accept("if") {
		if s.only, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if err = p.end(); err != nil {
		return nil, err
	}
	var word string
	if s.body, word, err = p.closed(offset, "for", "else", "endfor"); err != nil {
		return nil, err
	}
	var mentioned nameWalker
	mentioned.statements(s.body)
	s.usesLoop = slices.Contains(mentioned.names, "loop")
	if word == "else" {
		if err = p.end(); err != nil {
			return nil, err
		}
		if s.alt, _, err = p.closed(offset, "for", "endfor"); err != nil {
			return nil, err
		}
	}
	return s, p.end()
}
