package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/condaworker/condaworker/agent/meter"
	"github.com/condaworker/condaworker/indexer"
)

// report is what --report writes: what a run used (README.md lists the keys)
// and what came of it.
type report struct {
	meter.Report
	Version  string          `json:"version"`
	Error    string          `json:"error,omitempty"`
	ExitCode int             `json:"exit_code"`
	Packages []published     `json:"packages,omitempty"`
	Index    *indexer.Report `json:"index,omitempty"`
}

// newReport adds the outcome to what was measured: a run can fail between two
// phases.
func newReport(used meter.Report, err error) report {
	r := report{Report: used, Version: version()}
	if err != nil {
		r.Status, r.Error, r.ExitCode = "failed", err.Error(), exitCode(err)
	}
	return r
}

// buildReport is the report of the verb build.
func buildReport(used meter.Report, packages []published, err error) report {
	r := newReport(used, err)
	r.Packages = packages
	return r
}

// reindexReport is the report of the verb reindex.
func reindexReport(used meter.Report, index indexer.Report, err error) report {
	r := newReport(used, err)
	r.Index = &index
	return r
}

// deliver prints the resource summary, writes the report and says what was
// made. It runs after a failure as well.
func (d *desk) deliver(r report, o buildOptions) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	text = append(text, '\n')
	if o.format == "json" {
		err = d.out.Print(text)
	} else {
		err = d.out.Print([]byte(meter.Summary(r.Report)))
	}
	err = errors.Join(err, writeReport(o.report, text))
	if r.Error != "" {
		return err
	}
	result := "nothing to build"
	for _, p := range r.Packages {
		result = fmt.Sprintf("built %s, %d bytes", filepath.Base(p.Path), p.Size)
		if p.Channel != "" {
			result += "; to show it to clients: condaworker reindex " + p.Channel
		}
	}
	d.result(result)
	return err
}

// deliverReindex writes the report and says what the channel has now.
func (d *desk) deliverReindex(r report, o reindexOptions, url string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	err = writeReport(o.report, append(text, '\n'))
	if r.Error == "" {
		total := 0
		for _, s := range r.Index.Subdirs {
			total += s.Packages
		}
		d.result(fmt.Sprintf("indexed %s: %d packages in %d subdirs", url, total, len(r.Index.Subdirs)))
	}
	return err
}

// result is the last status of a run that succeeded; the monitor shows it.
func (d *desk) result(text string) {
	d.out.Progress(100)
	d.out.Status(text)
}

// writeReport does nothing without a path.
func writeReport(path string, text []byte) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write --report: %w", err)
	}
	return nil
}
