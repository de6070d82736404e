package indexer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// stateName is where a subdir keeps what its last index run learnt.
const stateName = ".condaworker-state.json.zst"

// state is what earlier runs learnt of a subdir's objects: which version of
// each is the one in the index, and which cannot be indexed. An index alone
// does not tell: a package that was replaced under its name keeps its record
// there. The state only saves work; one that is missing, old or of another
// writer costs looks at packages and never a wrong index, since an entry counts
// only for the object and the record that it was made from.
type state struct {
	object                 // as it is stored
	files  map[string]seen // by file name
	index  store.Info      // of the index, for the first run
}

// seen is one object.
type seen struct {
	Print string `json:"p"`           // of the object and its record
	Bad   string `json:"b,omitempty"` // why it cannot be indexed
}

// stateFile is the state as JSON.
type stateFile struct {
	Version int             `json:"version"`
	Files   map[string]seen `json:"files"`
}

const stateVersion = 1

// readState reads what is known of r's subdir. What cannot be understood is as
// good as nothing.
func (r *run) readState(ctx context.Context, index store.Info) (state, error) {
	o, err := r.read(ctx, stateName)
	if err != nil {
		return state{}, err
	}
	s := state{object: o, index: index}
	var f stateFile
	text, err := archive.Unzstd(o.text, maxIndex)
	if o.exists && err == nil && json.Unmarshal(text, &f) == nil && f.Version == stateVersion {
		s.files = f.Files
	}
	return s, nil
}

// fingerprint is of an object in the state in which it was listed, and of the
// package whose record the index has; "" for none.
func fingerprint(in store.Info, sum string) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", in.Version, in.Size, sum))
	return base64.RawStdEncoding.EncodeToString(h[:12])
}

// knows tells whether record still describes its object. Without a state, in a
// channel that other tools have indexed, it is believed if the hash or the
// times speak for it.
func (s state) knows(file string, record json.RawMessage, in store.Info) bool {
	r, ok := hashesOf(record)
	if !ok || r.Size != in.Size {
		return false
	}
	if s.files != nil {
		return s.files[file] == seen{Print: fingerprint(in, r.SHA256)}
	}
	return strings.Trim(in.Version, `"`) == r.MD5 || in.Modified.Before(s.index.Modified.Add(-slack))
}

// bad is why an object that was looked into before cannot be indexed, "" when
// it is another now.
func (s state) bad(file string, in store.Info) string {
	if e := s.files[file]; e.Print == fingerprint(in, "") {
		return e.Bad
	}
	return ""
}

// recordHashes is what a record says of its archive.
type recordHashes struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	MD5    string `json:"md5"`
}

func hashesOf(record json.RawMessage) (recordHashes, bool) {
	var r recordHashes
	return r, record != nil && json.Unmarshal(record, &r) == nil
}

// writeState keeps what this run learnt. It runs after the commit, and its
// failure costs the next run some work: it is logged.
func (r *run) writeState(ctx context.Context, was state, base *conda.RepoData, stored map[string]store.Info) {
	f := stateFile{stateVersion, map[string]seen{}}
	for file, in := range stored {
		if h, ok := hashesOf(records(base, file)[file]); ok {
			f.Files[file] = seen{Print: fingerprint(in, h.SHA256)}
		}
	}
	for _, k := range r.skipped {
		if k.passing {
			continue
		}
		file := strings.TrimPrefix(k.Key, r.subdir+"/")
		f.Files[file] = seen{Print: fingerprint(stored[file], ""), Bad: k.Reason}
	}
	text, err := json.Marshal(f)
	if err == nil {
		text = archive.Zstd(text)
		if was.exists && bytes.Equal(was.text, text) {
			return
		}
		_, err = r.s.Put(ctx, r.subdir+"/"+stateName, bytes.NewReader(text), store.PutOptions{ContentType: "application/zstd"})
	}
	if err != nil {
		r.log(fmt.Sprintf("keep what was learnt of %s for the next run: %v", r.subdir, err))
	}
}
