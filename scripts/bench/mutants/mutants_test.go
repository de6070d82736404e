package main

import (
	"os"
	"strings"
	"testing"
)

// A mutant that no longer fits the code would end a long run, and nobody would
// see before that it is none.
func TestMutantsFitTheCode(t *testing.T) {
	for _, m := range mutants {
		text, err := os.ReadFile("../../../" + m.file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			t.Errorf("%s: %q is in %s %d times", m.name, m.old, m.file, n)
		}
	}
}
