package recipe

import (
	"strconv"
	"testing"
)

// What each of these means is decided by whoever reads it: rattler-build refuses them all.
func TestAmbiguousRequirementsAreRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"w 1.2":                  `the version 1.2 has no operator; write w ==1.2 for that very version, or w 1.2.* for all that begin so`,
		"w 1.2 h1_0":             `the version 1.2 has no operator`,
		"w >=1,2":                `the version 2 has no operator`,
		"w 1|2":                  `the version 1 has no operator`,
		"w[version='1.2']":       `the version 1.2 has no operator`,
		"w cpython":              `the version cpython has no operator`,
		"w=1.2=":                 `"=1.2=" is not a condition for a version; write one such as w >=1.2,<2, w ==1.2 or w 1.2.*`,
		"w=1.2=h1_0":             `"w=1.2=h1_0" has a = between version and build string; write w ==1.2 h1_0`,
		"w >=1.2=h1_0":           `write w >=1.2 h1_0`,
		"conda-forge::w==1.2=h1": `write conda-forge::w ==1.2 h1`,
		"w =1.2.*":               `"=1.2.*" has an operator and a *; write w 1.2.*`,
		"w >=1.2.*":              `">=1.2.*" has an operator and a *; write w >=1.2`,
		"w >=*":                  `">=*" is not a condition for a version`,
		"::w":                    `"::w" has no channel before ::; leave out ::`,
		"w[build=]":              `build in the brackets of "w[build=]" has no value`,
		"w[md5=xx]":              `is no hash; write 32 hex digits`,
		"w 1.2.*.*":              `"1.2.*.*" is not a condition for a version`,
		"w ^1.2$":                `"^1.2$" is not a condition for a version`,
		"w =>1.2":                `"=>1.2" is not a condition for a version`,
		"w >=":                   `">=" is not a condition for a version`,
		"w >=1 <2 x":             `has more than a version and a build string`,
		"w >=1 <2":               `has a blank between conditions; put a comma there, as in w >=1.2,<2`,
		"w (>=1|<0.5),<3":        `parentheses must be inside brackets`,
		"w >=1 a-b":              `the build string "a-b" has other characters`,
		"w[build=x, build=y]":    `has build in its brackets twice; leave out one`,
		"w >=1[version='<2']":    `says the same before the brackets and in them`,
		"w[name=v]":              `has a name in its brackets; write the name before the brackets`,
	} {
		for _, text := range []string{spec, `${{ "` + spec + `" }}`} {
			has(t, problems(t, "recipe.yaml", head+"requirements:\n  host:\n    - "+strconv.Quote(text)+"\n"), "recipe.yaml:6:7", want)
		}
	}
}

// What says one thing only is taken.
func TestRequirementsThatAreTaken(t *testing.T) {
	for spec, want := range map[string]string{
		"w": "w", "w *": "w *", "w *.*": "w *", "w >=1 # why": "w >=1", "w[channel=c]": "c::w", "w[build_number=2]": `w[build_number="==2"]`,
		"w * h1_*": "w * h1_*", "w 1.2.*": "w 1.2.*", "w 1.2*": "w 1.2.*", "w 1.2.* *_cpython": "w 1.2.* *_cpython",
		"w =1.2": "w 1.2.*", "w =1.2 h1_0": "w 1.2.* h1_0", "w=1.2": "w 1.2.*", "w ==1.2 h1_0": "w ==1.2 h1_0", "w !=1.2.*": "w !=1.2.*",
		"w >= 1.2 , < 2": "w >=1.2,<2", "w (>=1,<2)|>3": "w >=1,<2|>3", "w ~=1.2": "w ~=1.2", "w[version='>=1', build='h*']": "w >=1 h*",
		"conda-forge::w >=1": "conda-forge::w >=1", "w >=1!2.0+cuda": "w >=1!2.0+cuda", "w >=1[build='^x_.*$']": "w >=1 ^x_.*$",
	} {
		out := render(t, folder("recipe.yaml", head+"requirements:\n  host:\n    - "+strconv.Quote(spec)+"\n"), Options{})
		if got := out.Requirements.Host[0].Spec; got != want {
			t.Errorf("%q became %q, want %q", spec, got, want)
		}
	}
}

// A variant that is no version is found before anything is built, where it is needed.
func TestVariantsThatAreNoVersions(t *testing.T) {
	for value, wrong := range map[string]bool{">>1": true, "1.2.* h_*": false, ">=1,<2": false, "nompi": false, "": false} {
		out := renderAll(t, head+"requirements:\n  host: [w]\n", "w: ["+strconv.Quote(value)+"]\n", Options{}).Outputs[0]
		if (len(out.Blockers) > 0) != wrong {
			t.Errorf("%q: %v", value, out.Blockers)
		}
		if wrong {
			has(t, out.Blockers, "recipe.yaml:5:10", `the variants' w: read match spec "w >>1"`)
		}
	}
}
