package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var stamp = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func tarOf(t testing.TB, members ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		body := ""
		if h.Typeflag == tar.TypeReg {
			body = "content of " + h.Name
		}
		h.Size, h.ModTime = int64(len(body)), stamp
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func fetch(t testing.TB, name string, data []byte, s Spec) (string, Result, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.URLs, s.Archive = []string{"https://vendor.example/" + name}, file
	work := filepath.Join(dir, "work")
	r, err := Fetch(t.Context(), s, work, Options{Download: filepath.Join(dir, "dl")})
	return work, r, err
}

func files(t testing.TB, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, name)
		switch {
		case err != nil:
			return err
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			all[rel] = "-> " + target
			return err
		case d.Type().IsRegular():
			st, err := d.Info()
			all[rel] = fmt.Sprint(st.Mode().Perm(), " ", st.Size())
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestUnpackLiftsTheTopFolder(t *testing.T) {
	members := []tar.Header{
		{Name: "app-1.0/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "app-1.0/bin/app", Mode: 0o4755},
		{Name: "./app-1.0/lib/a.so"},
		{Name: "app-1.0/lib/b.so", Typeflag: tar.TypeSymlink, Linkname: "a.so"},
		{Name: "app-1.0/lib/c.so", Typeflag: tar.TypeLink, Linkname: "app-1.0/lib/a.so"},
		{Name: "app-1.0/up", Typeflag: tar.TypeSymlink, Linkname: "lib/../bin"},
	}
	want := map[string]string{
		"bin/app": "-rwxr-xr-x 26", "lib/a.so": "-rw-r--r-- 29", "lib/b.so": "-> a.so", "lib/c.so": "-rw-r--r-- 29", "up": "-> lib/../bin",
	}
	for name, data := range map[string][]byte{"a.tar": tarOf(t, members...), "a.tar.gz": gz(t, tarOf(t, members...)), "a.tgz": gz(t, tarOf(t, members...))} {
		work, r, err := fetch(t, name, data, Spec{Folder: "x/app"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, files(t, filepath.Join(work, "x", "app"))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !r.Newest.Equal(stamp) || r.Files != 5 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	work, _, err := fetch(t, "a.tar", tarOf(t, members...), Spec{NoHoist: true})
	if got := files(t, work); err != nil || got["app-1.0/bin/app"] == "" {
		t.Errorf("%v %v", got, err)
	}
}

func TestZip(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range []struct {
		name, body string
		mode       fs.FileMode
	}{{"a/x", "xx", 0o755}, {"b/y", "yyy", 0o644}, {"b/l", "y", fs.ModeSymlink | 0o777}} {
		h := &zip.FileHeader{Name: m.name, Modified: stamp, Method: zip.Deflate}
		h.SetMode(m.mode)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(m.body))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	work, _, err := fetch(t, "a.zip", b.Bytes(), Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a/x": "-rwxr-xr-x 2", "b/y": "-rw-r--r-- 3", "b/l": "-> y"}, files(t, work)); diff != "" {
		t.Error(diff)
	}
}

func TestHostileMembersAreRefusedByName(t *testing.T) {
	deep := strings.Repeat("d/", 70) + "f"
	for name, members := range map[string][]tar.Header{
		"../evil":     {{Name: "../evil"}},
		"a/../../e":   {{Name: "a/../../e"}},
		"/etc/evil":   {{Name: "/etc/evil"}},
		`C:\\evil`:    {{Name: `C:\evil`}},
		"abs":         {{Name: "abs", Typeflag: tar.TypeSymlink, Linkname: "/etc"}},
		"up":          {{Name: "up", Typeflag: tar.TypeSymlink, Linkname: "../.."}},
		"hard":        {{Name: "hard", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
		"none":        {{Name: "none", Typeflag: tar.TypeLink, Linkname: "missing"}},
		"fifo":        {{Name: "fifo", Typeflag: tar.TypeFifo}},
		"dev":         {{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}},
		"through":     {{Name: "through", Typeflag: tar.TypeSymlink, Linkname: "."}, {Name: "through/x"}},
		"d/l":         {{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "."}, {Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "../x"}},
		"twice":       {{Name: "twice", Typeflag: tar.TypeSymlink, Linkname: "y"}, {Name: "twice"}},
		"folders dee": {{Name: deep}},
	} {
		work, _, err := fetch(t, "a.tar.gz", gz(t, tarOf(t, members...)), Spec{Folder: "f"})
		if err == nil || !strings.Contains(err.Error(), "a.tar.gz") || !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "through") && !strings.Contains(err.Error(), `"d"`) {
			t.Errorf("%s: %v", name, err)
		}
		if got := files(t, work); len(got) != 0 {
			t.Errorf("%s left %v", name, got)
		}
	}
}

func TestCutArchivesAreErrors(t *testing.T) {
	whole := gz(t, tarOf(t, tar.Header{Name: "a"}, tar.Header{Name: "b"}, tar.Header{Name: "c"}))
	for _, n := range []int{0, 5, len(whole) / 2, len(whole) - 9, len(whole) - 1} {
		if work, _, err := fetch(t, "a.tar.gz", whole[:n], Spec{}); err == nil || len(files(t, work)) != 0 {
			t.Errorf("cut at %d of %d: %v, left %v", n, len(whole), err, files(t, work))
		}
	}
}

func TestHashesAreChecked(t *testing.T) {
	data := tarOf(t, tar.Header{Name: "a"})
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	if _, _, err := fetch(t, "a.tar", data, Spec{SHA256: sum}); err != nil {
		t.Error(err)
	}
	_, _, err := fetch(t, "a.tar", append(data, 0), Spec{SHA256: sum})
	var wrong *HashError
	if !errors.As(err, &wrong) || wrong.Want != sum {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), []Spec{{Archive: file, SHA256: sum}, {URLs: []string{"https://none.example"}}}); err != nil {
		t.Error(err)
	}
	if err := Verify(t.Context(), []Spec{{Archive: file, SHA256: strings.Repeat("0", 64)}}); !errors.As(err, &wrong) {
		t.Error(err)
	}
}

func TestBareFilesStayFiles(t *testing.T) {
	for _, name := range []string{"installer.run", "tool", "setup.exe", "x.whl"} {
		work, _, err := fetch(t, name, []byte("#!/bin/sh\n"), Spec{})
		if got := files(t, work); err != nil || len(got) != 1 || got[name] == "" {
			t.Errorf("%v %v", got, err)
		}
	}
	work, _, err := fetch(t, "a.tar", tarOf(t, tar.Header{Name: "a"}), Spec{FileName: "kept.tar"})
	if got := files(t, work); err != nil || got["kept.tar"] == "" {
		t.Errorf("%v %v", got, err)
	}
}

func TestMirrorsAndRefusals(t *testing.T) {
	data := tarOf(t, tar.Header{Name: "a"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good/a.tar" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	o := Options{Download: filepath.Join(dir, "dl"), RecipeDir: dir}
	r, err := Fetch(t.Context(), Spec{URLs: []string{server.URL + "/bad/a.tar", server.URL + "/good/a.tar?x=1"}}, filepath.Join(dir, "w"), o)
	if err != nil || r.Files != 1 || len(r.Warnings) != 1 {
		t.Errorf("%+v %v", r, err)
	}
	_, err = Fetch(t.Context(), Spec{URLs: []string{server.URL + "/bad/a.tar", "archive_files/none.zip", "s3://b/x.zip"}}, filepath.Join(dir, "w"), o)
	for _, part := range []string{"/bad/a.tar", "404", "none.zip", "--source-archive", "s3://b/x.zip"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
}

func TestFoldersAreCopied(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "src", "sub", "tool"), []byte("x"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := os.Symlink("sub/tool", filepath.Join(dir, "src", "link")); err != nil {
		t.Fatal(err)
	}
	_, err := Fetch(t.Context(), Spec{Path: "src", Folder: "f"}, filepath.Join(dir, "w"), Options{RecipeDir: dir, Download: filepath.Join(dir, "dl")})
	if diff := cmp.Diff(map[string]string{"f/sub/tool": "-rwxr-xr-x 1", "f/link": "-> sub/tool"}, files(t, filepath.Join(dir, "w"))); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := Fetch(t.Context(), Spec{Path: "src", Folder: "../out"}, filepath.Join(dir, "w"), Options{RecipeDir: dir, Download: filepath.Join(dir, "dl")}); err == nil {
		t.Error("a folder outside the work folder was taken")
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, tar.Header{Name: "a"}, tar.Header{Name: "b", Typeflag: tar.TypeSymlink, Linkname: "../a"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		if err := os.Mkdir(filepath.Join(outer, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(outer, "a.tar")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		_, _ = unpack(t.Context(), in, "a.tar", filepath.Join(outer, "in"))
		entries, err := os.ReadDir(outer)
		if err != nil || len(entries) != 2 {
			t.Fatalf("outside the folder: %v %v", entries, err)
		}
	})
}
