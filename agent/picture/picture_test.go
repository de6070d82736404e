package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/condaworker/condaworker/agent/meter"
)

// build is a run as the meter reports one.
func build() Run {
	three := 3
	points := 400
	series := &meter.Series{SecondsPerPoint: 0.5}
	for i := range points {
		series.CPU = append(series.CPU, float64(i))
		series.Memory = append(series.Memory, int64(i%100)<<20)
		series.Disk = append(series.Disk, int64(i)<<20)
		series.Processes = append(series.Processes, 3)
	}
	usage := meter.Usage{Seconds: 200, CPUUser: 300, CPUSys: 99, MemoryPeak: 99 << 20, MemoryMethod: "sum_pss", DiskPeak: 399 << 20, DiskFolders: map[string]int64{"work": 300 << 20, "prefix": 99 << 20}, Processes: 3}
	usage.Top = []meter.Process{{PID: 12, Name: "cc1plus", CPU: 250}}
	return Run{
		Verb: "build", Version: "1.2.3", Result: "built x",
		Report: meter.Report{
			Status: "ok", Started: time.Unix(1_700_000_000, 0).UTC(), Usage: usage, Series: series,
			Phases: []meter.PhaseReport{
				{Name: "fetch", Start: 0, Status: "ok", Usage: meter.Usage{Seconds: 20}},
				{Name: "script", Start: 20, Status: "failed", Exit: meter.Exit{Code: &three}, Usage: meter.Usage{Seconds: 170}},
				{Name: "pack", Start: 190, Status: "failed", Exit: meter.Exit{Signal: "killed"}, Usage: meter.Usage{Seconds: 10}},
			},
		},
		Packages: []Package{{Name: "x-1.0-0.conda", Channel: "s3://b/c", SHA256: "ab", Size: 50 << 20, Files: 2, Bytes: 100 << 20, Largest: []File{{"lib/a.so", 60 << 20}, {"lib/b.so", 30 << 20}}}},
	}
}

func shown(t *testing.T, r Run) string {
	t.Helper()
	page, err := Page(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// tags reads the page as XML, which its own markup is but for the elements
// without an end, and returns the names of its elements and the text.
func tags(t *testing.T, page string) (names map[string]int, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	names = map[string]int{}
	var all strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names, all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			names[token.Name.Local]++
		case xml.CharData:
			all.Write(token)
		}
	}
}

func TestPageSaysWhatTheReportHas(t *testing.T) {
	names, text := tags(t, shown(t, build()))
	for _, want := range []string{
		"x-1.0-0.conda", "built x", "2023-11-14 22:13:20 UTC", "3 min 20 s", "6 min 39 s", "2.0 in use on average",
		"99.0 MiB", "all processes, shared pages once", "2 min 50 s", "exit code 3", "signal killed", "cc1plus",
		"50.0 MiB, 50 % of the 100.0 MiB in its 2 files", "s3://b/c", "lib/a.so", "60.0 MiB", "all others", "10.0 MiB",
		"2.0 on average, 2.0 at most", "399.0 MiB at most",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if names["svg"] != 3 || names["script"] != 0 || names["h1"] != 1 {
		t.Errorf("elements %v", names)
	}
	if before, after, _ := strings.Cut(text, "Slowest steps"); !strings.Contains(before, "fetch") || strings.Index(after, "script") > strings.Index(after, "fetch") {
		t.Error("the slowest step is not the first")
	}
}

// TestForeignText puts markup into everything that a recipe or a package names.
func TestForeignText(t *testing.T) {
	plainNames, _ := tags(t, shown(t, build()))
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onload='x`, `</title></style><b>`, `{{.}}`, `javascript:alert(1)`, `]]><!--`, `</svg><x>`, `&lt;&#60;`,
	} {
		r := build()
		r.Version, r.Result = evil, evil
		r.Phases[1].Name, r.Phases[2].Signal = evil, evil
		r.Top[0].Name = evil
		r.DiskFolders[evil] = 5
		r.Packages[0] = Package{Name: evil, Channel: evil, SHA256: evil, Size: 1, Bytes: 9, Largest: []File{{evil, 9}}}
		delete(r.DiskFolders, "work")
		page := shown(t, r)
		names, text := tags(t, page)
		names["tr"], plainNames["tr"] = 0, 0
		for _, n := range []string{"td", "bdi", "th", "span"} { // as many as there are files
			names[n], plainNames[n] = 0, 0
		}
		if fmt.Sprint(names) != fmt.Sprint(plainNames) {
			t.Errorf("%q makes other elements: %v, want %v", evil, names, plainNames)
		}
		if n := strings.Count(text, evil); n < 8 {
			t.Errorf("%q is seen %d times", evil, n)
		}
		if r.Error = evil; !strings.Contains(second(tags(t, shown(t, r))), evil) {
			t.Errorf("the error %q is not seen", evil)
		}
	}
}

func second(_ map[string]int, text string) string { return text }

func TestPlain(t *testing.T) {
	for name, want := range map[string]string{
		"lib/a b.so": "lib/a b.so", "gpj\u202eexe": `gpj\u202eexe`, "a\nb\x1b[1m\x00": `a\u000ab\u001b[1m\u0000`, "\xff": "\ufffd", "naïve-日本": "naïve-日本", "a\u200bb": `a\u200bb`,
	} {
		if got := plain(name); got != want {
			t.Errorf("plain(%q) = %q, want %q", name, got, want)
		}
	}
	if got := prose("one\n\ttwo\x07\n"); got != "one\n    two\\u0007" {
		t.Errorf("%q", got)
	}
}

// TestLittle shows runs that were refused, that nothing was seen of, and that
// no time passed in.
func TestLittle(t *testing.T) {
	failed := Run{Verb: "publish", Error: "no such file", ExitCode: 1, Report: meter.Report{Status: "failed"}}
	if _, text := tags(t, shown(t, failed)); !strings.Contains(text, "no such file") || !strings.Contains(text, "failed, exit code 1") || strings.Contains(text, "How it went") {
		t.Error(text)
	}
	for _, s := range []*meter.Series{nil, {}, {SecondsPerPoint: 0.1, CPU: []float64{0}, Memory: []int64{0}, Disk: []int64{0}, Processes: []int{0}}} {
		r := failed
		r.Series, r.Phases = s, []meter.PhaseReport{{Name: "publish", Status: "ok"}}
		if page := shown(t, r); strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
			t.Errorf("%+v: no numbers", s)
		}
	}
}

var number = regexp.MustCompile(`[-\d.]+`)

// TestCurves lie in their box, whatever the values.
func TestCurves(t *testing.T) {
	for _, most := range []int64{1, 1023, 1025, 3 << 20, 5 << 40, 1<<63 - 1} {
		for _, whole := range []float64{0.001, 0.3, 200, 30 * 24 * 3600} {
			r := build()
			r.Seconds = whole
			r.Series.SecondsPerPoint = whole / 399
			r.Series.Memory[17] = most
			for _, c := range charts(r, whole) {
				for i, text := range number.FindAllString(c.Line, -1) {
					v, err := strconv.ParseFloat(text, 64)
					if limit := []float64{wide, high}[i%2]; err != nil || v < 0 || v > limit {
						t.Fatalf("%s: %q of %s", c.Title, text, c.Line)
					}
				}
				if len(c.Grid) < 2 || len(c.Grid) > 6 || c.Grid[0].At != 100 {
					t.Errorf("%s of %d: grid %+v", c.Title, most, c.Grid)
				}
			}
		}
	}
}

func TestTimeTicks(t *testing.T) {
	for whole, want := range map[float64]string{
		0.001: "[{0 0 s} {100 0.001 s}]", 1: "[{0 0 s} {20 0.2 s} {40 0.4 s} {60 0.6 s} {80 0.8 s} {100 1 s}]",
		200: "[{0 0:00} {15 0:30} {30 1:00} {45 1:30} {60 2:00} {75 2:30} {90 3:00}]", 4 * 3600: "[{0 0:00:00} {12.5 0:30:00} {25 1:00:00} {37.5 1:30:00} {50 2:00:00} {62.5 2:30:00} {75 3:00:00} {87.5 3:30:00} {100 4:00:00}]",
	} {
		if got := fmt.Sprint(timeTicks(whole)); got != want {
			t.Errorf("%v s: %s, want %s", whole, got, want)
		}
	}
	if got := timeTicks(365 * 24 * 3600); len(got) > 9 {
		t.Errorf("a year has %d marks", len(got))
	}
}

func TestDurationAndSize(t *testing.T) {
	for seconds, want := range map[float64]string{
		-1: "0 ms", 0: "0 ms", 0.0994: "99 ms", 0.25: "0.25 s", 9.994: "9.99 s", 9.996: "10.0 s", 59.94: "59.9 s", 59.96: "1 min 00 s", 3599.4: "59 min 59 s", 3599.6: "1 h 00 min", 90061: "25 h 01 min",
	} {
		if got := duration(seconds); got != want {
			t.Errorf("duration(%v) = %s, want %s", seconds, got, want)
		}
	}
	for bytes, want := range map[int64]string{-1: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 5 << 40: "5.0 TiB", 3 << 60: "3.0 EiB"} {
		if got := size(bytes); got != want {
			t.Errorf("size(%d) = %s, want %s", bytes, got, want)
		}
	}
}

// TestManySteps is a recipe of a hundred outputs that ran for a day.
func TestManySteps(t *testing.T) {
	r := build()
	for i := range 700 {
		r.Phases = append(r.Phases, meter.PhaseReport{Name: "script", Status: "ok", Start: float64(i) * 100, Usage: meter.Usage{Seconds: 100}})
	}
	page, err := Page(r)
	if err != nil || len(page) > 1<<20 || bytes.Count(page, []byte(`<th scope="row" class="name">`)) != slowest {
		t.Errorf("%d bytes, %v", len(page), err)
	}
}
