package openjd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.uber.org/zap/zapcore"
)

// core makes log events lines of plain text, as a session's log shows them: no
// colours, no time (the reader stamps each line), no stack traces.
type core struct {
	zapcore.LevelEnabler
	out    *Output
	fields []zapcore.Field
}

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{c.LevelEnabler, c.out, slices.Concat(c.fields, fields)}
}

func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write prints the event: its fields follow the first line of its message.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	secrets := c.out.hide()
	lines := cleanLines(e.Message)
	if len(lines) == 0 {
		lines = []string{""}
	}
	lines[0] = strings.TrimSpace(lines[0] + pairs(slices.Concat(c.fields, fields), secrets))
	var b strings.Builder
	for _, line := range lines {
		for piece := range slices.Chunk([]rune(mask(line, secrets)), lineLength) {
			b.WriteString(level(e.Level) + string(piece) + "\n")
		}
	}
	return c.out.log.write([]byte(b.String()))
}

func (c *core) Sync() error { return nil }

func level(l zapcore.Level) string {
	switch {
	case l >= zapcore.ErrorLevel:
		return "ERROR "
	case l == zapcore.WarnLevel:
		return "WARN  "
	case l == zapcore.InfoLevel:
		return "INFO  "
	}
	return "DEBUG "
}

// pairs renders fields as " key=value" each, in their order. Secrets are hidden
// before quotes could change them.
func pairs(fields []zapcore.Field, secrets []string) string {
	var b strings.Builder
	for _, f := range fields {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for _, key := range slices.Sorted(maps.Keys(enc.Fields)) {
			if strings.HasSuffix(key, "Verbose") && f.Type == zapcore.ErrorType {
				continue // the error once more, with its stack
			}
			b.WriteString(" " + quote(key) + "=" + quote(mask(fmt.Sprint(enc.Fields[key]), secrets)))
		}
	}
	return b.String()
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
