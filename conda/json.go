package conda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions of this file split and join JSON without decoding it: an index
// has hundreds of megabytes, of which a caller reads a few records.

// members yields the keys and values of the object text, in its order. text
// must be valid JSON (json.Valid); values share its memory.
func members(text []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for name, value := range named(text) {
			if !yield(string(name), value) {
				return
			}
		}
	}
}

// named is members without a string for each name.
func named(text []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		i := bytes.IndexByte(text, '{') + 1
		for {
			start := i + bytes.IndexAny(text[i:], `"}`)
			if text[start] == '}' {
				return
			}
			end := endOfString(text, start)
			name := text[start+1 : end-1]
			if bytes.IndexByte(name, '\\') >= 0 {
				name = []byte(unquote(text[start:end]))
			}
			i = end + bytes.IndexByte(text[end:], ':') + 1
			for isBlank(text[i]) {
				i++
			}
			end = endOfValue(text, i)
			if !yield(name, text[i:end:end]) {
				return
			}
			i = end
		}
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// endOfString returns the index behind the string that begins at text[i].
func endOfString(text []byte, i int) int {
	for i++; ; i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}

// endOfValue returns the index behind the value that begins at text[i].
func endOfValue(text []byte, i int) int {
	for depth := 0; ; {
		switch text[i] {
		case '"':
			i = endOfString(text, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\n', '\t', '\r':
			i++
			continue
		default: // a number, true, false or null
			for i < len(text) && bytes.IndexByte([]byte(",:]} \n\t\r"), text[i]) < 0 {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// unquote reads a JSON string. It is valid, so it cannot fail.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		panic(fmt.Sprintf("conda: read JSON string %s: %v", quoted, err))
	}
	return s
}

// readObject splits an object. what names it in errors. JSON's null and an
// absent text are an empty object.
func readObject(text []byte, what string) (map[string]json.RawMessage, error) {
	text = bytes.TrimSpace(text)
	out := map[string]json.RawMessage{}
	if len(text) == 0 || string(text) == "null" {
		return out, nil
	}
	if text[0] != '{' {
		return nil, fmt.Errorf("read %s: it is no JSON object", what)
	}
	maps.Insert(out, members(text))
	return out, nil
}

// maxInside is how deep values may lie within one another in what becomes part of
// an index: rattler gives up at 128, Python at a thousand.
const maxInside = 100

// CheckJSON refuses what is no JSON, and of JSON what some reader would stumble over,
// and with it lose the whole index that it is a part of.
func CheckJSON(text []byte) error {
	errNone := errors.New("it is not JSON")
	if !json.Valid(text) {
		return errNone
	}
	if hasLoneSurrogate(text) {
		return errors.New("it has an escape that is half a character")
	}
	depth := 0
	for s := (scanner{text: text}); s.at < len(text); {
		switch from := s.at; s.peek() {
		case '"':
			if !s.string() {
				return errNone
			}
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			if !s.number() {
				return errNone
			}
			if _, err := strconv.ParseFloat(string(text[from:s.at]), 64); err != nil {
				return fmt.Errorf("its number %.20s is beyond what a number can be", text[from:s.at])
			}
		case '{', '[':
			if depth++; depth > maxInside {
				return fmt.Errorf("its values lie more than %d deep within one another", maxInside)
			}
			s.at++
		case '}', ']':
			depth--
			s.at++
		default:
			s.at++
		}
	}
	return nil
}

// hasLoneSurrogate tells whether an escape in valid JSON stands for half of a UTF-16
// pair alone.
func hasLoneSurrogate(text []byte) bool {
	unit := func() rune { // at the begin of text, which moves behind it
		n, err := strconv.ParseUint(string(text[len(`\u`):len(`\uffff`)]), 16, 16)
		if err != nil {
			return utf8.RuneError // not in valid JSON
		}
		text = text[len(`\uffff`):]
		return rune(n)
	}
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 {
			return false
		}
		if text = text[at:]; text[1] != 'u' {
			text = text[2:]
			continue
		}
		first := unit()
		if utf16.IsSurrogate(first) && (!bytes.HasPrefix(text, []byte(`\u`)) || utf16.DecodeRune(first, unit()) == utf8.RuneError) {
			return true
		}
	}
}

// recordSize is about what a record takes, in bytes.
const recordSize = 512

// encodeObject writes the object with its keys sorted and without blanks.
func encodeObject(object map[string]json.RawMessage) []byte {
	out := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(object)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, key), ':')
		out = appendCompact(out, object[key])
	}
	return append(out, '}')
}

// appendCompact copies valid JSON without the blanks between its words.
func appendCompact(out []byte, raw []byte) []byte {
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			end := endOfString(raw, i)
			out = append(out, raw[i:end]...)
			i = end
		case isBlank(c):
			i++
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}

// appendString writes a JSON string in which "<", ">" and "&" stay as they are.
func appendString(out []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(out, '"'), s...), '"')
	}
	var buffer bytes.Buffer
	e := json.NewEncoder(&buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string can always be encoded
	}
	return append(out, bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))...)
}

// isPlain tells whether s has only characters that stand for themselves in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}
