// Package indexer keeps a channel: it publishes packages and writes the index
// that clients read.
//
// A package is written once and never replaced. The index is computed from what
// is stored and committed by a conditional write, so that two indexers at once
// lose nothing. It holds no lock, reads no clock and prints nothing. Start with
// Publish and Reindex.
//
// The invariants of a channel, which ARCHITECTURE.md has in full, and which hold
// with any lock or none:
//
//   - S0 chain: a version of the index replaces exactly the one that was read
//     before what it was computed from was listed (Reindex, Commit);
//   - S1 visibility: when Reindex or Commit returns without an error, the index
//     holds what was stored before, and by S0 every later version does;
//   - S2 referential: what the index names was stored whole before;
//   - S3 readers: an index object is one whole version, and what is derived from
//     it is never newer than what was committed;
//   - S6 fencing: a late write of an older run replaces no newer version, and
//     brings nothing back that was removed (Remove, Restore);
//   - L4 convergence: what was killed may be run again.
package indexer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// The metadata that travels with a package. The hashes have the keys that
// rattler's uploader uses.
const (
	metaSHA256 = store.HashKey
	metaMD5    = "package-md5"
	metaRecord = "package-record" // the index record as ASCII JSON

	metaRunExports = "package-run-exports" // as in the index, ASCII JSON

	// maxMeta is what S3 keeps of metadata in bytes, keys included: 2048, less
	// the prefix of four headers, which some servers count. A record that does
	// not fit is left out, and indexers look into the package.
	maxMeta = 2048 - 4*len("x-amz-meta-")
)

// smallPackage is the size in bytes up to which a package is sent without
// asking first whether it is there, and read whole where parts would do: a
// request takes longer than its bytes.
const smallPackage = 256 << 10

const packageCache = "public, max-age=31536000, immutable"

// Package is a finished package on disk.
type Package struct {
	Path string // e.g. out/linux-64/blender-4.2.5-hb0f4dca_0.conda

	// What its builder knows already; found out by Publish when empty.
	SHA256, MD5 string
	IndexJSON   []byte // info/index.json
	RunExports  []byte // info/run_exports.json; nil with IndexJSON: there is none
}

// Published says where a package lies.
type Published struct {
	Key     string // e.g. linux-64/blender-4.2.5-hb0f4dca_0.conda
	SHA256  string
	Size    int64  // in bytes
	Existed bool   // it was there already, with the same bytes
	Record  []byte // for the index, as JSON

	RunExports []byte // for the index, as JSON; nil: not known
}

// Publish puts p into the channel under <subdir>/<file name>, if nothing is
// there. The same bytes there already are success; others are an error that
// matches store.ErrConflict.
func Publish(ctx context.Context, s store.Store, p Package) (Published, error) {
	f, err := os.Open(p.Path)
	if err != nil {
		return Published{}, err
	}
	got, err := publish(ctx, s, p, f)
	return got, errors.Join(err, f.Close())
}

func publish(ctx context.Context, s store.Store, p Package, f *os.File) (Published, error) {
	st, err := f.Stat()
	if err != nil {
		return Published{}, err
	}
	if err := p.complete(ctx, f, st.Size()); err != nil {
		return Published{}, err
	}
	file := filepath.Base(p.Path)
	record, subdir, err := checkedRecord(file, p.IndexJSON, p.MD5, p.SHA256, st.Size())
	if err != nil {
		return Published{}, fmt.Errorf("package %s: %w", p.Path, err)
	}
	got := Published{Key: subdir + "/" + file, SHA256: p.SHA256, Size: st.Size(), Record: record, RunExports: runExportsOf(p.RunExports)}
	if got.Size > smallPackage { // gigabytes need not travel to be found there
		there, _, err := head(ctx, s, got.Key)
		if err != nil {
			return got, err
		}
		if there.Meta[metaSHA256] == p.SHA256 && there.Size == got.Size {
			got.Existed = true
			return got, nil
		}
	}
	in, err := s.Put(ctx, got.Key, f, store.PutOptions{
		Cond: store.IfAbsent, Meta: metadata(p, record, got.RunExports), ContentType: "application/octet-stream", CacheControl: packageCache,
	})
	got.Existed = in.Found
	if errors.Is(err, store.ErrConflict) {
		before := in.Meta[metaSHA256]
		return got, fmt.Errorf("%s is there already with other bytes (sha256 %s, ours %s); a package is never replaced: use another build number, or --build-number auto: %w",
			got.Key, cmp.Or(before, "unknown"), p.SHA256, err)
	}
	return got, err
}

// head describes an object without its bytes.
func head(ctx context.Context, s store.Reader, key string) (info store.Info, exists bool, err error) {
	body, info, err := s.Get(ctx, key, 0, 0)
	if notThere(err) {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	return info, true, body.Close()
}

// complete finds out what the caller did not know.
func (p *Package) complete(ctx context.Context, f *os.File, size int64) error {
	if p.IndexJSON == nil {
		info, err := archive.ReadInfo(f, size, p.Path)
		if err != nil {
			return err
		}
		p.IndexJSON, p.RunExports = info.IndexJSON, info.RunExports
	}
	if p.SHA256 != "" && p.MD5 != "" {
		return nil
	}
	sum, err := archive.Sum(ctx, io.NewSectionReader(f, 0, size))
	p.SHA256, p.MD5 = sum.SHA256, sum.MD5
	return err
}

// checkedRecord is the index record of a package called file, and its subdir.
func checkedRecord(file string, index []byte, md5, sha256 string, size int64) (json.RawMessage, string, error) {
	subdir, err := checkIndex(file, index, "")
	if err != nil {
		return nil, "", err
	}
	record, err := conda.RecordFromIndex(index, md5, sha256, size)
	return record, subdir, err
}

// checkIndex returns the subdir that the index.json of a package called file
// names, or otherwise if it names none, if the two agree. Names become keys and
// paths, so nothing that could lead elsewhere gets through, nor what would make
// the whole index unreadable, or all records of one name.
func checkIndex(file string, index []byte, otherwise string) (string, error) {
	name, err := conda.ParseFileName(file)
	if err != nil {
		return "", fmt.Errorf("%w: rename it", err)
	}
	if !utf8.Valid(index) {
		return "", errors.New("its info/index.json is not UTF-8: build it again")
	}
	var r conda.Record
	if err := cmp.Or(json.Unmarshal(index, &r), conda.CheckJSON(index)); err != nil {
		return "", fmt.Errorf("read its info/index.json: %w: build it again", err)
	}
	if err := cmp.Or(conda.ValidName(r.Name), conda.ValidBuild(r.Build), conda.CheckIndex(index)); err != nil {
		return "", fmt.Errorf("its info/index.json: %w: build it again", err)
	}
	if r.Name != name.Name || r.Version != name.Version || r.Build != name.Build {
		return "", fmt.Errorf("its info/index.json is of %s-%s-%s: rename the file", r.Name, r.Version, r.Build)
	}
	subdir := cmp.Or(r.Subdir, otherwise)
	if !conda.CanBeSubdir(subdir) {
		return "", fmt.Errorf("its info/index.json has the subdir %q, which is no platform of conda", subdir)
	}
	return subdir, nil
}

func metadata(p Package, record, runExports json.RawMessage) map[string]string {
	meta := map[string]string{metaSHA256: p.SHA256, metaMD5: p.MD5}
	used := 0
	for k, v := range meta {
		used += len(k) + len(v)
	}
	for _, more := range []struct {
		key  string
		text json.RawMessage
	}{{metaRecord, record}, {metaRunExports, runExports}} {
		text := ascii(more.text)
		if used += len(more.key) + len(text); len(text) == 0 || used > maxMeta {
			break // run_exports alone would spare no request
		}
		meta[more.key] = text
	}
	return meta
}

// ascii escapes what an HTTP header cannot carry. In JSON that is only found in
// strings.
func ascii(text []byte) string {
	var out strings.Builder
	for _, unit := range utf16.Encode([]rune(string(text))) {
		if ' ' <= unit && unit <= '~' {
			out.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.String()
}
