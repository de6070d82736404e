package openjd

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLiveText(t *testing.T) {
	const mib = 1 << 20
	l := live{phase: "fetch", begun: time.Unix(100, 0)}
	if got := l.text(time.Unix(112, 5e8), 80); got != "fetch 12s" {
		t.Errorf("%q", got)
	}
	l.moving, l.done, l.total = time.Unix(110, 0), 30*mib, 120*mib
	for width, want := range map[int]string{80: "fetch 20s  30.0 of 120.0 MiB, 3.0 MiB/s, 30s left", 12: "fetch 20s  "} {
		if got := l.text(time.Unix(120, 0), width); got != want {
			t.Errorf("%q", got)
		}
	}
	l.total = 0
	if got := l.text(time.Unix(120, 0), 80); got != "fetch 20s  30.0 MiB, 3.0 MiB/s" {
		t.Errorf("%q", got)
	}
}

// screen is what a terminal of one line shows after output, a line each.
func screen(t *testing.T, output string) []string {
	t.Helper()
	var lines []string
	for line := range strings.SplitSeq(output, "\n") {
		at := strings.LastIndex(line, erase)
		if at < 0 {
			lines = append(lines, line)
			continue
		}
		lines = append(lines, line[at+len(erase):])
	}
	return lines
}

// On a terminal the line at the bottom is gone from what stays on the screen.
func TestPhaseOnATerminal(t *testing.T) {
	out := open(Options{Width: 40, Colours: true})
	end := out.Phase("fetch")
	moved := out.Transfer(1 << 20)
	for range 3 {
		time.Sleep(redraw)
		moved(1 << 19)
		out.Log().Warn("careful")
		w := out.Lines()
		_, _ = io.WriteString(w, "cc\n")
		_ = w.Close()
	}
	end()
	end()
	if moved := out.Transfer(5); moved == nil {
		t.Error("nothing takes the bytes of no phase")
	}
	got := out.stdout.String()
	if !strings.Contains(got, erase+"fetch 0s") {
		t.Errorf("no line at the bottom: %q", got)
	}
	want := []string{"\x1b[36mINFO  \x1b[0mfetch"}
	for range 3 {
		want = append(want, "\x1b[33mWARN  \x1b[0mcareful", "\x1b[2m| \x1b[0mcc")
	}
	if diff := cmp.Diff(append(want, ""), screen(t, got)); diff != "" {
		t.Error(diff)
	}
}

// Elsewhere there is no such line, and no colour.
func TestPhaseElsewhere(t *testing.T) {
	for _, o := range []Options{{}, {Session: true}, {LogJSON: true}} {
		out := open(o)
		end := out.Phase("fetch")
		out.Transfer(100)(100)
		time.Sleep(2 * redraw)
		end()
		if got := out.stdout.String(); strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 1 {
			t.Errorf("%+v: %q", o, got)
		}
	}
	if Width(io.Discard, map[string]string{"TERM": "xterm"}) != 0 {
		t.Error("a writer that is no file has a width")
	}
}

func TestTransferCountsNothingTwice(t *testing.T) {
	out := open(Options{Width: 80})
	defer out.Phase("publish")()
	moved := out.Transfer(100)
	for range 3 {
		moved(60) // sent again after a lost answer
	}
	unknown := out.Transfer(-1)
	unknown(7)
	if got := fmt.Sprint(out.live.done, " of ", out.live.total); got != "107 of 100" {
		t.Error(got)
	}
}
