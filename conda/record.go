package conda

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Record is the part of a package's index record that decides what is
// installed (CEP 36). Keys that no rule here reads stay in the raw JSON that
// RepoData keeps.
type Record struct {
	Name          string   `json:"name"`                     // e.g. blender
	Version       string   `json:"version"`                  // e.g. 4.2.5
	Build         string   `json:"build"`                    // e.g. hb0f4dca_0
	BuildNumber   int      `json:"build_number"`             // e.g. 0
	Depends       []string `json:"depends"`                  // match specs, e.g. python >=3.11,<3.12.0a0
	Constrains    []string `json:"constrains,omitempty"`     // match specs that bind only what is installed anyway
	Subdir        string   `json:"subdir"`                   // e.g. linux-64
	Noarch        string   `json:"noarch,omitempty"`         // "", "generic" or "python"
	TrackFeatures Features `json:"track_features,omitzero"`  // a record with fewer wins
	License       string   `json:"license,omitempty"`        // e.g. GPL-3.0-or-later
	LicenseFamily string   `json:"license_family,omitempty"` // e.g. GPL
	Timestamp     int64    `json:"timestamp,omitempty"`      // build time in ms since 1970
	Size          int64    `json:"size,omitempty"`           // of the archive, in bytes
	MD5           string   `json:"md5,omitempty"`            // of the archive, lower-case hex
	SHA256        string   `json:"sha256,omitempty"`         // of the archive, lower-case hex

	// SitePackages is where a python that keeps its modules in a folder of its own has
	// them, e.g. lib/python3.13t/site-packages (CEP 17).
	SitePackages string `json:"python_site_packages_path,omitempty"`

	// What records of repodata's version 3 may say (CEP 44, CEP 45): what groups of
	// dependencies a spec can ask for beside Depends, by name, e.g. gui, and what tells
	// builds apart, e.g. blas:mkl.
	ExtraDepends map[string][]string `json:"extra_depends,omitempty"`
	Flags        []string            `json:"flags,omitempty"`

	// IndexedTimestamp is when the channel got the package, in ms since 1970 (CEP 47); 0: not known.
	IndexedTimestamp int64 `json:"indexed_timestamp,omitempty"`

	// RunExports is what some indexes say of the package's run_exports (CEP 12,
	// CEP 16); nil: this one says nothing. See ParseExports.
	RunExports json.RawMessage `json:"run_exports,omitempty"`

	FileName string `json:"-"` // e.g. blender-4.2.5-hb0f4dca_0.conda
	Channel  string `json:"-"` // canonical URL of the channel it comes from
	Folder   string `json:"-"` // URL of the folder that the archive lies in, where that is not the index's (CEP 15)
}

// UnmarshalJSON reads a record as the last fifteen years wrote it: noarch was
// true or false before it had kinds, and timestamp was in seconds.
func (r *Record) UnmarshalJSON(b []byte) error {
	type plain Record
	old := struct {
		*plain
		Noarch    any     `json:"noarch"`
		Timestamp float64 `json:"timestamp"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(b, &old); err != nil {
		return inWords(err)
	}
	switch noarch := old.Noarch.(type) {
	case nil:
	case string:
		r.Noarch = noarch
	case bool:
		if noarch {
			r.Noarch = "generic"
		}
	default:
		return fmt.Errorf("noarch is %v, not generic or python", noarch)
	}
	r.Timestamp = int64(old.Timestamp)
	if old.Timestamp <= lastSecond {
		r.Timestamp = int64(old.Timestamp * 1000)
	}
	return nil
}

// CheckHashes refuses hashes that no archive can have, and writes others in lower case.
func (r *Record) CheckHashes() error {
	for _, h := range []struct {
		key, text string
		size      int
		to        *string
	}{{"sha256", r.SHA256, 64, &r.SHA256}, {"md5", r.MD5, 32, &r.MD5}} {
		if _, err := hex.DecodeString(h.text); err != nil || h.text != "" && len(h.text) != h.size {
			return fmt.Errorf("its %s %q is none: that has %d hexadecimal digits", h.key, h.text, h.size)
		}
		*h.to = strings.ToLower(h.text)
	}
	return nil
}

// inWords says which key of a record has a value of another type than it should.
func inWords(err error) error {
	wrong, is := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !is:
		return err
	case wrong.Field == "":
		return fmt.Errorf("it cannot be a JSON %s", wrong.Value)
	}
	return fmt.Errorf("its %s cannot be a JSON %s", strings.TrimPrefix(wrong.Field, "plain."), wrong.Value)
}

// lastSecond is the end of the year 9999: what is greater is in milliseconds.
const lastSecond = 253402300799

// Features is a list of feature names. In index.json it is a list or one
// string with the names separated by blanks or commas; both are read.
type Features []string

// UnmarshalJSON reads either form.
func (f *Features) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*f = list
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*f = splitFeatures(s)
	return nil
}

// MarshalJSON writes the names as one string separated by blanks.
func (f Features) MarshalJSON() ([]byte, error) { return json.Marshal(joinFeatures(f)) }
