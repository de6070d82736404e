package repodata

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
	"strings"
	"sync"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

const (
	// maxShard bounds a shard in memory: one name has at most some ten thousand builds.
	maxShard = 256 << 20

	// downloads is how many shards are read at a time.
	downloads = 16
)

// sharded reads a subdir's records from shards (CEP 16).
type sharded struct {
	*place
	ctx     context.Context // of all reads, until Close
	end     context.CancelFunc
	version string // of the index, as the channel has it
	index   shards.Table
	from    store.Reader // of the shards: the channel, or where its index says
	keys    string       // the shards' folder there
	slots   chan struct{}
	work    sync.WaitGroup

	mu   sync.Mutex
	asks map[string]*shardAsk

	unzipping sync.Mutex
	unzip     *archive.Decompressor // one for all: each would take memory of its own
}

// shardAsk is a name that is being read, or was.
type shardAsk struct {
	done    chan struct{}
	records []conda.Record
	broken  []error // records that are no offer
	err     error
}

// shardError reports that a shard is not as the index says, which is of this version.
type shardError struct {
	error
	version string
}

// Unwrap returns the cause.
func (e shardError) Unwrap() error { return e.error }

// openSharded reads the index of shards that was kept in the place. One whose shards
// or packages cannot be reached is an error that matches fs.ErrNotExist.
func openSharded(ctx context.Context, p *place, n note) (*sharded, error) {
	text, err := os.ReadFile(filepath.Join(p.dir, n.File)) //nolint:gosec // in the cache
	if err != nil {
		return nil, err
	}
	s := &sharded{place: p, version: n.Version, slots: make(chan struct{}, downloads), asks: map[string]*shardAsk{}, unzip: archive.NewDecompressor()}
	if text, err = s.unzip.Unzstd(text, maxSize); err == nil {
		s.index, err = shards.OpenIndex(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w: %w", p.subdir, shards.IndexName, errBroken, err)
	}
	keys, elsewhere, ok := p.resolve(s.index.ShardsBaseURL)
	if !p.locate(s.index.BaseURL) || !ok || elsewhere != "" && p.Elsewhere == nil {
		return nil, fs.ErrNotExist
	}
	s.from, s.keys = p.reader, keys
	if elsewhere != "" {
		if s.from, err = p.Elsewhere(ctx, elsewhere); err != nil {
			return nil, fmt.Errorf("open %s, where the shards of %s lie: %w", store.WithoutSecrets(elsewhere), p.subdir, err)
		}
	}
	s.ctx, s.end = context.WithCancel(ctx)
	return s, nil
}

// Names returns the names that have a shard.
func (s *sharded) Names() []string { return s.index.Names() }

// Close ends what was begun and is not needed any more.
func (s *sharded) Close() error {
	s.end()
	s.work.Wait()
	s.unzip.Close()
	return nil
}

// Records also begins to read the names that the records depend on: a solve that
// asks for them next finds them on their way.
func (s *sharded) Records(name string) ([]conda.Record, error) {
	ask := s.ask(name)
	<-ask.done
	s.leaveOut(name, ask.broken)
	seen := map[string]bool{}
	for _, r := range ask.records {
		for _, d := range r.Depends {
			next := conda.SpecName(d)
			if !seen[next] && !strings.HasPrefix(next, "__") {
				seen[next] = true
				s.ask(next)
			}
		}
	}
	return ask.records, ask.err
}

// ask begins to read a name, once.
func (s *sharded) ask(name string) *shardAsk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.asks[name]; a != nil {
		return a
	}
	a := &shardAsk{done: make(chan struct{})}
	s.asks[name] = a
	sum, found := s.index.Find(name)
	if !found {
		close(a.done)
		return a
	}
	s.work.Go(func() {
		defer close(a.done)
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		if a.err = s.readShard(a, name, sum); a.err != nil {
			a.err = fmt.Errorf("read the shard of %s/%s: %w", s.subdir, name, a.err)
		}
	})
	return a
}

// readShard takes a shard from the cache or the channel. Its name is its hash.
func (s *sharded) readShard(a *shardAsk, name string, sum shards.Sum) error {
	hash := hex.EncodeToString(sum[:])
	file := ""
	if s.Cache != "" {
		file = filepath.Join(s.Cache, "shards", hash+shards.Ext)
		if text, err := os.ReadFile(file); err == nil && sha256.Sum256(text) == sum { //nolint:gosec // in the cache
			dir.Touch(file)
			return s.decode(a, text, name)
		}
	}
	if s.Offline {
		return fmt.Errorf("there is no copy of it in the cache: run once without --offline")
	}
	var text []byte
	err := store.Try(s.ctx, s.from, func(at store.Place) error {
		err := again(s.ctx, func() (err error) {
			text, err = s.download(at, path.Join(s.keys, hash+shards.Ext))
			return err
		})
		if err == nil && sha256.Sum256(text) != sum {
			err = shardError{fmt.Errorf("the bytes of %s/%s are not those that the index of shards names"+reindex, s.keys, hash+shards.Ext), s.version}
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return shardError{fmt.Errorf("%w, though the index of shards names it"+reindex, err), s.version}
	case errors.Is(err, fs.ErrPermission): // some servers say so of what is not there
		return shardError{err, s.version}
	case err != nil:
		return err
	}
	if err := s.decode(a, text, name); err != nil {
		return shardError{fmt.Errorf("%w"+reindex, err), s.version}
	}
	if file != "" {
		_ = keep(file, text) // a cache that is full or read-only costs time, no more
	}
	return nil
}

func (s *sharded) download(from store.Reader, key string) (text []byte, err error) {
	body, _, err := from.Get(s.ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	if text, err = io.ReadAll(io.LimitReader(body, maxShard)); err != nil {
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	return text, errors.Join(err, body.Close())
}

// decode reads a shard's records.
func (s *sharded) decode(a *shardAsk, text []byte, name string) error {
	s.unzipping.Lock()
	text, err := s.unzip.Unzstd(text, maxShard)
	s.unzipping.Unlock()
	if err != nil {
		return err
	}
	shard, err := shards.ParseShard(text)
	if err != nil {
		return err
	}
	data := conda.NewRepoData(s.subdir)
	for file, e := range shard.Packages {
		data.Packages.Set(file, e.Record)
	}
	for file, e := range shard.PackagesConda {
		data.PackagesConda.Set(file, e.Record)
	}
	for stem, e := range shard.V3["tar.bz2"] {
		data.Packages.Set(stem+".tar.bz2", e.Record)
	}
	for stem, e := range shard.V3["conda"] {
		data.PackagesConda.Set(stem+".conda", e.Record)
	}
	records, broken := s.offer(data, name)
	for _, files := range []*conda.Records{&data.Packages, &data.PackagesConda} {
		for file := range files.All() {
			if conda.NameIn(file) != name { // in any other form of the index it is of another package
				broken = append(broken, fmt.Errorf("read the record of %s: it is in the shard of the package %q", file, name))
			}
		}
	}
	a.records, a.broken = records, slices.Concat(shard.Broken, broken)
	return nil
}
