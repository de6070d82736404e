package openjd

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// variableLength is how long a directive may be, in bytes: the runtimes split
// or cut a line soon after, and half a directive cancels the action.
const variableLength = 60_000

// identifier is what a session takes for a variable's name.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// commands are what a session acts on. A piece of a long line may begin anywhere.
var commands = regexp.MustCompile(`(?i)openjd_(progress|status|fail|env|redacted_env|unset_env|session_runtime_loglevel|service_ready)`)

// Setenv gives a variable to the later actions of the session (openjd_env), in
// the form of a JSON string, which carries any text. It is printed outside of a
// session as well, for whoever reads it there. A variable that no session could
// take is an error, and nothing is printed: a wrong name, a value that is not
// UTF-8, or one that is longer than a session's lines.
func (o *Output) Setenv(name, value string) error {
	switch {
	case !identifier.MatchString(name):
		return fmt.Errorf("the variable %q has no name that a session takes: letters, digits and _", name)
	case !utf8.ValidString(value) || strings.Contains(value, "\x00"):
		return fmt.Errorf("the variable %s has a NUL, or bytes that are no UTF-8, which a session cannot take", name)
	}
	line := "openjd_env: " + asciiJSON(name+"="+value)
	if len(line) > variableLength {
		return fmt.Errorf("the variable %s is %d bytes long: a session takes lines of %d", name, len(value), variableLength)
	}
	o.log.print(line + "\n")
	return nil
}

// Unsetenv takes a variable from the later actions of the session, with the
// rules of Setenv.
func (o *Output) Unsetenv(name string) error {
	if !identifier.MatchString(name) {
		return fmt.Errorf("the variable %q has no name that a session takes: letters, digits and _", name)
	}
	o.log.print("openjd_unset_env: " + name + "\n")
	return nil
}

// asciiJSON is text as a JSON string of printable ASCII characters alone.
func asciiJSON(text string) string {
	quoted, _ := json.Marshal(text) // a text can always be encoded
	var b strings.Builder
	for _, r := range string(quoted) {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String()
}

// Environ writes the variables to standard output for a program to read: each
// as NAME=value followed by NUL, sorted. In a session a value that the session
// would take for a command is an error, and nothing is written.
func (o *Output) Environ(vars map[string]string) error {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		entry := name + "=" + vars[name]
		if command := commands.FindString(entry); o.session && command != "" {
			return fmt.Errorf("the variable %s cannot be printed in a session, which would take %s for a command", name, command)
		}
		b = append(append(b, entry...), 0)
	}
	return o.doc.write(b)
}
