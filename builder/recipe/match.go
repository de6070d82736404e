package recipe

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// matches tests a version of dotted numbers against a spec such as
// ">=3.11,<3.13", "3.12.*" or "==1.2|>2".
func matches(version, spec string) (bool, error) {
	for alternative := range strings.SplitSeq(spec, "|") {
		all := true
		for part := range strings.SplitSeq(alternative, ",") {
			yes, err := matchesOne(version, strings.TrimSpace(part))
			if err != nil {
				return false, err
			}
			all = all && yes
		}
		if all {
			return true, nil
		}
	}
	return false, nil
}

// matchesOne tests one bound. Equality without a star also holds for missing
// zeros: 3.12 is 3.12.0.
func matchesOne(version, part string) (bool, error) {
	op := part[:len(part)-len(strings.TrimLeft(part, "=<>!~"))]
	bound := strings.TrimSpace(part[len(op):])
	if bound == "" {
		return false, fmt.Errorf("%q is not a version test", part)
	}
	if bound == "*" {
		return true, nil
	}
	stem, prefix := strings.CutSuffix(strings.TrimSuffix(bound, "*"), ".")
	prefix = prefix || strings.HasSuffix(bound, "*") || op == "="
	starts := version == stem || strings.HasPrefix(version, stem+".")
	order := compareVersions(version, stem)
	switch op {
	case "", "==", "=":
		return starts && prefix || order == 0, nil
	case "!=":
		return order != 0 && (!prefix || !starts), nil
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	}
	return false, fmt.Errorf("match() does not support %q yet", op)
}

// compareVersions compares dotted numbers; other parts compare as text, and
// come before numbers as conda's pre-releases do.
func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if order := comparePart(partAt(x, i), partAt(y, i)); order != 0 {
			return order
		}
	}
	return 0
}

// partAt fills a shorter version up with zeros.
func partAt(parts []string, i int) string {
	if i < len(parts) {
		return parts[i]
	}
	return "0"
}

// comparePart compares numbers as numbers: 10 is more than 9.
func comparePart(a, b string) int {
	m, errA := strconv.Atoi(a)
	n, errB := strconv.Atoi(b)
	switch {
	case errA == nil && errB == nil:
		return cmp.Compare(m, n)
	case errA == nil:
		return 1
	case errB == nil:
		return -1
	}
	return strings.Compare(a, b)
}
