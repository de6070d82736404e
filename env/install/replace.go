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
	return scan(in, from, func(before []byte, found bool) error {
		if _, err := w.Write(before); err != nil || !found {
			return err
		}
		_, err := w.Write(to)
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

// replaceBinary copies r to w with from replaced by to in strings that end
// with a NUL byte. The string is filled up with NULs, so that nothing else
// moves (conda's rule).
func replaceBinary(w io.Writer, r io.Reader, from, to []byte) error {
	if len(to) > len(from) {
		return fmt.Errorf("the prefix has %d bytes, and the one that was built in only %d: install to a shorter path", len(to), len(from))
	}
	owed := 0 // NULs to write at the end of this string
	err := scan(r, from, func(before []byte, found bool) error {
		if end := bytes.IndexByte(before, 0); owed > 0 && end >= 0 {
			if _, err := w.Write(before[:end]); err != nil {
				return err
			}
			if _, err := w.Write(make([]byte, owed)); err != nil {
				return err
			}
			before, owed = before[end:], 0
		}
		if _, err := w.Write(before); err != nil || !found {
			return err
		}
		owed += len(from) - len(to)
		_, err := w.Write(to)
		return err
	})
	if err != nil {
		return err
	}
	_, err = w.Write(make([]byte, owed)) // the file ended before the string did
	return err
}

// scan passes r on in order: each time what comes before the next needle, and
// whether that follows (it is not passed on itself). It holds one window.
func scan(r io.Reader, needle []byte, pass func(before []byte, found bool) error) error {
	buf, _ := windows.Get().([]byte)
	if len(buf) < window+len(needle) {
		buf = make([]byte, window+len(needle))
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
			i := bytes.Index(rest, needle)
			if i < 0 {
				break
			}
			if err := pass(rest[:i], true); err != nil {
				return err
			}
			rest = rest[i+len(needle):]
		}
		done := len(rest)
		if !last {
			done = max(0, len(rest)-len(needle)+1)
		}
		if err := pass(rest[:done], false); err != nil || last {
			return err
		}
		kept = copy(buf, rest[done:])
	}
}
