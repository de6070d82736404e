package recipe

import "fmt"

// HashCompat says whose rules decide which variant keys a recipe.yaml uses, and
// so its hash. Versions of the format's first implementation differ in scripts
// with conditions.
type HashCompat string

const (
	// Newest counts every name in the lists of build scripts and of tests, in
	// branches that are not taken, too.
	Newest HashCompat = "0.76"
	// Middle is as Newest.
	Middle HashCompat = "0.74"
	// Oldest counts only what was read: names in conditions of scripts count
	// when the condition is evaluated, and those of other branches do not.
	Oldest HashCompat = "0.57"
)

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
