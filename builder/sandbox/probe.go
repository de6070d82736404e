package sandbox

// Feature is something of this host that contains or measures foreign code.
type Feature struct {
	Name  string // e.g. "user namespaces"
	Found bool
	What  string // what was found, e.g. "ABI 6", or why it is not there
	Todo  string // what to change on the host when it is not there
}
