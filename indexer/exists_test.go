package indexer

import (
	"testing"

	"github.com/condaworker/condaworker/store/mem"
)

// In a bucket no place is missing: only what is there tells that it is a channel.
func TestExists(t *testing.T) {
	for name, tt := range map[string]struct {
		keys []string
		want bool
	}{
		"nothing":                    {nil, false},
		"a lock":                     {[]string{".s3-object-mutex-lock.json"}, false},
		"other things":               {[]string{"docs/readme", "backup/x.zip"}, false},
		"the index of noarch":        {[]string{"noarch/repodata.json"}, true},
		"another subdir":             {[]string{"linux-64/repodata.json"}, true},
		"packages of another subdir": {[]string{"linux-64/x-1.0-0.conda"}, true},
		"a subdir of one's own":      {[]string{"plan9-mips/x-1.0-0.conda"}, true},
	} {
		s := &mem.Store{}
		for _, key := range tt.keys {
			putRaw(t, s, key, []byte("{}"))
		}
		if got, err := Exists(t.Context(), s); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
