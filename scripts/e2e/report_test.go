package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// reportRecipe takes a second of processor time, has memory and files that
// come and go, and files whose names are markup.
const reportRecipe = `package: {name: drawn, version: "1.0"}
build:
  script: |
    mkdir -p "$PREFIX/lib/<img src=x onerror=alert(1)>"
    for i in $(seq 1 25); do head -c $((i*40000)) /dev/urandom > "$PREFIX/lib/part-$i.so"; done
    head -c 3000000 /dev/urandom > "$PREFIX/lib/<img src=x onerror=alert(1)>/\"><script>alert(2)<%2fscript>"
    head -c 2500000 /dev/urandom > "$PREFIX/lib/$(printf 'gpj\342\200\256exe')"
    head -c 90000000 /dev/zero > gone
    i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done
    rm gone
    (i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done) & wait
tests:
  - script: [test -e $PREFIX/lib/part-1.so]
`

// contrast is the least contrast of a text with what is behind it, as WCAG
// computes it, and that text.
const contrast = `(() => {
	const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	let least = [21, ""];
	for (const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walk.nextNode();) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !e.getClientRects().length) continue;
		const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((a, b) => b - a);
		if ((a + .05) / (b + .05) < least[0]) least = [(a + .05) / (b + .05), walk.currentNode.data.trim()];
	}
	return {Ratio: least[0], Text: least[1]};
})()`

// missing are the parts of the page that a reader with a screen reader would
// miss.
const missing = `[
	...[...document.querySelectorAll("svg")].filter(e => e.getAttribute("role") !== "img" || !e.getAttribute("aria-label")).map(() => "a picture's name"),
	...[...document.querySelectorAll("th")].filter(e => !e.scope).map(e => "the scope of " + e.textContent),
	...[...document.querySelectorAll("[aria-labelledby]")].filter(e => !document.getElementById(e.getAttribute("aria-labelledby"))).map(e => "a label of " + e.tagName),
	...(document.querySelectorAll("h1").length === 1 ? [] : ["one heading"]),
	...(document.documentElement.lang ? [] : ["the language"]),
	...(document.title ? [] : ["the title"]),
]`

// TestReportPage looks at the pages of a build that succeeds and of one that
// fails, in the light, in the dark and on a phone.
func TestReportPage(t *testing.T) {
	s := start(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "good", "recipe.yaml"), reportRecipe)
	write(t, filepath.Join(dir, "bad", "recipe.yaml"), "package: {name: bad, version: '1.0'}\nbuild:\n  script: sleep 0.2; exit 3\n")
	good, bad := filepath.Join(dir, "good.html"), filepath.Join(dir, "bad.html")
	s.must(t, s.program, "build", filepath.Join(dir, "good"), "--to", filepath.Join(dir, "channel"), "--report-html", good)
	if out, code := s.run(t, s.program, "build", filepath.Join(dir, "bad"), "--to", filepath.Join(dir, "channel"), "--report-html", bad); code != 5 {
		t.Fatalf("exit code %d:\n%s", code, tail(out))
	}
	b := open(t)
	b.visitUntil(t, "file://", "file://"+good, "main")
	lookAtReport(t, b)
	b.visitUntil(t, "file://", "file://"+bad, "main")
	text := eval[string](t, b, `document.body.innerText`)
	for _, want := range []string{"failed, exit code 5", "returned non-zero exit status 3", "exit code 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page of a failure does not say %q:\n%s", want, text)
		}
	}
	for _, page := range []string{good, bad} {
		viewReport(t, b, page)
	}
}

func lookAtReport(t *testing.T, b *browser) {
	t.Helper()
	if n := eval[int](t, b, `document.scripts.length + document.images.length + document.querySelectorAll("link[rel=stylesheet], iframe, object").length`); n != 0 {
		t.Errorf("the page has %d scripts, images or frames", n)
	}
	charts := eval[[]string](t, b, `[...document.querySelectorAll("figure svg")].map(e => e.getAttribute("aria-label"))`)
	if len(charts) != 3 || !strings.HasPrefix(charts[0], "Processors in use over time: ") || !strings.HasPrefix(charts[1], "Memory over time: ") || !strings.HasPrefix(charts[2], "Disk over time: ") {
		t.Errorf("charts %q", charts)
	}
	// A new channel's first index is made under the lock.
	phases := eval[[]string](t, b, `[...document.querySelectorAll(".phases .name")].map(e => e.textContent)`)
	if want := []string{"render", "fetch", "script", "pack", "test", "publish", "index", "lock", "reindex"}; !slices.Equal(phases, want) {
		t.Errorf("phases %q", phases)
	}
	// Every bar is where it says, and seen.
	if off := eval[[]string](t, b, `[...document.querySelectorAll(".track")].filter(e => { const all = e.getBoundingClientRect(), bar = e.firstChild.getBoundingClientRect(); return bar.width < 2 || bar.left < all.left - 1 || bar.right > all.right + 4; }).map(e => e.parentElement.textContent)`); len(off) != 0 {
		t.Errorf("bars that are out of place: %q", off)
	}
	files := eval[[]string](t, b, `[...document.querySelectorAll(".files tbody tr")].map(e => [...e.cells].map(c => c.textContent).join("|"))`)
	if len(files) != 21 || files[0] != `lib/<img src=x onerror=alert(1)>/"><script>alert(2)<%2fscript>||2.9 MiB` || files[1] != `lib/gpj\u202eexe||2.4 MiB` || !strings.HasPrefix(files[20], "all others|") {
		t.Errorf("files %q", files)
	}
}

// viewReport looks at a page as different people do, and keeps pictures for
// whoever changes it.
func viewReport(t *testing.T, b *browser, page string) {
	t.Helper()
	for name, view := range map[string]struct {
		width  int64
		scheme string
	}{"light": {1280, "light"}, "dark": {1280, "dark"}, "phone": {390, "dark"}} {
		var picture []byte
		b.do(t,
			chromedp.EmulateViewport(view.width, 800),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: view.scheme}}))
		b.visitUntil(t, "file://", "file://"+page, "main")
		b.do(t, chromedp.FullScreenshot(&picture, 100))
		if wide := eval[bool](t, b, `document.documentElement.scrollWidth > innerWidth`); wide || len(picture) == 0 {
			t.Errorf("%s: the page is wider than its window", name)
		}
		if dark := eval[bool](t, b, `getComputedStyle(document.body).backgroundColor.match(/\d+/)[0] < 128`); dark != (view.scheme == "dark") {
			t.Errorf("%s: dark is %v", name, dark)
		}
		least := eval[struct {
			Ratio float64
			Text  string
		}](t, b, contrast)
		t.Logf("%s: the least contrast is %.1f, of %q", name, least.Ratio, least.Text)
		if least.Ratio < 4.5 {
			t.Errorf("%s: %q has a contrast of %.1f", name, least.Text, least.Ratio)
		}
		if lacks := eval[[]string](t, b, missing); len(lacks) != 0 {
			t.Errorf("%s: it lacks %q", name, lacks)
		}
		if folder := os.Getenv("CONDAWORKER_TEST_PICTURES"); folder != "" {
			write(t, filepath.Join(folder, filepath.Base(page)+"-"+name+".png"), string(picture))
		}
	}
}
