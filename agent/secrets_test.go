package agent

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecrets(t *testing.T) {
	got := secrets(map[string]string{
		"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG", "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEJr", "GITHUB_TOKEN": "ghp_0123456789", "TOKEN": "0123456789", "DB_PASSWORD": "hunter22",
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "SOME_TOKEN": "true", "TOKENIZERS_PARALLELISM": "something", "TOKEN_FILE": "/run/secrets/token",
		"HTTPS_PROXY": "http://user:p%40ssword@proxy:3128", "http_proxy": "http://proxy:3128", "NO_PROXY": "a,b",
		"CONDA_CHANNEL_ALIAS": "https://studio:alias1@host/t/tk-0123-4567",
	}, []string{"env", "create", "-c", "conda-forge https://studio:channel1@host", "--mirror=https://host=https://ghp_9876543210@mirror"})
	slices.Sort(got)
	want := []string{
		"0123456789", "FwoGZXIvYXdzEJr", "alias1", "channel1", "ghp_0123456789", "ghp_9876543210", "hunter22", "p%40ssword", "p@ssword",
		"tk-0123-4567", "wJalrXUtnFEMI/K7MDENG",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestHidden finds secrets that JSON spells with escapes.
func TestHidden(t *testing.T) {
	hide := strings.NewReplacer(`a"b\&<é`, "********", "key-1", "********").Replace
	got, err := hidden(map[string]any{`x`: []string{`say a"b\&<é twice: a"b\&<é`, "\\", `"`, "\n"}, "n": 1.5, "key-1": true, "none": nil}, hide)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{`x`: []any{"say ******** twice: ********", "\\", `"`, "\n"}, "n": 1.5, "********": true, "none": nil}
	if diff := cmp.Diff(want, back); diff != "" {
		t.Error(diff)
	}
}
