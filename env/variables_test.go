package env

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariablesOfAPrefix(t *testing.T) {
	for _, tt := range []struct {
		name, had, want, fails string
		vars                   map[string]string
	}{
		{name: "new", vars: map[string]string{"A": "1 \"2\"\n3"}, want: `{"env_vars":{"A":"1 \"2\"\n3"},"version":1}`},
		{name: "added", had: `{"env_vars": {"A": "0", "B": "***unset***"}, "version": 7, "more": [1]}`, vars: map[string]string{"A": "1"}, want: `{"env_vars":{"A":"1","B":"***unset***"},"more":[1],"version":7}`},
		{name: "a number of conda's", had: `{"env_vars": {"B": 3}}`, vars: map[string]string{"A": "1"}, want: `{"env_vars":{"A":"1","B":3},"version":1}`},
		{name: "the same", had: `{"env_vars": { "A": "1" }}`, vars: map[string]string{"A": "1"}, want: `{"env_vars": { "A": "1" }}`},
		{name: "none wanted", had: `broken`, want: `broken`},
		{name: "without variables", had: `{"version": 1}`, vars: map[string]string{"A": "1"}, want: `{"env_vars":{"A":"1"},"version":1}`},
		{name: "broken", had: `broken`, vars: map[string]string{"A": "1"}, want: `broken`, fails: "correct or remove that file"},
		{name: "null", had: `null`, vars: map[string]string{"A": "1"}, want: `null`, fails: "it is null"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			prefix := t.TempDir()
			file := filepath.Join(prefix, "conda-meta", "state")
			if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.had != "" {
				if err := os.WriteFile(file, []byte(tt.had), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := setVariables(prefix, tt.vars)
			if (err != nil) != (tt.fails != "") || err != nil && (!strings.Contains(err.Error(), tt.fails) || !strings.Contains(err.Error(), file)) {
				t.Error(err)
			}
			got, _ := os.ReadFile(file)
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
