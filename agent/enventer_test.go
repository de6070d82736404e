package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSpecWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                    nil,
		"  \t\n ":                             nil,
		"blender":                             {"blender"},
		" blender=4.2  'python >=3.11' pip":   {"blender=4.2", "python >=3.11", "pip"},
		"\"python >=3.11,<4\"\nblender":       {"python >=3.11,<4", "blender"},
		"tool[version='>=1,<2',build=\"x*\"]": {"tool[version='>=1,<2',build=\"x*\"]"},
		"'' ' '":                              nil,
		"'never closed":                       {"'never", "closed"},
		"conda-forge::colmap=*=gpu*":          {"conda-forge::colmap=*=gpu*"},
	} {
		if diff := cmp.Diff(want, specWords(text), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// Where the case of a variable's name means nothing, one that is called Path is PATH.
func TestEnvironMap(t *testing.T) {
	list := []string{"Path=a", "Home=x=y", "PATH=b", "EMPTY="}
	for anyCase, want := range map[bool]map[string]string{
		false: {"Path": "a", "Home": "x=y", "PATH": "b", "EMPTY": ""},
		true:  {"PATH": "b", "HOME": "x=y", "EMPTY": ""},
	} {
		if diff := cmp.Diff(want, environMap(list, anyCase)); diff != "" {
			t.Errorf("any case %v: %s", anyCase, diff)
		}
	}
}
