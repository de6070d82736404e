package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/meter"
)

// reportOptions are the flags of a verb that tells programs what it did.
type reportOptions struct {
	report  string
	format  string
	summary bool // people get the resource summary at the end of the log

	document bool // the verb itself writes something for a program to stdout
}

func (o *reportOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.report, "report", "", "write what the run did and used to this file as JSON, on failure too")
	c.Flags().StringVar(&o.format, "format", "text", "text, or json: print the report on stdout and the log on stderr")
}

// validate finds out before the work that its report could not be delivered.
func (o *reportOptions) validate() error {
	if o.format != "text" && o.format != "json" {
		return usageError{fmt.Errorf("--format %s: it is text or json", o.format)}
	}
	if o.report == "" {
		return nil
	}
	if info, err := os.Stat(o.report); err == nil && info.IsDir() {
		return usageError{fmt.Errorf("--report %s: it is a folder; name a file", o.report)}
	}
	folder := filepath.Dir(o.report)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("--report %s: there is no folder %s; make it first", o.report, folder)}
	}
	return nil
}

// work is what a verb does. It fills in what the report has of its own and
// returns the sentence that says what it made.
type work func(p *progress, r *report) (result string, err error)

// run does the work of a verb, measures it and reports on it whatever comes of
// it. Only a report that could not be delivered is refused before.
func (d *desk) run(ctx context.Context, o reportOptions, do work) error {
	d.open(o.format == "json" || o.document)
	if err := o.validate(); err != nil {
		return err
	}
	r := report{Version: version()}
	m := meter.Start(meter.Options{Tell: func(p meter.Progress) { d.out.Log().Info(p.Line()) }})
	result, err := do(newProgress(d.out, m), &r)
	err = why(ctx, err)
	r.Report = m.Stop()
	r.outcome(err)
	err = errors.Join(err, d.deliver(r, o))
	if err == nil {
		d.result(result)
	}
	return err
}

// deliver prints the report, or the resource summary, and writes the file.
func (d *desk) deliver(r report, o reportOptions) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	text = append(text, '\n')
	switch {
	case o.format == "json":
		err = d.out.Print(text)
	case o.summary && len(r.Phases) > 0: // a run that was refused used nothing
		err = d.out.Print([]byte(meter.Summary(r.Report)))
	}
	if o.report == "" {
		return err
	}
	if failed := os.WriteFile(o.report, text, 0o644); failed != nil {
		err = errors.Join(err, fmt.Errorf("write --report: %w", failed))
	}
	return err
}

// result is the last status of a run that succeeded; the monitor shows it.
func (d *desk) result(text string) {
	d.out.Done(text)
}

// why is the reason behind an error: work that a signal or a lost reader ended
// fails in many ways, and none of them is what the user should hear.
func why(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if signal, ok := errors.AsType[Cancelled](cause); ok && err != nil {
		return signal
	}
	if errors.Is(err, context.Canceled) && cause != nil {
		return cause
	}
	return err
}
