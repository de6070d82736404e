// Package condatest makes small packages for tests.
package condatest

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda/archive"
)

// Index is an info/index.json of name, version and build number, whose build
// string is that number.
func Index(name, version string, number int, subdir string) map[string]any {
	return map[string]any{
		"name": name, "version": version, "build": fmt.Sprint(number), "build_number": number,
		"subdir": subdir, "depends": []string{},
	}
}

// Write writes the .conda called file into a temporary folder and returns its
// path. index becomes info/index.json, files are what it installs and, below
// info/, further metadata, of which paths.json is made where it is missing.
func Write(t testing.TB, file string, index map[string]any, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), file)
	if err := WriteFile(path, index, files); err != nil {
		t.Fatal(err)
	}
	return path
}

// WriteFile writes such a .conda to path.
func WriteFile(path string, index map[string]any, files map[string]string) error {
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	f, err := os.Create(path) //nolint:gosec // the caller's own
	if err != nil {
		return err
	}
	w, err := archive.NewWriter(f, strings.TrimSuffix(filepath.Base(path), ".conda"))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	info, files := split(files)
	info["info/index.json"] = string(text)
	if info["info/paths.json"] == "" {
		info["info/paths.json"] = paths(files)
	}
	return errors.Join(writePart(w, archive.PkgPart, files), writePart(w, archive.InfoPart, info), w.Close(), f.Close())
}

// split parts metadata from what is installed.
func split(all map[string]string) (info, files map[string]string) {
	info, files = map[string]string{}, map[string]string{}
	for name, text := range all {
		if strings.HasPrefix(name, "info/") {
			info[name] = text
		} else {
			files[name] = text
		}
	}
	return info, files
}

func paths(files map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, fmt.Sprintf(`{"_path": %q, "path_type": "hardlink", "size_in_bytes": %d}`, name, len(files[name])))
	}
	return `{"paths_version": 1, "paths": [` + strings.Join(list, ", ") + `]}`
}

func writePart(w *archive.Writer, part archive.Part, files map[string]string) error {
	atMost := int64(4 << 10) // the end of a tar, and spare
	for name, text := range files {
		atMost += int64(len(name)+len(text)) + 2<<10 // with its headers, filled up to blocks
	}
	p, err := w.Part(part, atMost)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(p)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644, Typeflag: tar.TypeReg}
		if err := tw.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.WriteString(tw, files[name]); err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), p.Close())
}
