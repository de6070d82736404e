package recipe

import (
	"crypto/sha1" //nolint:gosec // the hash names a variant, it protects nothing
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// pythonJSON writes a variant as Python's json.dumps does with sorted keys:
// the bytes are hashed, so they must be the same. Values are scalars. ascii
// escapes other letters, which conda-build does and rattler-build does not.
func pythonJSON(variant map[string]any, ascii bool) []byte {
	var b strings.Builder
	b.WriteByte('{')
	for i, key := range slices.Sorted(maps.Keys(variant)) {
		if i > 0 {
			b.WriteString(", ")
		}
		writeJSONString(&b, key, ascii)
		b.WriteString(": ")
		switch v := variant[key].(type) {
		case string:
			writeJSONString(&b, v, ascii)
		case nil:
			b.WriteString("null")
		default:
			b.WriteString(tree.ScalarText(v))
		}
	}
	b.WriteByte('}')
	return []byte(b.String())
}

// writeJSONString escapes what Python's json module escapes, in its spelling.
func writeJSONString(b *strings.Builder, s string, ascii bool) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strings.ContainsRune("\n\r\t\b\f", r):
			b.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}[r])
		case r < 0x20 || ascii && r == 0x7f || ascii && r > 0x7f && r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		case ascii && r >= 0x10000:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// shortHash is the first seven hex digits of the text's SHA-1.
func shortHash(text []byte) string {
	sum := sha1.Sum(text) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])[:7]
}

// use records that a name was needed, and tells whether the variant has it.
func (j *job) use(name string) (any, bool) {
	v, ok := j.variant[name]
	if _, known := j.reads[name]; ok && !known {
		j.reads[name] = Read{Key: name, Pos: j.current.Pos, Why: j.current.Why}
	}
	return v, ok
}

// useAt is use for a reason that is no template.
func (j *job) useAt(pos tree.Pos, name, why string) {
	before := j.current
	j.current = Read{Pos: pos, Why: why}
	j.use(name)
	j.current = before
}

// alwaysUsed are the keys that count as used by every recipe.
var alwaysUsed = []string{"channel_targets", "channel_sources", "target_platform"}

// platformKeys are variables of a build script that a variant may set: they
// count as used by every recipe for that platform.
func (j *job) platformKeys() []string {
	keys := []string{"CPU_COUNT", "SHLIB_EXT", "PATH", "LANG", "LC_ALL"}
	switch {
	case j.platform.Apple():
		return append(keys, "MACOSX_DEPLOYMENT_TARGET", "OSX_ARCH", "BUILD")
	case j.platform.Family == "linux":
		return append(keys, "BUILD", "LD_RUN_PATH", "QEMU_LD_PREFIX", "QEMU_UNAME", "DEJAGNU", "DISPLAY")
	case j.platform.Windows():
		return append(keys, "SCRIPTS", "LIBRARY_PREFIX", "LIBRARY_BIN", "LIBRARY_INC", "LIBRARY_LIB")
	}
	return keys
}

// hashLabels are the names that a build string shows, with their label and
// how many parts of the version follow.
var hashLabels = []struct {
	label string
	keys  []string
	parts int
}{
	{"np", []string{"numpy"}, 2},
	{"py", []string{"python"}, 2},
	{"pl", []string{"perl"}, 3},
	{"lua", []string{"lua"}, 2},
	{"r", []string{"r", "r_base"}, 2},
}

// compactVersion is "3.11.* *_cpython" to 311.
func compactVersion(v string, parts int) string {
	v, _, _ = strings.Cut(strings.TrimSpace(v), " ")
	v = strings.TrimLeft(v, "=<>!~")
	segments := strings.Split(v, ".")
	return strings.TrimSuffix(strings.Join(segments[:min(parts, len(segments))], ""), "*")
}
