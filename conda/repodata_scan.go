package conda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ScanRepoData reads repodata.json as it comes and calls each for every record
// of packages, packages.conda, and the maps conda and tar.bz2 of v3, in the order
// of the text. It holds no more than a record at
// a time: that of each is valid during the call, and known to have its end, but not
// to be JSON within. The result is the top-level key info, nil if there is none.
//
// A text that was cut, has something behind its end or is no object is an error;
// only one without any character is an empty index, as CEP 36 says.
func ScanRepoData(r io.Reader, each func(file string, record []byte) error) (info json.RawMessage, err error) {
	s := streamScanner{r: r}
	if _, err := s.next(); errors.Is(err, io.EOF) && s.passed == 0 {
		return nil, nil
	}
	err = s.object(func(key string) error {
		first, err := s.next()
		switch {
		case err != nil:
			return err
		case key == "info":
			value, err := s.value()
			info = bytes.Clone(value)
			return err
		case (key == "packages" || key == "packages.conda") && first == '{':
			return s.records(each)
		case (key == "packages" || key == "packages.conda") && first != 'n':
			return fmt.Errorf("%s is no JSON object", key)
		case key == "v3" && first == '{':
			return s.object(func(kind string) error { return s.newer(kind, each) })
		}
		return s.skip(0)
	})
	if err == nil {
		if _, more := s.next(); more == nil {
			err = errors.New("something follows its end")
		} else if !errors.Is(more, io.EOF) {
			err = more
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read repodata.json at byte %d: %w", s.passed+int64(s.pos), err)
	}
	return info, nil
}

// streamScanner finds the ends of JSON values in a text of which it holds a part.
type streamScanner struct {
	r      io.Reader
	buf    []byte
	pos    int   // what was not read yet begins here
	passed int64 // bytes before buf
}

const (
	scanSize  = 256 << 10
	maxRecord = 64 << 20 // bytes: some list all the files of a package's dependencies, none is near
)

// more reads on behind what is held from pos on, which moves to the begin.
func (s *streamScanner) more() error {
	s.passed += int64(s.pos)
	rest := copy(s.buf, s.buf[s.pos:])
	s.buf, s.pos = s.buf[:rest], 0
	if rest > maxRecord {
		return fmt.Errorf("a value has more than %d bytes", maxRecord)
	}
	if rest == cap(s.buf) {
		s.buf = append(make([]byte, 0, max(scanSize, 2*rest)), s.buf...)
	}
	n, err := io.ReadAtLeast(s.r, s.buf[rest:cap(s.buf)], 1)
	s.buf = s.buf[:rest+n]
	return err
}

// next passes over blanks and returns the byte behind them, which stays.
func (s *streamScanner) next() (byte, error) {
	for {
		for s.pos < len(s.buf) {
			if c := s.buf[s.pos]; !isBlank(c) {
				return c, nil
			}
			s.pos++
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
}

// expect passes over blanks and one of the bytes in either, and returns it.
func (s *streamScanner) expect(either string) (byte, error) {
	c, err := s.next()
	if err != nil {
		return 0, err
	}
	if bytes.IndexByte([]byte(either), c) < 0 {
		return 0, fmt.Errorf("there is %q where %q is expected", c, either)
	}
	s.pos++
	return c, nil
}

// object reads an object; member reads the value of each key.
func (s *streamScanner) object(member func(key string) error) error {
	if _, err := s.expect("{"); err != nil {
		return err
	}
	if c, err := s.next(); err != nil || c == '}' {
		s.pos++
		return err
	}
	for {
		key, err := s.key()
		if err == nil {
			err = member(key)
		}
		if err != nil {
			return err
		}
		if c, err := s.expect(",}"); err != nil || c == '}' {
			return err
		}
	}
}

func (s *streamScanner) key() (string, error) {
	if c, err := s.next(); err != nil {
		return "", err
	} else if c != '"' {
		return "", fmt.Errorf("there is %q where a key is expected", c)
	}
	text, err := s.value()
	if err != nil {
		return "", err
	}
	var key string
	if bytes.IndexByte(text, '\\') < 0 {
		key = string(text[1 : len(text)-1])
	} else if err := json.Unmarshal(text, &key); err != nil {
		return "", fmt.Errorf("key %s: %w", text, err)
	}
	_, err = s.expect(":")
	return key, err
}

// newer reads the records of a kind of package in v3, which has no file names.
func (s *streamScanner) newer(kind string, each func(file string, record []byte) error) error {
	if c, err := s.next(); err != nil || c != '{' || kindOf("."+kind) == "" {
		return errors.Join(err, s.skip(1))
	}
	return s.records(func(stem string, record []byte) error { return each(stem+"."+kind, record) })
}

func (s *streamScanner) records(each func(file string, record []byte) error) error {
	return s.object(func(file string) error {
		record, err := s.value()
		if err != nil {
			return err
		}
		return each(file, record)
	})
}

// skip passes over a value. One that has others within is not held as a whole,
// down to the depth of a record of v3.
func (s *streamScanner) skip(depth int) error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c == '{' && depth < 2 {
		return s.object(func(string) error { return s.skip(depth + 1) })
	}
	_, err = s.value()
	return err
}

// value passes over blanks and a value, which is valid until the next call.
func (s *streamScanner) value() ([]byte, error) {
	if _, err := s.next(); err != nil {
		return nil, err
	}
	var v valueEnd
	for !v.find(s.buf[s.pos:]) {
		if err := s.more(); err != nil {
			return nil, err
		}
	}
	value := s.buf[s.pos : s.pos+v.n]
	s.pos += v.n
	return value, nil
}

// valueEnd looks for the end of the value that a text begins with.
type valueEnd struct {
	n      int // bytes of it that were looked at
	depth  int
	quoted bool // within a string
}

// find goes on where it stopped, in a text that has grown, and tells whether the
// value ends there: behind its first n bytes.
func (v *valueEnd) find(text []byte) bool {
	if c := text[0]; c != '"' && c != '{' && c != '[' { // a number, true, false or null; or none of these
		at := bytes.IndexAny(text, ",:]} \n\t\r")
		v.n = max(1, at)
		return at >= 0
	}
	for v.n < len(text) {
		if v.quoted {
			if v.quoted = !v.endString(text); !v.quoted && v.depth == 0 {
				return true
			}
			continue
		}
		switch text[v.n] {
		case '"':
			v.quoted = true
		case '{', '[':
			v.depth++
		case '}', ']':
			v.depth--
		}
		v.n++
		if v.depth == 0 && !v.quoted {
			return true
		}
	}
	return false
}

// endString goes behind the end of a string, or to the end of the text.
func (v *valueEnd) endString(text []byte) bool {
	for {
		at := bytes.IndexByte(text[v.n:], '"')
		if at < 0 {
			v.n = len(text)
			return false
		}
		v.n += at + 1
		escapes := 0
		for text[v.n-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return true
		}
	}
}
