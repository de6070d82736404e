package openjd

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// format is what the lines of the log look like.
type format interface {
	// event renders a log event as whole lines, with secrets hidden.
	event(e zapcore.Entry, fields []zapcore.Field, secrets []string) []byte
	// output appends a line of a foreign program's output to b.
	output(b, line []byte) []byte
	// failure renders why the process failed, for people without a session.
	failure(lines []string) []byte
}

// plain is text for people: no time, for a session stamps each line, and no
// stack traces.
type plain struct{ colours bool }

// event puts the level before each line; fields follow the first one.
func (p plain) event(e zapcore.Entry, fields []zapcore.Field, secrets []string) []byte {
	lines := cleanLines(e.Message)
	if len(lines) == 0 {
		lines = []string{""}
	}
	lines[0] = strings.TrimSpace(lines[0] + pairs(fields, secrets))
	var b []byte
	for _, line := range lines {
		for piece := range slices.Chunk([]rune(mask(line, secrets)), lineLength) {
			b = append(append(append(b, p.level(e.Level)...), string(piece)...), '\n')
		}
	}
	return b
}

func (p plain) output(b, line []byte) []byte {
	return append(append(append(b, p.paint(faint, prefix)...), line...), '\n')
}

func (p plain) failure(lines []string) []byte {
	return []byte("error: " + strings.Join(lines, "\nerror: ") + "\n")
}

// The codes of ECMA-48 for colours.
const (
	red    = "31"
	yellow = "33"
	faint  = "2"
	cyan   = "36"
)

func (p plain) paint(code, text string) string {
	if !p.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p plain) level(l zapcore.Level) string {
	switch {
	case l >= zapcore.ErrorLevel:
		return p.paint(red, "ERROR ")
	case l == zapcore.WarnLevel:
		return p.paint(yellow, "WARN  ")
	case l == zapcore.InfoLevel:
		return p.paint(cyan, "INFO  ")
	}
	return p.paint(faint, "DEBUG ")
}

// pairs renders fields as " key=value" each, in their order. Secrets are hidden
// before quotes could change them.
func pairs(fields []zapcore.Field, secrets []string) string {
	var b strings.Builder
	for _, f := range values(fields) {
		b.WriteString(" " + quote(f.key) + "=" + quote(mask(fmt.Sprint(f.value), secrets)))
	}
	return b.String()
}

type value struct {
	key   string
	value any
}

// values are what fields hold, in their order.
func values(fields []zapcore.Field) []value {
	var all []value
	for _, f := range fields {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for _, key := range slices.Sorted(maps.Keys(enc.Fields)) {
			if strings.HasSuffix(key, "Verbose") && f.Type == zapcore.ErrorType {
				continue // the error once more, with its stack
			}
			all = append(all, value{key, enc.Fields[key]})
		}
	}
	return all
}

// quote returns s in double quotes if it could not be told from its
// surroundings without them.
func quote(s string) string {
	s = strings.Join(cleanLines(s), " ")
	special := func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '=' }
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return strconv.Quote(s)
}

// structured is a JSON object a line: level, ts (RFC 3339, UTC), msg, the
// event's fields, and logger "output" for what a foreign program printed.
type structured struct {
	encoder zapcore.Encoder
	now     func() time.Time
}

func newStructured(now func() time.Time) structured {
	return structured{zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "ts", LevelKey: "level", MessageKey: "msg", NameKey: "logger", LineEnding: "\n",
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeTime:     func(t time.Time, enc zapcore.PrimitiveArrayEncoder) { zapcore.RFC3339NanoTimeEncoder(t.UTC(), enc) },
		EncodeDuration: zapcore.SecondsDurationEncoder,
		EncodeName:     zapcore.FullNameEncoder,
	}), now}
}

// event is one line, or several where the message is long: a session splits or
// cuts lines of more than 64,000 characters.
func (s structured) event(e zapcore.Entry, fields []zapcore.Field, secrets []string) []byte {
	var more []zapcore.Field
	for _, f := range values(fields) {
		key := strings.Join(cleanLines(f.key), " ")
		switch v := f.value.(type) {
		case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, time.Duration, time.Time:
			more = append(more, zap.Any(key, v))
		default:
			text := strings.Join(cleanLines(mask(fmt.Sprint(v), secrets)), "\n")
			more = append(more, zap.String(key, shorten(text)))
		}
	}
	var b []byte
	message := []rune(mask(strings.Join(cleanLines(e.Message), "\n"), secrets))
	for {
		n := min(len(message), lineLength)
		b = append(b, s.line(e.Level, e.LoggerName, e.Time, string(message[:n]), more)...)
		if message, more = message[n:], nil; len(message) == 0 {
			return b
		}
	}
}

// line spells openjd_ with an escape: what a session makes of a line that it
// splits cannot begin with it.
func (s structured) line(l zapcore.Level, name string, at time.Time, message string, fields []zapcore.Field) []byte {
	text, err := s.encoder.EncodeEntry(zapcore.Entry{Level: l, LoggerName: name, Time: at, Message: message}, fields)
	if err != nil { // plain values can always be encoded
		return nil
	}
	defer text.Free()
	return escapeJSON(bytes.Clone(text.Bytes()))
}

func (s structured) output(b, line []byte) []byte {
	return append(b, s.line(zapcore.InfoLevel, "output", s.now(), string(line), nil)...)
}

func (s structured) failure(lines []string) []byte {
	return s.event(zapcore.Entry{Level: zapcore.ErrorLevel, Time: s.now(), Message: strings.Join(lines, "\n")}, nil, nil)
}

// shorten cuts text to what the session's service keeps of a message.
func shorten(text string) string {
	if utf8.RuneCountInString(text) > messageLength {
		text = string([]rune(text)[:messageLength-1]) + "…"
	}
	return text
}
