package agent

import "github.com/condaworker/condaworker/agent/openjd"

// inSession tells whether an Open Job Description session reads the output.
func (d *desk) inSession() bool {
	return d.env["OPENJD_SESSION_WORKING_DIR"] != "" || d.env["DEADLINE_SESSION_ID"] != ""
}

// width is that of the terminal that shows the log, 0 where a session or a
// program reads it.
func (d *desk) width(machine bool) int {
	if d.inSession() || d.logFormat == jsonLog {
		return 0
	}
	log := d.host.Stdout
	if machine {
		log = d.host.Stderr
	}
	return openjd.Width(log, d.env)
}
