package env_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// channelWith is a channel that has these objects.
func channelWith(t *testing.T, objects map[string]string) (env.Channel, *mem.Store) {
	t.Helper()
	s := &mem.Store{}
	for key, text := range objects {
		if _, err := s.Put(t.Context(), key, strings.NewReader(text), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return env.Channel{URL: "s3://bucket/channel", Reader: s}, s
}

// exporting is a package on disk with this info/run_exports.json.
func exporting(t *testing.T, runExports string) string {
	t.Helper()
	files := map[string]string{"share/lib": "1.0"}
	if runExports != "" {
		files["info/run_exports.json"] = runExports
	}
	return condatest.Write(t, "lib-1.0-0.conda", condatest.Index("lib", "1.0", 0, "linux-64"), files)
}

func TestExportsAreKnownWithoutThePackage(t *testing.T) {
	record := conda.Record{Name: "lib", Version: "1.0", Build: "0", FileName: "lib-1.0-0.conda", Subdir: "linux-64", Channel: "s3://bucket/channel"}
	said := record
	said.RunExports = []byte(`["lib >=1.0"]`)
	for name, tt := range map[string]struct {
		record conda.Record
		file   string
		want   conda.Exports
		reads  int
	}{
		"the record says":           {said, `{}`, conda.Exports{Weak: []string{"lib >=1.0"}}, 0},
		"run_exports.json says":     {record, `{"packages.conda":{"lib-1.0-0.conda":{"run_exports":{"strong":["lib >=1"],"new":["x"]}}}}`, conda.Exports{Strong: []string{"lib >=1"}}, 2},
		"run_exports.json says: no": {record, `{"packages.conda":{"lib-1.0-0.conda":{"run_exports":{}}}}`, conda.Exports{}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := channelWith(t, map[string]string{"linux-64/run_exports.json": tt.file})
			e := env.Exporters{Request: env.Request{Channels: []env.Channel{c}, Cache: t.TempDir()}}
			for range 2 {
				got, err := e.Of(t.Context(), tt.record)
				if err != nil || cmp.Diff(got, tt.want) != "" {
					t.Fatalf("got %+v, %v", got, err)
				}
			}
			if got := s.Counts()["get"]; got != tt.reads {
				t.Errorf("%d reads", got)
			}
		})
	}
}

func TestExportsOfPackagesThatNoIndexKnows(t *testing.T) {
	for _, tt := range []struct {
		packed string
		want   conda.Exports
	}{
		{`{"weak":["lib >=1.0,<2.0a0"],"weak_constrains":["old <1"]}`, conda.Exports{Weak: []string{"lib >=1.0,<2.0a0"}, WeakConstrains: []string{"old <1"}}},
		{"", conda.Exports{}},
	} {
		path := exporting(t, tt.packed)
		record := conda.Record{Name: "lib", Version: "1.0", Build: "0", FileName: filepath.Base(path), Subdir: "linux-64"}
		e := env.Exporters{Request: env.Request{Local: []install.Package{{Path: path, Record: record}}}}
		if got, err := e.Of(t.Context(), record); err != nil || cmp.Diff(got, tt.want) != "" {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

// Of an old package the file is the last one.
func TestExportsOfAnOldPackage(t *testing.T) {
	record := conda.Record{Name: "late", Version: "2.0", Build: "0", FileName: "late-2.0-0.tar.bz2", Subdir: "noarch"}
	e := env.Exporters{Request: env.Request{Local: []install.Package{{Path: "testdata/late-2.0-0.tar.bz2", Record: record}}}}
	if got, err := e.Of(t.Context(), record); err != nil || cmp.Diff(got, conda.Exports{Weak: []string{"late >=2"}}) != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Without a network nothing but the cache is asked, where the package lies.
func TestExportsWithoutANetwork(t *testing.T) {
	s := &mem.Store{}
	if _, err := indexer.Publish(t.Context(), s, indexer.Package{Path: exporting(t, `["lib >=1"]`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "linux-64/repodata_shards.msgpack.zst"); err != nil { // which say it as well
		t.Fatal(err)
	}
	r := request(t, []string{"lib"}, env.Channel{URL: "s3://bucket/channel", Reader: s})
	create(t, r)
	r.Channels[0].Reader, r.Channels[0].Offline = store.Offline{}, true
	records, err := env.Solve(t.Context(), r)
	if err != nil || len(records) != 1 || records[0].RunExports != nil {
		t.Fatal(records, err)
	}
	e := env.Exporters{Request: r}
	got, err := e.Of(t.Context(), records[0])
	if diff := cmp.Diff(conda.Exports{Weak: []string{"lib >=1"}}, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
}

func TestBrokenExportsNameThePackage(t *testing.T) {
	record := conda.Record{Name: "lib", Version: "1.0", Build: "0", FileName: "lib-1.0-0.conda", Subdir: "linux-64", Channel: "s3://bucket/channel"}
	for file, want := range map[string]string{
		`{"packages.conda":{"lib-1.0-0.conda":{"run_exports":{"weak":["lib >>1"]}}}}`: "lib >>1",
		`{"packages.conda":{"lib-1.0-0.conda":{"run_exports":{"weak":"lib"}}}}`:       "run_exports",
		`{"packages.conda":`: "read linux-64/run_exports.json of channel s3://bucket/channel",
	} {
		c, _ := channelWith(t, map[string]string{"linux-64/run_exports.json": file})
		e := env.Exporters{Request: env.Request{Channels: []env.Channel{c}}}
		_, err := e.Of(t.Context(), record)
		if err == nil || !strings.Contains(err.Error(), "lib 1.0 0 from s3://bucket/channel") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// A channel that we index says in its shards what packages export: nothing else
// is read for it.
func TestShardsSayWhatPackagesExport(t *testing.T) {
	s := &mem.Store{}
	if _, err := indexer.Publish(t.Context(), s, indexer.Package{Path: exporting(t, `["lib >=1"]`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
		t.Fatal(err)
	}
	r := request(t, []string{"lib"}, env.Channel{URL: "s3://bucket/channel", Reader: s})
	records, err := env.Solve(t.Context(), r)
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	before := s.Counts()["get"]
	e := env.Exporters{Request: r}
	got, err := e.Of(t.Context(), records[0])
	if diff := cmp.Diff(conda.Exports{Weak: []string{"lib >=1"}}, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	if n := s.Counts()["get"] - before; n != 0 {
		t.Errorf("%d reads", n)
	}
}
