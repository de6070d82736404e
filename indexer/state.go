package indexer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

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
	stored *object             // as it is stored
	index  store.Info          // of the index, for the first run
	files  map[string]seen     // by file name; nil: nothing is known
	parts  map[string]madeFrom // derived objects, by name
	swept  swept

	// patched is what metaPatched said of the index: another indexer, a hand or a copy
	// of the channel leaves the index without its metadata.
	patched string
}

// swept is what is known of shards that no index names.
type swept struct {
	Swept   int64            `json:"swept,omitempty"`   // when shards were listed last, in seconds since 1970
	Unnamed map[string]int64 `json:"unnamed,omitempty"` // since when such a shard was seen to be none that is named, by its key, likewise
}

// seen is one object.
type seen struct {
	Print string `json:"p"`           // of the object and its record
	Bad   string `json:"b,omitempty"` // why it cannot be indexed

	// Indexed is when its record was added, in ms since 1970 (CEP 47).
	Indexed int64 `json:"t,omitempty"`
}

// madeFrom is a derived object.
type madeFrom struct {
	Version string `json:"v"` // which was derived
	Source  string `json:"s"` // the sha256 of the repodata.json that it was made from
}

// stateFile is the state as JSON.
type stateFile struct {
	Version int                 `json:"version"`
	Files   map[string]seen     `json:"files"`
	Parts   map[string]madeFrom `json:"parts"`
	Patched string              `json:"patched,omitempty"`
	swept
}

const stateVersion = 2

// refusal takes the place of a package's hash in the fingerprint of one that
// cannot be indexed. Its number counts the changes to what is refused and to
// what is said of it, so that another program than the one that refused a
// package looks again.
const refusal = "refused 4"

// slack is how much older than the index an object must be for its record
// to be taken from there: it may have been replaced while that index was
// being made.
const slack = time.Minute

// readState reads what is known of r's subdir. What cannot be understood is as
// good as nothing.
func (r *run) readState(ctx context.Context, index store.Info, l listing) (state, error) {
	s := state{stored: &object{}, index: index}
	if _, found := l.others[stateName]; !found {
		return s, nil
	}
	o, err := r.read(ctx, stateName)
	if err != nil {
		return s, err
	}
	s.stored = o
	var f stateFile
	text, err := archive.Unzstd(o.text, maxIndex)
	if o.exists && err == nil && json.Unmarshal(text, &f) == nil && f.Version == stateVersion {
		s.files, s.parts, s.swept, s.patched = f.Files, f.Parts, f.swept, f.Patched
	}
	return s, nil
}

// fingerprint is of an object in the state in which it was listed, and of the
// package whose record the index has: its sha256, or refusal.
func fingerprint(in store.Info, sum string) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", in.Version, in.Size, sum))
	return base64.RawStdEncoding.EncodeToString(h[:12])
}

// knows tells whether record still describes its object. Without a state, in a
// channel that other tools have indexed, it is believed if the hash or the
// times speak for it. One without a name, with which conda reads nothing of the
// whole index, or with a hash that is none, is made anew.
func (s state) knows(file string, record json.RawMessage, in store.Info) bool {
	r, ok := conda.HashesOf(record)
	if !ok || r.Size != in.Size || !usable(r) {
		return false
	}
	if s.files != nil {
		was := s.files[file]
		return was.Bad == "" && was.Print == fingerprint(in, r.SHA256)
	}
	return strings.Trim(in.Version, `"`) == r.MD5 || s.older(in)
}

// older tells whether an object is so much older than the index that this one knew it.
func (s state) older(in store.Info) bool { return in.Modified.Before(s.index.Modified.Add(-slack)) }

// settled tells whether the object that was looked into is the one of which the index has
// a record, whatever that says.
func (s state) settled(file string, l looked) bool {
	if s.files != nil {
		return s.knew(file, l.info, l.record)
	}
	return s.older(l.info)
}

// usable tells whether clients find the package of a record, and can install it.
// Old ones may lack a hash.
func usable(r conda.Hashes) bool {
	return r.Name != "" && (r.SHA256 == "" || isHash(r.SHA256, sha256Digits)) && (r.MD5 == "" || isHash(r.MD5, md5Digits))
}

// knew tells whether a record which the index does not have was there before.
func (s state) knew(file string, in store.Info, record json.RawMessage) bool {
	r, ok := conda.HashesOf(record)
	return ok && s.files[file].Print == fingerprint(in, r.SHA256)
}

// bad is why an object that was looked into before cannot be indexed, "" when
// it is another now.
func (s state) bad(file string, in store.Info) string {
	e := s.files[file]
	if e.Bad == "" || e.Print != fingerprint(in, refusal) {
		return ""
	}
	return e.Bad
}

// writeState keeps what this run learnt. It runs after the commit, and its
// failure costs the next run some work: it is logged.
func (r *run) writeState(ctx context.Context, was state, e *edition, l listing, parts map[string]*part) {
	f := stateFile{stateVersion, map[string]seen{}, map[string]madeFrom{}, e.meta[metaPatched], was.swept}
	for name, p := range parts {
		if p.exists && p.source != "" {
			f.Parts[name] = madeFrom{p.info.Version, p.source}
		}
	}
	if r.looked == 0 && e.shards == nil && len(was.files) == len(l.packages) && maps.Equal(f.Parts, was.parts) && f.Patched == was.patched {
		return // it says so already
	}
	for file, in := range l.packages {
		record, _ := e.base.Record(file)
		if h, ok := conda.HashesOf(record); ok {
			f.Files[file] = seen{Print: fingerprint(in, h.SHA256), Indexed: conda.Stamped(record)}
		}
	}
	for _, k := range r.skipped {
		file := strings.TrimPrefix(k.Key, r.subdir+"/")
		delete(f.Files, file) // its record, if it has one still, may be of other bytes
		if !k.passing {
			f.Files[file] = seen{Print: fingerprint(l.packages[file], refusal), Bad: k.Reason}
		}
	}
	text, err := json.Marshal(f)
	if err == nil {
		text = archive.Zstd(text)
		if was.stored.exists && bytes.Equal(was.stored.text, text) {
			return
		}
		_, err = r.s.Put(ctx, r.subdir+"/"+stateName, bytes.NewReader(text), store.PutOptions{ContentType: "application/zstd"})
	}
	if err != nil {
		r.log(fmt.Sprintf("keep what was learnt of %s for the next run: %v", r.subdir, err))
	}
}
