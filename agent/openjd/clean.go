package openjd

import "unicode/utf8"

// cleaner turns arbitrary bytes, in chunks of any size, into text without
// control characters and into line ends. Bytes that are not UTF-8 become
// U+FFFD; \n, \r\n and \r end a line; the escape sequences of terminals (ECMA-48)
// and all C0 and C1 controls but the tab are dropped, and so are U+2028 and
// U+2029, at which viewers may begin a line.
type cleaner struct {
	text func([]byte) // a piece of a line, valid UTF-8
	end  func()       // the end of a line

	state   state
	length  int    // of the escape sequence so far
	carry   []byte // an incomplete character at the end of a chunk
	written bool   // the line has text
	cr      bool   // the last character was a \r that ended a line
}

type state uint8

const (
	ground      state = iota
	escape            // after ESC
	control           // after ESC [, up to a final character
	command           // after ESC ] and the like, up to ESC \ or BEL
	commandStop       // after the ESC in it
)

// escapeLength bounds an escape sequence that never ends: longer ones would
// swallow output that someone waits for.
const escapeLength = 4096

func (c *cleaner) write(p []byte) {
	if len(c.carry) > 0 {
		p = append(c.carry, p...)
		c.carry = nil
	}
	for len(p) > 0 {
		if n := c.plain(p); n > 0 {
			c.put(p[:n])
			p = p[n:]
			continue
		}
		if !utf8.FullRune(p) {
			c.carry = append([]byte(nil), p...)
			return
		}
		r, n := utf8.DecodeRune(p)
		c.step(r, p[:n])
		p = p[n:]
	}
}

// close ends the last line if it has text.
func (c *cleaner) close() {
	for range c.carry {
		c.step(utf8.RuneError, nil)
	}
	c.carry = nil
	if c.written {
		c.line()
	}
}

// plain counts the printable ASCII that p begins with: nearly all there is.
func (c *cleaner) plain(p []byte) int {
	if c.state != ground {
		return 0
	}
	for i, b := range p {
		if (b < ' ' && b != '\t') || b > '~' {
			return i
		}
	}
	return len(p)
}

func (c *cleaner) step(r rune, encoded []byte) {
	switch c.state {
	case ground:
		c.ground(r, encoded)
	case escape:
		c.escape(r, encoded)
	case control:
		c.control(r, encoded)
	case command, commandStop:
		c.command(r, encoded)
	}
}

func (c *cleaner) ground(r rune, encoded []byte) {
	switch {
	case r == '\n':
		if !c.cr || c.written {
			c.line()
		}
		c.cr = false
	case r == '\r':
		// A line is drawn over; an empty one was not seen by anybody.
		if c.written {
			c.line()
			c.cr = true
		}
	case r == 0x1b:
		c.enter(escape)
	case r == 0x9b:
		c.enter(control)
	case r == 0x90 || r == 0x98 || r == 0x9d || r == 0x9e || r == 0x9f:
		c.enter(command)
	case r == utf8.RuneError:
		c.put([]byte(string(utf8.RuneError)))
	case r == '\t' || r >= ' ' && r < 0x7f || r > 0x9f && r != 0x2028 && r != 0x2029:
		c.put(encoded)
	}
}

func (c *cleaner) enter(s state) { c.state, c.length = s, 0 }

func (c *cleaner) escape(r rune, encoded []byte) {
	switch {
	case r == '[':
		c.enter(control)
	case r == ']' || r == 'P' || r == 'X' || r == '^' || r == '_':
		c.enter(command)
	case r >= ' ' && r <= '/' && !c.tooLong(): // an intermediate character
	case r >= ' ' && r <= '~':
		c.state = ground
	default:
		c.abandon(r, encoded)
	}
}

func (c *cleaner) control(r rune, encoded []byte) {
	switch {
	case r >= '@' && r <= '~':
		c.state = ground
	case r < ' ' || r > '?' || c.tooLong():
		c.abandon(r, encoded)
	}
}

func (c *cleaner) command(r rune, encoded []byte) {
	switch {
	case r == 0x07 || r == 0x9c || c.state == commandStop && r == '\\':
		c.state = ground
	case r == '\n' || r == '\r' || c.tooLong():
		c.abandon(r, encoded)
	case r == 0x1b:
		c.state = commandStop
	case c.state == commandStop:
		c.enter(escape) // an escape sequence of its own interrupts it
		c.escape(r, encoded)
	}
}

// abandon ends a sequence that is none and takes r for what it is without it.
func (c *cleaner) abandon(r rune, encoded []byte) {
	c.state = ground
	c.ground(r, encoded)
}

func (c *cleaner) tooLong() bool {
	c.length++
	return c.length > escapeLength
}

func (c *cleaner) put(text []byte) {
	c.written, c.cr = true, false
	c.text(text)
}

func (c *cleaner) line() {
	c.written = false
	c.end()
}

// cleanLines returns the lines of text, cleaned.
func cleanLines(text string) []string {
	var lines []string
	var line []byte
	c := cleaner{
		text: func(b []byte) { line = append(line, b...) },
		end:  func() { lines, line = append(lines, string(line)), line[:0] },
	}
	c.write([]byte(text))
	c.close()
	return lines
}
