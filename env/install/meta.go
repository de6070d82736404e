package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// overlay is the index record as conda-meta has it: the archive's index.json,
// and over it what the channel says, which may have been corrected since.
func overlay(index map[string]any, p Package) (map[string]any, error) {
	merged := maps.Clone(index)
	if p.Record.Name != "" {
		text, err := json.Marshal(p.Record)
		if err != nil {
			return nil, err
		}
		var record map[string]any
		if err := json.Unmarshal(text, &record); err != nil {
			return nil, err
		}
		if p.Record.Depends == nil {
			record["depends"] = []string{}
		}
		maps.Copy(merged, record)
	}
	merged["sha256"] = p.Record.SHA256
	if p.Record.MD5 != "" {
		merged["md5"] = p.Record.MD5
	}
	if p.Record.Size != 0 {
		merged["size"] = p.Record.Size
	}
	merged["fn"] = p.Record.FileName
	merged["url"] = withoutSecrets(p.URL)
	subdir, _ := merged["subdir"].(string)
	merged["channel"] = withoutSecrets(channelOf(p, subdir))
	return merged, nil
}

// channelOf is the channel's URL: that of the package without subdir and file.
func channelOf(p Package, subdir string) string {
	if p.Record.Channel != "" {
		return p.Record.Channel
	}
	channel := strings.TrimSuffix(p.URL, "/"+p.Record.FileName)
	return strings.TrimSuffix(channel, "/"+subdir)
}

// withoutSecrets drops user names, passwords and queries: conda-meta is
// readable to all, and packaged with the prefix by some tools.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// How a package was linked, as conda numbers it.
const (
	linkHard = 1
	linkCopy = 3
)

// writeRecord writes conda-meta/<dist>.json, by which conda and rattler know
// that the package is installed.
func (l *prefix) writeRecord(u *unpacked) error {
	files := []string{}
	paths := []pathEntry{}
	for _, p := range u.paths {
		paths = append(paths, p)
		if p.PathType != directory {
			files = append(files, p.Path)
		}
	}
	kind := linkHard
	if l.copies {
		kind = linkCopy
	}
	record := maps.Clone(u.index)
	maps.Copy(record, map[string]any{
		"files":                     files,
		"paths_data":                map[string]any{"paths": paths, "paths_version": 1},
		"link":                      map[string]any{"source": u.dir, "type": kind},
		"extracted_package_dir":     u.dir,
		"package_tarball_full_path": u.Path,
	})
	if u.Spec != "" {
		record["requested_spec"] = u.Spec
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(record); err != nil {
		return err
	}
	return l.root.WriteFile(filepath.Join("conda-meta", u.dist+".json"), text.Bytes(), 0o644)
}

// writeHistory appends what was installed, in conda's format; conda takes a
// folder for a prefix when it has this file.
func (l *prefix) writeHistory(all []*unpacked, now time.Time) (err error) {
	if now.IsZero() {
		now = time.Now()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "==> %s <==\n# cmd: condaworker\n", now.Format(time.DateTime))
	for _, u := range all {
		fmt.Fprintf(&text, "+%s/%v::%s\n", u.index["channel"], u.index["subdir"], u.dist)
	}
	var specs []string
	for _, u := range all {
		if u.Spec != "" {
			specs = append(specs, "'"+u.Spec+"'")
		}
	}
	if len(specs) > 0 {
		fmt.Fprintf(&text, "# update specs: [%s]\n", strings.Join(specs, ", "))
	}
	f, err := l.root.OpenFile(filepath.Join("conda-meta", "history"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text.String())
	return errors.Join(err, f.Close())
}
