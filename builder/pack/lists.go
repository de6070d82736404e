package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// pathRecord is an entry of paths.json, its keys sorted.
type pathRecord struct {
	Path        string `json:"_path"`
	FileMode    string `json:"file_mode,omitempty"`          // of a file with a record: text or binary
	PathType    string `json:"path_type"`                    // hardlink or softlink
	Placeholder string `json:"prefix_placeholder,omitempty"` // of a file with a record
	SHA256      string `json:"sha256"`
	Size        int64  `json:"size_in_bytes"`
}

// pathsJSON writes what clients install by: version 1 of conda's format.
func (p *packer) pathsJSON(t *text) {
	var record bytes.Buffer
	encode := json.NewEncoder(&record)
	encode.SetEscapeHTML(false)
	encode.SetIndent("    ", "  ")
	t.put("{\n  \"paths\": [")
	for i, e := range p.entries {
		if i > 0 {
			t.put(",")
		}
		record.Reset()
		if err := encode.Encode(p.record(e)); err != nil {
			t.err = errors.Join(t.err, err)
		}
		t.put("\n    ", strings.TrimSuffix(record.String(), "\n"))
	}
	if len(p.entries) > 0 {
		t.put("\n  ")
	}
	t.put("],\n  \"paths_version\": 1\n}")
}

func (p *packer) record(e *entry) pathRecord {
	r := pathRecord{Path: e.path, PathType: "hardlink", SHA256: e.sha256, Size: e.size}
	if e.isLink() {
		r.PathType = "softlink"
	}
	if e.prefixed {
		r.FileMode, r.Placeholder = e.fileMode(), p.Placeholder
	}
	return r
}

func (e *entry) fileMode() string {
	if e.binary {
		return "binary"
	}
	return "text"
}

// fileList writes the list for clients older than paths.json.
func (p *packer) fileList(t *text) {
	for _, e := range p.entries {
		t.put(e.path, "\n")
	}
}

// hasPrefix writes the prefix records for clients older than paths.json.
func (p *packer) hasPrefix(t *text) {
	for _, e := range p.entries {
		quote := ""
		if strings.ContainsAny(e.path, " \t") {
			quote = `"`
		}
		if e.prefixed {
			t.put(p.Placeholder, " ", e.fileMode(), " ", quote, e.path, quote, "\n")
		}
	}
}
