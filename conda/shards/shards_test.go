package shards_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"

	"github.com/condaworker/condaworker/conda/shards"
)

// decode reads MessagePack with the library's own reader.
func decode(t *testing.T, b []byte) any {
	t.Helper()
	v, rest, err := msgp.ReadIntfBytes(b)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %d bytes follow", err, len(rest))
	}
	return v
}

func TestShard(t *testing.T) {
	sum := strings.Repeat("0f", 32)
	s := shards.Shard{
		Packages: map[string]shards.Entry{"a-1-0.tar.bz2": {Record: json.RawMessage(`{"name":"a","md5":null,"size":1.0,"depends":[]}`)}},
		PackagesConda: map[string]shards.Entry{"a-1-0.conda": {
			Record:     json.RawMessage(`{"sha256":"` + sum + `","timestamp":1700000000000,"x":{"b":[true,null,-1.5]}}`),
			RunExports: json.RawMessage(`{"weak":["a >=1"]}`),
		}},
		V3:      map[string]map[string]shards.Entry{"conda": {"a-2-0": {Record: json.RawMessage(`{"name":"a"}`), RunExports: json.RawMessage(`{}`)}}},
		Removed: []string{"z", "b"},
	}
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	binary, _ := hex.DecodeString(sum)
	want := map[string]any{
		"packages": map[string]any{"a-1-0.tar.bz2": map[string]any{"name": "a", "md5": nil, "size": int64(1), "depends": []any{}}},
		"packages.conda": map[string]any{"a-1-0.conda": map[string]any{
			"sha256": binary, "timestamp": int64(1700000000000), "x": map[string]any{"b": []any{true, nil, -1.5}},
			"run_exports": map[string]any{"weak": []any{"a >=1"}},
		}},
		"removed": []any{"b", "z"},
		"v3":      map[string]any{"conda": map[string]any{"a-2-0": map[string]any{"name": "a", "run_exports": map[string]any{}}}},
	}
	if diff := cmp.Diff(want, decode(t, b)); diff != "" {
		t.Error(diff)
	}
	for range 20 {
		if again, _ := s.Encode(); !bytes.Equal(again, b) {
			t.Fatal("other bytes the second time")
		}
	}
}

// A number that MessagePack has no room for costs nobody the rest of the shard.
func TestNumbersThatAreNone(t *testing.T) {
	b, err := shards.Shard{PackagesConda: map[string]shards.Entry{"a-1-0.conda": {Record: json.RawMessage(`{"n":[1e400,-1e400,123456789012345678901234567890]}`)}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := shards.ParseShard(b); err != nil || string(s.PackagesConda["a-1-0.conda"].Record) != `{"n":[1.7976931348623157e+308,-1.7976931348623157e+308,1.2345678901234568e+29]}` {
		t.Errorf("%s, %v", s.PackagesConda["a-1-0.conda"].Record, err)
	}
}

// Clients fail on an index or a shard that lacks one of these.
func TestWhatClientsDemand(t *testing.T) {
	b, err := shards.Shard{}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"packages": map[string]any{}, "packages.conda": map[string]any{}, "removed": []any{}}, decode(t, b)); diff != "" {
		t.Error(diff)
	}
	x := decode(t, shards.Index{Subdir: "noarch"}.Encode()).(map[string]any)
	want := map[string]any{"base_url": "", "shards_base_url": "", "subdir": "noarch", "created_at": ""}
	if diff := cmp.Diff(want, x["info"]); diff != "" || x["version"] != int64(1) || len(x["shards"].(map[string]any)) != 0 {
		t.Error(diff, x)
	}
}

func TestIndexThereAndBack(t *testing.T) {
	x := shards.Index{
		Subdir: "linux-64", BaseURL: "./", ShardsBaseURL: "./shards/", CreatedAt: "2026-01-01T00:00:00Z",
		Shards: map[string]shards.Sum{"a": {1}, "b": {2, 3}},
	}
	got, err := shards.ParseIndex(x.Encode())
	if err != nil || cmp.Diff(x, got) != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if key := x.Shards["a"].Key(); key != "shards/01"+strings.Repeat("0", 62)+".msgpack.zst" {
		t.Error(key)
	}
}

func TestAnIndexThatIsNone(t *testing.T) {
	good := shards.Index{Subdir: "linux-64", Shards: map[string]shards.Sum{"a": {1}}}.Encode()
	short := msgp.AppendMapHeader(nil, 1)
	short = msgp.AppendMapHeader(msgp.AppendString(short, "shards"), 1)
	short = msgp.AppendBytes(msgp.AppendString(short, "a"), []byte{1, 2})
	for name, b := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)-1], "more": append(bytes.Clone(good), 0), "a short hash": short, "text": []byte("{}"),
	} {
		if x, err := shards.ParseIndex(b); err == nil {
			t.Errorf("%s: %+v", name, x)
		}
	}
	b := msgp.AppendMapHeader(nil, 2)
	b = msgp.AppendInt(msgp.AppendString(b, "future"), 7)
	b = msgp.AppendMapHeader(msgp.AppendString(b, "info"), 1)
	b = msgp.AppendInt(msgp.AppendString(b, "subdir"), 7)
	if x, err := shards.ParseIndex(b); err != nil || len(x.Shards) != 0 {
		t.Errorf("%+v, %v", x, err)
	}
}
