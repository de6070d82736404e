package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// The levels of precedence, loosest first, each a method: inline if, or, and,
// not, comparison, + -, ~, * / // %, **, sign, postfix and filters.

func (p *parser) expression() (expr, error) {
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	for range maxChain {
		at := p.peek().offset
		if !p.accept("if") {
			return x, nil
		}
		c := &conditional{place: place(at), then: x}
		if c.cond, err = p.or(); err != nil {
			return nil, err
		}
		if p.accept("else") {
			if c.alt, err = p.expression(); err != nil {
				return nil, err
			}
		}
		x = c
	}
	return nil, p.tooLong()
}

// tooLong bounds what is read in a loop, as enter bounds what recurses.
func (p *parser) tooLong() error {
	return errorAt(p.peek().offset, "the expression is too long: more than %d operators in a row", maxChain)
}

// expressionOrTuple reads a, b, c too, as a list.
func (p *parser) expressionOrTuple() (expr, error) {
	x, err := p.expression()
	if err != nil || p.peek().text != "," || p.peek().kind != tokenOperator {
		return x, err
	}
	all := &list{place: place(x.at()), items: []expr{x}}
	for p.accept(",") {
		if p.peek().kind == tokenEnd {
			break
		}
		if x, err = p.expression(); err != nil {
			return nil, err
		}
		all.items = append(all.items, x)
	}
	return all, nil
}

// chain reads operands of the next level with the operators between them.
func (p *parser) chain(next func() (expr, error), ops ...string) (expr, error) {
	x, err := next()
	if err != nil {
		return nil, err
	}
	for range maxChain {
		t := p.peek()
		if t.kind != tokenOperator && t.kind != tokenName || !slices.Contains(ops, t.text) {
			return x, nil
		}
		p.next()
		r, err := next()
		if err != nil {
			return nil, err
		}
		x = &binary{place(t.offset), t.text, x, r}
	}
	return nil, p.tooLong()
}

func (p *parser) or() (expr, error)       { return p.chain(p.and, "or") }
func (p *parser) and() (expr, error)      { return p.chain(p.not, "and") }
func (p *parser) sum() (expr, error)      { return p.chain(p.concat, "+", "-") }
func (p *parser) concat() (expr, error)   { return p.chain(p.product, "~") }
func (p *parser) product() (expr, error)  { return p.chain(p.power, "*", "/", "//", "%") }
func (p *parser) power() (expr, error)    { return p.chain(p.signed, "**") }
func (p *parser) signed() (expr, error)   { return p.sign(true) }
func (p *parser) unsigned() (expr, error) { return p.sign(false) }

// not binds looser than comparisons: not a == b is not (a == b).
func (p *parser) not() (expr, error) {
	at := p.peek().offset
	if !p.accept("not") {
		return p.compare()
	}
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	x, err := p.not()
	return &unary{place(at), "not", x}, err
}

// compare collects a chain of comparisons.
func (p *parser) compare() (expr, error) {
	x, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &comparison{place: place(p.peek().offset), first: x}
	for range maxChain {
		op := p.comparator()
		if op == "" {
			if len(c.rest) == 0 {
				return x, nil
			}
			return c, nil
		}
		r, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.rest = append(c.rest, comparand{op, r})
	}
	return nil, p.tooLong()
}

// comparator takes a comparing operator; "not in" is two words.
func (p *parser) comparator() string {
	t := p.peek()
	if t.kind == tokenOperator && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.text) || t.kind == tokenName && t.text == "in" {
		p.next()
		return t.text
	}
	if t.kind == tokenName && t.text == "not" && p.tokens[p.pos+1].text == "in" {
		p.pos += 2
		return "not in"
	}
	return ""
}

// sign reads an operand with its signs. Filters bind to the operand behind a
// sign when there is none, else to the whole.
func (p *parser) sign(filters bool) (expr, error) {
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	t := p.peek()
	var x expr
	if t.kind == tokenOperator && (t.text == "-" || t.text == "+") {
		p.next()
		operand, err := p.unsigned()
		if err != nil {
			return nil, err
		}
		x = &unary{place(t.offset), t.text, operand}
	} else if x, err = p.primary(); err != nil {
		return nil, err
	}
	return p.postfix(x, filters)
}

// startsOperand tells whether what follows a test's name is its argument.
func (p *parser) startsOperand() bool {
	t := p.peek()
	switch t.kind {
	case tokenInt, tokenFloat, tokenString:
		return true
	case tokenName:
		return !slices.Contains([]string{"and", "or", "not", "if", "else", "is", "in"}, t.text)
	}
	return t.kind == tokenOperator && (t.text == "[" || t.text == "{")
}

// primary is an operand. Texts side by side are one text.
func (p *parser) primary() (expr, error) {
	t := p.next()
	at := place(t.offset)
	switch t.kind {
	case tokenName:
		return p.word(t)
	case tokenString:
		var text strings.Builder
		text.WriteString(t.text)
		for p.peek().kind == tokenString {
			text.WriteString(p.next().text)
		}
		return &literal{at, text.String()}, nil
	case tokenInt:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return nil, errorAt(t.offset, "the number %s is too large", t.text)
		}
		return &literal{at, n}, nil
	case tokenFloat:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, errorAt(t.offset, "the number %s is too large", t.text)
		}
		return &literal{at, f}, nil
	case tokenOperator:
		switch t.text {
		case "(":
			return p.parenthesis(at)
		case "[":
			items, err := p.items("]")
			return &list{at, items}, err
		case "{":
			return p.dict(at)
		}
	case tokenEnd:
		return nil, errorAt(t.offset, "the expression is missing before %q", t.text)
	}
	return nil, errorAt(t.offset, "unexpected %s in an expression", t)
}

// word is a constant in the spelling of either language, or a name.
func (p *parser) word(t token) (expr, error) {
	at := place(t.offset)
	switch t.text {
	case "true", "True":
		return &literal{at, true}, nil
	case "false", "False":
		return &literal{at, false}, nil
	case "none", "None":
		return &literal{at, nil}, nil
	case "and", "or", "if", "else", "in", "is":
		return nil, errorAt(t.offset, "unexpected %s in an expression", t)
	}
	return &name{at, t.text}, nil
}

// items reads expressions up to closer; a comma may stand before it.
func (p *parser) items(closer string) ([]expr, error) {
	items := []expr{}
	for !p.accept(closer) {
		if len(items) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if p.accept(closer) {
				break
			}
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return items, nil
}

// parenthesis reads (x), or the tuple (x, y) as a list.
func (p *parser) parenthesis(at place) (expr, error) {
	items, err := p.items(")")
	if err != nil {
		return nil, err
	}
	if last := p.tokens[p.pos-2]; len(items) == 1 && last.text != "," {
		return items[0], nil
	}
	return &list{at, items}, nil
}

// dict reads a mapping up to its brace.
func (p *parser) dict(at place) (expr, error) {
	d := &dict{place: at}
	for !p.accept("}") {
		if len(d.keys) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if p.accept("}") {
				break
			}
		}
		k, err := p.expression()
		if err == nil {
			err = p.expect(":")
		}
		if err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, k), append(d.values, v)
	}
	return d, nil
}
