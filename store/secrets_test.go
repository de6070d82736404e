package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecrets(t *testing.T) {
	for text, want := range map[string][]string{
		"https://user:pw@host/x":            {"user:pw"},
		"http://user:p%40ssword@proxy:3128": {"p%40ssword", "p@ssword"},
		"https://ghp_0123456789@host/x":     {"ghp_0123456789"},
		"https://ghp_0123456789:@host":      {"ghp_0123456789"},
		"ssh://git@host/x":                  nil,
		"https://host/t/tk-0123-4567/main":  {"tk-0123-4567"},
		"https://host/conda/t/tok/main":     {"/t/tok"},
		"https://host/t/":                   nil,
		"https://b.s3.amazonaws.com/k?X-Amz-Date=20260101&X-Amz-Signature=abcdef0123&X-Amz-Security-Token=a%2Fb0123456#t": {"a%2Fb0123456", "a/b0123456", "abcdef0123"},
		"https://host/x?sig=abc&sv=2020":                 {"sig=abc"},
		"https://a=https://u:secret1@b/c":                {"secret1"},
		"conda-forge https://u:one1@a\thttps://u:two2@b": {"one1", "two2"},
		`Get "https://u:three@a/b": refused`:             {"three"},
		"s3://bucket/t@x:y":                              nil, "/a/t/b:c@d": nil, "user:pw@host": nil, "": nil,
	} {
		if diff := cmp.Diff(want, Secrets(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestWithoutSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"https://user:pa@ss@host:8080/x":               "https://host:8080/x",
		"https://host/t/TK-1/x":                        "https://host/x",
		"https://u:p@host/t/TK-1":                      "https://host",
		"https://host/conda/t/TK-1/x/t/y":              "https://host/conda/x/t/y",
		"read HTTPS://u@h/a, and s3://k:s@b/c: failed": "read HTTPS://h/a, and s3://b/c: failed",
		"'https://h/t/TK::tool >=1'":                   "'https://h >=1'",
		"https://host/x@y/t":                           "https://host/x@y/t",
		"https://host/x?u=a@b":                         "https://host/x?u=a@b",
		"/t/x of you@host, a://b":                      "/t/x of you@host, a://b",
		"https://host/tt/x":                            "https://host/tt/x",
	} {
		if got := WithoutSecrets(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
