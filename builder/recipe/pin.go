package recipe

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

// pinPattern is a bound that keeps so many parts of a version.
var pinPattern = regexp.MustCompile(`^x(\.x)*$`)

// The bounds of a pin that names none.
const (
	defaultLower = "x.x.x.x.x.x"
	defaultUpper = "x"
)

// isPin tells a pin from a match spec: templates make mappings of pins.
func isPin(n *tree.Node) bool {
	return n != nil && n.Kind == tree.Map && len(n.Fields) == 1 &&
		slices.Contains([]PinKind{PinSubpackage, PinCompatible}, PinKind(n.Fields[0].Key))
}

// pinFunc is pin_subpackage and pin_compatible. As in the format's first
// implementation, whoever writes exact, even as False, gets no bounds.
func pinFunc(kind PinKind) jinja.Func {
	return func(c jinja.Call) (any, error) {
		name, err := c.String(0, "name")
		if err != nil {
			return nil, err
		}
		d := jinja.NewDict()
		d.Set("name", strings.ToLower(name))
		_, exactGiven := c.Named["exact"]
		if !exactGiven {
			d.Set("lower_bound", defaultLower)
			d.Set("upper_bound", defaultUpper)
		}
		for _, key := range pinArguments(c) {
			v := c.Named[key]
			switch key {
			case "min_pin", "max_pin":
				return nil, &jinja.Error{Text: key + " is meta.yaml's", Hint: "write " + map[string]string{"min_pin": "lower_bound", "max_pin": "upper_bound"}[key]}
			case "name":
			case "exact":
				if yes, ok := v.(bool); !ok {
					return nil, fmt.Errorf("exact must be True or False")
				} else if yes {
					d.Set("exact", true)
				}
			case "lower_bound", "upper_bound", "build":
				if exactGiven {
					return nil, &jinja.Error{Text: "exact goes with no other argument", Hint: "leave out exact, or " + key}
				}
				d.Set(key, v)
			default:
				return nil, fmt.Errorf("%s has no argument %q: it has lower_bound, upper_bound, exact and build", kind, key)
			}
		}
		outer := jinja.NewDict()
		outer.Set(string(kind), d)
		return outer, nil
	}
}

// pinArguments are the named ones in a fixed order.
func pinArguments(c jinja.Call) []string {
	var names []string
	for name := range c.Named {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// pin reads the mapping that a pin's function makes, or that a recipe has.
func (j *job) pin(n *tree.Node, where string) (*Pin, bool) {
	f := n.Fields[0]
	p := &Pin{Kind: PinKind(f.Key)}
	if f.Value.Kind == tree.Scalar {
		p.Name = j.str(f.Value, where)
		p.Lower, p.Upper = defaultLower, defaultUpper
		return p, p.Name != ""
	}
	for _, arg := range f.Value.Fields {
		switch arg.Key {
		case "name":
			p.Name = j.str(arg.Value, where)
		case "lower_bound":
			p.Lower = j.bound(arg.Value, where)
		case "upper_bound":
			p.Upper = j.bound(arg.Value, where)
		case "build":
			p.Build = j.str(arg.Value, where)
		case "exact":
			p.Exact = j.boolean(arg.Value, where+": exact", false)
		default:
			j.report.Fail(arg.Pos, "a pin has name, lower_bound, upper_bound, exact and build", "unknown key %q in a pin", arg.Key)
		}
	}
	if !nameRule.MatchString(p.Name) {
		j.report.Fail(n.Pos, "", "%s: %q is not a package name", where, p.Name)
		return nil, false
	}
	return p, true
}

// bound is a pattern or a version; none is no bound. Of a pattern the x alone count.
func (j *job) bound(n *tree.Node, where string) string {
	if n.IsNull() {
		return ""
	}
	s := j.str(n, where)
	if parts := strings.Count(s, "x"); parts > 0 && strings.Trim(s, "x.") == "" {
		return strings.TrimSuffix(strings.Repeat("x.", parts), ".")
	}
	if _, err := conda.ParseVersion(s); err != nil {
		j.report.Fail(n.Pos, "write x.x, a version, or None for no bound", "%s: the bound %q is neither a pattern nor a version", where, s)
	}
	return s
}

// ApplyPin is the match spec that a pin of the output becomes for a version and a
// build string of the package, by the rules of the output's format.
func (o *Output) ApplyPin(p Pin, version, build string) (string, error) {
	if o.Format == V0 {
		return p.applyV0(version, build), nil
	}
	return p.Apply(version, build)
}

// Bounded is the match spec of a pin to a package that the output is built without. In a
// meta.yaml a lower bound that is a version stands for the package's own.
func (o *Output) Bounded(p Pin) (spec string, ok bool) {
	if o.Format != V0 || p.Lower == "" || pinPattern.MatchString(p.Lower) {
		return "", false
	}
	p.Exact = false
	return p.applyV0("", ""), true
}

// Apply is the match spec that a recipe.yaml's pin becomes for a version and a
// build string of the package.
func (p Pin) Apply(version, build string) (string, error) {
	if p.Exact {
		return p.Name + " ==" + version + " " + build, nil
	}
	var parts []string
	if p.Lower != "" {
		parts = append(parts, ">="+lowerBound(p.Lower, version))
	}
	if p.Upper != "" {
		upper, err := upperBound(p.Upper, version)
		if err != nil {
			return "", fmt.Errorf("pin %s: %w", p.Name, err)
		}
		parts = append(parts, "<"+upper)
	}
	spec := p.Name
	if len(parts) > 0 {
		spec += " " + strings.Join(parts, ",")
	}
	if p.Build != "" {
		if len(parts) == 0 {
			spec += " *"
		}
		spec += " " + p.Build
	}
	return spec, nil
}

// lowerBound keeps the first parts of a version, as many as the pattern has, and its
// local part: 1.0 comes after 1.0+cuda.
func lowerBound(pattern, version string) string {
	if !pinPattern.MatchString(pattern) {
		return pattern
	}
	epoch, main, local := versionTexts(version)
	return epoch + firstParts(main, strings.Count(pattern, "x")) + local
}

// firstParts are the first n parts of a version as it writes them.
func firstParts(main string, n int) string {
	ends := partEnd.FindAllStringIndex(main, n)
	if len(ends) < n {
		return main
	}
	return main[:ends[n-1][0]]
}

var (
	partEnd       = regexp.MustCompile(`[._-]`)
	leadingNumber = regexp.MustCompile(`^[0-9]+`)
	numbers       = regexp.MustCompile(`[0-9]+`)
	letters       = regexp.MustCompile(`[^0-9]+`)
)

// upperBound counts the last of the parts that the pattern keeps up by one. What
// the version does not have counts as 0.
func upperBound(pattern, version string) (string, error) {
	if !pinPattern.MatchString(pattern) {
		return pattern, nil
	}
	epoch, main, _ := versionTexts(version)
	n := strings.Count(pattern, "x")
	kept := firstParts(strings.TrimRight(main, "_"), n) // 1.0_ is a version as well
	kept += strings.Repeat(".0", n-1-len(partEnd.FindAllString(kept, -1)))
	last := strings.LastIndexAny(kept, "._-") + 1
	up, err := countUp(kept[last:])
	if err != nil {
		return "", fmt.Errorf("the version %s has no number in part %d that an upper bound could count up", version, n)
	}
	return epoch + kept[:last] + up, nil
}

// countUp is the first that follows all versions that begin with a part. Letters
// in it become a, which is before everything else: 9d is followed by 10a, 0rc1 by
// 0a2.
func countUp(part string) (string, error) {
	if !leadingNumber.MatchString(part) {
		return "", strconv.ErrSyntax
	}
	at := numbers.FindAllStringIndex(part, -1)
	from, to := at[len(at)-1][0], at[len(at)-1][1]
	number, err := strconv.ParseUint(part[from:to], 10, 63)
	if err != nil {
		return "", err
	}
	up := strconv.FormatUint(number+1, 10)
	if len(at) == 1 && to == len(part) {
		return up + ".0a0", nil
	}
	return letters.ReplaceAllString(part[:from]+up+part[to:], "a"), nil
}

// versionTexts cuts a version into what is before !, with it, what is behind +, with
// it, and what is between.
func versionTexts(version string) (epoch, main, local string) {
	main = version
	if i := strings.IndexByte(main, '+'); i >= 0 {
		main, local = main[:i], main[i:]
	}
	if i := strings.IndexByte(main, '!'); i >= 0 {
		epoch, main = main[:i+1], main[i+1:]
	}
	return epoch, main, local
}
