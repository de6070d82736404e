package agent

import (
	"errors"
	"io"

	"github.com/condaworker/condaworker/agent/meter"
	"github.com/condaworker/condaworker/agent/openjd"
	"github.com/condaworker/condaworker/builder/sandbox"
)

// progress hears how a verb goes on: each phase becomes a status for the
// farm's monitor, a measurement, and a line with its time at its end.
type progress struct {
	out   *openjd.Output
	meter *meter.Meter
}

// newProgress reports to the log and to the measurement.
func newProgress(out *openjd.Output, m *meter.Meter) *progress { return &progress{out, m} }

// reached is how far a verb is when a phase begins, in per cent of the time
// that a vendor archive of some hundred megabytes takes.
func reached(phase string) float64 {
	return map[string]float64{
		"render": 1, "verify": 2, "number": 4, "fetch": 5, "environments": 25, "script": 30,
		"pack": 55, "test": 75, "publish": 90, "index": 97, "lock": 5, "reindex": 20, "check": 5,
	}[phase]
}

// Phase begins a step: openjd_status and openjd_progress in a session.
func (p *progress) Phase(name string) (end func(error)) {
	told := p.out.Phase(name)
	p.out.Progress(reached(name))
	measured := p.meter.Phase(name)
	return func(err error) {
		told()
		if exit, ok := errors.AsType[*sandbox.ExitError](err); ok {
			measured.Exited(exit.Code, exit.Signal)
		}
		p.Info(meter.PhaseLine(measured.End(err)))
	}
}

// Folder has a folder of a build measured.
func (p *progress) Folder(name, path string) { p.meter.Watch(name, path) }

// Transfer hears how many bytes a phase moves.
func (p *progress) Transfer(total int64) (moved func(n int)) { return p.out.Transfer(total) }

// Info logs what is worth knowing.
func (p *progress) Info(text string) { p.out.Log().Info(text) }

// Warn logs what the user should look at.
func (p *progress) Warn(text string) { p.out.Log().Warn(text) }

// Lines takes a foreign program's output; every line is fenced.
func (p *progress) Lines() io.WriteCloser { return p.out.Lines() }

// Redact hides the secrets that a recipe takes.
func (p *progress) Redact(secrets ...string) { p.out.Redact(secrets...) }
