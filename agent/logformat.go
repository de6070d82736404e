package agent

import "errors"

// logFormat is what the lines of the log look like; "" is text.
type logFormat string

const jsonLog logFormat = "json"

// Set takes the flag's value.
func (f *logFormat) Set(text string) error {
	if text != "text" && text != string(jsonLog) {
		return errors.New("it is text or json")
	}
	*f = logFormat(text)
	return nil
}

// String returns the flag's value.
func (f *logFormat) String() string {
	if *f == "" {
		return "text"
	}
	return string(*f)
}

// Type names the value in the help.
func (f *logFormat) Type() string { return "format" }
