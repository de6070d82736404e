package conda

import "strings"

func splitFeatures(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
}

func joinFeatures(f []string) string { return strings.Join(f, " ") }
