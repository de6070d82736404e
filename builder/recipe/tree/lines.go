package tree

import (
	"sort"
	"unicode/utf8"
)

// Lines finds the line of an offset, and back. It is asked in the text's
// order, and goes on from the last answer: lines can be very long.
type Lines struct {
	text   string
	starts []int
	last   textPlace
}

// textPlace is one place in both ways to count it.
type textPlace struct{ line, column, offset int }

// NewLines finds the lines of text once.
func NewLines(text string) *Lines {
	starts := []int{0}
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return &Lines{text: text, starts: starts, last: textPlace{1, 1, 0}}
}

// Place is the line and column of an offset in bytes.
func (x *Lines) Place(offset int) (line, column int) {
	offset = min(offset, len(x.text))
	line = sort.Search(len(x.starts), func(i int) bool { return x.starts[i] > offset })
	if line != x.last.line || offset < x.last.offset {
		x.last = textPlace{line, 1, x.starts[line-1]}
	}
	x.last.column += utf8.RuneCountInString(x.text[x.last.offset:offset])
	x.last.offset = offset
	return line, x.last.column
}

// Offset is the reverse of Place.
func (x *Lines) Offset(line, column int) int {
	if line > len(x.starts) {
		return len(x.text)
	}
	if line != x.last.line || column < x.last.column {
		x.last = textPlace{line, 1, x.starts[line-1]}
	}
	for x.last.column < column && x.last.offset < len(x.text) && x.text[x.last.offset] != '\n' {
		x.last.offset += runeLength(x.text[x.last.offset:])
		x.last.column++
	}
	return x.last.offset
}
