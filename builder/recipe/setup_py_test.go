package recipe

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

const setupFile = `#!/usr/bin/env python
"""A module."""
import os
from setuptools import setup, find_packages

VERSION = '1.2'   # bumped by hand
FULL = VERSION + ".3"
REQUIRES = ["numpy>=1", 'six',
            "pip"]

setup(
    name="my" "-tool", version=VERSION,
    description=("one "
                 r'\two'),  # see, (here)
    url='https://example.org/a?b=(c,d)',
    install_requires=REQUIRES,
    packages=find_packages(exclude=("a", "b")),
    long_description=open(os.path.join("x", "README")).read(),
    entry_points={'console_scripts': ['tool = my.cli:main'], "other": [],},
    zip_safe=False, classifiers=[], python_requires='''>=3.8''',
    author=FULL,
    keywords="a b".split(),
    tuple=("x",),
    escaped='it\'s',
    n=3)
print("setup(name='other')")
`

func TestSetupArguments(t *testing.T) {
	d := setupArguments(strings.ReplaceAll(setupFile, "'''", `"""`))
	want := `{"name": "my-tool", "version": "1.2", "description": "one \\two", "url": "https://example.org/a?b=(c,d)", ` +
		`"install_requires": ["numpy>=1", "six", "pip"], "entry_points": {"console_scripts": ["tool = my.cli:main"], "other": []}, ` +
		`"zip_safe": false, "classifiers": [], "python_requires": ">=3.8", "tuple": ["x"], "escaped": "it's", "n": 3}`
	if got := show(d); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, broken := range []string{"", "setup(", "setup(name=", "setup(name='x", "setup(a={'b': ", "setup(a=[", "setup(a=[1,,2], b=2", "setup(((", "setup(a='\\", "setup(,,)", "x = '", "setup(a={1:2},b=" + strings.Repeat("[", 99)} {
		setupArguments(broken) // ends
	}
}

// show writes values as JSON.
func show(v any) string {
	switch v := v.(type) {
	case *jinja.Dict:
		var all []string
		for _, key := range v.Keys() {
			one, _ := v.Get(key)
			all = append(all, fmt.Sprintf("%q: %s", key, show(one)))
		}
		return "{" + strings.Join(all, ", ") + "}"
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, show(one))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case string:
		return fmt.Sprintf("%q", v)
	}
	return tree.ScalarText(v)
}

func TestLoadSetup(t *testing.T) {
	text := "{% set data = load_setup_py_data() %}\npackage:\n  name: {{ data.get('name') }}\n  version: {{ data['version'] }}\n" +
		"requirements:\n  run:\n  {% for d in data.install_requires %}\n    - {{ d }}\n  {% endfor %}\n"
	got := render(t, fstest.MapFS{
		"meta.yaml": {Data: []byte(text)},
		"setup.py":  {Data: []byte("from setuptools import setup\nsetup(name=\"x\", version=\"4.5\", install_requires=['a >=1', 'b'])\n")},
	}, Options{})
	if got.Name != "x" || got.Version != "4.5" || fmt.Sprint(Specs(got.Requirements.Run)) != "[a >=1 b]" || len(got.Blockers) > 0 {
		t.Errorf("%s %s %v %v", got.Name, got.Version, Specs(got.Requirements.Run), got.Blockers)
	}
}
