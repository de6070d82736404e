package jinja

import (
	"fmt"
	"strconv"
	"strings"
)

// methodFunc gets the text before the dot and the arguments.
type methodFunc func(m *machine, s string, c Call) (any, error)

// textMethods are Python's string methods that meta.yaml recipes use.
var textMethods = map[string]methodFunc{
	"upper":      plainMethod(strings.ToUpper),
	"lower":      plainMethod(strings.ToLower),
	"title":      plainMethod(title),
	"capitalize": plainMethod(capitalize),
	"strip":      trimMethod(strings.TrimSpace, strings.Trim),
	"lstrip":     trimMethod(func(s string) string { return strings.TrimLeft(s, " \t\r\n") }, strings.TrimLeft),
	"rstrip":     trimMethod(func(s string) string { return strings.TrimRight(s, " \t\r\n") }, strings.TrimRight),
	"startswith": affixMethod(strings.HasPrefix),
	"endswith":   affixMethod(strings.HasSuffix),
	"split":      func(m *machine, s string, c Call) (any, error) { return split(m, s, c) },
	"rsplit":     rsplit,
	"splitlines": func(_ *machine, s string, _ Call) (any, error) {
		return texts(strings.Split(strings.TrimSuffix(s, "\n"), "\n")), nil
	},
	"replace": func(m *machine, s string, c Call) (any, error) { return replace(m, s, c) },
	"join": func(m *machine, s string, c Call) (any, error) {
		return joinAny(m, firstArg(c), s)
	},
	"format":  braceFormat,
	"find":    func(_ *machine, s string, c Call) (any, error) { return int64(strings.Index(s, argText(c))), nil },
	"count":   func(_ *machine, s string, c Call) (any, error) { return int64(strings.Count(s, argText(c))), nil },
	"isdigit": func(_ *machine, s string, _ Call) (any, error) { return s != "" && digits(s, 0) == len(s), nil },
	"zfill":   zfill,
}

// method returns v's method of that name, nil when it has none.
func (m *machine) method(v any, name string) any {
	switch v := v.(type) {
	case string:
		if fn, ok := textMethods[name]; ok {
			return Func(func(c Call) (any, error) {
				if err := m.pay(0, len(v)); err != nil {
					return nil, err
				}
				return fn(m, v, c)
			})
		}
	case *Dict:
		if fn := dictMethod(v, name); fn != nil {
			return fn
		}
	case []any:
		if name == "count" {
			return Func(func(c Call) (any, error) {
				n := int64(0)
				for _, item := range v {
					if equal(item, firstArg(c)) {
						n++
					}
				}
				return n, nil
			})
		}
	case Late:
		return nil
	}
	return nil
}

// dictMethod is a method of Python's dict, nil for a name that it has not.
func dictMethod(d *Dict, name string) any {
	var fn Func
	switch name {
	case "get":
		fn = func(c Call) (any, error) {
			key, err := c.String(0, "key")
			if err != nil {
				return nil, err
			}
			if v, ok := d.Get(key); ok {
				return v, nil
			}
			v, _ := c.Arg(1, "default")
			return v, nil
		}
	case "keys":
		fn = func(Call) (any, error) { return texts(d.keys), nil }
	case "values":
		fn = func(Call) (any, error) {
			all := []any{}
			for _, k := range d.keys {
				all = append(all, d.values[k])
			}
			return all, nil
		}
	case "items":
		fn = func(c Call) (any, error) { return dictItems(nil, d, c) }
	default:
		return nil
	}
	return fn
}

// argText is the first argument of find and count.
func argText(c Call) string {
	s, ok := firstArg(c).(string)
	if !ok {
		return "\x00" // no recipe's text holds it, so nothing is found
	}
	return s
}

// plainMethod makes a method of a function on text.
func plainMethod(f func(string) string) methodFunc {
	return func(_ *machine, s string, _ Call) (any, error) { return f(s), nil }
}

// trimMethod takes blanks, or with an argument any of its characters.
func trimMethod(blanks func(string) string, chars func(s, set string) string) methodFunc {
	return func(_ *machine, s string, c Call) (any, error) {
		if set, ok := firstArg(c).(string); ok {
			return chars(s, set), nil
		}
		return blanks(s), nil
	}
}

// affixMethod accepts a tuple of texts as well, as Python does.
func affixMethod(f func(s, part string) bool) methodFunc {
	return func(_ *machine, s string, c Call) (any, error) {
		switch part := firstArg(c).(type) {
		case string:
			return f(s, part), nil
		case []any:
			for _, p := range part {
				if p, ok := p.(string); ok && f(s, p) {
					return true, nil
				}
			}
			return false, nil
		}
		return nil, fmt.Errorf("startswith and endswith need text")
	}
}

// rsplit counts its splits from the end: version.rsplit(".", 1)[0] is the idiom
// for a version without its last part.
func rsplit(m *machine, s string, c Call) (any, error) {
	limit, limited := c.Arg(1, "maxsplit")
	n, isInt := limit.(int64)
	if !limited || !isInt || n < 0 {
		return split(m, s, Call{Args: c.Args[:min(1, len(c.Args))]})
	}
	sep, ok := firstArg(c).(string)
	if !ok || sep == "" {
		return nil, fmt.Errorf("rsplit needs a separator")
	}
	parts := strings.Split(s, sep)
	cut := max(0, len(parts)-1-int(min(n, maxItems)))
	return texts(append([]string{strings.Join(parts[:cut+1], sep)}, parts[cut+1:]...)), nil
}

// zfill pads with zeros behind the sign.
func zfill(_ *machine, s string, c Call) (any, error) {
	n, ok := firstArg(c).(int64)
	if !ok || n > 1000 {
		return nil, fmt.Errorf("zfill needs an integer up to 1000")
	}
	sign := ""
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, s = s[:1], s[1:]
	}
	return sign + strings.Repeat("0", max(0, int(n)-len(s)-len(sign))) + s, nil
}

// braceFormat is "{} {0} {name}".format(…), without format specifications.
func braceFormat(m *machine, s string, c Call) (any, error) {
	var b strings.Builder
	auto := 0
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		if i+1 < len(s) && s[i+1] == s[i] {
			b.WriteByte(s[i])
			s = s[i+2:]
			continue
		}
		field, rest, found := strings.Cut(s[i+1:], "}")
		if s[i] == '}' || !found {
			return nil, fmt.Errorf("format found a single %q", s[i])
		}
		v, err := formatField(c, field, &auto)
		if err != nil {
			return nil, err
		}
		b.WriteString(text(v, m.dialect))
		if b.Len() > maxOutput {
			return nil, fmt.Errorf("a template makes more than %d bytes of text", maxOutput)
		}
		s = rest
	}
	return b.String(), nil
}

// formatField is the argument that {}, {0} or {name} stands for.
func formatField(c Call, field string, auto *int) (any, error) {
	if field == "" {
		field = strconv.Itoa(*auto)
		*auto++
	}
	if n, err := strconv.Atoi(field); err == nil {
		if n < 0 || n >= len(c.Args) {
			return nil, fmt.Errorf("format has no argument %d", n)
		}
		return c.Args[n], nil
	}
	if v, ok := c.Named[field]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("format has no argument %q; format specifications are not supported", field)
}

// percentFormat is Python's "text %s" % values for %s, %d, %r and %%, with a
// width for integers.
func percentFormat(s string, values any) (any, error) {
	args, ok := values.([]any)
	if !ok {
		args = []any{values}
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "%")
		b.WriteString(before)
		if !found {
			break
		}
		n := digits(after, 0)
		if n >= len(after) || n > 3 {
			return nil, fmt.Errorf("the text ends within a %% format")
		}
		verb := after[n]
		s = after[n+1:]
		if verb == '%' {
			b.WriteByte('%')
			continue
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("the text has more %% formats than there are values")
		}
		piece, err := percentVerb(verb, after[:n], args[0])
		if err != nil {
			return nil, err
		}
		b.WriteString(piece)
		args = args[1:]
		if b.Len() > maxOutput {
			return nil, fmt.Errorf("a template makes more than %d bytes of text", maxOutput)
		}
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("there are more values than the text has %% formats")
	}
	return b.String(), nil
}

// percentVerb formats one value.
func percentVerb(verb byte, width string, v any) (string, error) {
	switch verb {
	case 's':
		return fmt.Sprintf("%*s", atoi(width), text(v, Meta)), nil
	case 'r':
		var b strings.Builder
		appendText(&b, v, Meta)
		return b.String(), nil
	case 'd', 'i':
		n, ok := integer(v)
		if !ok {
			return "", fmt.Errorf("%%d needs an integer, this is %s", kindOf(v))
		}
		if strings.HasPrefix(width, "0") {
			return fmt.Sprintf("%0*d", atoi(width), n), nil
		}
		return fmt.Sprintf("%*d", atoi(width), n), nil
	}
	return "", fmt.Errorf("the format %%%c is not supported", verb)
}

// atoi reads a width; none is 0.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
