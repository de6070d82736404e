package conda

import (
	"bytes"
	"encoding/binary"
)

// scanner goes through a JSON text (RFC 8259) once: it checks it and tells where
// values end. json.Valid and a second look would take thrice as long, which an
// index of hundreds of megabytes feels.
type scanner struct {
	text   []byte
	at     int
	blanks bool // there were some between words
}

// maxNesting is what encoding/json reads of values within values.
const maxNesting = 10000

// next skips blanks and returns the byte behind them, 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.text); s.at++ {
		if c := s.text[s.at]; !isBlank(c) {
			return c
		}
		s.blanks = true
	}
	return 0
}

// value reads one value that begins here.
func (s *scanner) value(depth int) bool {
	switch c := s.next(); {
	case c == '"':
		return s.string()
	case c == '{':
		return s.object(depth, func(int, int) bool { return s.value(depth + 1) })
	case c == '[':
		return s.array(depth)
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return false
}

// object reads an object. member reads each value; it is told where the name
// begins and ends, quotes included.
func (s *scanner) object(depth int, member func(from, to int) bool) bool {
	if depth > maxNesting {
		return false
	}
	s.at++
	if s.next() == '}' {
		s.at++
		return true
	}
	for {
		if s.next() != '"' {
			return false
		}
		from := s.at
		if !s.string() {
			return false
		}
		to := s.at
		if s.next() != ':' {
			return false
		}
		s.at++
		if s.next(); !member(from, to) {
			return false
		}
		if more, ok := s.more('}'); !more {
			return ok
		}
	}
}

func (s *scanner) array(depth int) bool {
	if depth > maxNesting {
		return false
	}
	s.at++
	if s.next() == ']' {
		s.at++
		return true
	}
	for {
		if !s.value(depth + 1) {
			return false
		}
		if more, ok := s.more(']'); !more {
			return ok
		}
	}
}

// more reads what stands between values, or the end of them.
func (s *scanner) more(end byte) (more, ok bool) {
	c := s.next()
	s.at++
	return c == ',', c == ',' || c == end
}

func (s *scanner) word(w string) bool {
	found := bytes.HasPrefix(s.text[s.at:], []byte(w))
	s.at += len(w)
	return found
}

// string reads a string, eight bytes at a time where none of them is special.
func (s *scanner) string() bool {
	for i := s.at + 1; i < len(s.text); {
		if i+8 <= len(s.text) && allPlain(binary.LittleEndian.Uint64(s.text[i:])) {
			i += 8
			continue
		}
		switch c := s.text[i]; {
		case c == '"':
			s.at = i + 1
			return true
		case c == '\\':
			n := escapeLen(s.text[i:])
			if n == 0 {
				return false
			}
			i += n
		case c < ' ':
			return false
		default:
			i++
		}
	}
	return false
}

// allPlain tells whether none of eight bytes is a quote, a backslash or a control
// character: of a byte that is, the highest bit is set in one of the terms.
func allPlain(eight uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := eight^(ones*'"'), eight^(ones*'\\')
	return ((quote-ones)&^quote|(backslash-ones)&^backslash|(eight-ones*' ')&^eight)&high == 0
}

// escapeLen is the length of the escape that b begins with, 0 if it is none.
func escapeLen(b []byte) int {
	switch {
	case len(b) < 2:
	case b[1] == 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	case bytes.IndexByte([]byte(`"\/bfnrt`), b[1]) >= 0:
		return 2
	}
	return 0
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if s.peek()|0x20 == 'e' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		return s.digits()
	}
	return true
}

// peek is the byte here, 0 at the end.
func (s *scanner) peek() byte {
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) digits() bool {
	from := s.at
	for isDigit(s.peek()) {
		s.at++
	}
	return s.at > from
}

// wholeObject reads a text that is one object, with blanks around it. member
// reads each value, as in object.
func (s *scanner) wholeObject(member func(from, to int) bool) bool {
	return s.next() == '{' && s.object(1, member) && s.next() == 0 && s.at == len(s.text)
}

// valid is json.Valid, sooner.
func valid(text []byte) bool {
	s := scanner{text: text}
	return s.value(1) && s.next() == 0 && s.at == len(text)
}

// name returns the member name at from..to. It is plain if it stands there as
// Encode writes it.
func (s *scanner) name(from, to int) (name []byte, plain bool) {
	for _, c := range s.text[from:to] {
		if c == '\\' || c >= 0x7f {
			return []byte(unquote(s.text[from:to])), false
		}
	}
	return s.text[from+1 : to-1], true
}
