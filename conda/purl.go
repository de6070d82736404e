package conda

import (
	"encoding/json"
	"net/url"
	"strings"
	"unicode/utf8"
)

func arePackageURLs(value json.RawMessage) bool {
	if !isTexts(value) {
		return false
	}
	var list []string
	if json.Unmarshal(value, &list) != nil {
		return false
	}
	for _, text := range list {
		if !isPackageURL(text) {
			return false
		}
	}
	return true
}

// isPackageURL tells whether text is a package URL for all who read one:
// pkg:type/namespace/name@version?key=value#path, of which the type and the name must
// be there.
func isPackageURL(text string) bool {
	rest, ok := strings.CutPrefix(text, "pkg:")
	if !ok || !decodes(text) {
		return false
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, qualifiers, qualified := strings.Cut(rest, "?")
	kind, name, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	namespace := ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		name = name[:at]
	}
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		namespace, name = name[:at], name[at+1:]
	}
	return isLabel(kind, ".+-") && name != "" && !strings.Contains(strings.ToLower(namespace), "%2f") &&
		(!qualified || areQualifiers(qualifiers))
}

// decodes tells whether the escapes in text are such, and stand for UTF-8.
func decodes(text string) bool {
	plain, err := url.PathUnescape(text)
	return err == nil && utf8.ValidString(plain)
}

// areQualifiers takes pairs with keys that differ. Of two "?" some take the second.
func areQualifiers(text string) bool {
	if strings.Contains(text, "?") {
		return false
	}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(text, "&") {
		key, value, paired := strings.Cut(pair, "=")
		key = strings.ToLower(key)
		if !paired || !isLabel(key, ".-_") || seen[key] || key == "checksum" && !areChecksums(value) {
			return false
		}
		seen[key] = true
	}
	return true
}

// areChecksums takes what the rules for package URLs say of that one key: names of hashes
// with their digits.
func areChecksums(text string) bool {
	for sum := range strings.SplitSeq(text, ",") {
		name, digits, ok := strings.Cut(sum, ":")
		if !ok || !isLabel(name, "") || digits == "" || len(digits)%2 != 0 || strings.Trim(strings.ToLower(digits), "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}

// isLabel tells whether text begins with a letter and has only letters, digits and more.
func isLabel(text, more string) bool {
	for i := range len(text) {
		c := text[i]
		if !isLower(c|0x20) && (i == 0 || !isDigit(c) && strings.IndexByte(more, c) < 0) {
			return false
		}
	}
	return text != ""
}
