package shards

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// ParseShard reads a shard of any writer. Hashes become hex again, and a record's
// run_exports stay in it. Unknown keys are skipped, and records that cannot be read are
// in Broken; other bytes than a shard's are an error.
func ParseShard(text []byte) (Shard, error) {
	s := Shard{Packages: map[string]Entry{}, PackagesConda: map[string]Entry{}, V3: map[string]map[string]Entry{}}
	rest, err := eachKey(text, func(key string, rest []byte) ([]byte, error) {
		switch key {
		case "packages":
			return s.readEntries(s.Packages, "", rest)
		case "packages.conda":
			return s.readEntries(s.PackagesConda, "", rest)
		case "v3":
			return eachKey(rest, func(kind string, rest []byte) ([]byte, error) {
				s.V3[kind] = map[string]Entry{}
				return s.readEntries(s.V3[kind], "."+kind, rest)
			})
		}
		return msgp.Skip(rest)
	})
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes follow its end")
	}
	if err != nil {
		return Shard{}, fmt.Errorf("read a shard: %w", err)
	}
	return s, nil
}

// readEntries reads records by file names, which ext follows.
func (s *Shard) readEntries(into map[string]Entry, ext string, rest []byte) ([]byte, error) {
	return eachKey(rest, func(file string, rest []byte) ([]byte, error) {
		record, after, err := readRecord(rest)
		if err != nil {
			s.Broken = append(s.Broken, fmt.Errorf("read the record of %s%s: %w", file, ext, err))
			return msgp.Skip(rest)
		}
		into[file] = Entry{Record: record}
		return after, nil
	})
}

// readRecord turns a record into JSON.
func readRecord(b []byte) (json.RawMessage, []byte, error) {
	if kind := msgp.NextType(b); kind != msgp.MapType {
		return nil, nil, fmt.Errorf("it cannot be of the type %s", kind)
	}
	fields := map[string]any{}
	rest, err := eachKey(b, func(key string, rest []byte) (_ []byte, err error) {
		fields[key], rest, err = msgp.ReadIntfBytes(rest)
		if sum, ok := fields[key].([]byte); ok {
			fields[key] = hex.EncodeToString(sum)
		}
		return rest, err
	})
	if err != nil {
		return nil, nil, err
	}
	record, err := json.Marshal(fields)
	return record, rest, err
}
