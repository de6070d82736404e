package env

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/store"
)

// maxRepoData bounds an index in memory: conda-forge's largest has 254 MB.
const maxRepoData = 2 << 30

// RepoData reads the index of a channel's subdir: the compressed one, a tenth of
// the bytes, or where older tools left only that repodata.json. An index that is
// not there is an error that matches fs.ErrNotExist.
func RepoData(ctx context.Context, r store.Reader, subdir string) (*conda.RepoData, error) {
	text, err := readAll(ctx, r, subdir+"/repodata.json.zst")
	if err == nil {
		text, err = archive.Unzstd(text, maxRepoData)
	} else if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoChannel) {
		text, err = readAll(ctx, r, subdir+"/repodata.json")
	}
	if err != nil {
		return nil, err
	}
	return conda.ParseRepoData(text)
}

// readAll reads an object that fits into memory.
func readAll(ctx context.Context, r store.Reader, key string) (text []byte, err error) {
	body, _, err := r.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return io.ReadAll(body)
}

// downloads is how many archives are fetched at a time: enough for small ones to
// hide each other's way to the server.
const downloads = 8

// fetch brings the archives of records to the cache folder, in their order. The
// first failure ends the others.
func (o *offers) fetch(ctx context.Context, records []conda.Record) ([]install.Package, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	packages := make([]install.Package, len(records))
	slots := make(chan struct{}, downloads)
	var work sync.WaitGroup
	for i, r := range records {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			p, err := o.archive(ctx, r)
			if err != nil {
				cancel(fmt.Errorf("fetch %s/%s from %s: %w", r.Subdir, r.FileName, r.Channel, err))
			}
			p.Spec = o.asked[r.Name]
			packages[i] = p
		})
	}
	work.Wait()
	return packages, context.Cause(ctx)
}

// archive finds the place that offered a record and has its bytes on disk
// afterwards. What is in the cache under its hash was checked when it was put
// there, and is not fetched again.
func (o *offers) archive(ctx context.Context, r conda.Record) (install.Package, error) {
	for _, p := range o.request.Local {
		if p.Record.FileName == r.FileName && r.Channel == p.Record.Channel {
			return p, nil
		}
	}
	for _, c := range o.request.Channels {
		if c.URL != r.Channel {
			continue
		}
		key := path.Join(r.Subdir, r.FileName)
		folder, hashed := cacheName(r.SHA256)
		p := install.Package{Path: filepath.Join(o.request.Cache, "archives", folder, r.FileName), Record: r, URL: c.URL + "/" + key}
		if info, err := os.Stat(p.Path); hashed && err == nil && info.Size() > 0 && (r.Size == 0 || info.Size() == r.Size) {
			return p, nil
		}
		return p, Download(ctx, c.Reader, key, p.Path, r.SHA256)
	}
	return install.Package{}, errors.New("no channel of this request has it")
}

// cacheName is the folder for an archive of this sha256: two channels may have
// other bytes under one name. Whatever is no hash is not taken for a path.
func cacheName(sum string) (folder string, hashed bool) {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size {
		return "unhashed", false
	}
	return sum[:16], true
}

// Download writes the object key to the file to and checks its sha256, lower-case
// hex, while it is written; "" is not checked. Bytes that do not match never stay
// under the file's name.
func Download(ctx context.Context, from store.Reader, key, to, sum string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	body, _, err := from.Get(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	part, err := os.CreateTemp(filepath.Dir(to), ".part-") // of this process alone
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(part, hash), body)
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("its sha256 is %s, its record says %s: reindex the channel", got, sum)
	}
	return os.Rename(part.Name(), to)
}
