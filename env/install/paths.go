package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// pathEntry is an entry of info/paths.json (paths_version 1), and of
// paths_data in conda-meta.
type pathEntry struct {
	Path           string `json:"_path"`                   // e.g. lib/libz.so.1
	Original       string `json:"original_path,omitempty"` // what it is called in the package, when it gave way to another one's
	PathType       string `json:"path_type"`               // hardlink, softlink or directory
	SHA256         string `json:"sha256,omitempty"`
	SHA256InPrefix string `json:"sha256_in_prefix,omitempty"`
	Size           int64  `json:"size_in_bytes"`
	NoLink         bool   `json:"no_link,omitempty"`            // to be copied
	Placeholder    string `json:"prefix_placeholder,omitempty"` // to be replaced
	FileMode       string `json:"file_mode,omitempty"`          // text or binary, with a placeholder

	source  string   // where it lies in the package; "" is Path
	program *program // of an entry point
}

const (
	hardlink  = "hardlink"
	softlink  = "softlink"
	directory = "directory"
)

// unknownSize is that of a file of which info/paths.json has none, as conda allows.
const unknownSize = -1

// readPaths reads info/paths.json of an unpacked package. Packages older than
// that file have none: the result then is nil.
func readPaths(dir fs.FS) ([]pathEntry, error) {
	text, err := fs.ReadFile(dir, "info/paths.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parsePaths(text)
}

func parsePaths(text []byte) ([]pathEntry, error) {
	var list struct {
		Paths []struct {
			pathEntry
			Size *int64 `json:"size_in_bytes"`
		} `json:"paths"`
		Version int `json:"paths_version"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("read info/paths.json: %w", err)
	}
	if list.Version != 1 {
		return nil, fmt.Errorf("read info/paths.json: its version is %d, and only 1 is known", list.Version)
	}
	paths, seen := []pathEntry{}, map[string]bool{}
	for _, listed := range list.Paths {
		p := listed.pathEntry
		switch {
		case listed.Size != nil:
			p.Size = *listed.Size
		case p.PathType == hardlink:
			p.Size = unknownSize
		}
		if err := checkPath(p.Path); err != nil {
			return nil, fmt.Errorf("read info/paths.json: %w", err)
		}
		if !slices.Contains([]string{hardlink, softlink, directory}, p.PathType) {
			return nil, fmt.Errorf("read info/paths.json: %s has the unknown path_type %q", p.Path, p.PathType)
		}
		if seen[p.Path] {
			return nil, fmt.Errorf("read info/paths.json: %s is listed twice", p.Path)
		}
		seen[p.Path] = true
		paths = append(paths, p)
	}
	return paths, nil
}

// checkPath refuses what leads out of a package, or into conda-meta, where a package could
// pretend to be another one, or to where a change of the prefix is written down.
func checkPath(name string) error {
	top, _, _ := strings.Cut(name, "/")
	if !fs.ValidPath(name) || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q is not a path inside of a package", name)
	}
	if strings.EqualFold(top, "conda-meta") || strings.EqualFold(top, changeDir) {
		return fmt.Errorf("%q is not for packages to write", name)
	}
	return nil
}

// legacyPlaceholder is the prefix of packages that do not name theirs.
const legacyPlaceholder = "/opt/anaconda1anaconda2anaconda3"

// addLegacy fills in what packages without paths.json say in info/has_prefix
// and info/no_link.
func addLegacy(dir fs.FS, paths []pathEntry) error {
	byPath := map[string]*pathEntry{}
	for i := range paths {
		byPath[paths[i].Path] = &paths[i]
	}
	prefixes, err := readLines(dir, "info/has_prefix")
	if err != nil {
		return err
	}
	for _, line := range prefixes {
		placeholder, mode, name := parseHasPrefix(line)
		if p := byPath[name]; p != nil {
			p.Placeholder, p.FileMode = placeholder, mode
		}
	}
	names, err := readLines(dir, "info/no_link")
	for _, name := range names {
		if p := byPath[name]; p != nil {
			p.NoLink = true
		}
	}
	return err
}

func readLines(dir fs.FS, name string) ([]string, error) {
	text, err := fs.ReadFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' }), err
}

// parseHasPrefix reads "placeholder mode path", each maybe quoted, or a path.
func parseHasPrefix(line string) (placeholder, mode, name string) {
	var fields []string
	for rest := strings.TrimSpace(line); rest != "" && len(fields) < 2; {
		field, after, found := strings.Cut(rest, " ")
		if quote := rest[0]; quote == '"' || quote == '\'' {
			field, after, found = strings.Cut(rest[1:], string(quote))
		}
		if !found {
			break
		}
		fields = append(fields, field)
		rest = strings.TrimSpace(after)
		if len(fields) == 2 {
			return fields[0], fields[1], strings.Trim(rest, `"'`)
		}
	}
	return legacyPlaceholder, "text", strings.Trim(strings.TrimSpace(line), `"'`)
}
