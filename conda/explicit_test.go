package conda_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
)

func TestParseExplicit(t *testing.T) {
	md5, sha := strings.Repeat("0f", 16), strings.Repeat("0F", 32)
	got, err := conda.ParseExplicit("# platform: linux-64\n\n@EXPLICIT\r\nhttps://host/t/token/channel/linux-64/zlib-1.2-h1_3.tar.bz2#" + md5 +
		"\ns3://bucket/a/b/noarch/x-y-2!1.0-0.conda#sha256:" + sha + "\nhttps://host/c/noarch/w-1%2B2-0.conda\n/disk/c/linux-64/v-1-0.conda")
	if err != nil {
		t.Fatal(err)
	}
	want := []conda.Record{
		{Name: "zlib", Version: "1.2", Build: "h1_3", Channel: "https://host/t/token/channel", Subdir: "linux-64", FileName: "zlib-1.2-h1_3.tar.bz2", MD5: md5},
		{Name: "x-y", Version: "2!1.0", Build: "0", Channel: "s3://bucket/a/b", Subdir: "noarch", FileName: "x-y-2!1.0-0.conda", SHA256: strings.ToLower(sha)},
		{Name: "w", Version: "1+2", Build: "0", Channel: "https://host/c", Subdir: "noarch", FileName: "w-1+2-0.conda"},
		{Name: "v", Version: "1", Build: "0", Channel: "/disk/c", Subdir: "linux-64", FileName: "v-1-0.conda"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all, err := conda.ParseExplicit("\ufeff# as Windows writes it\r\n@EXPLICIT\r\nhttps://host/c/noarch/w-1-0.conda\r\n"); err != nil || len(all) != 1 {
		t.Errorf("%+v %v", all, err)
	}
	for text, want := range map[string]string{
		"":            "no line @EXPLICIT",
		"python=3.12": `line 1: "python=3.12" comes before`,
		"@EXPLICIT\n\nhttps://h/c/linux-64/zlib.tar.bz2":                                "line 3",
		"@EXPLICIT\nhttps://h/c/zlib-1-0.conda":                                         "in its platform's folder",
		"@EXPLICIT\nhttps://h/c/linux-64/zlib-1-0.conda#12":                             `"12" is no hash`,
		"@EXPLICIT\nh://h/c/noarch/z-1-0.conda\nh://h/c/linux-64/z-2-0.conda":           "z-2-0.conda is the second package called z",
		"@EXPLICIT\nhttps://h/c/linux-64/zlib-1-0.conda#md5:" + strings.Repeat("0", 32): "is no hash",
		"@EXPLICIT\nhttps://h/c/linux-64/..%2fzlib-1-0.conda":                           "line 2",
	} {
		if _, err := conda.ParseExplicit(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseExplicit(f *testing.F) {
	f.Add("https://h/c/linux-64/zlib-1-0.conda#" + strings.Repeat("0", 32))
	f.Fuzz(func(t *testing.T, line string) {
		all, err := conda.ParseExplicit("@EXPLICIT\n" + line)
		if err != nil {
			return
		}
		for _, r := range all {
			if strings.ContainsAny(r.FileName, `/\`) || strings.ContainsAny(r.Subdir, `/\`) || r.Name == "" {
				t.Errorf("%q was taken as %+v", line, r)
			}
		}
	})
}
