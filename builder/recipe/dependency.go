package recipe

import (
	"fmt"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Dependency is one requirement: a match spec, or a pin to a version that is
// known only later.
type Dependency struct {
	// Spec is what the recipe says, e.g. "python >=3.11,<3.13"; a recipe.yaml's is
	// in normal form. It is "" for a recipe.yaml's pin, and for a meta.yaml's what
	// conda-build shows before anything is solved: the name, or the variant's version
	// for numpy x.x.
	Spec string
	Pin  *Pin // nil for a match spec

	// Resolved is what a solver gets when it is not Spec itself: a requirement
	// without a version gets the variant's, a pin to another output its version.
	// It is "" for pin_compatible, which needs the solved environment: see
	// Pin.Apply.
	Resolved string
	Pos      tree.Pos
}

// PinKind is what a pin takes its version from.
type PinKind string

const (
	PinSubpackage PinKind = "pin_subpackage" // another output of the recipe
	PinCompatible PinKind = "pin_compatible" // a package of the host or build environment
)

// Pin is a requirement whose version is taken from another package. A bound is
// a pattern such as x.x, which keeps so many parts of the version, or a version;
// "" is no bound.
type Pin struct {
	Kind  PinKind
	Name  string // e.g. openssl
	Lower string // e.g. x.x.x.x.x.x
	Upper string // e.g. x.x: below the next minor version
	Exact bool   // that very build: no bounds then
	Build string // of the build string, as in a match spec; "" is any
}

// MatchSpec is the requirement for a solver; "" when it is a pin that is not
// resolved.
func (d Dependency) MatchSpec() string {
	if d.Resolved != "" || d.Pin != nil {
		return d.Resolved
	}
	return d.Spec
}

// Name is that of the required package.
func (d Dependency) Name() string {
	if d.Pin != nil {
		return d.Pin.Name
	}
	return specName(d.Spec)
}

// String is the requirement as recipes write it.
func (d Dependency) String() string {
	if d.Pin == nil {
		return d.Spec
	}
	return d.Pin.String()
}

// String is the call that makes the pin.
func (p Pin) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(%q", p.Kind, p.Name)
	for _, arg := range []struct{ name, value string }{{"lower_bound", p.Lower}, {"upper_bound", p.Upper}, {"build", p.Build}} {
		if arg.value != "" {
			fmt.Fprintf(&b, ", %s=%q", arg.name, arg.value)
		}
	}
	if p.Exact {
		b.WriteString(", exact=True")
	}
	return b.String() + ")"
}

// Specs are the match specs of a list, without pins that are not resolved.
func Specs(list []Dependency) []string {
	var all []string
	for _, d := range list {
		if s := d.MatchSpec(); s != "" {
			all = append(all, s)
		}
	}
	return all
}
