package conda

import (
	"encoding/json"
	"testing"
)

// The fast readers of a record say what decoding it says.
func TestFieldsOfARecord(t *testing.T) {
	for _, text := range []string{
		`{}`, `5`, `"x"`, `[{"size":1}]`, ``, `{"name":"\u0061b","size":7,"sha256":"ab","md5":"cd","indexed_timestamp":1700000000000}`,
		`{ "a":{"size":1,"sha256":"no"},"size" : 8 , "md5":"\u0063d","x":["sha256","y"], "indexed_timestamp": 5 }`,
		`{"size":"7"}`, `{"sha256":7}`, `{"md5":null}`, `{"indexed_timestamp":"x"}`, `{"indexed_timestamp":1.5}`, `{"size":1.5}`,
	} {
		var want struct {
			Name    string `json:"name"`
			Size    int64  `json:"size"`
			SHA256  string `json:"sha256"`
			MD5     string `json:"md5"`
			Stamped int64  `json:"indexed_timestamp"`
		}
		got, ok := HashesOf(json.RawMessage(text))
		err := json.Unmarshal([]byte(text), &want)
		if err == nil && text != `{"md5":null}` && (!ok || got != (Hashes{want.Name, want.Size, want.SHA256, want.MD5})) {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
		if stamped := Stamped(json.RawMessage(text)); err == nil && stamped != want.Stamped {
			t.Errorf("%s: stamped %d", text, stamped)
		}
	}
	for _, text := range []string{`{"md5":null}`, `{"sha256":""}`, `{"size":null}`, `{"size":"7"}`, `{"name":7}`, `{"sha256":7}`, `{"size":1.5}`, `5`, ``} {
		if got, ok := HashesOf(json.RawMessage(text)); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}
