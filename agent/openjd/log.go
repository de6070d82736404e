package openjd

import (
	"slices"

	"go.uber.org/zap/zapcore"
)

// core hands log events to the output's format and writes what that makes.
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

// Write prints the event.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return c.out.log.write(c.out.format.event(e, slices.Concat(c.fields, fields), c.out.hide()))
}

func (c *core) Sync() error { return nil }
