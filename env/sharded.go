package env

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/store"
)

// maxShard bounds a shard in memory: one name has at most some ten thousand builds.
const maxShard = 256 << 20

// sharded reads a subdir's records name by name (CEP 16): of a channel of 10^6
// only those that a solve looks at are ever read.
type sharded struct {
	ctx    context.Context
	reader store.Reader
	subdir string
	cache  string // a folder for shards; "" keeps none
	index  shards.Index
	slots  chan struct{}
	work   sync.WaitGroup

	mu   sync.Mutex
	asks map[string]*shardAsk
}

// shardAsk is a name that is being read, or was.
type shardAsk struct {
	done    chan struct{}
	records []conda.Record
	err     error
}

// openSharded reads the index of shards. One that is not there, or whose shards or
// packages lie on another server, is an error that matches fs.ErrNotExist.
func openSharded(ctx context.Context, r store.Reader, subdir, cache string) (*sharded, error) {
	text, err := readAll(ctx, r, subdir+"/"+shards.IndexName)
	if err == nil {
		text, err = archive.Unzstd(text, maxRepoData)
	}
	s := &sharded{ctx: ctx, reader: r, subdir: subdir, cache: cache, slots: make(chan struct{}, downloads), asks: map[string]*shardAsk{}}
	if err == nil {
		s.index, err = shards.ParseIndex(text)
	}
	if err == nil && (path.Join(s.index.BaseURL, ".") != "." || strings.Contains(s.index.ShardsBaseURL, "://") || !fs.ValidPath(s.key("x"))) {
		err = fs.ErrNotExist
	}
	return s, err
}

// key is where the shard with this hash lies.
func (s *sharded) key(hash string) string {
	return path.Join(s.subdir, s.index.ShardsBaseURL, hash+shards.Ext)
}

// Records returns the records called name, and begins to read those of what they
// depend on: a solve that asks for them next finds them on their way.
func (s *sharded) Records(name string) ([]conda.Record, error) {
	ask := s.ask(name)
	<-ask.done
	seen := map[string]bool{}
	for _, r := range ask.records {
		for _, d := range r.Depends {
			next, _, _ := strings.Cut(d, " ")
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
	sum, found := s.index.Shards[name]
	if !found {
		close(a.done)
		return a
	}
	s.work.Go(func() {
		defer close(a.done)
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		if a.records, a.err = s.read(name, sum); a.err != nil {
			a.err = fmt.Errorf("read the shard of %s/%s: %w", s.subdir, name, a.err)
		}
	})
	return a
}

// read takes a shard from the cache or the channel. Its name is its hash.
func (s *sharded) read(name string, sum shards.Sum) ([]conda.Record, error) {
	hash := hex.EncodeToString(sum[:])
	file := ""
	if s.cache != "" {
		file = filepath.Join(s.cache, hash+shards.Ext)
		if text, err := os.ReadFile(file); err == nil && sha256.Sum256(text) == sum { //nolint:gosec // in the cache
			return decodeShard(text, s.subdir, name)
		}
	}
	text, err := readAll(s.ctx, s.reader, s.key(hash))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(text) != sum {
		return nil, fmt.Errorf("its bytes are not those that the index of shards names: reindex the channel")
	}
	records, err := decodeShard(text, s.subdir, name)
	if err == nil && file != "" {
		_ = keep(file, text) // a cache that is full or read-only costs time, no more
	}
	return records, err
}

func decodeShard(text []byte, subdir, name string) ([]conda.Record, error) {
	text, err := archive.Unzstd(text, maxShard)
	if err != nil {
		return nil, err
	}
	shard, err := shards.ParseShard(text)
	if err != nil {
		return nil, err
	}
	data := conda.NewRepoData(subdir)
	for file, e := range shard.Packages {
		data.Packages.Set(file, e.Record)
	}
	for file, e := range shard.PackagesConda {
		data.PackagesConda.Set(file, e.Record)
	}
	records, _ := data.Records(name) // a broken record is not an offer
	return records, nil
}

// keep writes a file that appears whole.
func keep(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), ".part-")
	if err != nil {
		return err
	}
	_, err = part.Write(text)
	if err = errors.Join(err, part.Close()); err == nil {
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return nil
}
