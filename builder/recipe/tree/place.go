package tree

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Inside is the place of byte offset of n's text, in the file whose whole text
// is given. YAML folds, unescapes and indents: the text is followed through the
// file, letter by letter.
func (n *Node) Inside(file string, offset int) Pos {
	value, ok := n.Text()
	if n.source == nil || !ok {
		return n.Pos
	}
	w := walker{text: file, line: n.source.Line, column: n.source.Column}
	w.pos = lineStart(file, w.line)
	for range w.column - 1 {
		w.pos += max(1, runeLength(w.text[w.pos:]))
	}
	w.style = n.source.Style
	w.open()
	for i, r := range value {
		w.find(r)
		if i >= offset {
			break
		}
		if !unicode.IsSpace(r) {
			w.take()
		}
	}
	if w.pos >= len(w.text) {
		return n.Pos
	}
	return Pos{n.Pos.File, w.line, w.column}
}

// Comment is the text behind n in its line, with its #; "" when there is none.
func (n *Node) Comment() string {
	if n.source == nil {
		return ""
	}
	return n.source.LineComment
}

// Written tells a node that stands in the file from one that evaluation made.
func (n *Node) Written() bool { return n.source != nil }

// lineStart is the byte offset at which a line begins.
func lineStart(text string, line int) int {
	pos := 0
	for range line - 1 {
		i := strings.IndexByte(text[pos:], '\n')
		if i < 0 {
			return len(text)
		}
		pos += i + 1
	}
	return pos
}

// runeLength is the length in bytes of the first letter.
func runeLength(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// walker reads a scalar in the file.
type walker struct {
	text         string
	pos          int
	line, column int
	style        yaml.Style
}

// open moves to the scalar's first letter.
func (w *walker) open() {
	if w.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		for w.pos < len(w.text) && w.text[w.pos] != '\n' {
			w.move()
		}
	}
	if w.style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && w.pos < len(w.text) {
		w.move()
	}
}

// find moves to the next letter that can be r. Blanks of the text are not
// looked for: the file has others.
func (w *walker) find(r rune) {
	if unicode.IsSpace(r) {
		return
	}
	for w.pos < len(w.text) && strings.IndexByte(" \t\n", w.text[w.pos]) >= 0 {
		w.move()
	}
	// A quoted text's escapes for blanks and line ends stand for nothing that
	// is looked for.
	for w.style&yaml.DoubleQuotedStyle != 0 && r != '\\' && w.blankEscape() {
		w.move()
		w.move()
		for w.pos < len(w.text) && strings.IndexByte(" \t\n", w.text[w.pos]) >= 0 {
			w.move()
		}
	}
}

// blankEscape tells whether an escape for a blank or a line end comes next.
func (w *walker) blankEscape() bool {
	return w.pos+1 < len(w.text) && w.text[w.pos] == '\\' && strings.IndexByte("nt r\n", w.text[w.pos+1]) >= 0
}

// take moves behind the letter at the current place.
func (w *walker) take() {
	quoted := w.style&yaml.DoubleQuotedStyle != 0 && strings.HasPrefix(w.text[min(w.pos, len(w.text)):], `\`) ||
		w.style&yaml.SingleQuotedStyle != 0 && strings.HasPrefix(w.text[min(w.pos, len(w.text)):], `''`)
	w.move()
	if quoted {
		w.move()
	}
}

// move goes one letter on; columns count letters, not bytes, as editors do.
func (w *walker) move() {
	if w.pos >= len(w.text) {
		return
	}
	if w.text[w.pos] == '\n' {
		w.line, w.column = w.line+1, 0
	}
	w.pos += runeLength(w.text[w.pos:])
	w.column++
}
