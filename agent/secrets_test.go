package agent

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecrets(t *testing.T) {
	got := secrets(map[string]string{
		"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG", "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEJr", "GITHUB_TOKEN": "ghp_0123456789", "TOKEN": "0123456789", "DB_PASSWORD": "hunter22",
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "SOME_TOKEN": "true", "TOKENIZERS_PARALLELISM": "something", "TOKEN_FILE": "/run/secrets/token",
		"HTTPS_PROXY": "http://user:p%40ssword@proxy:3128", "http_proxy": "http://proxy:3128", "NO_PROXY": "a,b",
	})
	slices.Sort(got)
	want := []string{"0123456789", "FwoGZXIvYXdzEJr", "ghp_0123456789", "hunter22", "p%40ssword", "p@ssword", "wJalrXUtnFEMI/K7MDENG"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
