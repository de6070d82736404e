package conda

import (
	"strings"
	"testing"
)

func mustSpec(t testing.TB, s string) MatchSpec {
	t.Helper()
	m, err := ParseMatchSpec(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatchSpecVersions(t *testing.T) {
	for _, test := range []struct{ spec, fits, fitsNot string }{
		{"n", "1 2.0rc1", ""},
		{"n *", "1 2.0rc1", ""},
		{"n=", "1 2", ""},
		{"n 1.8", "1.8 1.8.0", "1.8.1 1.80 1.8rc1"},
		{"n ==1.8", "1.8 1.8.0", "1.8.1"},
		{"n==1.8", "1.8", "1.8.1"},
		{"n===1.8", "1.8", "1.8.1"},
		{"n=1.8", "1.8 1.8.1 1.8rc1", "1.80 1.9 1!1.8"},
		{"n =1.8", "1.8.1", "1.80"},
		{"n 1.8.*", "1.8 1.8.1", "1.80"},
		{"n 1.8*", "1.8 1.8.1", "1.80"},
		{"n >=1.8,<2", "1.8 1.99", "1.7 2.0 1.8rc1"},
		{"n >= 1.8 , < 2", "1.8 1.99", "1.7 2.0"},
		{"n>1.8|<1.0", "1.9 0.9", "1.8 1.0"},
		{"n >=1.8,<2|1.5.*", "1.9 1.5.3", "1.6 2"},
		{"n[version='(>=1,<2)|>=3']", "1.5 3.1", "2.5"},
		{"n[version='>=1,(<2|>=3)']", "1.5 3.1", "0.5 2.5"},
		{"n !=1.8", "1.8.1 1.9", "1.8 1.8.0"},
		{"n !=1.8.*", "1.9 1.80", "1.8 1.8.1"},
		{"n ~=1.8.3", "1.8.3 1.8.9", "1.8.2 1.9"},
		{"n ~=1", "1 9", "0.9"},
		{"n *.8.*", "1.8.1 2.8.1", "1.9.1"},
		{"n 1.*.1", "1.7.1 1.8.1", "1.8.2"},
		{"n >=2.*", "2.0 2.1", "1.9"},
		{"n <1.0.*", "0.9", "1.0"},
		{"n[version='^1\\.(8|9)\\.1$']", "1.8.1 1.9.1", "1.7.1"},
		{"n 1.0-1", "1.0_1 1.0.1", "1.0"},
		{"n <2|2012*", "1 2012b", "2011"},
	} {
		m := mustSpec(t, test.spec)
		for version := range strings.FieldsSeq(test.fits) {
			if !m.Match(&Record{Name: "n", Version: version}) {
				t.Errorf("%q does not fit %s", test.spec, version)
			}
		}
		for version := range strings.FieldsSeq(test.fitsNot) {
			if m.Match(&Record{Name: "n", Version: version}) {
				t.Errorf("%q fits %s", test.spec, version)
			}
		}
	}
}

func TestMatchSpecFields(t *testing.T) {
	record := Record{
		Name: "numpy", Version: "1.11.0", Build: "py34_7", BuildNumber: 7, Subdir: "linux-64", License: "LGPLv3+", LicenseFamily: "LGPL",
		MD5: "ffbadd11", SHA256: "deadbeef", TrackFeatures: Features{"mkl", "debug"}, Flags: []string{"cuda", "blas:mkl"},
		FileName: "numpy-1.11.0-py34_7.conda", Channel: "s3://studio/conda-forge",
	}
	for spec, want := range map[string]bool{
		"NumPy":                                 true,
		"num*":                                  true,
		"*":                                     true,
		"^num(py|ber)$":                         true,
		"scipy":                                 false,
		"numpy 1.11.0 py34_7":                   true,
		"numpy 1.11.0 py34_8":                   false,
		"numpy=1.11.0=py34_7":                   true,
		"numpy=1.1=py34_7":                      false,
		"numpy * py34*":                         true,
		"numpy[build=^py3(4|5)_7$]":             true,
		"numpy >=1.5,<2 py34_7":                 true,
		"numpy >=1.5 , < 2 =py34_7":             true,
		"numpy[build_number=7]":                 true,
		"numpy[build_number='>=8']":             false,
		"numpy[build_number='<8']":              true,
		"numpy[build_number='!=7']":             false,
		"numpy[build_number=*]":                 true,
		"numpy[version=1.11.0 build=py34_7]":    true,
		"numpy 1.11.0 py35_7[build=py34_7]":     true,
		"numpy[version<2]":                      true,
		"scipy[name=numpy]":                     false,
		"*[license='*gpl*']":                    true,
		"*[license_family=lgpl]":                true,
		"*[license=MIT]":                        false,
		"*[md5=FFBADD11]":                       true,
		"*[sha256=00]":                          false,
		"*[fn=numpy-1.11.0-py34_7.conda]":       true,
		"*[subdir=linux-64]":                    true,
		"*[subdir=osx-64]":                      false,
		"*[track_features='debug mkl']":         true,
		"*[track_features=mkl]":                 false,
		"*[features=mkl]":                       false,
		"mkl@":                                  false,
		"conda-forge::numpy":                    true,
		"conda-forge/linux-64::numpy":           true,
		"conda-forge/osx-64::numpy":             false,
		"numpy[channel=conda-forge/osx-64]":     false,
		"conda-forge:name:numpy":                true,
		"defaults::numpy":                       false,
		"*/linux-64::numpy":                     true,
		"conda-*::numpy":                        true,
		"s3://studio/conda-forge::numpy":        true,
		"s3://studio/conda-forge/noarch::numpy": false,
		"s3://another/conda-forge::numpy":       false,
		"numpy 1.11.0 # a comment":              true,
		" numpy ":                               true,
		"numpy[flags=[blas:mkl]]":               true,
		"numpy[flags=[\"cuda\", 'blas:*' ]]":    true,
		"numpy[flags=cuda]":                     true,
		"numpy[flags=[cuda, mpi]]":              false,
		"numpy[flags=blas]":                     false,
		"numpy[extras=[test],when=scipy]":       true,
		"numpy <1[extras=[test],when=scipy]":    false,
		"numpy(optional)":                       true,
		"numpy[build_number=7](target=x)":       true,
		"s3://studio/conda-forge/linux-64/numpy-1.11.0-py34_7.conda":                  true,
		"https://conda.anaconda.org/conda-forge/linux-64/numpy-1.11.0-py34_7.tar.bz2": false,
	} {
		if got := mustSpec(t, spec).Match(&record); got != want {
			t.Errorf("%q fits: %v, want %v", spec, got, want)
		}
	}
	for channel, name := range map[string]string{
		"s3://studio/defaults":                        "defaults",
		"https://repo.anaconda.com/pkgs/main":         "defaults",
		"https://conda.anaconda.org/conda-forge/":     "conda-forge",
		"https://repo.anaconda.com/pkgs/r":            "pkgs/r",
		"conda-forge":                                 "https://conda.anaconda.org/conda-forge",
		"https://conda.anaconda.org/bioconda/label/x": "bioconda/label/x",
	} {
		if !mustSpec(t, name+"::n").Match(&Record{Name: "n", Channel: channel}) {
			t.Errorf("%s::n does not fit a record of %s", name, channel)
		}
	}
}

func TestMatchSpecRefuses(t *testing.T) {
	for _, spec := range []string{
		"", " ", "# nothing", "=1.0", "!xyz 1.3", ">=1", "@foo", "foo/bar", "foo..bar", "fo o/*", "f/*", "foo\t1", "foo\n1", "foo\u00a01", "ä",
		"foo 1.0,", "foo |1.0", "foo 1.0|", "foo >=1.0,,<2", "foo ~=1.0.*", "foo >=", "foo ==", "foo >", "foo ><2", "foo =!1", "foo !!1",
		"foo 4.2.2<6.0.0", "foo 1.0.0>", "foo 1..2", "foo 1.0+", "foo ^1.0", "foo ^(1$", "foo * ^($",
		"python (>=3.8,<3.9)|>=3.11", "foo >=3,(<4|<5)", "foo[version='(1']", "foo[version='1)']", "foo[version='()']", "foo[version='(1)2']",
		"foo[version=1.0", "foo[]", "foo[build]", "foo[build=]", "foo[build='']", "foo[build=0,build=1]", "foo[build=0][version=2]",
		"foo[build='0]", "foo[nonsense=1]", "foo[build=0] 1.0", "foo[build='a'b]", `foo[version="^1\.[23]$"]`,
		"foo[when=]", "foo[when='a and']", "foo[when='(a']", "foo[when='a)']", "foo[when='a or or b']", "foo[when=\"a[when='b']\"]", "foo[when='a*']",
		"foo[when='a'", "foo[when='" + strings.Repeat("(", 1000) + "a" + strings.Repeat(")", 1000) + "']",
		"foo[when='" + strings.Repeat("(a or b or c) and ", 9) + "a']",
		"foo[extras=[]]", "foo[extras=[A]]", "foo[extras=[a]", "foo[flags=[a b]]", "foo[flags=[a:b:c]]", "foo[flags=[a]b]", "foo[extras=[a],extras=[b]]", "foo[build=[a]]",
		"foo[build_number='1|2']", "foo[build_number=x y]", "foo if python >=3.6", "https://x.org/linux-64/foo.conda",
		"foo[version='" + strings.Repeat("(", 1000) + "1" + strings.Repeat(")", 1000) + "']",
	} {
		if m, err := ParseMatchSpec(spec); err == nil {
			t.Errorf("%.60q was read as %s", spec, m)
		}
	}
}

func TestMatchSpecString(t *testing.T) {
	for spec, want := range map[string]string{
		"numpy":                          "numpy",
		"NumPy *":                        "numpy",
		"numpy 1.7*":                     "numpy=1.7",
		"numpy[version='1.7.*']":         "numpy=1.7",
		"numpy[version='=2']":            "numpy=2",
		"numpy 1.7":                      "numpy==1.7",
		"numpy >=1.7":                    "numpy[version='>=1.7']",
		"numpy=1.7=py3*_2":               "numpy==1.7[build=py3*_2]",
		"numpy=1.7.*=py3*_2":             "numpy=1.7[build=py3*_2]",
		"numpy=1.10=py38_0":              "numpy==1.10=py38_0",
		"numpy!=1.10":                    "numpy!=1.10",
		"numpy !=1.10 py38_0":            "numpy[version='!=1.10',build=py38_0]",
		"numpy ~=1.10.1":                 "numpy~=1.10.1",
		"numpy=1.10.*,!=1.10.2":          "numpy[version='=1.10.*,!=1.10.2']",
		"openssl=1.1.1_":                 "openssl=1.1.1_",
		"numpy * py_0":                   "numpy[build=py_0]",
		"numpy[build='2 3']":             "numpy[build='2 3']",
		"numpy[build_number='>3']":       "numpy[build_number=>3]",
		"foo[license=MIT]":               "foo[license=mit]",
		"foo[version='((1|2)),(3,4)|5']": "foo[version='(1|2),3,4|5']",
		"https://conda.anaconda.org/conda-forge/noarch::numpy": "conda-forge/noarch::numpy",
		"https://repo.anaconda.com/pkgs/free::numpy":           "pkgs/free::numpy",
		"s3://studio/x::numpy":                                 "s3://studio/x::numpy",
		"*/win-32::numpy[subdir=osx-64]":                       "numpy[subdir=osx-64]",
		"conda-*::numpy":                                       "numpy[channel=conda-*]",
		"mkl@":                                                 "*[track_features=mkl]",
		"https://x.org/y/linux-64/foo-1.0-0.conda":             "https://x.org/y/linux-64::foo==1.0=0",
		"foo[version=1.conda]":                                 "foo==1.conda[name=foo]",
		"https://x.org/foo-1.0-0.conda":                        "*[url=https://x.org/foo-1.0-0.conda]",
		"foo[when=__unix, flags=cuda, extras='a']":             `foo[extras=[a],flags=[cuda],when="__unix"]`,
		`foo >=2[when="python>=3.10 and (__unix  or a)"]`:      `foo[version='>=2',when="python>=3.10 and (__unix or a)"]`,
		`foo[when="python[version=\">=3.10\",build='a*']"]`:    `foo[when="python[version=\">=3.10\",build='a*']"]`,
	} {
		if got := mustSpec(t, spec).String(); got != want {
			t.Errorf("%q is canonically %s, want %s", spec, got, want)
		}
		if again := mustSpec(t, want).String(); again != want {
			t.Errorf("%q read again is %s", want, again)
		}
	}
}

func TestMatchSpecParts(t *testing.T) {
	m := mustSpec(t, "Python >=3.8,<4 *_cpython")
	if m.Name != "python" || m.Version() != ">=3.8,<4" || m.Build() != "*_cpython" || !m.ExactName() {
		t.Errorf("%q %q %q %v", m.Name, m.Version(), m.Build(), m.ExactName())
	}
	if m := mustSpec(t, "py*"); m.ExactName() || m.Version() != "" || m.Build() != "" {
		t.Errorf("%q %q %v", m.Version(), m.Build(), m.ExactName())
	}
	if mustSpec(t, "n >=1").Match(&Record{Name: "n", Version: "?"}) || !mustSpec(t, "n").Match(&Record{Name: "n", Version: "?"}) {
		t.Error("a version that cannot be read fits only specs without one")
	}
}

func TestConditions(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", "a and b": "a b", "a or b": "a | b", "a and b or c and d": "a b | c d", "a and (b or c)": "a b | a c", "(a)or(b and(c))": "a | b c",
		"python>=3.10 and __cuda": "python[version='>=3.10'] __cuda", "python >=3, <4 or b[build='x y (z)']": "python[version='>=3,<4'] | b[build='x y (z)']",
		`a[version=">=1 , <2"]`: "a[version='>=1,<2']", "android and order": "android order",
	} {
		m, err := ParseMatchSpec("foo[when=\"" + strings.ReplaceAll(text, `"`, `\"`) + "\"]")
		if err != nil {
			t.Error(err)
			continue
		}
		var all []string
		for _, specs := range m.When() {
			var one []string
			for _, s := range specs {
				one = append(one, s.String())
			}
			all = append(all, strings.Join(one, " "))
		}
		if got := strings.Join(all, " | "); got != want || !m.NeedsV3() {
			t.Errorf("%s is read as %s", text, got)
		}
	}
	if m := mustSpec(t, "foo[extras=[ 'a', b-c ]]"); strings.Join(m.Extras(), " ") != "a b-c" || m.When() != nil || !m.NeedsV3() || mustSpec(t, "foo 1").NeedsV3() {
		t.Error(m)
	}
	for _, text := range []string{"foo[when=a]", "foo[extras=[a]]", "foo[flags=[a]]", "foo >="} {
		if _, err := ParsePlainSpec(text); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	if m, err := ParsePlainSpec("foo >=1"); err != nil || m.Name != "foo" {
		t.Error(m, err)
	}
	for text, want := range map[string]string{"python": "python", " python >=3": "python", "python>=3": "python", "python[build=0]": "python", "python=3": "python", "PyYAML >=3": "pyyaml", "conda-forge/noarch::python =3": "python"} {
		if got := SpecName(text); got != want {
			t.Errorf("%q is for %q", text, got)
		}
	}
}

func FuzzParseMatchSpec(f *testing.F) {
	for _, spec := range []string{
		"python >=3.8,<3.9|3.11.* *_cpython", "conda-forge/noarch::numpy[build_number='>2', license=\"MIT\"](optional)",
		"https://x.org/linux-64/foo-1.0-0.conda", "n[version='(1|2),(3,^4$)']", "a ~=1.2.3 b", "mkl@", "*/linux-64::n=1.*=*", "a:b:c 1!2.*",
		`n[when="a[version=\">=1\"] and (b or c)",flags=["x", y:*],extras=[e]]`, `n[when='a\'']`,
	} {
		f.Add(spec)
	}
	record := Record{Name: "python", Version: "3.8.1", Build: "h1_cpython", Channel: "https://conda.anaconda.org/conda-forge", Subdir: "noarch"}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMatchSpec(text)
		if err != nil {
			return
		}
		canonical := m.String()
		again, err := ParseMatchSpec(canonical)
		if err != nil {
			t.Fatalf("%q is canonically %q, which is refused: %v", text, canonical, err)
		}
		if second := again.String(); second != canonical {
			t.Errorf("%q is canonically %q and then %q", text, canonical, second)
		}
		if m.Match(&record) != again.Match(&record) {
			t.Errorf("%q and its canonical form %q do not match alike", text, canonical)
		}
	})
}

// What is asked for twice is one spec, which allows what both do.
func TestBoth(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"python >=3.10", "python <3.12", "python[version='>=3.10,<3.12']"},
		{"python", "python <3.12", "python[version='<3.12']"},
		{"python *", "python=3.11", "python=3.11"},
		{"python 3.11.*", "python 3.11.4", "python==3.11.4"},
		{"python >=3.8|2.7.*", "python !=3.9.0", "python[version='(>=3.8|2.7.*),!=3.9.0']"},
		{"python >=3.10", "python >=3.10", "python[version='>=3.10']"},
		{"conda-forge::python", "python=3.11=*_cpython", "conda-forge::python==3.11[build=*_cpython]"},
		{"python=3.11=a_cpython", "python[build=*_cpython]", "python==3.11=a_cpython"},
		{"python[build=3*]", "python[build=*_cpython]", ""},
		{"python[build_number='>=2']", "python[build_number='<4']", ""},
		{"python[build_number=2]", "python[build_number=2]", "python[build_number=2]"},
		{"a::python", "b::python", ""},
		{"python", "pip", ""},
		{"python", `python[when="__linux"]`, ""},
	} {
		a, errA := ParseMatchSpec(tt.a)
		b, errB := ParseMatchSpec(tt.b)
		both, ok := Both(a, b)
		if errA != nil || errB != nil || ok != (tt.want != "") || ok && both.String() != tt.want {
			t.Errorf("%s and %s: %s %v, want %s", tt.a, tt.b, both, ok, tt.want)
		}
		if again, err := ParseMatchSpec(tt.want); ok && (err != nil || again.String() != both.String()) {
			t.Errorf("%s reads as %s, %v", tt.want, again, err)
		}
		if other, backOK := Both(b, a); ok != backOK {
			t.Errorf("%s and %s, the other way: %s %v", tt.a, tt.b, other, backOK)
		}
	}
}
