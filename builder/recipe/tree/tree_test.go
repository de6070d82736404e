package tree

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(text string, strict bool) (*Node, *Report) {
	report := &Report{}
	r := &Reader{File: "f.yaml", What: "the file", Begin: "a: b", Report: report, Strict: strict, Typed: func(_, text string) any {
		if text == "" || text == "null" {
			return nil
		}
		return text
	}}
	return r.Parse(text), report
}

func TestOfAndBack(t *testing.T) {
	data := map[string]any{"a": []any{"x", int64(1), true, nil}, "b": map[string]any{"c": "<y> & z"}, "d": []any{}}
	n := Of(data)
	if diff := cmp.Diff(any(data), n.Free()); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":["x",1,true,null],"b":{"c":"\u003cy\u003e \u0026 z"},"d":[]}`; string(text) != want {
		t.Errorf("got %s", text)
	}
}

func TestJSONKeepsTheOrder(t *testing.T) {
	n, _ := parse("z: 1\na: {c: d, b: e}\n", true)
	text, err := n.MarshalJSON()
	if err != nil || string(text) != `{"z":"1","a":{"c":"d","b":"e"}}` {
		t.Errorf("%s %v", text, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a: [b, {c: d}]\n- x\n", true)
	f.Add("a: &x 1\nb: *x\n<<: {c: d}\na: \"\\u0041 # no\" # yes\n", false)
	f.Add("a: |\n  x ${{ y }}\n\n  z\nb: >-\n  folded\n   more\n", true)
	f.Fuzz(func(t *testing.T, text string, strict bool) {
		n, report := parse(text, strict)
		for _, p := range report.errors {
			if p.Pos.Line > strings.Count(text, "\n")+2 || p.Pos.File == "" || p.Text == "" {
				t.Errorf("%q: %#v", text, p)
			}
		}
		if n == nil {
			if !report.Failed() {
				t.Errorf("%q: nothing, and no reason", text)
			}
			return
		}
		if _, err := n.MarshalJSON(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		walk(t, text, n)
	})
}

// walk checks that every place is in the file.
func walk(t *testing.T, text string, n *Node) {
	t.Helper()
	if n.Pos.Line < 1 || n.Pos.Column < 1 || n.Pos.Line > strings.Count(text, "\n")+2 { // what is missing stands behind the end
		t.Errorf("%q: a node at %v", text, n.Pos)
	}
	n.Inside(text, len(n.Scalar())/2)
	for _, item := range n.Items {
		walk(t, text, item)
	}
	for _, f := range n.Fields {
		walk(t, text, f.Value)
	}
}
