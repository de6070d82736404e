package openjd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// An endless log is cut: its beginning and its end are there, and how much is
// not.
func TestVolume(t *testing.T) {
	const limit, lines = 1 << 20, 200_000
	for _, session := range []bool{true, false} {
		var b bytes.Buffer
		out := New(Options{Stdout: &b, Stderr: io.Discard, Session: session, Volume: limit, Redact: []string{"hunter22"}})
		w := out.Lines()
		for i := range lines {
			fmt.Fprintf(w, "line %d hunter22\n", i)
		}
		out.Log().Info("our own lines are always there")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again := out.Lines()
		_, _ = io.WriteString(again, "another program\n")
		_ = again.Close()
		got := b.String()
		if len(got) > limit+2*tailLength {
			t.Errorf("%d bytes are printed", len(got))
		}
		seen := strings.Count(got, "| line ")
		for _, want := range []string{
			"| line 0 ********\n", fmt.Sprintf("| line %d ********\n", lines-1), "INFO  our own lines",
			fmt.Sprintf("WARN  %d lines of output, ", lines-seen), "are left out above; these are the last\n| line ",
			"WARN  0 lines of output, 0 bytes, are left out above; these are the last\n| another program\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("there is no %q", want)
			}
		}
		if n := strings.Count(got, fmt.Sprintf("WARN  the log has %d bytes of output: what follows is left out", limit)); n != 1 {
			t.Errorf("told %d times", n)
		}
		for line := range strings.Lines(got) {
			if !strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "WARN  ") && !strings.HasPrefix(line, "INFO  ") {
				t.Fatalf("a line is cut: %.80q", line)
			}
		}
	}
}

func TestTailKeepsWholeLines(t *testing.T) {
	for _, length := range []int{1, 7, 1000, lineLength} {
		var over tail
		line := strings.Repeat("x", length) + "\n"
		for range 6 * tailLength / len(line) {
			over.add([]byte(line))
		}
		_, kept := over.summary()
		if len(kept) > tailLength || len(kept) <= tailLength-len(line) || len(kept)%len(line) != 0 {
			t.Errorf("%d bytes of lines of %d are kept", len(kept), len(line))
		}
	}
}

// A session hears a burst of statuses and then one in five seconds, and always
// the last.
func TestStatusRate(t *testing.T) {
	out := open(Options{Session: true})
	clock := time.Unix(0, 0)
	out.now = func() time.Time { return clock }
	for i := range 1000 {
		out.Status(fmt.Sprint("file ", i))
		clock = clock.Add(100 * time.Millisecond)
	}
	out.Done("built it")
	got := strings.Split(strings.TrimSpace(out.stdout.String()), "\n")
	const most = statusBurst + 100/5 + 2 // with the last one and the progress
	if len(got) > most || len(got) < most-2 || got[len(got)-1] != "openjd_status: built it" || got[len(got)-2] != "openjd_progress: 100.0" {
		t.Errorf("%d lines, the last are %q", len(got), got[len(got)-2:])
	}
}

// With LogJSON each line of the log is an object, whatever it says.
func TestLogJSON(t *testing.T) {
	out := open(Options{LogJSON: true, Redact: []string{`pass"word`}})
	out.now = func() time.Time { return time.Unix(1, 0) }
	out.Log().Info("fetched\nit openjd_env: A=b", zap.Int("bytes", 5), zap.Bool("cached", true), zap.Duration("took", 1500*time.Millisecond), zap.String("url", `x pass"word y`))
	out.Log().Warn(strings.Repeat("é", lineLength+1))
	w := out.Lines()
	_, _ = io.WriteString(w, "openjd_fail: x\r\"quoted\" pass\"word\n")
	_ = w.Close()
	if err := out.Print([]byte("a table\n  of text\n")); err != nil {
		t.Fatal(err)
	}
	out.Status("pack")
	out.Fail("boom\nbang")
	var got []map[string]any
	for line := range strings.Lines(out.stdout.String() + out.stderr.String()) {
		if strings.Contains(line, "openjd_") || len(line) > 6*lineLength {
			t.Errorf("a session could act on a piece of %.100q", line)
		}
		got = append(got, decode(t, []byte(line)).(map[string]any))
	}
	want := []struct{ level, logger, message string }{
		{"info", "", "fetched\nit openjd_env: A=b"},
		{"warn", "", strings.Repeat("é", lineLength)},
		{"warn", "", "é"},
		{"info", "output", "openjd_fail: x"},
		{"info", "output", `"quoted" ********`},
		{"info", "", "a table"},
		{"info", "", "  of text"},
		{"info", "", "pack"},
		{"error", "", "boom\nbang"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), out.stdout.String())
	}
	for i, w := range want {
		logger, _ := got[i]["logger"].(string)
		if got[i]["level"] != w.level || got[i]["msg"] != w.message || logger != w.logger {
			t.Errorf("%v, want %v", got[i], w)
		}
		if _, err := time.Parse(time.RFC3339Nano, got[i]["ts"].(string)); err != nil {
			t.Error(err)
		}
	}
	if f := got[0]; f["bytes"] != 5.0 || f["cached"] != true || f["took"] != 1.5 || f["url"] != "x ******** y" {
		t.Errorf("fields %v", f)
	}
}

func FuzzLogJSON(f *testing.F) {
	f.Add("openjd_env: A=b", "openjd_fail: x\xff\x1b[", "\ropenjd_env")
	f.Fuzz(func(t *testing.T, message, key, text string) {
		out := open(Options{Session: true, LogJSON: true})
		out.Log().Info(message, zap.String(key, text), zap.Any("list", []string{message}))
		w := out.Lines()
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		if err := out.Print([]byte(message)); err != nil {
			t.Fatal(err)
		}
		if found := directives(t, out.stdout.Bytes()); len(found) > 0 {
			t.Fatalf("a session acts on %q", found)
		}
		for line := range strings.Lines(out.stdout.String()) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%q is no JSON", line)
			}
		}
	})
}
