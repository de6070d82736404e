package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/indexer/site"
)

// browser is one tab, and what went wrong in it.
type browser struct {
	context.Context
	mu        sync.Mutex
	complaint []string // errors of scripts, and requests to other hosts
	home      string   // where requests may go
}

// open starts Debian's chromium without a window. It is closed in good order: the
// processes of one that is killed still write to its profile when that is deleted.
func open(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("chromium is missing: apt-get install chromium: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Run(ctx); err != nil { // the browser ends with the context of its first run
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Error(err)
		}
	})
	b := &browser{Context: ctx}
	chromedp.ListenTarget(ctx, b.watch)
	b.do(t, network.Enable(), runtime.Enable())
	return b
}

func (b *browser) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.complaint = append(b.complaint, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			b.complaint = append(b.complaint, fmt.Sprintf("console: %s", e.Args[0].Value))
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.home) && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "about:") {
			b.complaint = append(b.complaint, "a request goes to "+u)
		}
	}
}

func (b *browser) do(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b, time.Minute)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// visit loads a page and insists that nothing of it goes wrong.
func (b *browser) visit(t *testing.T, home, page string) {
	t.Helper()
	b.visitUntil(t, home, page, "#rows")
}

// visitUntil is the same for a page that is there when an element is.
func (b *browser) visitUntil(t *testing.T, home, page, element string) {
	t.Helper()
	b.mu.Lock()
	b.home, b.complaint = home, nil
	b.mu.Unlock()
	b.do(t, chromedp.Navigate(page), chromedp.WaitReady(element))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.complaint != nil {
			t.Errorf("%s: %q", page, b.complaint)
		}
	})
}

// eval is the value of a JavaScript expression.
func eval[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	var v T
	b.do(t, chromedp.Evaluate(expression, &v))
	return v
}

// rows are the rows that are shown: name, version, build, platform, size, date.
func (b *browser) rows(t *testing.T) []string {
	t.Helper()
	return eval[[]string](t, b, `[...document.querySelectorAll("#rows tr")].map(r => [...r.cells].slice(0, 6).map(c => c.textContent).join("|"))`)
}

func (b *browser) search(t *testing.T, text string) {
	t.Helper()
	b.do(t, chromedp.Evaluate(`document.getElementById("search").select()`, nil), chromedp.SendKeys("#search", text, chromedp.ByID))
}

// none is what is said in place of rows, "" when that is hidden.
func (b *browser) none(t *testing.T) string {
	t.Helper()
	return eval[string](t, b, `(e => e.hidden ? "" : e.textContent)(document.getElementById("none"))`)
}

// pageChannel is a channel folder that condaworker has indexed.
func (s suite) pageChannel(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "my channel")
	add := func(name, version string, number int, subdir string) {
		index := condatest.Index(name, version, number, subdir)
		file := fmt.Sprintf("%s-%s-%d.conda", name, version, number)
		write(t, filepath.Join(root, subdir, "x"), "a stray file")
		if err := condatest.WriteFile(filepath.Join(root, subdir, file), index, map[string]string{"share/x": strings.Repeat(name, 300)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"4.2.5", "4.10.0", "4.9.1"} {
		add("blender", version, 0, "linux-64")
	}
	add("blender", "4.9.1", 1, "linux-64")
	add("tool", "1.0+local", 0, "linux-64")
	add("houdini", "20.5", 0, "noarch")
	s.must(t, s.program, "reindex", root)
	return root
}

// TestPage looks at the channel's pages as people do, in a real browser: from
// the folder itself and from a web server.
func TestPage(t *testing.T) {
	s := start(t)
	root := s.pageChannel(t)
	web := httptest.NewServer(http.StripPrefix("/some/where", http.FileServer(http.Dir(root))))
	defer web.Close()
	b := open(t)
	file := (&url.URL{Scheme: "file", Path: root}).String()
	for home, channel := range map[string]string{file: file, web.URL: web.URL + "/some/where"} {
		t.Run(channel[:4], func(t *testing.T) {
			b.visit(t, home, channel+"/index.html")
			lookAtChannel(t, b, channel)
			b.visit(t, home, channel+"/linux-64/index.html#tool")
			if got := b.rows(t); len(got) != 1 || !strings.HasPrefix(got[0], "tool|1.0+local|0|linux-64|") {
				t.Errorf("a link to a search shows %q", got)
			}
		})
	}
	for _, href := range eval[[]string](t, b, `search(), [...document.querySelectorAll("#rows a[download]")].map(a => a.href)`) {
		if escaped, isFile := strings.CutPrefix(href, "file://"); isFile {
			path, err := url.PathUnescape(escaped)
			if _, statErr := os.Stat(path); err != nil || statErr != nil {
				t.Errorf("%s leads nowhere: %v, %v", href, err, statErr)
			}
			continue
		}
		answer, err := http.Get(href)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK || strings.Contains(href, "+") {
			t.Errorf("%s: %s", href, answer.Status)
		}
	}
}

// shown is a row of the newest blender: small, and indexed today.
var shown = regexp.MustCompile(`^blender\|4\.10\.0\|0\|linux-64\|[0-9.]+ k?B\|20[0-9-]{8}$`)

func lookAtChannel(t *testing.T, b *browser, channel string) {
	t.Helper()
	newest := b.rows(t)
	if len(newest) != 3 || !shown.MatchString(newest[0]) {
		t.Errorf("the newest of each package: %q", newest)
	}
	b.do(t, chromedp.Click("#all", chromedp.ByID))
	if got := b.rows(t); len(got) != 6 || !strings.HasPrefix(got[1], "blender|4.9.1|1|") || !strings.HasPrefix(got[2], "blender|4.9.1|0|") {
		t.Errorf("all builds: %q", got)
	}
	b.do(t, chromedp.Click(`[data-sort=version]`, chromedp.ByQuery))
	if got := b.rows(t); len(got) != 6 || !strings.HasPrefix(got[0], "blender|4.2.5|") {
		t.Errorf("by version: %q", got)
	}
	b.search(t, "blen 4.9")
	if got := b.rows(t); len(got) != 2 || !strings.HasPrefix(got[0], "blender|4.9.1|") {
		t.Errorf("a search: %q", got)
	}
	b.search(t, "nothing such")
	if got := b.rows(t); len(got) != 0 || !strings.HasPrefix(b.none(t), "No package has that") {
		t.Errorf("a search for nothing: %q, %q", got, b.none(t))
	}
	b.do(t, chromedp.Click("#all", chromedp.ByID))
	b.search(t, "tool")
	b.do(t, chromedp.Click("#rows button", chromedp.ByQuery))
	line := eval[string](t, b, `document.getElementById("line").textContent`)
	if want := "conda install -c " + channel + " tool=1.0+local"; line != want {
		t.Errorf("to install: %q, want %q", line, want)
	}
	// What reaches the clipboard cannot be read from here: a page of a file has
	// none and selects the line in its place.
	b.do(t,
		chromedp.Evaluate(`navigator.clipboard && Object.defineProperty(navigator, "clipboard", {value: {writeText: async text => { window.copied = text; }}}), null`, nil),
		chromedp.Click("#copy", chromedp.ByID), chromedp.Poll(`document.getElementById("copy").textContent === "Copied"`, nil))
	if copied := eval[string](t, b, `window.copied || String(getSelection())`); copied != line {
		t.Errorf("copied %q", copied)
	}
	b.do(t, chromedp.Evaluate(`document.getElementById("channel").select()`, nil), chromedp.SendKeys("#channel", "s3://studio/Conda", chromedp.ByID))
	if line := eval[string](t, b, `document.getElementById("line").textContent`); !strings.Contains(line, " -c s3://studio/Conda ") {
		t.Errorf("with another URL: %q", line)
	}
	b.do(t, chromedp.Evaluate(`localStorage.clear()`, nil))
}

// sitePages are a channel's pages without its packages: linux-64 has count
// builds, noarch has none.
func sitePages(t *testing.T, count int) (root string) {
	t.Helper()
	root = t.TempDir()
	page, err := site.ChannelPage([]string{"linux-64", "noarch"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "index.html"), string(page))
	r := conda.NewRepoData("linux-64")
	for i := range count {
		name, version := fmt.Sprintf("package-%d", i/12), fmt.Sprintf("1.%d.0", i%12)
		r.Set(fmt.Sprintf("%s-%s-0.conda", name, version), json.RawMessage(fmt.Sprintf(`{"name":%q,"version":%q,"build":"0","size":%d,"timestamp":1700000000000}`, name, version, i)))
	}
	write(t, filepath.Join(root, "linux-64", site.DataName), string(site.Data("linux-64", r, "", nil, nil).Bytes()))
	write(t, filepath.Join(root, "noarch", site.DataName), string(site.Data("noarch", conda.NewRepoData("noarch"), "", nil, nil).Bytes()))
	return root
}

// The page says why it shows nothing, and counts as people do.
func TestPageOfFewPackages(t *testing.T) {
	start(t)
	b := open(t)
	for count, want := range map[int][2]string{
		0: {"0 packages, 0 builds", "There are no packages here yet: condaworker publish brings some."},
		1: {"1 package, 1 build", ""},
		3: {"1 package, 3 builds; 1 shown", ""},
	} {
		root := sitePages(t, count)
		b.visit(t, "file://", "file://"+root+"/index.html")
		summary := eval[string](t, b, `document.getElementById("summary").textContent`)
		if none := b.none(t); summary != want[0] || none != want[1] {
			t.Errorf("%d: %q, %q, want %q", count, summary, none, want)
		}
	}
	root := sitePages(t, 3)
	if err := os.Remove(filepath.Join(root, "linux-64", site.DataName)); err != nil {
		t.Fatal(err)
	}
	b.visit(t, "file://", "file://"+root+"/index.html")
	if none := b.none(t); !strings.HasPrefix(none, "packages.js of linux-64 could not be read") {
		t.Errorf("without packages.js: %q", none)
	}
}

// Whoever chooses a package far down in a long list sees the line to copy; a
// click on a name shows its builds, and its own before those of longer names.
func TestPageUse(t *testing.T) {
	start(t)
	b := open(t)
	b.visit(t, "file://", "file://"+sitePages(t, 10_000)+"/index.html")
	seen := eval[bool](t, b, `(() => {
		const all = document.querySelectorAll("#rows button");
		all[all.length - 20].scrollIntoView();
		all[all.length - 20].click();
		const box = document.getElementById("chosen").getBoundingClientRect();
		return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
	})()`)
	if !seen {
		t.Error("the line to install is out of sight")
	}
	b.search(t, "package-77")
	if got := b.rows(t); len(got) != 10 && len(got) != 11 || !strings.HasPrefix(got[0], "package-77|") {
		t.Errorf("the name that was searched for is not first: %q", got)
	}
	b.do(t, chromedp.Click("#rows a", chromedp.ByQuery))
	if got := b.rows(t); len(got) < 12 || !strings.HasPrefix(got[0], "package-77|1.11.0|") || !strings.HasPrefix(got[11], "package-77|1.0.0|") {
		t.Errorf("all builds: %q", got)
	}
}

// TestPageOfManyPackages searches a hundred thousand builds.
func TestPageOfManyPackages(t *testing.T) {
	start(t)
	root := sitePages(t, 100_000)
	b := open(t)
	begun := time.Now()
	b.visit(t, "file://", "file://"+root+"/index.html")
	loaded := time.Since(begun)
	took := eval[float64](t, b, `(() => { const begun = performance.now(); document.getElementById("search").value = "package-777 1.11"; document.getElementById("all").click(); search(); return performance.now() - begun; })()`)
	t.Logf("loaded after %d ms; two searches take %.0f ms", loaded.Milliseconds(), took)
	got := b.rows(t)
	if len(got) != 11 || !slices.ContainsFunc(got, func(row string) bool { return strings.HasPrefix(row, "package-777|1.11.0|") }) {
		t.Errorf("found %q", got)
	}
}

// TestPagePictures takes pictures for whoever changes the page.
func TestPagePictures(t *testing.T) {
	folder := os.Getenv("CONDAWORKER_TEST_PICTURES")
	s := start(t)
	root := s.pageChannel(t)
	b := open(t)
	for name, view := range map[string]struct {
		width  int64
		scheme string
	}{"light": {1280, "light"}, "dark": {1280, "dark"}, "phone": {390, "light"}} {
		var picture []byte
		b.visit(t, "file://", (&url.URL{Scheme: "file", Path: root + "/index.html"}).String())
		b.do(t,
			chromedp.EmulateViewport(view.width, 800),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: view.scheme}}),
			chromedp.Click("#rows button", chromedp.ByQuery),
			chromedp.FullScreenshot(&picture, 100))
		if wide := eval[bool](t, b, `document.documentElement.scrollWidth > innerWidth`); wide || len(picture) == 0 {
			t.Errorf("%s: the page is wider than its window", name)
		}
		if folder != "" {
			write(t, filepath.Join(folder, name+".png"), string(picture))
		}
	}
}
