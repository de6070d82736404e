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
	"slices"
	"sync"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/store"
)

// maxRepoData bounds an index in memory: conda-forge's largest has 254 MB.
const maxRepoData = 2 << 30

// offers is what a request's archives and channels have. A channel is read
// when a name is first looked for in it, so a request that its own archives
// satisfy reads none.
type offers struct {
	request Request
	ctx     context.Context // of the one call that asks: solve's callback has none
	loaded  [][]index
	sharded []*sharded        // those of loaded that may still be reading
	asked   map[string]string // match specs of the request by name
	err     error             // the first failure to read a channel
}

// index is what a subdir of a channel offers.
type index struct {
	subdir string
	source
}

// source has the records of a subdir.
type source interface {
	Records(name string) ([]conda.Record, error)
}

// whole is a subdir whose index was read at once.
type whole struct{ *conda.RepoData }

// Records leaves out broken records: they are no offers.
func (w whole) Records(name string) ([]conda.Record, error) {
	records, _ := w.RepoData.Records(name)
	return records, nil
}

// candidates lists the records called name of the first place that has any.
func (o *offers) candidates(name string) []conda.Record {
	var local []conda.Record
	for _, p := range o.request.Local {
		if p.Record.Name == name {
			local = append(local, p.Record)
		}
	}
	if local != nil {
		return local
	}
	for i := range o.request.Channels {
		if found := o.inChannel(i, name); found != nil || o.err != nil {
			return found
		}
	}
	return nil
}

// inChannel reads the channels up to this one, each once.
func (o *offers) inChannel(i int, name string) []conda.Record {
	for len(o.loaded) <= i && o.err == nil {
		subdirs, err := o.load(o.ctx, o.request.Channels[len(o.loaded)])
		o.loaded, o.err = append(o.loaded, subdirs), err
	}
	if o.err != nil {
		return nil
	}
	var found []conda.Record
	for _, data := range o.loaded[i] {
		records, err := data.Records(name)
		if err != nil {
			o.err = fmt.Errorf("read the index of channel %s: %w", o.request.Channels[i].URL, err)
			return nil
		}
		for _, r := range records {
			if o.tooNew(r) {
				continue
			}
			r.Channel = o.request.Channels[i].URL
			r.Subdir = data.subdir // the archive lies beside its index, whatever the record says
			found = append(found, r)
		}
	}
	return found
}

func (o *offers) tooNew(r conda.Record) bool {
	return !o.request.NotAfter.IsZero() && r.Timestamp > o.request.NotAfter.UnixMilli()
}

// load opens a channel's index of the platform and of noarch: its shards, or else
// all of it. A subdir without an index has no packages; a channel without both is no
// channel.
func (o *offers) load(ctx context.Context, c Channel) ([]index, error) {
	var all []index
	for _, s := range slices.Compact([]string{o.request.Subdir, "noarch"}) {
		from, err := o.open(ctx, c.Reader, s)
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoChannel) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the index of channel %s: %w", c.URL, err)
		}
		all = append(all, index{s, from})
	}
	if all == nil {
		return nil, fmt.Errorf("channel %s has no %s/repodata.json and no noarch/repodata.json: reindex it, or correct its URL", c.URL, o.request.Subdir)
	}
	return all, nil
}

func (o *offers) open(ctx context.Context, r store.Reader, subdir string) (source, error) {
	cache := ""
	if o.request.Cache != "" {
		cache = filepath.Join(o.request.Cache, "shards")
	}
	s, err := openSharded(ctx, r, subdir, cache)
	if err == nil {
		o.sharded = append(o.sharded, s)
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrNoChannel) {
		return nil, err
	}
	data, err := RepoData(ctx, r, subdir)
	return whole{data}, err
}

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
