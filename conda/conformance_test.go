package conda

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answers opens a file of conda's own answers, beside the project.
func answers(t *testing.T, name ...string) *bufio.Scanner {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "shared", "conformance"}, name...)...))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is missing: there is nothing to compare with", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	return s
}

// split is a version as conda splits it: [[0], [1], [0, 'rc', 1]].
func split(segments [][]part) string {
	lists := make([]string, len(segments))
	for i, segment := range segments {
		parts := make([]string, len(segment))
		for n, p := range segment {
			switch {
			case p.kind == post:
				parts[n] = "inf"
			case p.kind == number && p.text == "":
				parts[n] = "0"
			case p.kind == number:
				parts[n] = p.text
			default:
				parts[n] = "'" + p.text + "'"
			}
		}
		lists[i] = "[" + strings.Join(parts, ", ") + "]"
	}
	return "[" + strings.Join(lists, ", ") + "]"
}

// TestVersionsOfConda: every version of real channels is split as conda splits
// it. Its order follows from that.
func TestVersionsOfConda(t *testing.T) {
	lines := answers(t, "versions", "parsed_versions.txt")
	n := 0
	for lines.Scan() {
		text, want, _ := strings.Cut(lines.Text(), "=")
		n++
		v, err := ParseVersion(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := split(v.main); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if err := lines.Err(); err != nil || n < 28_000 {
		t.Errorf("%d versions, %v", n, err)
	}
}

// specAnswer is what conda makes of a match spec.
type specAnswer struct {
	Spec      string
	Error     bool
	Canonical string
	Records   [][]any
	Match     string
}

// TestMatchSpecsOfConda: what conda refuses is refused, each record matches as it
// does with conda, what is printed reads as the same spec, and a narrower spec
// matches no more.
func TestMatchSpecsOfConda(t *testing.T) {
	lines := answers(t, "matchspecs.jsonl")
	specs, matches := 0, 0
	for lines.Scan() {
		var a specAnswer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		specs++
		m, err := ParseMatchSpec(a.Spec)
		if (err != nil) != a.Error {
			t.Errorf("%q: %v; conda refuses it: %v (%s)", a.Spec, err, a.Error, a.Canonical)
		}
		if err != nil || a.Error {
			continue
		}
		narrower := narrowed(t, m)
		for i, values := range a.Records {
			matches++
			r := recordOf(t, values)
			got := m.Match(&r)
			if got != (a.Match[i] == '1') {
				t.Errorf("%q (%s) matches %v: %v", a.Spec, m, values, got)
			}
			for _, n := range narrower {
				if n.Match(&r) && !got {
					t.Errorf("%q, of which %q is a part, does not match %v", a.Spec, n, values)
				}
			}
		}
		again, err := ParseMatchSpec(m.String())
		if err != nil || again.String() != m.String() {
			t.Errorf("%q is printed as %q, which reads as %q, %v", a.Spec, m, again, err)
		}
	}
	if err := lines.Err(); err != nil || specs < 1300 {
		t.Errorf("%d specs, %v", specs, err)
	}
	t.Logf("%d specs, %d matches", specs, matches)
}

// narrowed are specs that want more than m does.
func narrowed(t *testing.T, m MatchSpec) []MatchSpec {
	t.Helper()
	values := map[string]string{"name": m.Name}
	for _, f := range m.fields {
		values[f.key] = f.value
	}
	var all []MatchSpec
	for key, more := range map[string]string{"version": "<2", "build_number": "0", "subdir": "noarch"} {
		narrow := maps.Clone(values)
		switch old := values[key]; {
		case old == "":
			narrow[key] = more
		case key == "version":
			narrow[key] = "(" + old + ")," + more
		default:
			continue
		}
		n, err := newMatchSpec(narrow)
		if err != nil {
			t.Errorf("%v: %v", narrow, err)
		}
		all = append(all, n)
	}
	return all
}

// recordOf is a record of name, version, build, build number, channel, subdir.
func recordOf(t *testing.T, values []any) Record {
	t.Helper()
	text := func(i int) string { return fmt.Sprint(values[i]) }
	number, ok := values[3].(float64)
	if !ok {
		t.Fatalf("%v", values)
	}
	return Record{
		Name: text(0), Version: text(1), Build: text(2), BuildNumber: int(number), Channel: text(4), Subdir: text(5),
		FileName: text(0) + "-" + text(1) + "-" + text(2) + ".conda",
	}
}
