package agent

import (
	"github.com/condaworker/condaworker/agent/meter"
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

	Environments []persist.Environment `json:"environments,omitempty"` // of env list
	Cleaned      []persist.Cleaned     `json:"cleaned,omitempty"`      // of env clean and exit
}

// outcome notes how the run ended. A run may fail outside of its phases.
func (r *report) outcome(err error) {
	if err != nil {
		r.Status, r.Error, r.ExitCode = "failed", err.Error(), exitCode(err)
	}
}
