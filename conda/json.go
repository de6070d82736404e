package conda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
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
