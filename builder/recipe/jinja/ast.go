package jinja

import "slices"

// expr is a node of an expression; at is the offset of its text.
type expr interface{ at() int }

// place is a byte offset in the template; errors are shown there.
type place int

func (p place) at() int { return int(p) }

type (
	literal struct {
		place
		value any
	}
	name struct {
		place
		id string
	}
	unary struct {
		place
		op string // not - +
		x  expr
	}
	binary struct {
		place        // of the operator
		op    string // and or + - ~ * / // % **
		l, r  expr
	}
	comparison struct {
		place
		first expr
		rest  []comparand
	}
	comparand struct {
		op string // == != < <= > >= in, not in
		x  expr
	}
	conditional struct {
		place
		then, cond, alt expr // alt may be nil
	}
	attribute struct {
		place // of the name
		x     expr
		name  string
	}
	index struct {
		place
		x, key expr
	}
	slice struct {
		place
		x            expr
		lo, hi, step expr // each may be nil
	}
	call struct {
		place
		fn   expr
		args arguments
	}
	filter struct {
		place // of the filter's name
		x     expr
		name  string
		args  arguments
	}
	test struct {
		place
		x       expr
		name    string
		args    arguments
		negated bool
	}
	list struct {
		place
		items []expr
	}
	dict struct {
		place
		keys, values []expr
	}
	arguments struct {
		list  []expr
		named []namedArgument
	}
	namedArgument struct {
		name string
		x    expr
	}
)

// stmt is a piece of a template.
type stmt interface{ isStmt() }

type (
	textStmt struct {
		place
		text string
	}
	outputStmt struct {
		place
		x expr
	}
	setStmt struct {
		place
		names []string
		x     expr   // nil for {% set x %}…{% endset %}
		body  []stmt // its value when x is nil
	}
	ifStmt struct {
		place
		arms []ifArm
		alt  []stmt
	}
	ifArm struct {
		cond expr
		body []stmt
	}
	forStmt struct {
		place
		names []string
		over  expr
		only  expr // for x in y if only; may be nil
		body  []stmt
		alt   []stmt

		usesLoop bool // the body mentions loop
	}
)

func (*textStmt) isStmt()   {}
func (*outputStmt) isStmt() {}
func (*setStmt) isStmt()    {}
func (*ifStmt) isStmt()     {}
func (*forStmt) isStmt()    {}

// Mention is a call of a function by its name with a text as its first
// argument, e.g. compiler("c").
type Mention struct{ Function, Argument string }

// nameWalker collects the names and the calls that a template mentions.
type nameWalker struct {
	names []string
	seen  map[string]bool
	calls []Mention
}

// statements collects from text and tags alike, in the order of the template:
// users read the names as a list of what a recipe depends on.
func (w *nameWalker) statements(body []stmt) {
	for _, s := range body {
		switch s := s.(type) {
		case *outputStmt:
			w.expr(s.x)
		case *setStmt:
			w.expr(s.x)
			w.statements(s.body)
		case *ifStmt:
			for _, a := range s.arms {
				w.expr(a.cond)
				w.statements(a.body)
			}
			w.statements(s.alt)
		case *forStmt:
			w.expr(s.over, s.only)
			w.statements(s.body)
			w.statements(s.alt)
		case *macroStmt:
			for _, p := range s.params {
				w.expr(p.fallback)
			}
			w.statements(s.body)
		}
	}
}

// expr collects from expressions. Each name counts once, where it comes first.
func (w *nameWalker) expr(list ...expr) {
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	for _, e := range list {
		if n, ok := e.(*name); ok && !w.seen[n.id] {
			w.seen[n.id] = true
			w.names = append(w.names, n.id)
		}
		if c, ok := e.(*call); ok && len(c.args.list) > 0 {
			fn, named := c.fn.(*name)
			if arg, ok := c.args.list[0].(*literal); ok && named {
				text, _ := arg.value.(string)
				w.calls = append(w.calls, Mention{fn.id, text})
			}
		}
		w.expr(children(e)...)
	}
}

// children are the parts of an expression in the order of its text. Parts that
// are left out (an else, a bound of a slice) are nil.
func children(e expr) []expr {
	switch e := e.(type) {
	case *unary:
		return []expr{e.x}
	case *binary:
		return []expr{e.l, e.r}
	case *comparison:
		all := []expr{e.first}
		for _, c := range e.rest {
			all = append(all, c.x)
		}
		return all
	case *conditional:
		return []expr{e.then, e.cond, e.alt}
	case *attribute:
		return []expr{e.x}
	case *index:
		return []expr{e.x, e.key}
	case *slice:
		return []expr{e.x, e.lo, e.hi, e.step}
	case *call:
		return append([]expr{e.fn}, e.args.all()...)
	case *filter:
		return append([]expr{e.x}, e.args.all()...)
	case *test:
		return append([]expr{e.x}, e.args.all()...)
	case *list:
		return e.items
	case *dict:
		return slices.Concat(e.keys, e.values)
	}
	return nil
}

// all is what is passed, with and without a name.
func (a arguments) all() []expr {
	all := slices.Clone(a.list)
	for _, n := range a.named {
		all = append(all, n.x)
	}
	return all
}
