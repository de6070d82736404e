package indexer

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/store/mem"
)

// build is one package of a channel in memory.
func putBuild(t *testing.T, s *mem.Store, name, version, subdir string, timestamp int64, files map[string]string) {
	t.Helper()
	file := name + "-" + version + "-0.conda"
	index := condatest.Index(name, version, 0, subdir)
	index["timestamp"] = timestamp
	index["license"] = "MIT"
	putRaw(t, s, subdir+"/"+file, readFile(t, condatest.Write(t, file, index, files)))
}

type channelDataText struct {
	Subdirs  []string
	Packages map[string]map[string]any
}

func channelDataOf(t *testing.T, s *mem.Store) (d channelDataText) {
	t.Helper()
	if err := json.Unmarshal(stored(t, s, channelDataName), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestChannelData(t *testing.T) {
	s := &mem.Store{}
	about := `{"home": "https://blender.org", "summary": "3D <suite> & more", "doc_url": ["https://docs", "b"], "tags": ["x"], "description": ["of", "another", "kind"]}`
	putBuild(t, s, "blender", "4.9", "linux-64", 1600000000000, map[string]string{"info/about.json": `{"summary": "old"}`, "info/run_exports.json": `{"weak": ["blender 4.9.*"]}`})
	putBuild(t, s, "blender", "4.10", "linux-64", 1700000000000, map[string]string{"info/about.json": about, "etc/conda/activate.d/x.sh": "", "bin/.blender-post-link.sh": ""})
	putBuild(t, s, "blender", "4.2", "win-64", 1800000000000, nil)
	putBuild(t, s, "other", "1.0", "linux-64", 1500000000000, map[string]string{"info/about.json": "no JSON"})

	reindexOK(t, s, Options{})
	if _, _, err := s.Get(t.Context(), channelDataName, 0, 0); !notThere(err) {
		t.Fatalf("written without being asked for: %v", err)
	}
	reindexOK(t, s, Options{ChannelData: true, RSS: true, URL: "s3://studio/Conda"})
	d := channelDataOf(t, s)
	got := d.Packages["blender"]
	want := map[string]any{
		"version": "4.10", "summary": "3D <suite> & more", "home": "https://blender.org", "doc_url": []any{"https://docs", "b"}, "tags": []any{"x"},
		"license": "MIT", "reference_package": "linux-64/blender-4.10-0.conda", "subdirs": []any{"linux-64", "win-64"}, "timestamp": 1.8e9,
		"run_exports": map[string]any{"4.9": map[string]any{"weak": []any{"blender 4.9.*"}}},
		"activate.d":  true, "post_link": true, "deactivate.d": false, "pre_link": false, "pre_unlink": false, "binary_prefix": false, "text_prefix": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"linux-64", "noarch", "win-64"}, d.Subdirs); diff != "" {
		t.Error(diff)
	}
	if d.Packages["other"]["version"] != "1.0" {
		t.Errorf("other: %v", d.Packages["other"])
	}
	var feed rssFeed
	if err := xml.Unmarshal(stored(t, s, rssName), &feed); err != nil {
		t.Fatal(err)
	}
	if len(feed.Channel.Items) != 2 || feed.Channel.Title != "Conda" || feed.Channel.Items[0].Title != "blender 4.10 [linux-64, win-64]" ||
		feed.Channel.Items[0].Link != "https://docs" || feed.Channel.Items[0].PubDate != "Fri, 15 Jan 2027 08:00:00 +0000" {
		t.Errorf("%+v", feed.Channel)
	}
}

func TestChannelDataIsKeptAndCostsOneLook(t *testing.T) {
	s := &mem.Store{}
	for _, name := range []string{"a", "b", "c"} {
		putBuild(t, s, name, "1.0", "linux-64", 1700000000000, nil)
	}
	reindexOK(t, s, Options{ChannelData: true})
	if _, _, puts := requests(s, func() { reindexOK(t, s, Options{}) }); puts != 0 {
		t.Errorf("no change: %d puts", puts)
	}
	if r, err := Reindex(t.Context(), s, Options{Check: true}); err != nil || r.Stale != nil {
		t.Errorf("%v %v", r.Stale, err)
	}
	publishOK(t, s, condatest.Write(t, "d-1.0-0.conda", condatest.Index("d", "1.0", 0, "linux-64"), map[string]string{"info/about.json": `{"summary": "D"}`}))
	if r, err := Reindex(t.Context(), s, Options{Check: true}); err != nil || !cmp.Equal(r.Subdirs[0].Added, []string{"d-1.0-0.conda"}) {
		t.Errorf("%+v %v", r, err)
	}
	reindexOK(t, s, Options{})
	if d := channelDataOf(t, s); d.Packages["d"]["summary"] != "D" || len(d.Packages) != 4 {
		t.Errorf("%v", d.Packages)
	}
	var kept abouts
	text, err := archive.Unzstd(stored(t, s, aboutsName), 1<<20)
	if err != nil || json.Unmarshal(text, &kept) != nil || len(kept) != 4 {
		t.Errorf("%s %v", text, err)
	}
}

// One package that cannot be read leaves the rest as it is, and is asked again.
func TestChannelDataOfAPackageThatCannotBeRead(t *testing.T) {
	s := &mem.Store{}
	for _, name := range []string{"a", "b"} {
		publishOK(t, s, condatest.Write(t, name+"-1.0-0.conda", condatest.Index(name, "1.0", 0, "linux-64"), map[string]string{"info/about.json": `{"summary": "` + name + `"}`}))
	}
	reindexOK(t, s, Options{})
	reindexOK(t, refusing{s, "linux-64/a-1.0-0.conda"}, Options{ChannelData: true})
	if d := channelDataOf(t, s); d.Packages["a"]["version"] != "1.0" || d.Packages["a"]["summary"] != nil || d.Packages["b"]["summary"] != "b" {
		t.Errorf("%v", d.Packages)
	}
	publishOK(t, s, simple(t, "c"))
	reindexOK(t, s, Options{})
	if d := channelDataOf(t, s); d.Packages["a"]["summary"] != "a" {
		t.Errorf("once it can be read: %v", d.Packages)
	}
}

const patchText = `{"patch_instructions_version": 1, "packages.conda": {"a-1.0-0.conda": {"license": "patched"}}, "remove": [], "revoke": []}`

func TestReadPatches(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "odd [name]*")
	if err := os.MkdirAll(filepath.Join(folder, "linux-64"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "linux-64", patchName)
	if err := os.WriteFile(file, []byte(patchText), 0o600); err != nil {
		t.Fatal(err)
	}
	pack := condatest.Write(t, "studio-repodata-patches-1.0-0.conda", condatest.Index("studio-repodata-patches", "1.0", 0, "noarch"), map[string]string{"linux-64/" + patchName: patchText, "noarch/" + patchName: `{}`, "linux_64/" + patchName: `{}`, "a/b/" + patchName: `{}`, patchName: `{}`, "readme": "x"})
	for from, subdirs := range map[string][]string{folder: nil, file: {"linux-64"}, pack: nil} {
		got, err := ReadPatches(from, subdirs)
		if err != nil || string(got["linux-64"]) != patchText {
			t.Errorf("%s: %q %v", from, got, err)
		}
		if _, found := got["linux_64"]; found != (from == pack) || found && len(got) != 3 { // a misspelt one is for the caller to find
			t.Errorf("%s: %q", from, got)
		}
	}
	broken := makeFile(t, "patch.json", `{"packages": {]}`)
	empty := condatest.Write(t, "empty-1.0-0.conda", condatest.Index("empty", "1.0", 0, "noarch"), nil)
	for from, want := range map[string]string{
		broken: "linux-64/patch_instructions.json", empty: "it has no <subdir>/patch_instructions.json",
		makeFile(t, "gen_patch.py", ""): "has to be run first", filepath.Join(folder, "none"): "no such file",
	} {
		if _, err := ReadPatches(from, []string{"linux-64"}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Base(from)) {
			t.Errorf("%s: %v", from, err)
		}
	}
	if _, err := ReadPatches(file, nil); err == nil || !strings.Contains(err.Error(), "--subdir") {
		t.Errorf("%v", err)
	}
}

func TestGivenPatchesHold(t *testing.T) {
	s := &mem.Store{}
	putBuild(t, s, "a", "1.0", "linux-64", 1700000000000, nil)
	reindexOK(t, s, Options{Patches: map[string][]byte{"linux-64": []byte(patchText)}})
	for range 2 {
		if got := indexed(t, s, "linux-64")["a-1.0-0.conda"].License; got != "patched" {
			t.Errorf("license %s", got)
		}
		reindexOK(t, s, Options{})
	}
	reindexOK(t, s, Options{Patches: map[string][]byte{"linux-64": []byte(`{}`)}})
	if got := indexed(t, s, "linux-64")["a-1.0-0.conda"].License; got != "MIT" {
		t.Errorf("license %s after instructions without any", got)
	}
}
