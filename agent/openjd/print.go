package openjd

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// directive matches what a session may take for a command, where it stands at
// the beginning of a line.
var directive = regexp.MustCompile(`(?i)openjd_`)

// escapeJSON returns the document with the o of openjd_ escaped: it can only
// occur within strings, and they keep their meaning. A session that splits a
// long line has no place left where a piece of it looks like a command.
func escapeJSON(doc []byte) []byte {
	doc = bytes.ToValidUTF8(doc, []byte("\uFFFD"))
	return directive.ReplaceAllFunc(doc, func(word []byte) []byte {
		if word[0] == 'O' {
			return append([]byte(`\u004f`), word[1:]...)
		}
		return append([]byte(`\u006f`), word[1:]...)
	})
}

// guard returns the text with each of its lines cleaned and split where it is
// too long, and with the prefix on all pieces of a line that mentions openjd_.
func guard(text []byte) []byte {
	var b strings.Builder
	for _, line := range cleanLines(string(text)) {
		fence := ""
		if directive.MatchString(line) {
			fence = prefix
		}
		if line == "" {
			b.WriteByte('\n')
		}
		for piece := range slices.Chunk([]rune(line), lineLength) {
			b.WriteString(fence + string(piece) + "\n")
		}
	}
	return []byte(b.String())
}
