package conda_test

import (
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda"
)

func TestCheckJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for text, want := range map[string]string{
		`{"a": [1, -2.5e3, "\ud83d\ude00 \\ \" [[[", true, null]}`: "",
		`"1e999"`:                    "",
		deep(100):                    "",
		deep(101):                    "deep within",
		`{"a": [1e999]}`:             "beyond",
		`-1E+400`:                    "beyond",
		strings.Repeat("9", 400):     "beyond",
		`{"\ud800": 1}`:              "half",
		`"\ud800\u0041"`:             "half",
		`"\udc00"`:                   "half",
		``:                           "not JSON",
		`\`:                          "not JSON",
		`"\`:                         "not JSON",
		`"\u12`:                      "not JSON",
		`"\ud800\u`:                  "not JSON",
		`{"a": "b\`:                  "not JSON",
		`[1, 2`:                      "not JSON",
		`{"a": 01}`:                  "not JSON",
		"\"a\nb\"":                   "not JSON",
		`[1]]`:                       "not JSON",
		`{"a": 1e}`:                  "not JSON",
		string([]byte{'"', 0xff}):    "not JSON",
		`{"a": "` + deep(200) + `"}`: "",
	} {
		err := conda.CheckJSON([]byte(text))
		if got := err != nil; got != (want != "") || got && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}
