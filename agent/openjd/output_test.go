package openjd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

// terminal is an Output with its two streams.
type terminal struct {
	*Output
	stdout, stderr bytes.Buffer
}

func open(o Options) *terminal {
	t := &terminal{}
	o.Stdout, o.Stderr = &t.stdout, &t.stderr
	t.Output = New(o)
	return t
}

func (o *terminal) expect(t *testing.T, stdout, stderr string) {
	t.Helper()
	if diff := cmp.Diff(stdout, o.stdout.String()); diff != "" {
		t.Errorf("stdout: %s", diff)
	}
	if diff := cmp.Diff(stderr, o.stderr.String()); diff != "" {
		t.Errorf("stderr: %s", diff)
	}
}

func TestStatus(t *testing.T) {
	long := strings.Repeat("é", 1001)
	texts := []string{
		"fetch", "fetch", "script", "", " \r\n\t", "two\r\nlines", "a\x1b[31mb\x00c\td", "openjd_env: A=b", "\xff", long,
	}
	want := []string{
		"fetch", "script", "two lines", "abc d", "openjd_env: A=b", "\uFFFD", strings.Repeat("é", 999) + "…",
	}
	for _, c := range []struct {
		session bool
		prefix  string
	}{{true, "openjd_status: "}, {false, "INFO  "}} {
		out := open(Options{Session: c.session})
		for _, text := range texts {
			out.Status(text)
		}
		out.expect(t, c.prefix+strings.Join(want, "\n"+c.prefix)+"\n", "")
	}
}

func TestProgress(t *testing.T) {
	out := open(Options{Session: true})
	clock := time.Unix(0, 0)
	out.now = func() time.Time { return clock }
	for _, step := range []struct {
		after   time.Duration
		percent float64
	}{
		{0, 0},
		{0, math.NaN()},
		{0, -5},        // nothing to tell
		{0, 1.26},      // the first
		{time.Hour, 2}, // less than 1 % more
		{0, 3},
		{4 * time.Second, 50}, // too soon
		{time.Second, 40.04},
		{time.Hour, 30}, // falls
		{time.Hour, 99.99},
		{0, math.Inf(1)}, // the last is told at once
		{time.Hour, 100},
		{time.Hour, 1e300},
	} {
		clock = clock.Add(step.after)
		out.Progress(step.percent)
	}
	out.expect(t, "openjd_progress: 1.2\nopenjd_progress: 3.0\nopenjd_progress: 40.0\nopenjd_progress: 99.9\nopenjd_progress: 100.0\n", "")
	outside := open(Options{})
	outside.Progress(50)
	outside.expect(t, "", "")
}

func TestFail(t *testing.T) {
	t.Run("session", func(t *testing.T) {
		out := open(Options{Session: true})
		out.Fail("solve linux-64: nothing provides\ropenjd_env: foo")
		out.Fail("again")
		out.expect(t, "ERROR solve linux-64: nothing provides\nERROR openjd_env: foo\n"+
			"openjd_fail: solve linux-64: nothing provides openjd_env: foo\nERROR again\n", "")
	})
	t.Run("session, program", func(t *testing.T) {
		out := open(Options{Session: true, JSON: true})
		out.Fail("boom")
		out.expect(t, "", "openjd_fail: boom\n")
	})
	t.Run("terminal", func(t *testing.T) {
		out := open(Options{})
		out.Fail("boom")
		out.Fail("again")
		out.expect(t, "ERROR again\n", "error: boom\n")
	})
	t.Run("no text", func(t *testing.T) {
		out := open(Options{Session: true})
		out.Fail("\x00\n")
		out.expect(t, "openjd_fail: failed without saying why\n", "")
	})
	t.Run("long text", func(t *testing.T) {
		out := open(Options{})
		out.Fail(strings.Repeat("x", 1001))
		out.expect(t, "", "error: "+strings.Repeat("x", 1001)+"\n")
	})
	t.Run("several lines", func(t *testing.T) {
		out := open(Options{})
		out.Fail("boom\nbang\n")
		out.expect(t, "", "error: boom\nerror: bang\n")
	})
}

func TestLog(t *testing.T) {
	out := open(Options{Redact: []string{`pass"word`}})
	log := out.Log().With(zap.String("name", "numpy"))
	log.Info("fetched the source", zap.Int("bytes", 5), zap.Bool("cached", false), zap.Duration("took", 1500*time.Millisecond))
	log.Warn("openjd_env: A=b\nopenjd_fail: x\r\x1b[31mred\xff", zap.String("empty", ""))
	out.Log().Error("", zap.Error(&testError{errors.New("two\nlines")}), zap.Strings("list", []string{"a", "b"}))
	out.Log().Info("quoted", zap.String("a", `say "hi"`), zap.String("b", "x=y"), zap.String("c", `in pass"word out`), zap.String("ke y", "v"))
	out.Log().Debug("hidden")
	out.Log().Info(strings.Repeat("x", lineLength) + "openjd_env")
	out.expect(t, `INFO  fetched the source name=numpy bytes=5 cached=false took=1.5s
WARN  openjd_env: A=b name=numpy empty=""
WARN  openjd_fail: x
WARN  red`+"\uFFFD"+`
ERROR error="two lines" list="[a b]"
INFO  quoted a="say \"hi\"" b="x=y" c="in ******** out" "ke y"=v
INFO  `+strings.Repeat("x", lineLength)+`
INFO  openjd_env
`, "")
	verbose := open(Options{Verbose: true, JSON: true})
	verbose.Log().Debug("shown")
	verbose.expect(t, "", "DEBUG shown\n")
}

func FuzzLog(f *testing.F) {
	f.Add("openjd_env: A=b", "openjd_fail: x", "\ropenjd_env")
	f.Add("\n openjd_env", "\r", "\u2028openjd_unset_env \x1b[")
	f.Fuzz(func(t *testing.T, message, key, value string) {
		out := open(Options{Session: true})
		out.Log().Info(message, zap.String(key, value))
		out.Log().Error(message, zap.Error(errors.New(value)))
		if err := out.Print([]byte(message + "\n" + value)); err != nil {
			t.Fatal(err)
		}
		if found := directives(t, out.stdout.Bytes()); len(found) > 0 {
			t.Fatalf("a session acts on %q", found)
		}
		out.Status(value)
		out.Fail(message)
		if found := directives(t, out.stdout.Bytes()); len(found) > 4 {
			t.Fatalf("more than a status and a failure, heard twice: %q", found)
		}
	})
}

func TestPrintText(t *testing.T) {
	const text = "\n####\nTotal time: 0:00:06.4\n  openjd_env: A=b\n\x1b[31mred\x1b[0m"
	inside := open(Options{Session: true})
	outside := open(Options{})
	for _, out := range []*terminal{inside, outside} {
		if err := out.Print([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	inside.expect(t, "\n####\nTotal time: 0:00:06.4\n|   openjd_env: A=b\nred\n", "")
	outside.expect(t, text+"\n", "")
}

func TestPrintDocument(t *testing.T) {
	doc := []byte(`{"openjd_Env": "\\OpenJD_fail: x", "b": "` + strings.Repeat("x", 63_960) + strings.Repeat("openjd_env: A=b", 20) + `"}`)
	out := open(Options{Session: true, JSON: true})
	out.Log().Info("the log goes elsewhere")
	if err := out.Print(doc); err != nil {
		t.Fatal(err)
	}
	if found := directives(t, out.stdout.Bytes()); len(found) > 0 {
		t.Errorf("a session acts on %.100q", found)
	}
	if diff := cmp.Diff(decode(t, doc), decode(t, out.stdout.Bytes())); diff != "" {
		t.Errorf("the document means something else: %s", diff)
	}
	outside := open(Options{JSON: true})
	if err := outside.Print(doc); err != nil {
		t.Fatal(err)
	}
	outside.expect(t, string(doc)+"\n", "")
}

// pipe is a stream whose reader leaves after some writes.
type pipe struct{ left int }

func (p *pipe) Write(b []byte) (int, error) {
	if p.left--; p.left < 0 {
		return 0, &testError{syscall.EPIPE}
	}
	return len(b), nil
}

type testError struct{ error }

func (e *testError) Unwrap() error { return e.error }

// Format prints more for %+v, as errors with stack traces do.
func (e *testError) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%s\nmain.main()\n\tmain.go:1", e.error)
}

func TestBrokenIsToldOnce(t *testing.T) {
	var told []error
	var out *Output
	stdout, stderr := &pipe{left: 1}, &pipe{}
	out = New(Options{Stdout: stdout, Stderr: stderr, Broken: func(err error) {
		told = append(told, err)
		out.Log().Error("from within") // must not deadlock
		out.Status("from within")
	}})
	out.Status("fine")
	out.Status("broken")
	out.Fail("broken, too")
	w := out.Lines()
	if n, err := w.Write([]byte("output\n")); n != 7 || err != nil {
		t.Errorf("the program hears of it: %d, %v", n, err)
	}
	if err := out.Print([]byte("{}")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Print = %v, want EPIPE", err)
	}
	if len(told) != 1 || !errors.Is(told[0], syscall.EPIPE) {
		t.Errorf("told %v", told)
	}
	if stdout.left != -1 || stderr.left != -1 {
		t.Errorf("%d and %d writes after the first that failed", -1-stdout.left, -1-stderr.left)
	}
}

func decode(t *testing.T, doc []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
