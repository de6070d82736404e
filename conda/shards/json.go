package shards

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/tinylib/msgp/msgp"
)

// appendJSON writes a JSON value as MessagePack: whole numbers as integers,
// keys sorted.
func appendJSON(out []byte, raw json.RawMessage) ([]byte, error) {
	if text, ok := plain(raw); ok {
		return msgp.AppendString(out, text), nil
	}
	if '0' <= raw[0] && raw[0] <= '9' {
		return appendNumber(out, json.Number(raw))
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	return appendValue(out, value)
}

// plain is what a JSON string says, if all its characters stand for themselves, as
// most do: that saves a decoder for each value of each record.
func plain(raw json.RawMessage) (text string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	inside := raw[1 : len(raw)-1]
	for _, c := range inside {
		if c == '\\' || c >= 0x7f {
			return "", false
		}
	}
	return string(inside), true
}

func appendValue(out []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return msgp.AppendNil(out), nil
	case bool:
		return msgp.AppendBool(out, v), nil
	case string:
		return msgp.AppendString(out, v), nil
	case json.Number:
		return appendNumber(out, v)
	case []any:
		out = msgp.AppendArrayHeader(out, length(len(v)))
		for _, item := range v {
			var err error
			if out, err = appendValue(out, item); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out = msgp.AppendMapHeader(out, length(len(v)))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			var err error
			if out, err = appendValue(msgp.AppendString(out, key), v[key]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	panic(fmt.Sprintf("shards: JSON has no %T", value))
}

func appendNumber(out []byte, n json.Number) ([]byte, error) {
	if i, err := n.Int64(); err == nil {
		return msgp.AppendInt64(out, i), nil
	}
	f, err := n.Float64()
	if errors.Is(err, strconv.ErrRange) { // one such must not cost the whole index its shards
		f, err = math.Copysign(math.MaxFloat64, f), nil
	}
	if err != nil {
		return nil, err
	}
	if f == math.Trunc(f) && f >= 0 && f < 1<<63 {
		return msgp.AppendInt64(out, int64(f)), nil // 1e3 and 1.0 are whole numbers to JSON
	}
	return msgp.AppendFloat64(out, f), nil
}

// length is a count as MessagePack has it. An index of four thousand million
// entries cannot be held in memory.
func length(n int) uint32 {
	if n > math.MaxUint32 {
		panic(fmt.Sprintf("shards: %d entries", n))
	}
	return uint32(n)
}
