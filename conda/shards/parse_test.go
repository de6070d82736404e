package shards_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	for _, text := range []string{"{}", "\xc0", "\x93\x01", string(b) + "\xc0", "\x81\xa8packages\x81\xa1a\x93\xc0\xc0\xc0"} {
		if s, err := shards.ParseShard([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, s)
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
