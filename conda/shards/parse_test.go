package shards_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"

	"github.com/condaworker/condaworker/conda/shards"
)

func sample(t testing.TB) []byte {
	t.Helper()
	b, err := shards.Shard{
		Packages:      map[string]shards.Entry{"a-1-0.tar.bz2": {Record: json.RawMessage(`{"name":"a","md5":null,"depends":["b \"quoted\" é"]}`)}},
		PackagesConda: map[string]shards.Entry{"a-1-0.conda": {Record: json.RawMessage(`{"sha256":"` + strings.Repeat("0f", 32) + `","timestamp":1700000000000,"x":{"b":[true,null,-1.5]}}`)}, "a-2-0.conda": {Record: json.RawMessage(`{}`)}},
		V3:            map[string]map[string]shards.Entry{"conda": {"a-2-0": {Record: json.RawMessage(`{"name":"a"}`)}}},
		Removed:       []string{"z"},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseShard(t *testing.T) {
	b := sample(t)
	s, err := shards.ParseShard(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"sha256":"`+strings.Repeat("0f", 32)+`","timestamp":1700000000000,"x":{"b":[true,null,-1.5]}}`, string(s.PackagesConda["a-1-0.conda"].Record)); diff != "" {
		t.Error(diff)
	}
	again, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, err := shards.ParseShard(again)
	if diff := cmp.Diff(s, second); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for i := range b { // cut anywhere
		if _, err := shards.ParseShard(b[:i]); err == nil {
			t.Errorf("the first %d of %d bytes were read", i, len(b))
		}
	}
	for _, text := range []string{"{}", "\xc0", "\x93\x01", string(b) + "\xc0", "\x81\xa8packages\x93\xc0\xc0\xc0", "\x81\xa8packages\x81\xa1a\x93\xc0\xc0"} {
		if s, err := shards.ParseShard([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, s)
		}
	}
}

// A record that cannot be read says nothing of the others.
func TestRecordsThatAreNone(t *testing.T) {
	entry := func(out []byte, file string, record func([]byte) []byte) []byte {
		return record(msgp.AppendString(out, file))
	}
	number := func(out []byte) []byte { return msgp.AppendInt(out, 5) }
	b := msgp.AppendMapHeader(nil, 2)
	b = msgp.AppendMapHeader(msgp.AppendString(b, "packages"), 5)
	b = entry(b, "a-1-0.tar.bz2", number)
	b = entry(b, "a-2-0.tar.bz2", msgp.AppendNil)
	b = entry(b, "a-3-0.tar.bz2", func(out []byte) []byte { return number(number(msgp.AppendMapHeader(out, 1))) })
	b = entry(b, "a-4-0.tar.bz2", func(out []byte) []byte {
		return msgp.AppendFloat64(msgp.AppendString(msgp.AppendMapHeader(out, 1), "size"), math.NaN())
	})
	b = entry(b, "a-5-0.tar.bz2", func(out []byte) []byte {
		return msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(out, 1), "name"), "a")
	})
	b = msgp.AppendMapHeader(msgp.AppendString(b, "v3"), 1)
	b = msgp.AppendMapHeader(msgp.AppendString(b, "conda"), 1)
	b = entry(b, "a-6-0", number)
	s, err := shards.ParseShard(b)
	if err != nil || len(s.Packages) != 1 || string(s.Packages["a-5-0.tar.bz2"].Record) != `{"name":"a"}` || len(s.V3["conda"]) != 0 {
		t.Errorf("%v %v", s, err)
	}
	want := []string{"1-0.tar.bz2: it cannot be of the type int", "2-0.tar.bz2: it cannot be of the type nil", "3-0.tar.bz2: ", "4-0.tar.bz2: ", "6-0.conda: it cannot be"}
	if len(s.Broken) != len(want) {
		t.Fatal(s.Broken)
	}
	for i, text := range want {
		if !strings.HasPrefix(s.Broken[i].Error(), "read the record of a-"+text) {
			t.Errorf("%v, want %s", s.Broken[i], text)
		}
	}
}

func FuzzParseShard(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte("\x80"))
	f.Add([]byte("\x81\xa8packages\x81\xa1a\x81\xa1x" + strings.Repeat("\x91", 300)))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := shards.ParseShard(text)
		if err != nil {
			return
		}
		for file, e := range s.PackagesConda {
			if !json.Valid(e.Record) {
				t.Errorf("the record of %q is %q", file, e.Record)
			}
		}
	})
}
