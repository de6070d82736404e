package conda

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestCurrent(t *testing.T) {
	r, err := ParseRepoData([]byte(`{"info":{"subdir":"linux-64"},"removed":["gone-1-0.conda"],"packages":{
		"a-1.9-0.tar.bz2":{"name":"a","version":"1.9","build":"0","md5":"m","depends":[]},
		"a-1.10-0.tar.bz2":{"name":"a","version":"1.10","build":"0","md5":"old","depends":[]},
		"lonely-1-0.tar.bz2":{"name":"lonely","version":"1","build":"0","depends":["nothing"]}},
	"packages.conda":{
		"a-1.10-0.conda":{"name":"a","version":"1.10","build":"0","md5":"new","depends":["lib <2"]},
		"a-1.10-1.conda":{"name":"a","version":"1.10","build":"1","depends":["lib"]},
		"lib-1-0.conda":{"name":"lib","version":"1","build":"0","depends":["base 1.*"]},
		"lib-0.9-0.conda":{"name":"lib","version":"0.9","build":"0","depends":[]},
		"lib-2-0.conda":{"name":"lib","version":"2","build":"0","depends":[]},
		"base-1-0.conda":{"name":"base","version":"1","build":"0","depends":["a"]},
		"base-3-0.conda":{"name":"base","version":"3","build":"0","depends":["lib ==2", "[bad"]},
		"broken-1-0.conda":7}}`))
	if err != nil {
		t.Fatal(err)
	}
	c := r.Current()
	var got []string
	for file := range c.All() {
		got = append(got, file)
	}
	slices.Sort(got)
	want := []string{"a-1.10-0.conda", "a-1.10-1.conda", "base-1-0.conda", "base-3-0.conda", "lib-1-0.conda", "lib-2-0.conda", "lonely-1-0.tar.bz2"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for file, says := range map[string]string{"a-1.10-0.conda": `"legacy_bz2_md5":"old"`, "a-1.10-1.conda": `"legacy_bz2_md5":null`} {
		if record, _ := c.Record(file); !strings.Contains(string(record), says) {
			t.Errorf("%s: %s", file, record)
		}
	}
	if !slices.Equal(c.Removed, r.Removed) || !maps.EqualFunc(c.Other, r.Other, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
		t.Errorf("%s", c.Encode().Bytes())
	}
	if string(c.Encode().Bytes()) != string(r.Current().Encode().Bytes()) {
		t.Error("other bytes the second time")
	}
}
