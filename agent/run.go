package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/meter"
	"github.com/condaworker/condaworker/store"
)

// reportOptions are the flags of a verb that tells programs what it did.
type reportOptions struct {
	verb    string
	report  string
	picture string
	format  string
	summary bool // people get the resource summary at the end of the log

	document bool // the verb itself writes something for a program to stdout
}

func (o *reportOptions) flags(c *cobra.Command) {
	o.verb = c.Name()
	c.Flags().StringVar(&o.report, "report", "", "write what the run did and used to this file as JSON, on failure too")
	c.Flags().StringVar(&o.picture, "report-html", "", "write the same to this file as a page for people, with how it went over time")
	c.Flags().StringVar(&o.format, "format", "text", "text, or json: print the report on stdout and the log on stderr")
}

// validate finds out before the work that its report could not be delivered.
func (o *reportOptions) validate() error {
	if o.format != "text" && o.format != "json" {
		return usageError{fmt.Errorf("--format %s: it is text or json", o.format)}
	}
	if o.report != "" && o.report == o.picture {
		return usageError{fmt.Errorf("--report and --report-html both name %s; they are two files", o.report)}
	}
	return errors.Join(canWrite("--report", o.report), canWrite("--report-html", o.picture))
}

// canWrite finds out whether a flag names a file that can be written; "" is none.
func canWrite(flag, file string) error {
	if file == "" {
		return nil
	}
	is, missing := os.Stat(file)
	if missing == nil && is.IsDir() {
		return usageError{fmt.Errorf("%s %s: it is a folder; name a file", flag, file)}
	}
	folder := filepath.Dir(file)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("%s %s: there is no folder %s; make it first", flag, file, folder)}
	}
	if missing == nil && !is.Mode().IsRegular() {
		return nil // who reads a pipe waits for the report
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w; name a file that this user can write", flag, err)}
	}
	if err = f.Close(); missing != nil {
		err = errors.Join(err, os.Remove(file))
	}
	return err
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
	if err = why(ctx, err); err != nil {
		d.out.Redact(store.Secrets(err.Error())...) // of a URL that nobody else knew of
	}
	r.Report = m.Stop()
	r.outcome(err)
	err = errors.Join(err, d.deliver(r, o), r.draw(o, result, d.out.Hide))
	if err == nil {
		d.result(result)
	}
	return err
}

// deliver prints the report, or the resource summary, and writes the file.
// Secrets are hidden in all as they are in the log.
func (d *desk) deliver(r report, o reportOptions) error {
	text, err := hidden(r, d.out.Hide)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	switch {
	case o.format == "json":
		err = d.out.Print(text)
	case o.summary && worked(r.Phases):
		err = d.out.Print([]byte(d.out.Hide(meter.Summary(r.Report))))
	}
	return errors.Join(err, writeReport("--report", o.report, text))
}

// worked tells whether a run did more than find out what to do: one that was
// refused, or whose recipe is wrong, used nothing that anybody wants to know.
func worked(phases []meter.PhaseReport) bool {
	return slices.ContainsFunc(phases, func(p meter.PhaseReport) bool { return p.Name != "render" })
}

// writeReport writes what a flag asks for to the file that it names; "" is none.
func writeReport(flag, file string, text []byte) error {
	if file == "" {
		return nil
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", flag, err)
	}
	return nil
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
