package jinja

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func scope(extra map[string]any) Scope {
	env := NewDict()
	env.Set("HOME", "/root")
	vars := map[string]any{
		"version": "4.2.5", "name": "blender", "linux": true, "win": false, "number": int64(3),
		"parts": []any{"4", "2", "5"}, "environ": env, "PREFIX": Late("${PREFIX}"), "nothing": nil,
		"upper": Func(func(c Call) (any, error) {
			s, err := c.String(0, "text")
			return strings.ToUpper(s), err
		}),
	}
	maps.Copy(vars, extra)
	return Scope{
		Lookup: func(n string) (any, bool) { v, ok := vars[n]; return v, ok },
		Known: func() []string {
			var names []string
			for k := range vars {
				names = append(names, k)
			}
			return names
		},
	}
}

func TestRender(t *testing.T) {
	tests := []struct {
		dialect  Dialect
		in, want string
	}{
		{Recipe, "a ${{ version }} b", "a 4.2.5 b"},
		{Recipe, "${{version}}.${{ number }}", "4.2.5.3"},
		{Recipe, "{{ version }} stays", "{{ version }} stays"},
		{Recipe, `${{ version | replace(".", "_") }}`, "4_2_5"},
		{Recipe, `${{ (version | split("."))[:2] | join(".") }}`, "4.2"},
		{Recipe, `${{ version[:3] }}${{ version[-1] }}${{ version[::-1] }}`, "4.255.2.4"},
		{Recipe, `${{ "pywin32 >=307" if win }}`, ""},
		{Recipe, `${{ "a" if linux else "b" }}`, "a"},
		{Recipe, "${{ true }} ${{ none }} ${{ [1, 'a'] }}", `true none [1, "a"]`},
		{Recipe, "${{ missing == 1 }} ${{ missing is defined }} ${{ missing | default('d') }}", "false false d"},
		{Recipe, "${{ 'a' < 1 }}", "false"},
		{Recipe, "${{ x }}{% set x = 'y' %}${{ x }}", "0y"},
		{Recipe, "${{ version | version_to_buildstring }}", "42"},
		{Recipe, "{% macro flag(name, on='ON') -%} -D${{ name }}=${{ on }} {%- endmacro %}${{ flag('A') }} ${{ flag('B', on='OFF') }}", "-DA=ON -DB=OFF"},
		{Recipe, "{% macro a(x) %}<${{ x }}>{% endmacro %}{% macro b(x) %}${{ a(x) }}${{ a(version) }}{% endmacro %}${{ b(1) }}", "<1><4.2.5>"},
		{Recipe, "{% for p in parts %}{% if p != '2' %}${{ p }}{% endif %}{% endfor %}${{ '' }}", "45"},
		{Recipe, "${{ 3.14 | int }} ${{ '3.9' | int }} ${{ '7' | int + 1 }} ${{ 'x' | int(default=2) }}", "3 3 8 2"},
		{Recipe, "${{ 'a b  c' | split | length }} ${{ 'a.b.c' | split('.', 1) | last }}", "3 b.c"},
		{Recipe, "${{ 'ab' in 'xabx' }} ${{ 'q' not in parts }} ${{ not win and linux }}", "true true true"},
		{Recipe, "${{ 1 in parts }} ${{ '4' < 5 }} ${{ 5 < '4' }} ${{ none == missing }}", "false false true false"},
		{Recipe, "${{ version is startingwith('4') }} ${{ version is endingwith '5' }} ${{ 3 is gt 2 }} ${{ 3 is in [3] }}", "true true true true"},
		{Recipe, "${{ [3, 1, 2] | sort | reverse | list | first }} ${{ parts | unique | min }} ${{ [1, 5] | max }} ${{ -3 | abs }}", "3 2 5 3"},
		{Recipe, "${{ ' x ' | trim }} ${{ 'aB' | lower }} ${{ 'aB' | upper }} ${{ '1' | bool }}", "x ab AB true"},
		{Recipe, "${{ upper('x') ~ upper(text='y') }}", "XY"},
		{Recipe, "${{ PREFIX ~ '/lib' }}", "${PREFIX}/lib"},
		{Meta, "{{ True }} {{ None }} {{ ['a', 1] }} {{ {'k': 1.0} }}", "True None ['a', 1] {'k': 1.0}"},
		{Meta, `{{ ".".join(version.split(".")[:2]) }}`, "4.2"},
		{Meta, `{{ version.replace(".", "_") }}{{ name[0] }}{{name|upper}}`, "4_2_5bBLENDER"},
		{Meta, `{{ environ.get("HOME") }} {{ environ["HOME"] }} {{ environ.get("X", "d") }} {{ environ.HOME }}`, "/root /root d /root"},
		{Meta, `{{ "%s-%03d%%" % (name, 7) }}{{ "{}/{1}/{n}".format("a", "b", n="c") }}`, "blender-007%a/b/c"},
		{Meta, `{{ "%4s|%d" % ("é", 7) }}`, "   é|7"},
		{Meta, "{% if linux and not win %}yes{% elif x %}no{% else %}no{% endif %}", "yes"},
		{Meta, "{% for p in parts if p != '2' %}{{ loop.index }}{{ p }}{% if not loop.last %},{% endif %}{% endfor %}", "14,25"},
		{Meta, "{% for a, b in {'k': 'v'}.items() %}{{ a }}={{ b }}{% else %}none{% endfor %}", "k=v"},
		{Meta, "{% for a in [] %}x{% else %}none{% endfor %}", "none"},
		{Meta, "a {%- set y = 1 -%} b {#- gone -#} c{% raw %}{{ x }}{% endraw %}", "abc{{ x }}"},
		{Meta, "{% set a, b = 1, 2 %}{{ a + b }}{% set t %}<{{ a }}>{% endset %}{{ t }}", "3<1>"},
		{Meta, "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }}", "3 -4 2 3.5 1024 7 9"},
		{Meta, "{{ 1 < 2 < 3 }} {{ 'a' in 'abc' }} {{ 2 not in [1] }} {{ not win }}", "True True True True"},
		{Meta, "{{ number is even }} {{ number is not none }} {{ version is startingwith '4' }} {{ number is divisibleby 3 }}", "False True True True"},
		{Meta, "{{ version.split('.')|map('int')|sum }} {{ parts|map('upper')|list|length }}", "11 3"},
		{Meta, `{{ 'a\n"b"' }}{{ "\x41" }}`, "a\n\"b\"A"},
		{Meta, "{{ version.rsplit('.', 1)[0] }} {{ ' x '.strip() }} {{ 'ab'.endswith(('x', 'b')) }}", "4.2 x True"},
		{Meta, "{{ range(3)|list }} {{ [3, 1]|sort|first }} {{ 'x' * 3 }} {{ [1] + [2] }}", "[0, 1, 2] 1 xxx [1, 2]"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			tpl, err := Parse(tt.in, tt.dialect)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := tpl.Render(scope(map[string]any{"x": int64(0)}))
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	tests := []struct {
		dialect  Dialect
		in       string
		offset   int
		contains string
	}{
		{Recipe, "ab ${{ verson }}", 7, `"verson" is undefined; did you mean "version"?`},
		{Recipe, "${{ missing | upper }}", 4, "undefined"},
		{Recipe, "${{ version.split('.') }}", 12, "write | split"},
		{Recipe, "${{ version | uper }}", 14, `did you mean "upper"?`},
		{Recipe, "${{ version is defnied }}", 12, `did you mean "defined"?`},
		{Recipe, "x ${{ version", 2, "never closed"},
		{Recipe, "${{ }}", 4, "missing"},
		{Recipe, "${{ 'a }}", 4, "never closed"},
		{Recipe, "${{ 1 + 'a' }}", 6, "does not work on"},
		{Recipe, "${{ upper(1) }}", 4, "is an integer, not text"},
		{Recipe, "${{ a b }}", 6, "unexpected"},
		{Recipe, "${{ PREFIX | upper }}", 4, "known only when the script runs"},
		{Recipe, "${{ 1 if PREFIX else 2 }}", 9, "known only when the script runs"},
		{Recipe, "${{ upper }}", 4, "call it"},
		{Meta, "{{ 'x' if win }}", 7, "no else"},
		{Meta, "{% if linux %}", 0, "endif"},
		{Meta, "{% endfor %}", 3, "without its beginning"},
		{Meta, "{% macro x() %}", 0, "endmacro"},
		{Meta, "{% include 'x' %}", 3, "not supported"},
		{Recipe, "${{ f(1, 2) }}{% macro f(a) %}{% endmacro %}", 4, "undefined"},
		{Recipe, "{% macro f(a) %}{% endmacro %}${{ f(1, 2) }}", 34, "takes 1 arguments"},
		{Recipe, "{% macro f(a) %}${{ a }}{% endmacro %}${{ f() }}", 42, "undefined"},
		{Meta, "{{ 1 / 0 }}", 5, "division by zero"},
		{Meta, "{{ 'a' < 1 }}", 9, "does not work on"},
		{Meta, "{{ missing == 1 }}", 3, "undefined"},
		{Meta, "{{ parts[9] }}", 8, "outside"},
		{Meta, "{{ 'x' * 99999999 }}", 7, "bytes of text"},
		{Meta, "{{ 9 ** 999 }}", 5, "too large"},
		{Meta, "{{ 1.2.3 }}", 3, "has no items"},
		{Meta, "{{ ü }}", 3, "unexpected character"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			tpl, err := Parse(tt.in, tt.dialect)
			if err == nil {
				_, _, err = tpl.Render(scope(nil))
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Offset != tt.offset || !strings.Contains(e.Error(), tt.contains) {
				t.Errorf("got %d %q, want %d %q", e.Offset, e.Error(), tt.offset, tt.contains)
			}
		})
	}
}

func TestValueKeepsTheType(t *testing.T) {
	for in, want := range map[string]any{
		"${{ number }}": int64(3), "${{ linux }}": true, "${{ parts }}": []any{"4", "2", "5"},
		" ${{ number }}": " 3", "${{ nothing }}": nil, "text": "text",
	} {
		tpl, err := Parse(in, Recipe)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tpl.Value(scope(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

func TestReadsAreLazy(t *testing.T) {
	var read []string
	s := scope(nil)
	inner := s.Lookup
	s.Lookup = func(n string) (any, bool) { read = append(read, n); return inner(n) }
	tpl, err := Parse("${{ version if linux or name else number }}${{ win and parts }}", Recipe)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tpl.Render(s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"linux", "version", "win"}, read); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"version", "linux", "name", "number", "win", "parts"}, tpl.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestSpansLeadBackToTheTemplate(t *testing.T) {
	tpl, err := Parse("ab{{ name }}cd", Meta)
	if err != nil {
		t.Fatal(err)
	}
	_, spans, err := tpl.Render(scope(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []Span{{0, 0, true}, {2, 2, false}, {9, 12, true}}
	if diff := cmp.Diff(want, spans); diff != "" {
		t.Error(diff)
	}
}

func TestLenientScopeForgivesUndefinedNames(t *testing.T) {
	s := scope(nil)
	s.Lenient = true
	for _, in := range []string{"<{{ missing }}>", "<{{ missing.split('.')[0] }}>", "<{{ missing | upper }}>", "<{{ missing + 'x' }}>", "<{% for x in missing %}x{% endfor %}>", "<{{ 'a' if missing else '' }}>"} {
		tpl, err := Parse(in, Meta)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := tpl.Render(s)
		if err != nil || got != "<>" {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
}

// hostile templates try to take a worker's time or memory.
func hostile() map[string]string {
	doubling := "{% set x = ['a'] %}"
	text := "{% set x = 'aaaaaaaaaa' %}"
	for range 60 {
		doubling += "{% set x = [x, x] %}"
		text += "{% set x = x ~ x %}"
	}
	return map[string]string{
		"loops":      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
		"output":     "{% for a in range(99999) %}" + strings.Repeat("x", 1000) + "{% endfor %}",
		"lists":      doubling + "{{ x }}",
		"equal":      doubling + "{{ x == x }}",
		"text":       text + "{{ x }}",
		"nesting":    "{{ " + strings.Repeat("(", 100_000) + " }}",
		"nots":       "{{ " + strings.Repeat("not ", 100_000) + "1 }}",
		"minus":      "{{ " + strings.Repeat("-", 100_000) + "1 }}",
		"sum":        "{{ " + strings.Repeat("1+", 100_000) + "1 }}",
		"filters":    "{{ 1" + strings.Repeat("|string", 100_000) + " }}",
		"dots":       "{{ x" + strings.Repeat(".x", 100_000) + " }}",
		"ifs":        "{{ 1" + strings.Repeat(" if 1", 100_000) + " }}",
		"elses":      "{{ 1" + strings.Repeat(" if 0 else 1", 100_000) + " }}",
		"blocks":     strings.Repeat("{% if 1 %}", 100_000),
		"replace":    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
		"join":       "{{ ('b' * 100000).join(range(99999)) }}",
		"power":      "{{ 10 ** 10 ** 10 }}",
		"recursion":  "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
		"doubling":   "{% macro a(n) %}{{ a(n + 1) }}{{ a(n + 1) }}{% endmacro %}{{ a(0) }}",
		"mutual":     "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
		"range":      "{{ range(10 ** 15) }}",
		"slices":     "{% for a in range(99999) %}{{ ('a' * 100000)[::-1][:1] }}{% endfor %}",
		"capture":    "{% for a in range(99999) %}{% set y %}" + strings.Repeat("x", 100000) + "{% endset %}{% endfor %}",
		"search":     "{% set h = 'a' * 100000 %}{% for a in range(99999) %}{{ 'b' in h }}{% endfor %}",
		"sorting":    "{% set h = range(99999) %}{% for a in h %}{{ h|sort|first }}{% endfor %}",
		"braces":     "{{ " + strings.Repeat("{", 100_000),
		"open":       strings.Repeat("{{ ", 100_000),
		"rawopen":    strings.Repeat("{% raw %}", 50_000),
		"commenting": strings.Repeat("{#", 100_000),
		"zfill":      "{{ 'a'.zfill(10 ** 12) }}",
		"lower":      "{% set h = 'a' * 1000000 %}{% for a in range(99999) %}{% set z = h|upper %}{% endfor %}",
		"find":       "{% set h = 'a' * 1000000 %}{% for a in range(99999) %}{% set z = h.find('b') %}{% endfor %}",
	}
}

func TestHostileTemplatesEndWithAnError(t *testing.T) {
	for name, in := range hostile() {
		t.Run(name, func(t *testing.T) {
			tpl, err := Parse(in, Meta)
			if err == nil {
				_, _, err = tpl.Render(scope(nil))
			}
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestTooLongExpressionsAreRefused(t *testing.T) {
	if _, err := ParseExpression("a"+strings.Repeat(" and a", maxChain+1), Recipe); err == nil {
		t.Error("no error")
	}
}

func TestNear(t *testing.T) {
	for _, tt := range [][2]string{{"verson", "version"}, {"Name", "name"}, {"xyz", ""}, {"licence", "license"}} {
		if got := Near(tt[0], []string{"version", "name", "license"}); got != tt[1] {
			t.Errorf("Near(%q) = %q, want %q", tt[0], got, tt[1])
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, name := range []string{"power", "range", "zfill", "replace"} { // the quick ones
		f.Add(hostile()[name])
	}
	f.Add("${{ a.b[1:2] | c(d=1) is e if f else g }}{% set x, y = [1], {2: 3} %}{% for z in x if z %}{{ z }}{% endfor %}")
	f.Fuzz(func(t *testing.T, in string) {
		for _, d := range []Dialect{Recipe, Meta} {
			for _, lenient := range []bool{false, true} {
				tpl, err := Parse(in, d)
				if err != nil {
					checkPlace(t, in, err)
					continue
				}
				tpl.Names()
				s := scope(nil)
				s.Lenient = lenient
				out, _, err := tpl.Render(s)
				checkPlace(t, in, err)
				if len(out) > maxOutput {
					t.Errorf("%d bytes", len(out))
				}
			}
		}
	})
}

func checkPlace(t *testing.T, in string, err error) {
	t.Helper()
	var e *Error
	if err == nil {
		return
	}
	if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(in) {
		t.Errorf("%q: error without a place: %v", in, fmt.Sprintf("%#v", err))
	}
}
