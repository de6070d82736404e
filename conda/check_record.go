package conda

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// CheckRecord refuses a record of an index with which some client reads no record at
// all that has its name. Of rattler's types each field has one, and of the fields that
// are lists none is null.
func CheckRecord(record []byte) error {
	var r Record
	if err := cmp.Or(json.Unmarshal(record, &r), CheckJSON(record)); err != nil {
		return err
	}
	fields, err := readObject(record, "record")
	if err != nil {
		return err
	}
	return checkFields(fields)
}

// CheckIndex refuses a package's info/index.json, a text that CheckJSON passes, that
// would give such a record.
func CheckIndex(index []byte) error {
	fields, err := readObject(index, "index.json")
	if err != nil {
		return err
	}
	for _, key := range slices.Concat(notIndexed, []string{"md5", "sha256", "size", "subdir"}) {
		delete(fields, key) // an index has its own
	}
	return checkFields(fields)
}

func checkFields(fields map[string]json.RawMessage) error {
	for _, key := range neededFields() {
		if _, found := fields[key]; !found {
			return fmt.Errorf("it has no %s, which is %s", key, kindOfField(key).is)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if err := checkField(key, fields[key]); err != nil {
			return err
		}
	}
	return nil
}

// neededFields are those without which rattler reads no record.
func neededFields() []string { return []string{"name", "version", "build", "build_number"} }

func checkField(key string, value json.RawMessage) error {
	kind := kindOfField(key)
	if kind.fits == nil || kind.orNull && string(value) == "null" || kind.fits(value) {
		return nil
	}
	return fmt.Errorf("%s is %.60s, not %s", key, appendCompact(nil, value), kind.is)
}

// fieldKind is what values a field can have.
type fieldKind struct {
	is     string // in words
	fits   func(value json.RawMessage) bool
	orNull bool
}

// kindOfField has no fits for a field that clients pass over.
func kindOfField(key string) fieldKind {
	switch key {
	case "name", "build", "subdir":
		return fieldKind{"a text", isText, false}
	case "license", "license_family", "python_site_packages_path", "features", "arch", "platform":
		return fieldKind{"a text", isText, true}
	case "version":
		return fieldKind{"a version", isReadableVersion, false}
	case "build_number":
		return fieldKind{"a whole number from 0 on", isWhole, false}
	case "size", "legacy_bz2_size":
		return fieldKind{"a whole number from 0 on", isWhole, true}
	case "depends", "constrains", "flags":
		return fieldKind{"a list of texts", isTexts, false}
	case "track_features":
		return fieldKind{"a text or a list of texts", func(v json.RawMessage) bool { return isText(v) || isTexts(v) }, false}
	case "extra_depends":
		return fieldKind{"an object of lists of texts", isListsOfTexts, false}
	case "run_exports":
		return fieldKind{"an object of lists of texts", areExports, true}
	case "noarch":
		return fieldKind{"generic or python", isNoarch, true}
	case "timestamp", "indexed_timestamp":
		return fieldKind{"a time before the end of the year 9999 in whole milliseconds since 1970", isTime, true}
	case "purls":
		return fieldKind{"a list of package URLs (pkg:type/name)", arePackageURLs, true}
	case "md5", "legacy_bz2_md5":
		return fieldKind{"32 hexadecimal digits", func(v json.RawMessage) bool { return isDigest(v, 32) }, true}
	case "sha256":
		return fieldKind{"64 hexadecimal digits", func(v json.RawMessage) bool { return isDigest(v, 64) }, true}
	}
	return fieldKind{}
}

func isText(value json.RawMessage) bool { return value[0] == '"' }

// isTexts takes no null, for which encoding/json leaves a text empty.
func isTexts(value json.RawMessage) bool {
	var list []*string
	return value[0] == '[' && json.Unmarshal(value, &list) == nil && !slices.Contains(list, nil)
}

func isListsOfTexts(value json.RawMessage) bool {
	if value[0] != '{' {
		return false
	}
	for _, list := range members(value) {
		if !isTexts(list) {
			return false
		}
	}
	return true
}

// areExports tells whether value is run_exports as an index has them. What later kinds
// will have is not known.
func areExports(value json.RawMessage) bool {
	if value[0] != '{' {
		return false
	}
	for kind, list := range members(value) {
		switch kind {
		case "weak", "strong", "noarch", "weak_constrains", "strong_constrains":
			if !isTexts(list) {
				return false
			}
		}
	}
	return true
}

// isWhole takes what fits both Go's and rattler's numbers, and not 0.0, 1e2 or -0.
func isWhole(value json.RawMessage) bool {
	_, err := strconv.ParseUint(string(value), 10, 63)
	return err == nil
}

// isTime takes milliseconds, and the seconds of old packages.
func isTime(value json.RawMessage) bool {
	// The last time that rattler can read is that by a clock 26 hours behind UTC.
	const lastRead = lastSecond - 93_599
	at, err := strconv.ParseUint(string(value), 10, 63)
	return err == nil && (at <= lastRead || lastSecond < at && at <= lastRead*1000)
}

// isNoarch also takes what packages had before it had kinds.
func isNoarch(value json.RawMessage) bool {
	return slices.Contains([]string{`""`, `"generic"`, `"python"`, "true", "false"}, string(value))
}

func isDigest(value json.RawMessage, digits int) bool {
	return isText(value) && isHash(unquote(value), digits)
}

// isReadableVersion takes what other clients take too: their versions have no blanks
// around them, and something before an underscore. Numbers of 2^64 and more, at which
// rattler stops, pass: that is no reason to lose a package that conda can install.
func isReadableVersion(value json.RawMessage) bool {
	if !isText(value) {
		return false
	}
	text := unquote(value)
	_, err := ParseVersion(text)
	main := text[strings.IndexByte(text, '!')+1:]
	return err == nil && strings.TrimSpace(text) == text && strings.TrimLeft(main, "_-") == main
}
