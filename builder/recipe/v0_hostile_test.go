package recipe

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// escapes are ways out of a template that are known from other engines, and ways
// to make one never end.
func escapes() []string {
	var all []string
	for _, value := range []string{"''", "[]", "{}", "1", "environ", "os", "compiler", "linux", "PKG_NAME", "range"} {
		for _, attribute := range []string{
			"__class__", "__class__.__mro__[1].__subclasses__()", "__init__.__globals__", "__dict__", "__reduce__()", "__getattribute__('__class__')",
			"__class__.__base__", "__doc__.__class__", "func_globals", "gi_frame.f_back", "mro()", "__import__('os').system('id')",
		} {
			all = append(all, "{{ "+value+"."+attribute+" }}")
		}
	}
	all = append(all,
		"{% for i in range(10**9) %}{% endfor %}", "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
		"{{ 'x' * 10**9 }}", "{{ ('x' * 99999) * 99999 }}", "{{ 10 ** 10 ** 10 }}", "{{ [1] * 10**9 }}", "{{ 'a' | center(10**9) }}",
		"{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
		"{% include 'meta.yaml' %}", "{% import 'meta.yaml' as m %}", "{% from 'meta.yaml' import x %}", "{% include '../../etc/passwd' %}",
		"{% include '/etc/passwd' %}", "{{ load_file_data('/etc/passwd') }}", "{{ load_file_data('../../../etc/passwd', 'json') }}",
		"{{ load_file_regex('/etc/passwd', '.*') }}", "{{ load_file_data('../meta.yaml') }}", "{{ load_str_data('{', 'json') }}",
		"{{ load_str_data('[' * 9999, 'json') }}", "{{ open('/etc/passwd').read() }}", "{{ eval('1') }}", "{{ exec('1') }}", "{{ globals() }}",
		"{{ os.system('id') }}", "{{ os.popen('id').read() }}", "{{ time.sleep(100) }}", "{{ datetime.datetime.now() }}", "{{ self }}",
		"{{ cycler.__init__ }}", "{{ lipsum.__globals__ }}", "{{ joiner.__init__ }}", "{{ request.application }}", "{{ config.items() }}",
		"{% set x = 'a' %}{% for i in range(60) %}{% set x = x + x %}{{ x + x }}{% endfor %}{{ ('a' * 9999) * 9999 }}",
		"{{ range(10**9) | list }}", "{{ range(10**9) | join }}", "{{ (range(99999) | list) * 99 }}", "{{ 'a'.__class__ | upper }}", "{{ 'a'.format.__globals__ }}",
		"{{ '{0.__class__}'.format(1) }}", "{{ '%s' % x.__class__ }}", "{{ [].append.__self__ }}", "{{ dict.__class__ }}", "{{ namespace.__class__ }}")
	for n := range 40 { // nested deeper and deeper
		all = append(all, "{{ "+strings.Repeat("(", 200+n*100)+"1"+strings.Repeat(")", 200+n*100)+" }}")
	}
	return all
}

// heap is what the process has asked the system for, so far.
func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapSys) //nolint:gosec // it fits
}

// TestTemplatesStayInside: each of them is an error, or stops a build, and needs
// less than 100 MB for it; how long it may take is what a template's budget
// bounds.
func TestTemplatesStayInside(t *testing.T) {
	all := escapes()
	if len(all) < 200 {
		t.Fatalf("%d templates", len(all))
	}
	for i, template := range all {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			before := heap()
			list := problems(t, "meta.yaml", head+"about:\n  summary: >\n    "+template+"\n")
			if grown := heap() - before; grown > 100<<20 {
				t.Errorf("%.100s: %d MB", template, grown>>20)
			}
			if len(list) == 0 || strings.Contains(list.Error(), "root:") {
				t.Errorf("%.100s: %v", template, list)
			}
		})
	}
}
