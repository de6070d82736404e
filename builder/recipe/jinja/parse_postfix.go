package jinja

import "strconv"

// postfix reads what follows an operand: attributes, indices, calls and, where
// they may bind here, filters and tests.
func (p *parser) postfix(x expr, filters bool) (expr, error) {
	for range maxChain {
		var err error
		t := p.peek()
		switch {
		case p.accept("."):
			x, err = p.attribute(x)
		case t.kind == tokenOperator && t.text == "[":
			p.next()
			x, err = p.subscript(x, t.offset)
		case t.kind == tokenOperator && t.text == "(":
			p.next()
			c := &call{place: place(x.at()), fn: x}
			c.args, err = p.arguments()
			x = c
		case filters && p.accept("|"):
			x, err = p.filter(x)
		case filters && p.accept("is"):
			x, err = p.test(x, t.offset)
		default:
			return x, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, p.tooLong()
}

// attribute accepts x.0 for x[0], which Jinja2 has for lists.
func (p *parser) attribute(x expr) (expr, error) {
	t := p.next()
	switch t.kind {
	case tokenName:
		return &attribute{place(t.offset), x, t.text}, nil
	case tokenInt:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err == nil {
			return &index{place(t.offset), x, &literal{place(t.offset), n}}, nil
		}
	}
	return nil, errorAt(t.offset, "expected a name after the dot, found %s", t)
}

// subscript is an index or a slice.
func (p *parser) subscript(x expr, offset int) (expr, error) {
	var parts [3]expr
	colons := 0
	for !p.accept("]") {
		if p.accept(":") {
			if colons++; colons > 2 {
				return nil, errorAt(offset, "a slice has at most three parts")
			}
			continue
		}
		if parts[colons] != nil {
			return nil, errorAt(p.peek().offset, "expected \"]\", found %s", p.peek())
		}
		var err error
		if parts[colons], err = p.expression(); err != nil {
			return nil, err
		}
	}
	switch {
	case colons > 0:
		return &slice{place(offset), x, parts[0], parts[1], parts[2]}, nil
	case parts[0] == nil:
		return nil, errorAt(offset, "the index is missing between [ and ]")
	}
	return &index{place(offset), x, parts[0]}, nil
}

// arguments reads up to the closing parenthesis; a comma may stand before it.
func (p *parser) arguments() (arguments, error) {
	var a arguments
	for !p.accept(")") {
		if len(a.list)+len(a.named) > 0 {
			if err := p.expect(","); err != nil {
				return a, err
			}
			if p.accept(")") {
				break
			}
		}
		t := p.peek()
		if next := p.tokens[min(p.pos+1, len(p.tokens)-1)]; t.kind == tokenName && next.kind == tokenOperator && next.text == "=" {
			p.pos += 2
			x, err := p.expression()
			if err != nil {
				return a, err
			}
			a.named = append(a.named, namedArgument{t.text, x})
			continue
		}
		x, err := p.expression()
		if err != nil {
			return a, err
		}
		if len(a.named) > 0 {
			return a, errorAt(t.offset, "an argument without a name stands behind one with a name")
		}
		a.list = append(a.list, x)
	}
	return a, nil
}

// filter reads a name and, if there are any, its arguments.
func (p *parser) filter(x expr) (expr, error) {
	t := p.next()
	if t.kind != tokenName {
		return nil, errorAt(t.offset, "expected a filter's name after |, found %s", t)
	}
	f := &filter{place: place(t.offset), x: x, name: t.text}
	var err error
	if p.accept("(") {
		f.args, err = p.arguments()
	}
	return f, err
}

// test reads the name behind "is". Its argument may stand without parentheses:
// x is divisibleby 3.
func (p *parser) test(x expr, offset int) (expr, error) {
	n := &test{place: place(offset), x: x, negated: p.accept("not")}
	t := p.next()
	if t.kind != tokenName {
		return nil, errorAt(t.offset, "expected a test's name after is, found %s", t)
	}
	n.name = t.text
	var err error
	switch {
	case p.accept("("):
		n.args, err = p.arguments()
	case p.startsOperand():
		var arg expr
		if arg, err = p.sign(false); err == nil {
			n.args.list = []expr{arg}
		}
	}
	return n, err
}
