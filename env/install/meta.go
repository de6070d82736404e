package install

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store"
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
	if p.Record.Subdir != "" {
		merged["subdir"] = p.Record.Subdir
	}
	merged["sha256"] = p.Record.SHA256
	if p.Record.MD5 != "" {
		merged["md5"] = p.Record.MD5
	}
	if p.Record.Size != 0 {
		merged["size"] = p.Record.Size
	}
	merged["fn"] = p.Record.FileName
	merged["url"] = place(asURL(p.URL))
	subdir, _ := merged["subdir"].(string)
	merged["channel"] = place(channelOf(p, subdir))
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

// asURL makes a URL of the path of a file: other clients read conda-meta only with one.
func asURL(text string) string {
	if strings.Contains(text, "://") {
		return text
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(text)}).String()
}

// place is a URL as conda-meta has it, which is readable to all, and packaged with the
// prefix by some tools: without secrets, and without a query, which may sign it.
func place(text string) string {
	text = store.WithoutSecrets(text)
	if scheme, _, _ := strings.Cut(text, "://"); scheme == "http" || scheme == "https" {
		text, _, _ = strings.Cut(text, "?")
		text, _, _ = strings.Cut(text, "#")
	}
	return text
}

// How a package was linked, as conda numbers it.
const (
	linkHard = 1
	linkCopy = 3
)

// writeRecord writes conda-meta/<dist>.json, by which conda and rattler know
// that the package is installed.
func (l *prefix) writeRecord(u *unpacked) error {
	kind := linkCopy // a clone is one, too
	if l.way.Load() == byLink {
		kind = linkHard
	}
	record := maps.Clone(u.index)
	maps.Copy(record, map[string]any{
		"files":                     files(u.paths),
		"paths_data":                pathsData(u.paths),
		"link":                      map[string]any{"source": u.dir, "type": kind},
		"extracted_package_dir":     u.dir,
		"package_tarball_full_path": u.Path,
	})
	recordAsked(record, u.Spec)
	if err := l.writeJSON("conda-meta/"+u.dist+".json", record); err != nil {
		return fmt.Errorf("record %s: %w", u.dist, err)
	}
	return nil
}

// rewriteRecord writes the record of a package that stays and whose paths have moved, or
// that is asked for otherwise.
func (l *prefix) rewriteRecord(i *installed, moved bool, asked map[string]string) error {
	record := map[string]any{}
	for k, v := range i.record {
		record[k] = v
	}
	if moved {
		record["files"], record["paths_data"] = files(i.paths), pathsData(i.paths)
	}
	if asked != nil {
		recordAsked(record, asked[i.name])
	}
	return l.writeJSON(i.file, record)
}

// files are the paths that are no folders.
func files(paths []pathEntry) []string {
	names := []string{}
	for _, p := range paths {
		if p.PathType != directory {
			names = append(names, p.Path)
		}
	}
	return names
}

func pathsData(paths []pathEntry) map[string]any {
	return map[string]any{"paths": append([]pathEntry{}, paths...), "paths_version": 1}
}

func (l *prefix) writeJSON(name string, record map[string]any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(record); err != nil {
		return err
	}
	return l.root.WriteFile(filepath.FromSlash(name), text.Bytes(), 0o644)
}

// historyFile makes conda take a folder for a prefix.
const historyFile = "conda-meta/history"

// writeHistory appends what was done, in conda's format.
func (l *prefix) writeHistory(p *plan, c *change, now time.Time) error {
	if now.IsZero() {
		now = time.Now()
	}
	var text bytes.Buffer
	if i := slices.Index(p.Old, historyFile); i >= 0 {
		before, err := l.root.ReadFile(c.aside(i))
		if err != nil {
			return err
		}
		text.Write(before)
	}
	fmt.Fprintf(&text, "==> %s <==\n# cmd: condaworker\n", now.Format(time.DateTime))
	for _, i := range p.leaving {
		fmt.Fprintf(&text, "-%s/%s::%s\n", strings.TrimSuffix(i.channel, "/"), i.subdir, i.dist())
	}
	var specs []string
	for _, u := range p.arriving {
		fmt.Fprintf(&text, "+%s/%v::%s\n", u.index["channel"], u.index["subdir"], u.dist)
		if u.Spec != "" {
			specs = append(specs, store.WithoutSecrets(u.Spec))
		}
	}
	for _, i := range p.reasked {
		if spec := p.asked[i.name]; spec != "" {
			specs = append(specs, store.WithoutSecrets(spec))
		}
	}
	if len(specs) > 0 {
		fmt.Fprintf(&text, "# update specs: %s\n", pythonList(specs))
	}
	if len(p.unasked) > 0 {
		fmt.Fprintf(&text, "# remove specs: %s\n", pythonList(p.unasked))
	}
	return l.root.WriteFile(filepath.FromSlash(historyFile), text.Bytes(), 0o644)
}

// pythonList is a list of texts as python writes it: so conda writes and reads it, and
// fails at any that is written otherwise.
func pythonList(texts []string) string {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "'", `\'`)
	var all []string
	for _, text := range texts {
		quoted := "'" + escape.Replace(text) + "'"
		if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
			quoted = `"` + strings.ReplaceAll(escape.Replace(text), `\'`, "'") + `"`
		}
		all = append(all, quoted)
	}
	return "[" + strings.Join(all, ", ") + "]"
}
