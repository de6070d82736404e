package openjd

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/agent/openjd/openjdtest"
)

// through returns what becomes of text written to Lines in chunks.
func through(t testing.TB, text string, size int, secrets ...string) string {
	t.Helper()
	var b writes
	w := New(Options{Stdout: &b, Stderr: io.Discard, Session: true, Redact: secrets}).Lines()
	for len(text) > 0 {
		n := min(size, len(text))
		if m, err := w.Write([]byte(text[:n])); m != n || err != nil {
			t.Fatalf("Write = %d, %v for %d bytes", m, err, n)
		}
		text = text[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, one := range b.calls {
		if !strings.HasSuffix(one, "\n") {
			t.Fatalf("a write ends within a line: %.80q", one)
		}
	}
	return strings.Join(b.calls, "")
}

// writes keeps each write apart.
type writes struct {
	mu    sync.Mutex
	calls []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, string(p))
	return len(p), nil
}

func TestLines(t *testing.T) {
	full := strings.Repeat("x", lineLength)
	for name, c := range map[string]struct{ in, want string }{
		"nothing":                 {"", ""},
		"lines":                   {"a\nb\n", "| a\n| b\n"},
		"no newline at the end":   {"a\nb", "| a\n| b\n"},
		"blank lines":             {"a\n\n\nb\n", "| a\n| \n| \n| b\n"},
		"Windows":                 {"a\r\n\r\nb\r\n", "| a\n| \n| b\n"},
		"progress bar":            {"\r 1%\r 50%\r100%\n", "|  1%\n|  50%\n| 100%\n"},
		"carriage return":         {"x\ropenjd_fail: y\r", "| x\n| openjd_fail: y\n"},
		"directive":               {"openjd_env: A=b\n  OPENJD_ENV\n", "| openjd_env: A=b\n|   OPENJD_ENV\n"},
		"colours":                 {"\x1b[1;31mred\x1b[0m\x1b[K\n", "| red\n"},
		"window title":            {"\x1b]0;make\x07a\x1b]8;;http://x\x1b\\b\n", "| ab\n"},
		"character set":           {"\x1b(Ba\x1b=b\n", "| ab\n"},
		"C1 sequences":            {"\u009b31ma\u009d0;t\u009cb\u0085c\n", "| abc\n"},
		"command never ended":     {"\x1b]0;title\nnext\n", "| \n| next\n"},
		"sequence that is none":   {"\x1b[12\x1b[31mé\x1b[1é\n", "| éé\n"},
		"escape in a command":     {"\x1bPabc\x1b[31mred\n", "| red\n"},
		"control characters":      {"a\x00b\bc\vd\fe\x7ff\tg\n", "| abcdef\tg\n"},
		"line separators":         {"a\u2028b\u2029c\n", "| abc\n"},
		"not UTF-8":               {"\xffa\xc3(\xe2\x82\n\xf0\x9f", "| \uFFFDa\uFFFD(\uFFFD\uFFFD\n| \uFFFD\uFFFD\n"},
		"surrogate":               {"\xed\xa0\x80\n", "| \uFFFD\uFFFD\uFFFD\n"},
		"UTF-8":                   {"grün 🙂\n", "| grün 🙂\n"},
		"as long as a line":       {full + "\n", "| " + full + "\n"},
		"longer":                  {full + "openjd_env\n", "| " + full + "\n| openjd_env\n"},
		"longer, without newline": {full + "y", "| " + full + "\n| y\n"},
		"longer, of emoji":        {strings.Repeat("🙂", lineLength+1) + "\n", "| " + strings.Repeat("🙂", lineLength) + "\n| 🙂\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 3, 1 << 20} {
				if diff := cmp.Diff(c.want, through(t, c.in, size)); diff != "" {
					t.Errorf("in chunks of %d: %s", size, diff)
				}
			}
		})
	}
}

func TestLinesGiveUpOnEndlessEscapes(t *testing.T) {
	for _, begin := range []string{"\x1b]", "\x1b[", "\x1b(", "\x1bP"} {
		got := through(t, begin+strings.Repeat("0", 3*escapeLength/2)+"x\n", 1000)
		if len(got) < escapeLength/4 || !strings.HasSuffix(got, "x\n") {
			t.Errorf("%q swallows the line: %d bytes are left", begin, len(got))
		}
	}
}

func TestLinesHideSecrets(t *testing.T) {
	secrets := []string{"hunter22", "22abcdef", "abc", "-----BEGIN\nbase64==\n-----END", "grün\x1b[31m🙂key"}
	long := strings.Repeat("x", lineLength-4)
	for name, c := range map[string]struct{ in, want string }{
		"once":                 {"token=hunter22;\n", "| token=********;\n"},
		"at the end":           {"hunter22", "| ********\n"},
		"twice":                {"hunter22 hunter22\n", "| ******** ********\n"},
		"side by side":         {"hunter22hunter22\n", "| ********\n"},
		"overlapping":          {"ahunter22abcdefz\n", "| a********z\n"},
		"beginnings only":      {"hunter2 22abcde hunter\n", "| hunter2 22abcde hunter\n"},
		"too short to be one":  {"abc\n", "| abc\n"},
		"several lines":        {"-----BEGIN\nbase64==\n-----END\n", "| ********\n| ********\n| ********\n"},
		"coloured":             {"hun\x1b[31mter\x1b[0m22\n", "| ********\n"},
		"with NUL":             {"hun\x00ter22\n", "| ********\n"},
		"not ASCII, escapes":   {"grün🙂key\n", "| ********\n"},
		"where a line is cut":  {long + "hunter22y\n", "| " + long + "****\n| ****y\n"},
		"half of it, then end": {"hunter\n22\n", "| hunter\n| 22\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 5, 1 << 20} {
				if diff := cmp.Diff(c.want, through(t, c.in, size, secrets...)); diff != "" {
					t.Errorf("in chunks of %d: %s", size, diff)
				}
			}
		})
	}
}

// TestSecretsInLongLines puts a secret at every place around the border up to
// which a line without end is searched and printed, and grows the line there
// byte by byte.
func TestSecretsInLongLines(t *testing.T) {
	const secret = "s3cret-t0ken"
	const before = scanLength - 3*len(secret)
	for at := range 6 * len(secret) {
		tail := strings.Repeat("a", at) + secret + strings.Repeat("b", 6*len(secret))
		var b bytes.Buffer
		w := New(Options{Stdout: &b, Stderr: io.Discard, Redact: []string{secret, "some unrelated secret"}}).Lines()
		_, _ = io.WriteString(w, strings.Repeat("a", before))
		for i := range len(tail) {
			_, _ = io.WriteString(w, tail[i:i+1])
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := strings.NewReplacer("| ", "", "\n", "").Replace(b.String())
		if want := strings.Repeat("a", before) + strings.Replace(tail, secret, hidden, 1); got != want {
			t.Fatalf("at %d: %d bytes printed, want %d; secret shown: %t", at, len(got), len(want), strings.Contains(got, secret))
		}
	}
}

func TestRedactAppliesToWritersOpenedLater(t *testing.T) {
	var b bytes.Buffer
	out := New(Options{Stdout: &b, Stderr: io.Discard})
	out.Redact("hunter22")
	w := out.Lines()
	if _, err := io.WriteString(w, "pw hunter22\n"); err != nil {
		t.Fatal(err)
	}
	out.Log().Info("pw hunter22")
	out.Status("pw hunter22")
	if diff := cmp.Diff("| pw ********\nINFO  pw ********\nINFO  pw ********\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestLinesAfterClose(t *testing.T) {
	w := New(Options{Stdout: io.Discard, Stderr: io.Discard}).Lines()
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("late")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close = %v", err)
	}
}

// TestLinesTogether has several programs write at once: their lines stay whole.
func TestLinesTogether(t *testing.T) {
	var b writes
	out := New(Options{Stdout: &b, Stderr: &b, Session: true})
	var wg sync.WaitGroup
	for i := range 8 {
		letter := string(rune('a' + i))
		w := out.Lines()
		for range 2 {
			wg.Go(func() {
				for range 200 {
					_, _ = io.WriteString(w, strings.Repeat(letter, 100)+"\n")
					out.Progress(float64(i))
				}
			})
		}
	}
	wg.Wait()
	for line := range strings.Lines(strings.Join(b.calls, "")) {
		if strings.HasPrefix(line, "openjd_progress: ") {
			continue
		}
		if len(line) != 103 || strings.Trim(line[2:102], line[2:3]) != "" {
			t.Fatalf("mixed line %q", line)
		}
	}
}

// TestLinesMemory writes many megabytes without a newline.
func TestLinesMemory(t *testing.T) {
	for _, secrets := range [][]string{nil, {"some secret"}} {
		var heap runtime.MemStats
		w := New(Options{Stdout: io.Discard, Stderr: io.Discard, Redact: secrets}).Lines()
		block := []byte(strings.Repeat("0123456789abcdéf", 1<<16))
		for range 32 {
			_, _ = w.Write(block)
		}
		runtime.GC()
		runtime.ReadMemStats(&heap)
		if heap.HeapAlloc > 8<<20 {
			t.Errorf("%d bytes are held with secrets %q", heap.HeapAlloc, secrets)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{
		"openjd_fail: x\n", " OPENJD_ENV foo", "| a\ropenjd_fail: x", "\xff\n", "\x1b[31mopenjd_env: A=b\x1b[0m",
		"\x1b]0;\x1b\\openjd_status: x\r\n", "o\x00penjd_env", "\u2028openjd_env", "hunter22", "hunter\x1b(B22abcdef",
	} {
		f.Add([]byte(s), uint64(1), uint16(1))
		f.Add([]byte(s), uint64(2), uint16(9000))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, repeat uint16) {
		text := string(data)
		if n := min(int(repeat), 40_000/(len(text)+1)); n > 1 {
			text = strings.Repeat(text, n)
		}
		whole := through(t, text, max(1, len(text)), "hunter22", "22abcdef")
		judge(t, whole)
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // chunk sizes
		if got := through(t, text, 1+rng.IntN(300), "hunter22", "22abcdef"); got != whole {
			t.Fatalf("chunks change the output: %s", cmp.Diff(whole, got))
		}
	})
}

// directives returns the lines that either session runtime acts on.
func directives(t testing.TB, b []byte) []string {
	t.Helper()
	found, err := openjdtest.Directives(b)
	if err != nil {
		t.Fatalf("it ends the reader: %v in %q", err, b)
	}
	return found
}

// judge fails if a session acts on any of the output, or if it breaks the
// promises of Lines.
func judge(t testing.TB, output string) {
	t.Helper()
	if found := directives(t, []byte(output)); len(found) > 0 {
		t.Fatalf("a session acts on %.200q", found)
	}
	for line := range strings.Lines(output) {
		text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "| ")
		if !ok || !strings.HasSuffix(line, "\n") {
			t.Fatalf("line %.80q lacks its prefix or its end", line)
		}
		if n := utf8.RuneCountInString(text); n > lineLength {
			t.Fatalf("a line has %d characters", n)
		}
		control := func(r rune) bool { return unicode.IsControl(r) && r != '\t' }
		if strings.ContainsFunc(text, control) {
			t.Fatalf("control characters are left in %.80q", text)
		}
		if strings.Contains(text, "hunter22") || strings.Contains(text, "22abcdef") {
			t.Fatalf("a secret is left in %.80q", text)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	block := []byte(strings.Repeat("/usr/bin/cc -O2 -g -o build/obj/file.o -c src/file.c\n", 600))
	for name, secrets := range map[string][]string{"plain": nil, "secrets": {"hunter22", "correct horse battery"}} {
		b.Run(name, func(b *testing.B) {
			w := New(Options{Stdout: io.Discard, Stderr: io.Discard, Redact: secrets}).Lines()
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				_, _ = w.Write(block)
			}
		})
	}
}
