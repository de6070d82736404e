// Package indexer keeps a channel: it publishes packages and writes the index
// that clients read.
//
// A package is written once and never replaced. The index is computed from what
// is stored and committed by a conditional write, so that two indexers at once
// lose nothing (see Reindex). It holds no lock, reads no clock and prints
// nothing. Start with Publish and Reindex.
package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

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

	// maxMeta is what S3 keeps of metadata in bytes, keys included. A record
	// that does not fit is left out, and indexers look into the package.
	maxMeta = 2048
)

const packageCache = "public, max-age=31536000, immutable"

// Package is a finished package on disk.
type Package struct {
	Path string // e.g. out/linux-64/blender-4.2.5-hb0f4dca_0.conda

	// What its builder knows already; found out by Publish when empty.
	SHA256, MD5 string
	IndexJSON   []byte // info/index.json
}

// Published says where a package lies.
type Published struct {
	Key     string // e.g. linux-64/blender-4.2.5-hb0f4dca_0.conda
	SHA256  string
	Size    int64 // in bytes
	Existed bool  // it was there already, with the same bytes
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
		return Published{}, fmt.Errorf("read package %s: %w", p.Path, err)
	}
	file := filepath.Base(p.Path)
	record, subdir, err := checkedRecord(file, p.IndexJSON, p.MD5, p.SHA256, st.Size())
	if err != nil {
		return Published{}, fmt.Errorf("package %s: %w", p.Path, err)
	}
	got := Published{Key: subdir + "/" + file, SHA256: p.SHA256, Size: st.Size()}
	before, existed, err := storedHash(ctx, s, got.Key)
	if err != nil {
		return got, err
	}
	_, err = s.Put(ctx, got.Key, f, store.PutOptions{
		Cond: store.IfAbsent, Meta: metadata(p, record), ContentType: "application/octet-stream", CacheControl: packageCache,
	})
	if errors.Is(err, store.ErrConflict) {
		return got, fmt.Errorf("%s is there already with other bytes (sha256 %s, ours %s); a package is never replaced: use another build number, or --build-number auto: %w",
			got.Key, orUnknown(before), p.SHA256, err)
	}
	got.Existed = existed
	return got, err
}

func storedHash(ctx context.Context, s store.Reader, key string) (sum string, exists bool, err error) {
	body, info, err := s.Get(ctx, key, 0, 0)
	if notThere(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return info.Meta[metaSHA256], true, body.Close()
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// complete finds out what the caller did not know.
func (p *Package) complete(ctx context.Context, f *os.File, size int64) error {
	if p.IndexJSON == nil {
		info, err := archive.ReadInfo(f, size, filepath.Base(p.Path))
		if err != nil {
			return err
		}
		p.IndexJSON = info.IndexJSON
	}
	if p.SHA256 != "" && p.MD5 != "" {
		return nil
	}
	sum, err := archive.Sum(ctx, io.NewSectionReader(f, 0, size))
	p.SHA256, p.MD5 = sum.SHA256, sum.MD5
	return err
}

// checkedRecord is the index record of a package called file, if its own
// index.json agrees with that name. Names become keys and paths, so nothing
// that could lead elsewhere gets through.
func checkedRecord(file string, index []byte, md5, sha256 string, size int64) (json.RawMessage, string, error) {
	name, err := conda.ParseFileName(file)
	if err != nil {
		return nil, "", err
	}
	var r conda.Record
	if err := json.Unmarshal(index, &r); err != nil {
		return nil, "", fmt.Errorf("read its info/index.json: %w", err)
	}
	if err := errors.Join(conda.ValidName(r.Name), conda.ValidVersion(r.Version), conda.ValidBuild(r.Build)); err != nil {
		return nil, "", fmt.Errorf("its info/index.json: %w", err)
	}
	if r.Name != name.Name || r.Version != name.Version || r.Build != name.Build {
		return nil, "", fmt.Errorf("its info/index.json is of %s-%s-%s: rename the file", r.Name, r.Version, r.Build)
	}
	if !conda.IsSubdir(r.Subdir) {
		return nil, "", fmt.Errorf("its info/index.json has the subdir %q, which is no platform of conda", r.Subdir)
	}
	record, err := conda.RecordFromIndex(index, md5, sha256, size)
	return record, r.Subdir, err
}

func metadata(p Package, record json.RawMessage) map[string]string {
	meta := map[string]string{metaSHA256: p.SHA256, metaMD5: p.MD5}
	text := ascii(record)
	used := len(metaRecord) + len(text)
	for k, v := range meta {
		used += len(k) + len(v)
	}
	if used <= maxMeta {
		meta[metaRecord] = text
	}
	return meta
}

// ascii escapes what an HTTP header cannot carry.
func ascii(text []byte) string {
	var out bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			out.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			quoted := strconv.QuoteRuneToASCII(r) // '\U0001f600'
			code, _ := strconv.ParseUint(quoted[3:len(quoted)-1], 16, 32)
			code -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+code>>10, 0xdc00+code&0x3ff)
		}
	}
	return out.String()
}
