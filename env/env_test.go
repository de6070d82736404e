package env_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/env/solve"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// pkg is a package of a channel: name version depends…
type pkg struct {
	name, version, subdir string
	depends               []string
}

func (p pkg) file() string { return p.name + "-" + p.version + "-0.conda" }

func (p pkg) write(t *testing.T) string {
	t.Helper()
	in := condatest.Index(p.name, p.version, 0, p.subdir)
	in["depends"] = append([]string{}, p.depends...) // no null, which no index takes
	return condatest.Write(t, p.file(), in, map[string]string{"share/" + p.name: p.version})
}

// channel is an indexed folder channel of these packages.
func channel(t *testing.T, packages ...pkg) env.Channel {
	t.Helper()
	root := t.TempDir()
	s := dir.Open(root)
	for _, p := range packages {
		if _, err := indexer.Publish(t.Context(), s, indexer.Package{Path: p.write(t)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
		t.Fatal(err)
	}
	return env.Channel{URL: root, Reader: s}
}

func request(t *testing.T, specs []string, channels ...env.Channel) env.Request {
	t.Helper()
	return env.Request{Prefix: filepath.Join(t.TempDir(), "prefix"), Specs: specs, Channels: channels, Subdir: "linux-64", Cache: t.TempDir()}
}

// create returns what was installed as "name version", in order.
func create(t *testing.T, r env.Request) []string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("packages are installed on Unix")
	}
	records, err := env.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rec := range records {
		got = append(got, rec.Name+" "+rec.Version)
		text, err := os.ReadFile(filepath.Join(r.Prefix, "share", rec.Name)) //nolint:gosec // ours
		if err != nil || string(text) != rec.Version {
			t.Errorf("share/%s is %q, %v, want %s", rec.Name, text, err, rec.Version)
		}
		if _, err := os.Stat(filepath.Join(r.Prefix, "conda-meta", rec.Name+"-"+rec.Version+"-0.json")); err != nil {
			t.Error(err)
		}
	}
	return got
}

func TestDependenciesComeFirst(t *testing.T) {
	c := channel(t,
		pkg{"app", "1.0", "linux-64", []string{"lib >=2", "data"}}, pkg{"lib", "1.0", "linux-64", nil},
		pkg{"lib", "2.0", "linux-64", []string{"data"}}, pkg{"data", "7", "noarch", nil}, pkg{"app", "9", "win-64", nil})
	if got := create(t, request(t, []string{"app"}, c)); !slices.Equal(got, []string{"data 7", "lib 2.0", "app 1.0"}) {
		t.Errorf("installed %q", got)
	}
}

func TestTheFirstChannelThatHasANameWins(t *testing.T) {
	first, second := channel(t, pkg{"tool", "1.0", "linux-64", nil}), channel(t, pkg{"tool", "2.0", "linux-64", nil}, pkg{"other", "3", "linux-64", nil})
	if got := create(t, request(t, []string{"tool", "other"}, first, second)); !slices.Equal(got, []string{"other 3", "tool 1.0"}) {
		t.Errorf("installed %q", got)
	}
	if got := create(t, request(t, []string{"tool"}, second, first)); !slices.Equal(got, []string{"tool 2.0"}) {
		t.Errorf("installed %q", got)
	}
}

func TestAnArchiveOnDiskComesBeforeEveryChannel(t *testing.T) {
	c := channel(t, pkg{"tool", "9.0", "linux-64", nil}, pkg{"lib", "1", "linux-64", nil})
	mine := pkg{"tool", "1.0", "linux-64", []string{"lib"}}
	r := request(t, []string{"tool"}, c)
	local := install.Package{Path: mine.write(t)}
	local.Record.Name, local.Record.Version, local.Record.Build = "tool", "1.0", "0"
	local.Record.Subdir, local.Record.FileName, local.Record.Depends = "linux-64", mine.file(), mine.depends
	r.Local = []install.Package{local}
	if got := create(t, r); !slices.Equal(got, []string{"lib 1", "tool 1.0"}) {
		t.Errorf("installed %q", got)
	}
}

func TestAnOldChannelHasNoCompressedIndex(t *testing.T) {
	c := channel(t, pkg{"tool", "1.0", "linux-64", nil})
	for _, key := range []string{"linux-64/repodata.json.zst", "linux-64/repodata_shards.msgpack.zst"} {
		if err := c.Reader.(store.Store).Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if got := create(t, request(t, []string{"tool"}, c)); len(got) != 1 {
		t.Errorf("installed %q", got)
	}
}

func TestNoSpecsReadNothing(t *testing.T) {
	r := request(t, nil, env.Channel{URL: "broken", Reader: broken{}})
	if records, err := env.Create(t.Context(), r); err != nil || records != nil {
		t.Error(records, err)
	}
	if _, err := os.Stat(r.Prefix); err == nil {
		t.Error("a prefix was made")
	}
}

type broken struct{}

func (broken) Get(context.Context, string, int64, int64) (io.ReadCloser, store.Info, error) {
	return nil, store.Info{}, errors.New("the network is gone")
}

func TestErrorsNameTheChannel(t *testing.T) {
	empty := t.TempDir()
	tool := channel(t, pkg{"tool", "1.0", "linux-64", []string{"gone"}})
	for name, tt := range map[string]struct {
		specs   []string
		channel env.Channel
		says    []string
	}{
		"network":       {[]string{"tool"}, env.Channel{URL: "https://conda.example/x", Reader: broken{}}, []string{"https://conda.example/x", "the network is gone"}},
		"not there":     {[]string{"tool"}, env.Channel{URL: "/no/such", Reader: dir.Open("/no/such")}, []string{"/no/such"}},
		"not a channel": {[]string{"tool"}, env.Channel{URL: empty, Reader: dir.Open(empty)}, []string{empty, "reindex it"}},
		"no package":    {[]string{"toll"}, tool, []string{"toll"}},
		"no dependency": {[]string{"tool"}, tool, []string{"gone"}},
		"no spec":       {[]string{"tool >="}, tool, []string{`"tool >="`}},
	} {
		_, err := env.Create(t.Context(), request(t, tt.specs, tt.channel))
		for _, want := range tt.says {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	missing := channel(t, pkg{"tool", "1.0", "linux-64", nil})
	if err := os.Remove(filepath.Join(missing.URL, "linux-64", "tool-1.0-0.conda")); err != nil {
		t.Fatal(err)
	}
	_, err := env.Create(t.Context(), request(t, []string{"tool"}, missing))
	if err == nil || !strings.Contains(err.Error(), "fetch linux-64/tool-1.0-0.conda from "+missing.URL) || !strings.Contains(err.Error(), "though the index names it: reindex the channel") {
		t.Error(err)
	}
	_, err = env.Create(t.Context(), request(t, []string{"tool"}, tool))
	if _, ok := errors.AsType[*solve.UnsolvableError](err); !ok {
		t.Errorf("%T", err)
	}
}

func TestOtherBytesThanTheIndexSaysAreRefused(t *testing.T) {
	p := pkg{"tool", "1.0", "linux-64", nil}
	c := channel(t, p)
	other := p
	other.depends = []string{"changed"}
	text, err := os.ReadFile(other.write(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reader.(store.Store).Put(t.Context(), "linux-64/"+p.file(), bytes.NewReader(text), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	r := request(t, []string{"tool"}, c)
	_, err = env.Create(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), "reindex the channel") || !strings.Contains(err.Error(), p.file()) {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(r.Cache, "archives", "*", "*")); len(left) > 0 {
		t.Errorf("%v is left in the cache", left)
	}
	if _, err := os.Stat(r.Prefix); err == nil {
		t.Error("a prefix was made")
	}
}

// A copied channel's records may name another subdir than the one they lie in.
func TestAnArchiveLiesBesideItsIndex(t *testing.T) {
	c := channel(t, pkg{"tool", "1.0", "noarch", nil})
	s := c.Reader.(store.Store)
	if err := s.Delete(t.Context(), "noarch/repodata_shards.msgpack.zst"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"noarch/repodata.json.zst", "noarch/repodata.json"} {
		body, _, err := s.Get(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close(), s.Delete(t.Context(), name)); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		text = bytes.ReplaceAll(text, []byte(`"noarch"`), []byte(`"../elsewhere"`))
		if _, err := s.Put(t.Context(), name, bytes.NewReader(text), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := create(t, request(t, []string{"tool"}, c)); len(got) != 1 {
		t.Errorf("installed %q", got)
	}
}

func TestWithoutANetworkTheCacheIsEnough(t *testing.T) {
	c := channel(t, pkg{"tool", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil}, pkg{"other", "1.0", "linux-64", nil})
	r := request(t, []string{"tool"}, c)
	create(t, r)
	r.Channels[0].Reader, r.Channels[0].Offline = store.Offline{}, true
	r.Prefix = filepath.Join(t.TempDir(), "again")
	if got := create(t, r); len(got) != 2 {
		t.Errorf("installed %q", got)
	}
	r.Specs, r.Prefix = []string{"other"}, filepath.Join(t.TempDir(), "more")
	if _, err := env.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "run once without --offline") {
		t.Error(err)
	}
}
