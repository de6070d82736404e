// Package shards is sharded repodata (CEP 16, with the run_exports of CEP 21):
// an index of one small object a package name, so that a client fetches what
// it solves and not the whole subdir. It encodes and decodes; compressing and
// storing is its caller's. Start with Shard and Index.
package shards

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tinylib/msgp/msgp"
)

// IndexName is where a subdir's index of shards lies, Folder where its shards
// do, each under the lower-case hex sha256 of its compressed bytes and Ext.
const (
	IndexName = "repodata_shards.msgpack.zst"
	Folder    = "shards"
	Ext       = ".msgpack.zst"
)

// Entry is what a shard says of one package file.
type Entry struct {
	Record     json.RawMessage // the index record
	RunExports json.RawMessage // an object as in CEP 12; nil: not known, {}: there are none
}

// Shard is all that a subdir has of one package name.
type Shard struct {
	Packages      map[string]Entry            // by .tar.bz2 file name
	PackagesConda map[string]Entry            // by .conda file name
	V3            map[string]map[string]Entry // CEP 48: by kind and file name without it
	Removed       []string                    // file names that were taken out
	Broken        []error                     // from ParseShard: records that cannot be read, by file name; not encoded
}

// Encode returns the shard as MessagePack. Hashes are binary. The same shard
// gives the same bytes, whatever order its maps are in.
func (s Shard) Encode() ([]byte, error) {
	size := uint32(3)
	if len(s.V3) > 0 {
		size++
	}
	out := msgp.AppendMapHeader(nil, size)
	out, err := appendEntries(msgp.AppendString(out, "packages"), s.Packages)
	if err != nil {
		return nil, err
	}
	if out, err = appendEntries(msgp.AppendString(out, "packages.conda"), s.PackagesConda); err != nil {
		return nil, err
	}
	removed := slices.Sorted(slices.Values(s.Removed))
	out = msgp.AppendArrayHeader(msgp.AppendString(out, "removed"), length(len(removed)))
	for _, file := range removed {
		out = msgp.AppendString(out, file)
	}
	if len(s.V3) > 0 {
		out = msgp.AppendMapHeader(msgp.AppendString(out, "v3"), length(len(s.V3)))
		for _, kind := range slices.Sorted(maps.Keys(s.V3)) {
			if out, err = appendEntries(msgp.AppendString(out, kind), s.V3[kind]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func appendEntries(out []byte, entries map[string]Entry) ([]byte, error) {
	out = msgp.AppendMapHeader(out, length(len(entries)))
	for _, file := range slices.Sorted(maps.Keys(entries)) {
		var err error
		if out, err = entries[file].append(msgp.AppendString(out, file)); err != nil {
			return nil, fmt.Errorf("encode the record of %s: %w", file, err)
		}
	}
	return out, nil
}

// append writes the record with its keys sorted.
func (e Entry) append(out []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(e.Record, &fields); err != nil {
		return nil, err
	}
	if fields == nil {
		return nil, errors.New("it is no JSON object")
	}
	if e.RunExports != nil {
		fields["run_exports"] = e.RunExports
	}
	out = msgp.AppendMapHeader(out, length(len(fields)))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		out = msgp.AppendString(out, key)
		if sum, ok := hash(key, fields[key]); ok {
			out = msgp.AppendBytes(out, sum)
			continue
		}
		var err error
		if out, err = appendJSON(out, fields[key]); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return out, nil
}

// hash is a record's hash in binary, which CEP 16 demands.
func hash(key string, value json.RawMessage) ([]byte, bool) {
	if key != "sha256" && key != "md5" {
		return nil, false
	}
	var text string
	if json.Unmarshal(value, &text) != nil || text == "" {
		return nil, false // null: not known
	}
	sum, err := hex.DecodeString(text)
	return sum, err == nil
}

// Index says which shard each package name has.
type Index struct {
	Subdir        string // e.g. linux-64
	BaseURL       string // of the packages, relative to the index's own URL or absolute
	ShardsBaseURL string // of the shards, likewise
	CreatedAt     string // RFC 3339
	Source        string // the sha256 of the repodata.json that it belongs to, in lower-case hex; "": not said
	Shards        map[string]Sum
}

// Sum is the sha256 of a shard's compressed bytes.
type Sum [32]byte

// Key is where the shard with this hash lies, relative to the subdir.
func (s Sum) Key() string { return Folder + "/" + hex.EncodeToString(s[:]) + Ext }

// sourceKey is the member of info that has Source. No CEP knows it: clients skip
// what they do not know there.
const sourceKey = "repodata_sha256"

// Encode returns the index as MessagePack, names sorted.
func (x Index) Encode() []byte {
	out := msgp.AppendMapHeader(nil, 3)
	out = msgp.AppendInt(msgp.AppendString(out, "version"), 1)
	info := [][2]string{{"base_url", x.BaseURL}, {"created_at", x.CreatedAt}, {"shards_base_url", x.ShardsBaseURL}, {"subdir", x.Subdir}}
	if x.Source != "" {
		info = append(info, [2]string{sourceKey, x.Source})
	}
	out = msgp.AppendMapHeader(msgp.AppendString(out, "info"), length(len(info)))
	for _, f := range info {
		out = msgp.AppendString(msgp.AppendString(out, f[0]), f[1])
	}
	out = msgp.AppendMapHeader(msgp.AppendString(out, "shards"), length(len(x.Shards)))
	for _, name := range slices.Sorted(maps.Keys(x.Shards)) {
		sum := x.Shards[name]
		out = msgp.AppendBytes(msgp.AppendString(out, name), sum[:])
	}
	return out
}

// ParseIndex reads an index of shards, of any writer. Unknown keys are
// skipped, as CEP 16 asks; other bytes than an index's are an error.
func ParseIndex(text []byte) (Index, error) {
	x := Index{Shards: map[string]Sum{}}
	rest, err := eachKey(text, func(key string, rest []byte) ([]byte, error) {
		switch key {
		case "info":
			return eachKey(rest, x.info)
		case "shards":
			return eachKey(rest, x.shard)
		}
		return msgp.Skip(rest)
	})
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes follow its end")
	}
	if err != nil {
		return Index{}, fmt.Errorf("read the index of shards: %w", err)
	}
	return x, nil
}

func (x *Index) info(key string, rest []byte) (_ []byte, err error) {
	field := map[string]*string{"subdir": &x.Subdir, "base_url": &x.BaseURL, "shards_base_url": &x.ShardsBaseURL, "created_at": &x.CreatedAt, sourceKey: &x.Source}[key]
	if field == nil || msgp.NextType(rest) != msgp.StrType {
		return msgp.Skip(rest)
	}
	*field, rest, err = msgp.ReadStringBytes(rest)
	return rest, err
}

func (x *Index) shard(name string, rest []byte) ([]byte, error) {
	var sum Sum
	b, rest, err := msgp.ReadBytesZC(rest)
	if err == nil && copy(sum[:], b) != len(sum) {
		err = fmt.Errorf("the hash of %s has %d bytes", name, len(b))
	}
	x.Shards[name] = sum
	return rest, err
}

// eachKey calls do for each key of the map that b begins with; do returns what
// follows the value.
func eachKey(b []byte, do func(key string, rest []byte) ([]byte, error)) ([]byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for range n {
		var key string
		if err == nil {
			key, b, err = msgp.ReadStringBytes(b)
		}
		if err == nil {
			b, err = do(key, b)
		}
		if err != nil {
			return nil, err
		}
	}
	return b, err
}
