package agent

import "github.com/condaworker/condaworker/agent/openjd"

// inSession tells whether an Open Job Description session reads the output.
func (d *desk) inSession() bool {
	return d.env["OPENJD_SESSION_WORKING_DIR"] != "" || d.env["DEADLINE_SESSION_ID"] != ""
}

// jobSession is the session that this process works for: what its runtime calls it, and its
// folder, as far as they are told. Older runtimes do not tell the folder; their actions
// begin in it.
func (d *desk) jobSession() (id, folder string) {
	id, folder = d.env["DEADLINE_SESSION_ID"], d.env["OPENJD_SESSION_WORKING_DIR"]
	if folder == "" && id != "" {
		folder = absolutePath(".")
	}
	return id, folder
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
