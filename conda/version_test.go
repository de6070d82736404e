package conda

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustVersion(t testing.TB, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// show writes segments as lists: [[0] [1] [0 rc 1]].
func show(segments [][]part) string {
	var out []string
	for _, segment := range segments {
		var parts []string
		for _, p := range segment {
			switch {
			case p.kind == post:
				parts = append(parts, "post")
			case p.kind == number && p.text == "":
				parts = append(parts, "0")
			default:
				parts = append(parts, p.text)
			}
		}
		out = append(out, fmt.Sprint(parts))
	}
	return fmt.Sprint(out)
}

func TestParseVersion(t *testing.T) {
	for _, test := range []struct{ text, main, local string }{
		{"0.4", "[[0] [0] [4]]", "[]"},
		{"1.2g.beta15.rc", "[[0] [1] [2 g] [0 beta 15] [0 rc]]", "[]"},
		{"1!2.15.1_ALPHA", "[[1] [2] [15] [1] [0 alpha]]", "[]"},
		{"1!2.15.1alpha_", "[[1] [2] [15] [1 alpha_]]", "[]"},
		{"1.1_", "[[0] [1] [1 _]]", "[]"},
		{"0.5-5", "[[0] [0] [5] [5]]", "[]"},
		{"1.1dev1", "[[0] [1] [1 DEV 1]]", "[]"},
		{"1.2devdev", "[[0] [1] [2 devdev]]", "[]"},
		{"1.1.post1", "[[0] [1] [1] [0 post 1]]", "[]"},
		{"0.0.20190712172645", "[[0] [0] [0] [20190712172645]]", "[]"},
		{"1996.07.12", "[[0] [1996] [7] [12]]", "[]"},
		{"1.0+1.2.3h123", "[[0] [1] [0]]", "[[1] [2] [3 h 123]]"},
	} {
		v := mustVersion(t, test.text)
		if diff := cmp.Diff(test.main, show(v.main)); diff != "" {
			t.Errorf("%s: main (-want +got):\n%s", test.text, diff)
		}
		if diff := cmp.Diff(test.local, show(v.local)); diff != "" {
			t.Errorf("%s: local (-want +got):\n%s", test.text, diff)
		}
		if v.String() != test.text {
			t.Errorf("String() = %q, want %q", v, test.text)
		}
	}
}

func TestParseVersionRefuses(t *testing.T) {
	for _, text := range []string{
		"", "  ", "3.5&1", "5.5++", "5.5..mw", "!", "a!1.0", "a!b!1.0", "1!2!3", "1.0-1_2", "1.", ".1", "1.0+", "+1", "1.*", "ö",
	} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("ParseVersion(%q) = %s, want an error", text, show(v.main))
		}
	}
}

// Every line is a rank; versions on one line are equal.
const ordered = `
0.4 0.4.0
0.4.1a.vc11
0.4.1.rc 0.4.1.RC 0.4.1.0rc
0.4.1.vc11
0.4.1+local
0.4.1 0.4.1+0
0.4.1+1.local
0.5a1
0.5C1
0.5
0.960923
1.0
1.0.1dev
1.0.1_
1.0.1a
1.0.1rc
1.0.1rc1
1.0.1
1.0.1post.a
1.0.2
1.1dev1
1.1a1
1.1.0dev1 1.1.dev1
1.1.a1
1.1.0rc1
1.1.0 1.1 1.1.0.0
1.1.post1 1.1.0post1
1.1post1
1.9
1.10
1996.07.12
20190712172644
20190712172645 020190712172645
123456789012345678901234567890
1!0.4.1
1!3.1.1.6
2!0.4.1
`

func TestVersionOrder(t *testing.T) {
	type ranked struct {
		v    Version
		rank int
	}
	var all []ranked
	for rank, line := range strings.Split(strings.TrimSpace(ordered), "\n") {
		for text := range strings.FieldsSeq(line) {
			all = append(all, ranked{mustVersion(t, text), rank})
		}
	}
	for _, a := range all {
		for _, b := range all {
			want := min(max(a.rank-b.rank, -1), 1)
			if got := a.v.Compare(b.v); got != want {
				t.Errorf("%s compared with %s = %d, want %d", a.v, b.v, got, want)
			}
		}
	}
}

func TestVersionStartsWith(t *testing.T) {
	for _, test := range []struct {
		version, prefix string
		want            bool
	}{
		{"1.8.3", "1.8", true},
		{"1.80", "1.8", false},
		{"1.8", "1.8.0", true},
		{"1.8.1", "1.8.0", false},
		{"2013ab", "2013a", true},
		{"2013b", "2013a", false},
		{"0.4.1p1", "0.4.1p", true},
		{"0.4", "0.4.1", false},
		{"0.4.1+1.3", "0.4.1", true},
		{"0.4.1+1.3", "0.4.1+1", true},
		{"0.4.1+1", "0.4.1+1.3", false},
		{"0.4.1", "0.4.1+1.3", false},
		{"1!3.8", "3.8", false},
		{"3.8rc1", "3.8", true},
		{"3.8.0rc1", "3.8", true},
	} {
		got := mustVersion(t, test.version).startsWith(mustVersion(t, test.prefix))
		if got != test.want {
			t.Errorf("%s starts with %s: %v, want %v", test.version, test.prefix, got, test.want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for text := range strings.FieldsSeq(ordered) {
		f.Add(text, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := ParseVersion(a)
		if err != nil {
			return
		}
		again := mustVersion(t, v.String())
		if v.Compare(again) != 0 || !v.startsWith(v) {
			t.Errorf("%q is not equal to itself", a)
		}
		w, err := ParseVersion(b)
		if err == nil && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%q and %q are ordered both ways", a, b)
		}
		if parts := slices.Concat(v.main...); len(parts) > 2*len(a)+2 {
			t.Errorf("%q has %d parts", a, len(parts))
		}
	})
}
