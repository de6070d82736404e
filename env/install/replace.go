package install

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"unicode/utf16"
)

// shebangLine is conda's: interpreter path, then options. A blank in the path
// is escaped by a backslash.
var shebangLine = regexp.MustCompile(`^#! *(/(?:\\ |[^ \n\r\t])*)(.*)$`)

// maxShebang is the longest first line that the kernel runs.
func maxShebang() int {
	if runtime.GOOS == "darwin" {
		return 512
	}
	return 127
}

const window = 64 << 10 // of the bytes held while a file is rewritten

// windows are those of files that are done: many are smaller than one.
var windows sync.Pool

// replaceText copies r to w with from replaced by to. A #! line that is too
// long for the kernel, or whose prefix has a blank, becomes #!/usr/bin/env NAME,
// or that of a python, rattler's two lines for a shell (throughShell).
func replaceText(w io.Writer, r io.Reader, from, to []byte) error {
	const longest = 8 << 10 // of a first line that is looked at
	in := bufio.NewReaderSize(r, longest)
	head, err := in.Peek(longest)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if line, ok := firstLine(head, err != nil); ok && bytes.HasPrefix(line, []byte("#!")) {
		if _, err := w.Write(replaceShebang(line, from, to)); err != nil {
			return err
		}
		if _, err := in.Discard(len(line)); err != nil {
			return err
		}
	}
	return scan(in, encodings(from, to), func(before []byte, found *encoded) error {
		if _, err := w.Write(before); err != nil || found == nil {
			return err
		}
		_, err := w.Write(found.to)
		return err
	})
}

// firstLine returns the first line without its end.
func firstLine(head []byte, whole bool) (line []byte, ok bool) {
	if i := bytes.IndexAny(head, "\r\n"); i >= 0 {
		return head[:i], true
	}
	return head, whole
}

func replaceShebang(line, from, to []byte) []byte {
	replaced := bytes.ReplaceAll(line, from, to)
	m := shebangLine.FindSubmatch(line)
	blank := bytes.ContainsAny(to, " \t") && m != nil && bytes.Contains(m[1], from)
	if m == nil || len(replaced) <= maxShebang() && !blank {
		return replaced
	}
	name, options := m[1][bytes.LastIndexByte(m[1], '/')+1:], bytes.ReplaceAll(m[2], from, to)
	if pythonName.Match(name) {
		return []byte(throughShell(strings.ReplaceAll(string(bytes.ReplaceAll(m[1], from, to)), `\ `, " "), string(options)))
	}
	return fmt.Appendf(nil, "#!/usr/bin/env %s%s", name, options)
}

// pythonName is what an interpreter is called to which throughShell is a text.
var pythonName = regexp.MustCompile(`^python(\d+(\.\d+)*)?$`)

// throughShell runs a python where the kernel could not read the line: a shell reads
// its exec, which to python is a text that nobody uses. Unlike env that takes options,
// and the python of this prefix whatever PATH says.
func throughShell(interpreter, options string) string {
	return "#!/bin/sh\n'''exec' \"" + interpreter + "\"" + options + " \"$0\" \"$@\" #'''"
}

// encoded is a prefix, and what replaces it, in one of the encodings that conda looks for.
type encoded struct {
	from, to []byte
	unit     int // bytes of its smallest character; as many NULs end a string
}

// encodings are UTF-8, UTF-16 and UTF-32. The latter two are little-endian, and found in
// big-endian text as well, one character's NULs further on: what follows begins with them.
func encodings(from, to []byte) []encoded {
	return []encoded{{from, to, 1}, {wide(from, 2), wide(to, 2), 2}, {wide(from, 4), wide(to, 4), 4}}
}

// wide is a text in little-endian UTF-16 or, with units of 4 bytes, UTF-32.
func wide(text []byte, unit int) (b []byte) {
	for _, c := range string(text) {
		if unit == 4 {
			b = append(b, byte(c), byte(c>>8), byte(c>>16), 0)
			continue
		}
		for _, u := range utf16.AppendRune(nil, c) {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

// replaceBinary copies r to w with from replaced by to in strings that end with NUL. The
// string is filled up with NULs, so that nothing else moves (conda's rule).
func replaceBinary(w io.Writer, r io.Reader, from, to []byte) error {
	var owed, unit, ended int // NULs to write when so many of the string's own have come, and how many have
	err := scan(r, encodings(from, to), func(before []byte, found *encoded) error {
		for i, c := range before {
			if owed == 0 {
				break
			}
			if ended++; c != 0 {
				ended = 0
			}
			if ended < unit {
				continue
			}
			if _, err := w.Write(before[:i]); err != nil {
				return err
			}
			if _, err := w.Write(make([]byte, owed)); err != nil {
				return err
			}
			before, owed = before[i:], 0
			break
		}
		if _, err := w.Write(before); err != nil || found == nil {
			return err
		}
		if len(found.to) > len(found.from) {
			return fmt.Errorf("the prefix has %d bytes, and the one that was built in only %d: install to a shorter path", len(to), len(from))
		}
		owed, unit = owed+len(found.from)-len(found.to), found.unit
		ended = len(found.to) - len(bytes.TrimRight(found.to, "\x00")) // big-endian text may have no more before its end
		_, err := w.Write(found.to)
		return err
	})
	if err != nil {
		return err
	}
	_, err = w.Write(make([]byte, owed)) // the file ended before the string did
	return err
}

// scan passes r on in order: each time what comes before the next prefix, and which one
// that is; it is not passed on itself. It holds one window.
func scan(r io.Reader, prefixes []encoded, pass func(before []byte, found *encoded) error) error {
	longest := 0
	for _, p := range prefixes {
		longest = max(longest, len(p.from))
	}
	buf, _ := windows.Get().([]byte)
	if len(buf) < window+longest {
		buf = make([]byte, window+longest)
	}
	defer windows.Put(buf) //nolint:staticcheck // a slice's header is little beside it
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		rest := buf[:kept+n]
		for {
			at, found := first(rest, prefixes)
			if found == nil {
				break
			}
			if err := pass(rest[:at], found); err != nil {
				return err
			}
			rest = rest[at+len(found.from):]
		}
		done := len(rest)
		if !last {
			done = max(0, len(rest)-longest+1)
		}
		if err := pass(rest[:done], nil); err != nil || last {
			return err
		}
		kept = copy(buf, rest[done:])
	}
}

// first finds the prefix that begins first in b: UTF-8's, or one of the others.
func first(b []byte, prefixes []encoded) (at int, found *encoded) {
	const quick = 16 // bytes that are found sooner than all of them, where there are many slashes
	if at, found = index(b, prefixes[:1], quick); found != nil {
		b = b[:at]
	}
	if bytes.IndexByte(b, 0) < 0 { // most texts have none
		return at, found
	}
	if i, wider := index(b, prefixes[1:], 2); wider != nil {
		at, found = i, wider
	}
	return at, found
}

// index finds the first of prefixes that begin alike, in so many bytes.
func index(b []byte, prefixes []encoded, alike int) (int, *encoded) {
	head := prefixes[0].from
	head = head[:min(len(head), alike)]
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], head)
		if i < 0 {
			return 0, nil
		}
		at += i
		for j := range prefixes {
			if bytes.HasPrefix(b[at:], prefixes[j].from) {
				return at, &prefixes[j]
			}
		}
	}
}
