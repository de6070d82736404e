package solve

import (
	"slices"
	"strings"
)

// didYouMean returns names that are there and look like text.
func (s *solver) didYouMean(text string) string {
	if other := s.otherCase(text); other != "" {
		return "; there is " + other + ", which no match spec can name, for names are lower-case: build it anew as " + text
	}
	var near []string
	for _, other := range s.similar(text) {
		if other != text && len(s.problem.Candidates(other)) > 0 && strings.ToLower(other) == other {
			near = append(near, other)
		}
		if len(near) == 3 {
			break
		}
	}
	if near == nil {
		return ""
	}
	return " (did you mean " + strings.Join(near, " or ") + "?)"
}

// otherCase is the name of packages that differs from text in upper-case letters; ""
// if there is none. No client finds these: all lower the names that they look for.
func (s *solver) otherCase(text string) string {
	if s.problem.Names == nil {
		return ""
	}
	for _, other := range s.problem.Names() {
		if other != text && strings.ToLower(other) == text && len(s.problem.Candidates(other)) > 0 {
			return other
		}
	}
	return ""
}

// similar lists possible names, the nearest first. Where the caller does not
// say which names there are, only the usual confusions can be tried.
func (s *solver) similar(text string) []string {
	tries := []string{
		strings.ReplaceAll(text, "_", "-"), strings.ReplaceAll(text, "-", "_"), strings.ReplaceAll(text, ".", "-"),
		strings.TrimPrefix(text, "python-"), "python-" + text, strings.TrimPrefix(text, "py"), "py" + text,
		strings.TrimPrefix(text, "lib"), "lib" + text, text + "-python",
	}
	names := slices.Collect(keys(s.byName))
	if s.problem.Names != nil {
		names = append(names, s.problem.Names()...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if s.problem.Names != nil {
		tries = slices.DeleteFunc(tries, func(try string) bool {
			_, exists := slices.BinarySearch(names, try)
			return !exists
		})
	}
	allowed := 1 + len(text)/5
	for distance := 1; distance <= min(allowed, 3); distance++ {
		for _, other := range names {
			if edits(text, other, distance) == distance {
				tries = append(tries, other)
			}
		}
	}
	return slices.DeleteFunc(tries, func(s string) bool { return s == "" })
}

// edits counts the letters to add, remove or change to get from a to b. More
// than limit is limit+1.
func edits(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return min(row[len(b)], limit+1)
}
