package recipe

import "fmt"

// HashCompat says whose rules decide which variant keys a recipe.yaml uses, and
// so its hash, and what it skips. Versions of the format's first implementation
// differ in scripts with conditions, and in conditions that cannot be evaluated.
type HashCompat string

const (
	// Newest counts every name in the lists of build scripts and of tests, in
	// branches that are not taken, too. What is wrong in build.skip is an error.
	Newest HashCompat = "0.76"
	// Middle counts as Newest. A condition of build.skip that cannot be evaluated
	// skips nothing, which is a warning here.
	Middle HashCompat = "0.74"
	// Oldest counts only what was read: names in conditions of scripts count
	// when the condition is evaluated, and those of other branches do not. It
	// skips as Middle.
	Oldest HashCompat = "0.57"
)

// lenientSkip tells whether a condition of build.skip may be wrong.
func (c HashCompat) lenientSkip() bool { return c == Middle || c == Oldest }

// ParseHashCompat reads a version; "" is Newest.
func ParseHashCompat(s string) (HashCompat, error) {
	switch c := HashCompat(s); c {
	case "":
		return Newest, nil
	case Newest, Middle, Oldest:
		return c, nil
	}
	return "", fmt.Errorf("the hash rules %q are not known: write 0.57, 0.74 or 0.76", s)
}
