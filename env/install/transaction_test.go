package install

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// whole is a tree with conda-meta's files, and no folder of a change.
func whole(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := tree(t, dir)
	metas, err := filepath.Glob(filepath.Join(dir, "conda-meta", "*"))
	must(t, err)
	for _, m := range metas {
		text, err := os.ReadFile(m)
		must(t, err)
		got["conda-meta/"+filepath.Base(m)] = string(text)
	}
	must(t, filepath.WalkDir(dir, func(full string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			name, _ := filepath.Rel(dir, full)
			got[name+"/"] = "folder"
		}
		return err
	}))
	return got
}

// before is an environment of old packages, and after what becomes of it: files come,
// go, give way, and folders become links.
func before() []made {
	return []made{
		{name: "a", files: []file{{name: "bin/x", content: "a"}, {name: "share/only/a", content: "1"}, {name: "lib/a"}, {name: "lib64", target: "lib"}}},
		{name: "b", files: []file{{name: "bin/x", content: "b"}, {name: "lib64/b", content: "b"}, {name: "was/a/folder", content: "x"}}},
		{name: "kept", files: []file{{name: "etc/c", content: "kept"}, {name: "bin/y", content: "kept"}}},
	}
}

func after() []made {
	return []made{
		{name: "a", files: []file{{name: "bin/x", content: "new a"}, {name: "share/other/a", content: "2"}, {name: "lib/a", content: "2"}, {name: "lib64", target: "lib"}}},
		{name: "aa", files: []file{{name: "bin/y", content: "aa"}, {name: "etc/link", target: "c"}, {name: "etc/deep/er/c", content: "c"}}},
	}
}

func writeAll(t *testing.T, all []made) []Package {
	t.Helper()
	var pkgs []Package
	for _, m := range all {
		pkgs = append(pkgs, m.write(t))
	}
	return pkgs
}

func TestADifferenceIsApplied(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	must(t, Install(t.Context(), writeAll(t, before()), prefix, Options{Cache: cache}))
	want := map[string]string{
		"bin/x": "644 a", "__clobbers__/b/bin/x": "644 b", "share/only/a": "644 1", "lib/a": "644 ", "lib64": "-> lib", "lib/b": "644 b",
		"was/a/folder": "644 x", "etc/c": "644 kept", "bin/y": "644 kept",
	}
	if diff := cmp.Diff(want, tree(t, prefix)); diff != "" {
		t.Fatal(diff)
	}
	must(t, os.WriteFile(filepath.Join(prefix, "share/only/mine"), []byte("mine"), 0o644))
	must(t, Install(t.Context(), writeAll(t, after()), prefix, Options{Cache: cache, Remove: []string{"a", "b"}}))
	want = map[string]string{
		"bin/x": "644 new a", "share/other/a": "644 2", "share/only/mine": "644 mine", "lib/a": "644 2", "lib64": "-> lib",
		"etc/c": "644 kept", "bin/y": "644 aa", "__clobbers__/kept/bin/y": "644 kept", "etc/link": "-> c", "etc/deep/er/c": "644 c",
	}
	if diff := cmp.Diff(want, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
	for _, gone := range []string{"was", "__clobbers__/b", changeDir} {
		if _, err := os.Stat(filepath.Join(prefix, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	history, err := os.ReadFile(filepath.Join(prefix, historyFile))
	must(t, err)
	if n := strings.Count(string(history), "==>"); n != 2 || !strings.Contains(string(history), "::b-1.0-0\n+") {
		t.Errorf("history: %s", history)
	}
	// What gave way comes back.
	must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: []string{"aa"}}))
	if got := tree(t, prefix)["bin/y"]; got != "644 kept" {
		t.Errorf("bin/y is %q", got)
	}
	record, err := os.ReadFile(filepath.Join(prefix, "conda-meta/kept-1.0-0.json"))
	must(t, err)
	if strings.Contains(string(record), "clobbers") || strings.Contains(string(record), "original_path") {
		t.Errorf("%s", record)
	}
	must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: []string{"a", "kept"}}))
	if diff := cmp.Diff(map[string]string{"share/only/mine": "644 mine"}, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

// Wherever a change is cut off, the prefix comes back as it was: before everything
// old was put aside, and with any part of what is new.
func TestAChangeThatWasCutOffIsUndone(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	must(t, Install(t.Context(), writeAll(t, before()), prefix, Options{Cache: cache}))
	cutOff(t, prefix, cache, after(), "a", "b")
}

// cutOff cuts off the change by which packages come and leave, everywhere.
func cutOff(t *testing.T, prefix, cache string, come []made, leave ...string) {
	t.Helper()
	want := whole(t, prefix)
	cut := func(steps func(l *prefixAt)) {
		t.Helper()
		l, err := openPrefix(prefix)
		must(t, err)
		defer l.close()
		unpacked, err := unpackAll(t.Context(), writeAll(t, come), cache)
		must(t, err)
		p, err := l.plan(unpacked, Options{Remove: leave})
		must(t, err)
		steps(&prefixAt{l, p})
		must(t, Recover(prefix))
		if diff := cmp.Diff(want, whole(t, prefix)); diff != "" {
			t.Fatalf("as it was -, after the undoing +\n%s", diff)
		}
	}
	var old int
	cut(func(at *prefixAt) { old = len(at.plan.Old) })
	for n := range old + 1 {
		cut(func(at *prefixAt) {
			c, err := begin(at.root, at.plan.journal)
			must(t, err)
			for i := old - 1; i >= n; i-- { // as if it had not come so far
				must(t, c.root.Rename(c.aside(i), filepath.FromSlash(c.Old[i])))
			}
		})
	}
	rng := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // repeatable on purpose
	for range 20 {
		cut(func(at *prefixAt) {
			c, err := begin(at.root, at.plan.journal)
			must(t, err)
			must(t, at.fill(t.Context(), at.plan, c, Options{}))
			for _, name := range at.plan.New {
				info, err := c.root.Lstat(filepath.FromSlash(name))
				must(t, err)
				if rng.IntN(3) == 0 && info.Mode().IsRegular() { // files may be reached through a symlink
					must(t, c.root.Remove(filepath.FromSlash(name)))
				}
			}
		})
	}
}

// prefixAt is a prefix with what is planned for it.
type prefixAt struct {
	*prefix
	plan *plan
}

// rattlers is the prefix that rattler can make of two packages, of which one has the
// symlink lib64 and the other files in a folder lib64: there is a folder.
func rattlers(t *testing.T) (prefix, cache string) {
	t.Helper()
	prefix, cache = filepath.Join(t.TempDir(), "env"), t.TempDir()
	must(t, Install(t.Context(), writeAll(t, []made{
		{name: "a", files: []file{{name: "lib/a", content: "a"}, {name: "lib64", target: "lib"}}},
		{name: "b", files: []file{{name: "lib64/b", content: "b"}, {name: "lib64/deep/b", content: "b"}}},
		{name: "c", files: []file{{name: "lib64/c", content: "c"}, {name: "lib64/deep/link", target: "c"}}},
	}), prefix, Options{Cache: cache}))
	at := func(name string) string { return filepath.Join(prefix, name) }
	must(t, os.MkdirAll(at("__clobbers__/a"), 0o755))
	must(t, os.Rename(at("lib64"), at("__clobbers__/a/lib64")))
	must(t, os.Mkdir(at("lib64"), 0o755))
	for _, name := range []string{"b", "c", "deep"} {
		must(t, os.Rename(at("lib/"+name), at("lib64/"+name)))
	}
	l, err := openPrefix(prefix)
	must(t, err)
	defer l.close()
	for i, p := range l.packages[0].paths {
		if p.Path == "lib64" {
			l.packages[0].paths[i].Path, l.packages[0].paths[i].Original = "__clobbers__/a/lib64", "lib64"
		}
	}
	must(t, l.rewriteRecord(l.packages[0], true, nil))
	return prefix, cache
}

func TestAFolderGivesWayToALink(t *testing.T) {
	prefix, cache := rattlers(t)
	come := []made{{name: "b", version: "2.0", files: []file{{name: "lib64/b", content: "new"}}}}
	mine := filepath.Join(prefix, "lib64/mine")
	must(t, os.WriteFile(mine, nil, 0o644))
	err := Install(t.Context(), writeAll(t, come), prefix, Options{Cache: cache, Remove: []string{"b"}})
	if err == nil || !strings.Contains(err.Error(), "lib64/mine is in the prefix already and belongs to no package") {
		t.Error(err)
	}
	must(t, os.Remove(mine))
	cutOff(t, prefix, cache, come, "b")
	must(t, Install(t.Context(), writeAll(t, come), prefix, Options{Cache: cache, Remove: []string{"b"}}))
	want := map[string]string{"lib/a": "644 a", "lib/b": "644 new", "lib/c": "644 c", "lib/deep/link": "-> c", "lib64": "-> lib"}
	if diff := cmp.Diff(want, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
	for _, record := range []string{"a", "c"} {
		text, err := os.ReadFile(filepath.Join(prefix, "conda-meta", record+"-1.0-0.json"))
		must(t, err)
		if strings.Contains(string(text), "clobbers") || strings.Contains(string(text), "original_path") {
			t.Errorf("%s", text)
		}
	}
	must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: []string{"a", "b", "c"}}))
	if diff := cmp.Diff(map[string]string{}, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

// Through a symlink that one package brings the files of two may be one: who comes last
// has it, as always, and what gives way comes back.
func TestOneFileUnderTwoNames(t *testing.T) {
	link := made{name: "link", files: []file{{name: "lib64", target: "lib"}, {name: "lib/link"}}}
	a := made{name: "a", files: []file{{name: "lib/x", content: "a"}}}
	b := made{name: "b", files: []file{{name: "lib64/x", content: "b"}, {name: "lib64/deep/b"}}}
	z := made{name: "z", files: []file{{name: "lib/x", content: "z"}}}
	for name, tt := range map[string]struct {
		first, then []made
		leave       []string
		want        map[string]string
		warning     string
	}{
		"both come": {
			nil,
			[]made{link, a, b},
			nil,
			map[string]string{"lib/x": "644 a", "__clobbers__/b/lib64/x": "644 b", "lib/deep/b": "644 "},
			"lib64/x of b-1.0-0 and lib/x of a-1.0-0 are one file here, where a folder is a symlink: that of a-1.0-0 is used",
		},
		"the other order": {
			nil,
			[]made{link, b, z},
			nil,
			map[string]string{"lib/x": "644 b", "__clobbers__/z/lib/x": "644 z", "lib/deep/b": "644 "},
			"lib/x of z-1.0-0 and lib64/x of b-1.0-0 are one file here",
		},
		"one is there and stays": {
			[]made{link, b}, []made{z}, nil, map[string]string{"lib/x": "644 b", "__clobbers__/z/lib/x": "644 z", "lib/deep/b": "644 "}, "lib/x of z-1.0-0 and",
		},
		"one is there and gives way": {
			[]made{link, b}, []made{a}, nil, map[string]string{"lib/x": "644 a", "__clobbers__/b/lib64/x": "644 b", "lib/deep/b": "644 "}, "lib64/x of b-1.0-0 and",
		},
		"the other name is there and gives way": {
			[]made{link, z}, []made{b}, nil, map[string]string{"lib/x": "644 b", "__clobbers__/z/lib/x": "644 z", "lib/deep/b": "644 "}, "lib/x of z-1.0-0 and",
		},
		"one leaves": {
			[]made{link, a, b}, nil, []string{"a"}, map[string]string{"lib/x": "644 b", "lib/deep/b": "644 "}, "",
		},
		"the symlink comes": {
			[]made{a, b}, []made{link}, nil, map[string]string{"lib/x": "644 a", "__clobbers__/b/lib64/x": "644 b", "lib/deep/b": "644 "}, "lib64/x of b-1.0-0 and",
		},
		"the symlink leaves": {
			[]made{link, a, b}, nil, []string{"link"}, map[string]string{"lib/x": "644 a", "lib64/x": "644 b", "lib64/deep/b": "644 "}, "",
		},
		"the symlink leaves, and the other has it": {
			[]made{link, b, z}, nil, []string{"link"}, map[string]string{"lib/x": "644 z", "lib64/x": "644 b", "lib64/deep/b": "644 "}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			prefix, cache, told := filepath.Join(t.TempDir(), "env"), t.TempDir(), ""
			if tt.first != nil {
				must(t, Install(t.Context(), writeAll(t, tt.first), prefix, Options{Cache: cache}))
				cutOff(t, prefix, cache, tt.then, tt.leave...)
			}
			must(t, Install(t.Context(), writeAll(t, tt.then), prefix, Options{Cache: cache, Remove: tt.leave, Warn: func(text string) { told += text }}))
			if len(tt.leave) == 0 || tt.leave[0] != "link" {
				tt.want["lib64"], tt.want["lib/link"] = "-> lib", "644 "
			}
			if diff := cmp.Diff(tt.want, tree(t, prefix)); diff != "" {
				t.Error(diff)
			}
			if !strings.HasPrefix(told, tt.warning) || tt.warning == "" && told != "" {
				t.Errorf("it says %q", told)
			}
			l, err := openPrefix(prefix)
			must(t, err)
			l.close()
			var names []string
			for _, i := range l.packages {
				names = append(names, i.name)
			}
			must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: names}))
			if diff := cmp.Diff(map[string]string{}, tree(t, prefix)); diff != "" {
				t.Errorf("after all have left: %s", diff)
			}
		})
	}
}

// A symlink becomes a folder: an undoing before it was put aside leaves it.
func TestALinkGivesWayToAFolder(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	must(t, Install(t.Context(), writeAll(t, []made{{name: "a", files: []file{{name: "lib/a"}, {name: "data", target: "nowhere"}}}}), prefix, Options{Cache: cache}))
	come := []made{{name: "a", version: "2.0", files: []file{{name: "lib/a"}, {name: "data/x"}}}}
	cutOff(t, prefix, cache, come, "a")
	must(t, Install(t.Context(), writeAll(t, come), prefix, Options{Cache: cache, Remove: []string{"a"}}))
	if diff := cmp.Diff(map[string]string{"lib/a": "644 ", "data/x": "644 "}, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

func TestAChangeThatHadEndedIsFinished(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	must(t, Install(t.Context(), writeAll(t, before()), prefix, Options{Cache: cache}))
	l, err := openPrefix(prefix)
	must(t, err)
	defer l.close()
	p, err := l.plan(nil, Options{Remove: []string{"a", "b"}})
	must(t, err)
	c, err := begin(l.root, p.journal)
	must(t, err)
	must(t, l.fill(t.Context(), p, c, Options{}))
	must(t, c.root.Rename(undoFile, doneFile))
	must(t, Recover(prefix))
	if diff := cmp.Diff(map[string]string{"etc/c": "644 kept", "bin/y": "644 kept"}, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(prefix, "was")); err == nil {
		t.Error("an empty folder is still there")
	}
}

// An empty folder is there as long as a package brings it, and no longer.
func TestFoldersThatPackagesBring(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	folder := func(name string) pathEntry { return pathEntry{Path: name, PathType: directory} }
	come := []made{
		{name: "a", files: []file{{name: "share/a/x"}, {name: "var/log/a"}}, listed: []pathEntry{folder("share/a/empty")}},
		{name: "kept", files: []file{{name: "etc/kept"}}, listed: []pathEntry{folder("var/log")}},
	}
	for _, step := range []struct {
		come        []made
		leave       []string
		there, gone []string
	}{
		{come, nil, []string{"share/a/empty", "var/log"}, nil},
		{[]made{{name: "a", version: "2.0", listed: []pathEntry{folder("share/a")}}}, []string{"a"}, []string{"share/a", "var/log"}, []string{"share/a/empty"}},
		{nil, []string{"a"}, []string{"var/log", "etc"}, []string{"share"}},
		{nil, []string{"kept"}, nil, []string{"var", "etc"}},
	} {
		must(t, Install(t.Context(), writeAll(t, step.come), prefix, Options{Cache: cache, Remove: step.leave}))
		for _, name := range step.there {
			if info, err := os.Stat(filepath.Join(prefix, name)); err != nil || !info.IsDir() {
				t.Errorf("without %q: %s is not there", step.leave, name)
			}
		}
		for _, name := range step.gone {
			if _, err := os.Stat(filepath.Join(prefix, name)); err == nil {
				t.Errorf("without %q: %s is still there", step.leave, name)
			}
		}
	}
}

// What was put aside is brought back, also where its folder is gone meanwhile.
func TestAFolderIsGoneBeforeTheUndoing(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	must(t, Install(t.Context(), writeAll(t, before()), prefix, Options{Cache: cache}))
	want := whole(t, prefix)
	l, err := openPrefix(prefix)
	must(t, err)
	defer l.close()
	p, err := l.plan(nil, Options{Remove: []string{"a", "b"}})
	must(t, err)
	_, err = begin(l.root, p.journal)
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(prefix, "was")))
	must(t, Recover(prefix))
	if diff := cmp.Diff(want, whole(t, prefix)); diff != "" {
		t.Errorf("as it was -, after the undoing +\n%s", diff)
	}
}

// A file that the user has removed is in nobody's way: it cannot be moved, and need not be.
func TestAFileThatGivesWayIsGone(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	must(t, Install(t.Context(), writeAll(t, before()), prefix, Options{Cache: cache}))
	must(t, os.Remove(filepath.Join(prefix, "bin/y"))) // of kept, and in after of aa as well
	must(t, Install(t.Context(), writeAll(t, after()), prefix, Options{Cache: cache, Remove: []string{"a", "b"}}))
	if got := tree(t, prefix)["bin/y"]; got != "644 aa" {
		t.Errorf("bin/y is %q", got)
	}
	must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: []string{"aa"}}))
	must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: []string{"a", "kept"}}))
	if diff := cmp.Diff(map[string]string{}, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

// An error in the middle is no change: here that of a link script.
func TestAChangeThatFailsIsUndone(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	failing := made{name: "failing", files: []file{{name: "bin/.failing-post-link.sh", content: "exit 1", mode: 0o755}}}
	ran := false
	o := Options{Cache: cache, LinkScripts: true, Run: func(_ context.Context, c Command) error {
		ran = true
		_, err := os.Stat(filepath.Join(c.Dir, "bin/.failing-post-link.sh"))
		return errors.Join(err, errors.New("exit status 1"))
	}}
	err := Install(t.Context(), writeAll(t, append(before(), failing)), prefix, o)
	if err == nil || !ran || !strings.Contains(err.Error(), "the post-link script of failing-1.0-0: exit status 1") {
		t.Error(ran, err)
	}
	if left, err := os.ReadDir(prefix); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
	must(t, Install(t.Context(), writeAll(t, before()), prefix, Options{Cache: cache}))
	want := whole(t, prefix)
	o.Remove = []string{"a", "b"}
	if err := Install(t.Context(), writeAll(t, append(after(), failing)), prefix, o); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff(want, whole(t, prefix)); diff != "" {
		t.Errorf("as it was -, after the undoing +\n%s", diff)
	}
}

// The winners are those of rattler, asked in 2026 with these packages.
func TestWhoHasAPath(t *testing.T) {
	all := map[string]member{
		"aa": {paths: []pathEntry{{Path: "x"}}},
		"bb": {paths: []pathEntry{{Path: "x"}, {Path: "y"}}},
		"cc": {paths: []pathEntry{{Path: "x"}}, depends: []string{"aa >=1"}},
		"dd": {paths: []pathEntry{{Path: "y"}}},
		"a0": {paths: []pathEntry{{Path: "x"}}, depends: []string{"bb"}},
	}
	for _, tt := range []struct{ members, order, moved string }{
		{"aa bb", "bb aa", "bb:x"},
		{"bb aa", "bb aa", "bb:x"},
		{"aa cc", "aa cc", "aa:x"},
		{"bb a0", "bb a0", "bb:x"},
		{"aa bb cc", "aa cc bb", "aa:x cc:x"},
		{"aa bb cc a0 dd", "dd aa cc bb a0", "dd:y aa:x cc:x bb:x"},
	} {
		var members []*member
		for name := range strings.FieldsSeq(tt.members) {
			m := all[name]
			m.name, m.paths = name, append([]pathEntry{}, m.paths...)
			members = append(members, &m)
		}
		var order, moved []string
		sorted := inOrder(members)
		for _, m := range sorted {
			order = append(order, m.name)
		}
		moves, _, err := layout(sorted, nil)
		must(t, err)
		for _, m := range moves {
			moved = append(moved, m.of.name+":"+m.at.Path)
			if m.to != fmt.Sprintf("__clobbers__/%s/%s", m.of.name, m.at.Path) {
				t.Errorf("it goes to %s", m.to)
			}
		}
		if got := strings.Join(order, " "); got != tt.order {
			t.Errorf("%s: in order %s", tt.members, got)
		}
		if got := strings.Join(moved, " "); got != tt.moved {
			t.Errorf("%s: moved %s", tt.members, got)
		}
	}
}

func TestCirclesHaveAnOrder(t *testing.T) {
	members := []*member{{name: "pip", depends: []string{"python"}}, {name: "python", depends: []string{"pip", "lib"}}, {name: "lib"}, {name: "self", depends: []string{"self"}}}
	var names []string
	for _, m := range inOrder(members) {
		names = append(names, m.name)
	}
	if got := strings.Join(names, " "); got != "self lib python pip" {
		t.Error(got)
	}
}
