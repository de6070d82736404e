package conda

import (
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	long := strings.Repeat("a", 65)
	for _, test := range []struct {
		what    string
		check   func(string) error
		good    []string
		refused []string
	}{
		{
			"ValidName", ValidName,
			[]string{"a", "7zip", "_libgcc_mutex", "python-dateutil", "ruamel.yaml", "r-base", "x264", "a_b-c.d", "_", "A", "Blender", "a.-b", "a--b", "foo__bar", "_-a", long},
			[]string{"", "a b", "../x", "a/b", `a\b`, "..", ".a", "-a", "a..b", "__glibc", "ä", "\u212a", "a\n", "a@b", "a[", "a*"},
		},
		{
			"ValidBuild", ValidBuild,
			[]string{"0", "hb0f4dca_0", "py311_h1_0", "H1.2+3", long},
			[]string{"", "a-b", "a/b", "a b", "a*", "ä", "a\n"},
		},
	} {
		for _, s := range test.good {
			if err := test.check(s); err != nil {
				t.Errorf("%s: %v", test.what, err)
			}
		}
		for _, s := range test.refused {
			if test.check(s) == nil {
				t.Errorf("%s(%q) let it pass", test.what, s)
			}
		}
	}
}

func TestParseFileName(t *testing.T) {
	for text, want := range map[string]FileName{
		"blender-4.2.5-hb0f4dca_0.conda":            {"blender", "4.2.5", "hb0f4dca_0", ".conda"},
		"python-dateutil-2.9.0-pyhd8_0.tar.bz2":     {"python-dateutil", "2.9.0", "pyhd8_0", ".tar.bz2"},
		"x264-1!164.3095-h166bdaf_2.tar.bz2":        {"x264", "1!164.3095", "h166bdaf_2", ".tar.bz2"},
		"py-sirius-ms-2.1+sirius6.0.3-pyhd_0.conda": {"py-sirius-ms", "2.1+sirius6.0.3", "pyhd_0", ".conda"},
		"_license-1.1-py27_1.tar.bz2":               {"_license", "1.1", "py27_1", ".tar.bz2"},
		"a-1-0.conda.tar.bz2":                       {"a", "1", "0.conda", ".tar.bz2"},
	} {
		got, err := ParseFileName(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseFileName(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".conda", "repodata.json", "a.conda", "a-1.conda", "-1-0.conda", "a--0.conda", "a-1-.conda", "a-1-0.zip", "a-1-0.whl",
		"a/b-1-0.conda", `a\b-1-0.conda`, "../a-1-0.conda", ".a-1-0.conda", "a b-1-0.conda", "a\x00-1-0.conda", "ä-1-0.conda",
		strings.Repeat("a", 210) + "-1-0.conda",
	} {
		if got, err := ParseFileName(text); err == nil {
			t.Errorf("ParseFileName(%q) = %+v", text, got)
		}
	}
}

func FuzzParseFileName(f *testing.F) {
	f.Add("python-dateutil-2.9.0-pyhd8_0.tar.bz2")
	f.Add("a-1-0.conda")
	f.Fuzz(func(t *testing.T, text string) {
		name, err := ParseFileName(text)
		if err != nil {
			return
		}
		if name.String() != text {
			t.Errorf("%q became %q", text, name)
		}
		if strings.ContainsAny(text, "/\\\x00\n ") || text[0] == '.' {
			t.Errorf("%q is no safe name of a file", text)
		}
	})
}

func TestSubdirs(t *testing.T) {
	for _, test := range []struct{ goos, goarch, subdir, platform, arch string }{
		{"linux", "amd64", "linux-64", "linux", "x86_64"},
		{"linux", "arm64", "linux-aarch64", "linux", "aarch64"},
		{"linux", "386", "linux-32", "linux", "x86"},
		{"darwin", "arm64", "osx-arm64", "osx", "arm64"},
		{"darwin", "amd64", "osx-64", "osx", "x86_64"},
		{"windows", "amd64", "win-64", "win", "x86_64"},
		{"windows", "arm64", "win-arm64", "win", "arm64"},
	} {
		subdir, err := SubdirOf(test.goos, test.goarch)
		if err != nil || subdir != test.subdir || !IsSubdir(subdir) || Platform(subdir) != test.platform || Arch(subdir) != test.arch {
			t.Errorf("%s/%s: %s %s %s %v, want %+v", test.goos, test.goarch, subdir, Platform(subdir), Arch(subdir), err, test)
		}
	}
	if subdir, err := SubdirOf("plan9", "amd64"); err == nil {
		t.Errorf("plan9 is %s", subdir)
	}
	if Arch("noarch") != "" || Platform("noarch") != "" || !IsSubdir("noarch") || IsSubdir("linux-63") || IsSubdir("") {
		t.Error("noarch is a subdir without arch and platform, linux-63 is none")
	}
	if len(Subdirs()) != 19 {
		t.Errorf("there are %d subdirs, want 19", len(Subdirs()))
	}
}
