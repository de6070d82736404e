package env_test

import (
	"crypto/md5" //nolint:gosec // what old lists have
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
)

// Packages of a list need no index; what is compared is the hash of the list.
func TestExplicitPackages(t *testing.T) {
	c := channel(t, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil})
	sumOf := func(file string) string {
		text, err := os.ReadFile(filepath.Join(c.URL, file))
		if err != nil {
			t.Fatal(err)
		}
		sum := md5.Sum(text) //nolint:gosec // as above
		return hex.EncodeToString(sum[:])
	}
	list := "@EXPLICIT\n" + c.URL + "/linux-64/app-1.0-0.conda#" + sumOf("linux-64/app-1.0-0.conda") + "\n" + c.URL + "/noarch/lib-1.0-0.conda\n"
	records, err := conda.ParseExplicit(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []string{"linux-64/repodata.json", "linux-64/repodata.json.zst", "noarch/repodata.json", "noarch/repodata.json.zst"} {
		if err := os.Remove(filepath.Join(c.URL, index)); err != nil {
			t.Fatal(err)
		}
	}
	r := request(t, nil, c)
	r.Explicit = records
	create(t, r)
	installed, err := env.Installed(r.Prefix)
	if err != nil || len(installed) != 2 || installed[0].Name != "app" || len(installed[0].Depends) != 1 || installed[0].SHA256 == "" {
		t.Errorf("%+v %v", installed, err)
	}
	history, err := os.ReadFile(filepath.Join(r.Prefix, "conda-meta", "history"))
	if err != nil || strings.Index(string(history), "lib-1.0-0") > strings.Index(string(history), "app-1.0-0") {
		t.Errorf("lib comes first: %s %v", history, err)
	}
	create(t, r)
	r.Prefix = filepath.Join(t.TempDir(), "lying")
	r.Cache = t.TempDir()
	r.Explicit[0].MD5 = strings.Repeat("0", 32)
	if _, err := env.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "fetch linux-64/app-1.0-0.conda") || !strings.Contains(err.Error(), "its md5 is") || !strings.HasSuffix(err.Error(), ": correct the hash in the list") {
		t.Error(err)
	}
	if _, err := os.Stat(r.Prefix); err == nil {
		t.Error("the prefix was made")
	}
}
