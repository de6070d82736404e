package env

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// pins are match specs that bind what a prefix may have of their names, each with the
// place where it is written; "" is the request.
type pins struct {
	specs []conda.MatchSpec
	at    []string
}

// pins are those of the request, and those of the prefix that it changes.
func (o *offers) pins() (pins, error) {
	specs, err := parseSpecs(o.request.Pinned)
	if err != nil {
		return pins{}, err
	}
	all := pins{specs, make([]string, len(specs))}
	if o.request.Prefix != "" {
		err = all.read(filepath.Join(o.request.Prefix, "conda-meta", "pinned"))
	}
	return all, err
}

// read adds those of a file, as conda has it: one a line, which may end in a # comment.
// All lines that are no match spec of one package are told at once.
func (p *pins) read(file string) error {
	text, err := os.ReadFile(file) //nolint:gosec // of the user's prefix
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the pinned packages of the prefix: %w", err)
	}
	var wrong []error
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		number++
		bare, _, _ := strings.Cut(line, "#")
		if bare = strings.TrimSpace(bare); bare == "" {
			continue
		}
		spec, err := conda.ParseMatchSpec(store.WithoutSecrets(bare))
		if err == nil && !spec.ExactName() {
			err = fmt.Errorf("match spec %q: pin one package, not a pattern", bare)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%d:%d: %w", file, number, 1+len([]rune(line[:strings.Index(line, bare)])), err))
			continue
		}
		p.specs, p.at = append(p.specs, spec), append(p.at, fmt.Sprintf("%s:%d", file, number))
	}
	if wrong != nil {
		return fmt.Errorf("the pinned packages of the prefix are match specs, one a line: correct\n%w", errors.Join(wrong...))
	}
	return nil
}
