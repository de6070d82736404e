package install

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReplaceText(t *testing.T) {
	const old = "/old/placehold"
	long := "/" + strings.Repeat("n", 130)
	for _, c := range []struct{ to, text, want string }{
		{"/p", "", ""},
		{"/p", "no prefix", "no prefix"},
		{"/p", old + "x" + old, "/px/p"},
		{"/longer/than/placehold", old + old, "/longer/than/placehold/longer/than/placehold"},
		{"/p", "#!" + old + "/bin/python -s\n" + old, "#!/p/bin/python -s\n/p"},
		{long, "#!" + old + "/bin/python -s\n" + old, "#!/bin/sh\n'''exec' \"" + long + "/bin/python\" -s \"$0\" \"$@\" #'''\n" + long},
		{long, "#! " + old + "/bin/python3.11\r\nx", "#!/bin/sh\n'''exec' \"" + long + "/bin/python3.11\" \"$0\" \"$@\" #'''\r\nx"},
		{long, "#!" + old + "/bin/python " + old + "\n", "#!/bin/sh\n'''exec' \"" + long + "/bin/python\" " + long + " \"$0\" \"$@\" #'''\n"},
		{long, "#!" + old + "/bin/pythonw\n", "#!/usr/bin/env pythonw\n"},
		{long, "#!" + old + "/bin/ipython3\n", "#!/usr/bin/env ipython3\n"},
		{"/with blank", "#!" + old + "/bin/python\n", "#!/bin/sh\n'''exec' \"/with blank/bin/python\" \"$0\" \"$@\" #'''\n"},
		{long, "#!" + old + "/bin/perl", "#!/usr/bin/env perl"},
		{long, "#!/bin/sh\n#!" + old + "/bin/perl", "#!/bin/sh\n#!" + long + "/bin/perl"},
		{long, "#!/bin/sh " + old + "\n", "#!/usr/bin/env sh " + long + "\n"},
		{"/with blank", "#!" + old + "/bin/perl -w\n", "#!/usr/bin/env perl -w\n"},
		{"/with blank", "#!/bin/sh\n" + old, "#!/bin/sh\n/with blank"},
		{long, "#!x\n" + old, "#!x\n" + long},
	} {
		for name, r := range map[string]io.Reader{"at once": strings.NewReader(c.text), "bytewise": iotest.OneByteReader(strings.NewReader(c.text))} {
			var got bytes.Buffer
			must(t, replaceText(&got, r, []byte(old), []byte(c.to)))
			if got.String() != c.want {
				t.Errorf("%q in %q, %s: %q", c.to, c.text, name, got.String())
			}
		}
	}
}

func TestReplaceBinary(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"/old/pre\x00", "/new\x00\x00\x00\x00\x00"},
		{"x/old/pre/lib\x00y", "x/new/lib\x00\x00\x00\x00\x00y"},
		{"/old/pre:/old/pre/x\x00y\x00", "/new:/new/x" + strings.Repeat("\x00", 9) + "y\x00"},
		{"/old/pre\x00/old/pre\x00z", "/new\x00\x00\x00\x00\x00/new\x00\x00\x00\x00\x00z"},
		{"\x00/old/pre/end", "\x00/new/end\x00\x00\x00\x00"},
		{"/old/pr\x00", "/old/pr\x00"},
	} {
		var got bytes.Buffer
		must(t, replaceBinary(&got, strings.NewReader(c.text), []byte("/old/pre"), []byte("/new")))
		if got.String() != c.want {
			t.Errorf("%q: %q, want %q", c.text, got.String(), c.want)
		}
	}
	if err := replaceBinary(io.Discard, strings.NewReader("x/a\x00"), []byte("/a"), []byte("/longer")); err == nil {
		t.Error("a longer prefix was taken")
	}
	if err := replaceBinary(io.Discard, strings.NewReader("x/b\x00"), []byte("/a"), []byte("/longer")); err != nil {
		t.Errorf("where there is nothing to replace: %v", err)
	}
}

// The file is read in windows; what lies across two of them is the same.
func TestReplaceAcrossWindows(t *testing.T) {
	const old, short = "/old/placehold", "/new"
	for at := window - 20; at < window+20; at++ {
		text := strings.Repeat("a", at) + old + strings.Repeat("b", window) + "\x00c"
		var got bytes.Buffer
		must(t, replaceBinary(&got, strings.NewReader(text), []byte(old), []byte(short)))
		want := strings.Repeat("a", at) + short + strings.Repeat("b", window) + strings.Repeat("\x00", len(old)-len(short)) + "\x00c"
		if got.String() != want {
			t.Fatalf("binary, at %d: wrong", at)
		}
		got.Reset()
		must(t, replaceText(&got, strings.NewReader(text), []byte(old), []byte(short)))
		if got.String() != strings.ReplaceAll(text, old, short) {
			t.Fatalf("text, at %d: wrong", at)
		}
	}
}

func FuzzReplaceBinary(f *testing.F) {
	f.Add([]byte("x/old/pre/lib\x00y/old/pre"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got bytes.Buffer
		must(t, replaceBinary(&got, bytes.NewReader(text), []byte("/old/pre"), []byte("/new")))
		if got.Len() != len(text) {
			t.Errorf("%d bytes became %d", len(text), got.Len())
		}
	})
}

func TestHasPrefixLines(t *testing.T) {
	for line, want := range map[string][3]string{
		"bin/x":                       {legacyPlaceholder, "text", "bin/x"},
		"bin/a b":                     {legacyPlaceholder, "text", "bin/a b"},
		"/p text bin/x":               {"/p", "text", "bin/x"},
		"/p binary bin/a b":           {"/p", "binary", "bin/a b"},
		`"/p" "binary" "bin/x"`:       {"/p", "binary", "bin/x"},
		`"/p q" text "bin/x"`:         {"/p q", "text", "bin/x"},
		` C:/p  text  Scripts/x.bat `: {"C:/p", "text", "Scripts/x.bat"},
	} {
		a, b, c := parseHasPrefix(line)
		if got := [3]string{a, b, c}; got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// encode is a text in characters of so many bytes: UTF-8, UTF-16 or UTF-32.
func encode(s string, unit int, big bool) string {
	if unit == 1 {
		return s
	}
	var b []byte
	for _, c := range s {
		character := []byte{byte(c), byte(c >> 8), 0, 0}[:unit]
		if big {
			slices.Reverse(character)
		}
		b = append(b, character...)
	}
	return string(b)
}

// Strings of any encoding, one after the other, become what they say with the new prefix.
func TestReplaceBinaryInStringsOfAnyEncoding(t *testing.T) {
	const old, short = "/ab/c", "/x"
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	pieces := []string{old, old, "/lib", ":", "a", "/", "zz"}
	for range 20_000 {
		var text, want string
		for range rng.IntN(5) {
			before := ""
			for range rng.IntN(5) {
				before += pieces[rng.IntN(len(pieces))]
			}
			after := strings.ReplaceAll(before, old, short)
			unit, big := 1<<rng.IntN(3), rng.IntN(2) == 0
			between := strings.Repeat("\xff", rng.IntN(3))
			text += encode(before+"\x00", unit, big) + between
			want += encode(after+"\x00"+strings.Repeat("\x00", len(before)-len(after)), unit, big) + between
		}
		var got bytes.Buffer
		must(t, replaceBinary(&got, strings.NewReader(text), []byte(old), []byte(short)))
		if got.String() != want {
			t.Fatalf("%q is %q, want %q", text, got.String(), want)
		}
	}
}

// In UTF-16 and UTF-32, of either order of bytes, the prefix is replaced as conda does it:
// libraries of other languages, and of Windows's kind, have their texts so.
func TestReplaceWide(t *testing.T) {
	const old, short = "/old/placehold", "/néw"
	for _, big := range []bool{false, true} {
		for _, unit := range []int{2, 4} {
			wide := func(s string) string { return encode(s, unit, big) }
			missing := strings.Repeat("\x00", unit*(len(old)-len([]rune(short))))
			for _, c := range []struct{ text, inText, inBinary string }{
				{wide(old + "/lib\n"), wide(short + "/lib\n"), wide(short+"/lib\n") + missing},
				{"x" + wide("1"+old+"\x00y"), "x" + wide("1"+short+"\x00y"), "x" + wide("1"+short) + missing + wide("\x00y")},
				{
					wide(old+":"+old+"/x\x00") + old + "\x00" + wide(old+"\x00z"),
					wide(short+":"+short+"/x\x00") + short + "\x00" + wide(short+"\x00z"),
					wide(short+":"+short+"/x") + missing + missing + wide("\x00") + short + strings.Repeat("\x00", len(old)-len(short)) + "\x00" + wide(short) + missing + wide("\x00z"),
				},
				{wide("\x00" + old[1:]), wide("\x00" + old[1:]), wide("\x00" + old[1:])},
			} {
				for _, at := range []int{0, window - unit*len(old) - 3, window - 20, window - 1} {
					lead := strings.Repeat("a", at)
					var got bytes.Buffer
					must(t, replaceText(&got, iotest.HalfReader(strings.NewReader(lead+c.text)), []byte(old), []byte(short)))
					if got.String() != lead+c.inText {
						t.Fatalf("big-endian %v, %d bytes, text: %q, want %q", big, unit, got.String()[at:], c.inText)
					}
					got.Reset()
					must(t, replaceBinary(&got, strings.NewReader(lead+c.text), []byte(old), []byte(short)))
					if got.String() != lead+c.inBinary {
						t.Fatalf("big-endian %v, %d bytes, binary: %q, want %q", big, unit, got.String()[at:], c.inBinary)
					}
				}
			}
		}
	}
}
