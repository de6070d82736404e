package agent

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/store"
)

// secretNames end the names of variables whose values are nobody's to read.
var secretNames = []string{"_SECRET_ACCESS_KEY", "_SESSION_TOKEN", "_TOKEN", "_SECRET", "_PASSWORD", "_API_KEY"}

// secretLength is that of the shortest value that is hidden: a shorter one is
// more likely a word that the log is full of.
const secretLength = 8

// secrets are what the environment and the command line hold that no log should
// show: keys, tokens, and what lets people in by the URLs of proxies, which
// scripts are given, and of channels.
func secrets(env map[string]string, args []string) []string {
	all := store.Secrets(strings.Join(args, "\n"))
	for name, value := range env {
		name = strings.ToUpper(name)
		secret := func(end string) bool { return strings.HasSuffix("_"+name, end) }
		if len(value) >= secretLength && slices.ContainsFunc(secretNames, secret) {
			all = append(all, value)
		}
		all = append(all, store.Secrets(value)...)
	}
	return all
}

// jsonTexts are the strings of a JSON document.
var jsonTexts = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// hidden encodes a value as JSON with the secrets in all of its texts hidden.
func hidden(value any, hide func(text string) string) ([]byte, error) {
	doc, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	return jsonTexts.ReplaceAllFunc(doc, func(quoted []byte) []byte {
		var text string
		if json.Unmarshal(quoted, &text) != nil { // it was encoded just now
			return quoted
		}
		shown := hide(text)
		if shown == text {
			return quoted
		}
		again, err := json.Marshal(shown)
		if err != nil { // any text can be encoded
			return quoted
		}
		return again
	}), nil
}
