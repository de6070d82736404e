package conda

import "strings"

// glob is a pattern in which "*" stands for any text, split at its stars.
type glob []string

func newGlob(pattern string) glob { return strings.Split(pattern, "*") }

// match reports whether all of s fits. It takes time proportional to the
// product of both lengths at worst, never more.
func (g glob) match(s string) bool {
	last := len(g) - 1
	if last == 0 {
		return s == g[0]
	}
	if !strings.HasPrefix(s, g[0]) {
		return false
	}
	s = s[len(g[0]):]
	for _, middle := range g[1:last] {
		i := strings.Index(s, middle)
		if i < 0 {
			return false
		}
		s = s[i+len(middle):]
	}
	return strings.HasSuffix(s, g[last])
}
