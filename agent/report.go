package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"

	"github.com/condaworker/condaworker/agent/meter"
	"github.com/condaworker/condaworker/agent/picture"
	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/persist"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/lock"
)

// report is what --report writes: what a run used and what came of it.
// README.md lists the keys.
type report struct {
	meter.Report
	Version  string          `json:"version"` // of this program
	Error    string          `json:"error,omitempty"`
	ExitCode int             `json:"exit_code"`
	Checks   checks          `json:"checks,omitempty"`   // of doctor
	Packages []published     `json:"packages,omitempty"` // of build and publish
	Index    *indexer.Report `json:"index,omitempty"`    // what was done to the channel's index
	Prune    *indexer.Pruned `json:"prune,omitempty"`    // what channel prune did
	Lock     *lock.Held      `json:"lock,omitempty"`     // who holds the channel's lock, of lock status

	Environment *environment `json:"environment,omitempty"` // of env create and enter

	Environments []persist.Environment `json:"environments,omitzero"` // of env list, [] where there are none
	Cleaned      []persist.Cleaned     `json:"cleaned,omitzero"`      // of env clean and exit
	Cache        *env.Cleaned          `json:"cache,omitempty"`       // of env clean

	contents map[string]pack.Summary // of packages that were built, by file name
}

// outcome notes how the run ended. A run may fail outside of its phases.
func (r *report) outcome(err error) {
	if err != nil {
		r.Status, r.Error, r.ExitCode = "failed", err.Error(), exitCode(err)
	}
}

// built notes what is in packages while it is known.
func (r *report) built(packages []builder.Package) {
	r.contents = map[string]pack.Summary{}
	for _, p := range packages {
		r.contents[filepath.Base(p.Path)] = p.Summary
	}
}

// draw writes the report as a page, if one is asked for, with secrets hidden.
func (r *report) draw(o reportOptions, result string, hide func(string) string) error {
	if o.picture == "" {
		return nil
	}
	doc, err := hidden(picture.Run{
		Verb: o.verb, Version: r.Version, Result: result, Error: r.Error, ExitCode: r.ExitCode,
		Report: r.Report, Packages: r.pictures(),
	}, hide)
	if err != nil {
		return err
	}
	var run picture.Run
	if err := json.Unmarshal(doc, &run); err != nil {
		return fmt.Errorf("hide secrets in the report's page: %w", err)
	}
	page, err := picture.Page(run)
	if err != nil {
		return err
	}
	return writeReport("--report-html", o.picture, page)
}

// pictures are the packages as the page shows them.
func (r *report) pictures() []picture.Package {
	var all []picture.Package
	for _, p := range r.Packages {
		name := path.Base(cmp.Or(p.Key, filepath.ToSlash(p.Path)))
		is := r.contents[name]
		one := picture.Package{Name: name, Channel: p.Channel, SHA256: p.SHA256, Size: p.Size, Files: is.Files, Bytes: is.Bytes}
		for _, f := range is.Largest {
			one.Largest = append(one.Largest, picture.File(f))
		}
		all = append(all, one)
	}
	return all
}
