package indexer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/store"
)

const (
	shardCache = "public, max-age=31536000, immutable"

	// shardGrace is how long a shard stays that no index names any more: a
	// client may hold an older index (CEP 16 proposes a week).
	shardGrace = 7 * 24 * time.Hour
	sweepEvery = 24 * time.Hour

	maxShardIndex = 128 << 20 // what conda reads of one, in bytes
)

// makeShards writes the shards that e changes and returns their index. Shards
// are named after their contents and come first, so that an index never names
// one that is not there.
func makeShards(ctx context.Context, r *run, e *edition, parts map[string]*part) (*conda.Text, error) {
	exports, err := r.runExports(ctx, e, parts)
	if err != nil {
		return nil, err
	}
	p := parts[shards.IndexName]
	old, usable, err := r.oldShards(ctx, p)
	if err != nil {
		return nil, err
	}
	p.adopted = e.part && usable && p.source == ""
	x := shards.Index{Subdir: e.subdir, BaseURL: cmp.Or(e.data.BaseURL(), "./"), ShardsBaseURL: "./" + shards.Folder + "/", Source: e.source, Shards: map[string]shards.Sum{}}
	changed := e.changedNames()
	switch {
	case e.follows(p) && e.shards.complete(), p.adopted:
		maps.Copy(x.Shards, old.Shards)
	default: // each is made again, and written if it is another
		changed = nil
	}
	if err := r.putShards(ctx, e.shardsOf(changed, exports), old, e.shards, x.Shards); err != nil {
		return nil, err
	}
	x.CreatedAt = r.now().UTC().Format(time.RFC3339)
	if maps.Equal(x.Shards, old.Shards) && old.CreatedAt != "" {
		x.CreatedAt = old.CreatedAt
	}
	return conda.TextOf(archive.Zstd(x.Encode())), nil
}

// oldShards is the stored index of shards. One that is not usable, because it
// cannot be read or another indexer's shards lie elsewhere, is made anew, like
// one that is not there.
func (r *run) oldShards(ctx context.Context, p *part) (old shards.Index, usable bool, err error) {
	packed, err := r.older(ctx, p)
	if err != nil || packed == nil {
		return shards.Index{}, false, err
	}
	text, err := archive.Unzstd(packed, maxShardIndex)
	var x shards.Index
	if err == nil {
		x, err = shards.ParseIndex(text)
	}
	if err != nil || x.ShardsBaseURL != "./"+shards.Folder+"/" {
		p.source = ""
		return shards.Index{}, false, nil //nolint:nilerr // it is made anew
	}
	return x, true, nil
}

// changedNames are the packages by which e differs from what it replaces.
func (e *edition) changedNames() map[string]bool {
	names := map[string]bool{}
	for file := range e.touched() {
		if name := packageOf(file); name != "" {
			names[name] = true
		}
	}
	return names
}

// packageOf is the name under which a file's shard is found: lower case.
func packageOf(file string) string {
	f, err := conda.ParseFileName(file)
	if err != nil {
		return ""
	}
	return strings.ToLower(f.Name)
}

// shardsOf are the shards of the given packages, of all with names nil. One
// whose last file went is empty.
func (e *edition) shardsOf(names map[string]bool, exports *conda.RunExports) map[string]*shards.Shard {
	all := map[string]*shards.Shard{}
	for name := range names {
		all[name] = emptyShard()
	}
	of := func(file string) *shards.Shard {
		if names != nil && !names[strings.ToLower(conda.NameIn(file))] {
			return nil // most of a large index
		}
		name := packageOf(file)
		if name == "" {
			return nil
		}
		if all[name] == nil {
			all[name] = emptyShard()
		}
		return all[name]
	}
	add := func(s *shards.Shard, file, key string, record json.RawMessage, to func(*shards.Shard) map[string]shards.Entry) {
		if s != nil {
			to(s)[key] = shards.Entry{Record: record, RunExports: exports.Get(file)}
		}
	}
	for file, record := range e.data.Packages.All() {
		add(of(file), file, file, record, func(s *shards.Shard) map[string]shards.Entry { return s.Packages })
	}
	for file, record := range e.data.PackagesConda.All() {
		add(of(file), file, file, record, func(s *shards.Shard) map[string]shards.Entry { return s.PackagesConda })
	}
	for kind, records := range e.data.V3 {
		for stem, record := range records {
			in := of(stem + ".conda") // kinds that are not ours to make, as whl, are named likewise
			add(in, stem+"."+kind, stem, record, func(s *shards.Shard) map[string]shards.Entry {
				if s.V3[kind] == nil {
					s.V3[kind] = map[string]shards.Entry{}
				}
				return s.V3[kind]
			})
		}
	}
	for _, file := range e.data.Removed {
		if s := all[packageOf(file)]; s != nil {
			s.Removed = append(s.Removed, file)
		}
	}
	return all
}

func emptyShard() *shards.Shard {
	return &shards.Shard{Packages: map[string]shards.Entry{}, PackagesConda: map[string]shards.Entry{}, V3: map[string]map[string]shards.Entry{}}
}

// putShards stores shards that are not there yet, several at a time, and notes
// their hashes in sums.
func (r *run) putShards(ctx context.Context, all map[string]*shards.Shard, old shards.Index, there *shardFolder, sums map[string]shards.Sum) error {
	names := slices.Sorted(maps.Keys(all))
	var mu sync.Mutex // guards sums
	return r.each(ctx, len(names), func(ctx context.Context, i int) error {
		name, s := names[i], all[names[i]]
		if len(s.Packages)+len(s.PackagesConda)+len(s.V3) == 0 {
			mu.Lock()
			defer mu.Unlock()
			delete(sums, name)
			return nil
		}
		sum, err := r.putShard(ctx, s, there, old.Shards[name])
		if err != nil {
			return fmt.Errorf("the shard of %s: %w", name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		sums[name] = sum
		return nil
	})
}

// putShard stores a shard in the place of was, unless it is there.
func (r *run) putShard(ctx context.Context, s *shards.Shard, there *shardFolder, was shards.Sum) (shards.Sum, error) {
	text, err := s.Encode()
	if err != nil {
		return shards.Sum{}, err
	}
	packed := archive.ZstdShard(text)
	sum := shards.Sum(sha256.Sum256(packed))
	if there.has(sum, was) {
		return sum, nil
	}
	_, err = r.s.Put(ctx, r.subdir+"/"+sum.Key(), bytes.NewReader(packed), store.PutOptions{
		Cond: there.over(sum), ContentType: "application/octet-stream", CacheControl: shardCache,
	})
	return sum, err
}

// shardFolder is what a subdir's folder of shards holds.
type shardFolder struct {
	stored map[shards.Sum]store.Info
	named  map[string]shards.Sum // by the index of shards
}

// complete tells whether nothing is known to be missing.
func (f *shardFolder) complete() bool {
	if f == nil {
		return true
	}
	for _, sum := range f.named {
		if !f.whole(sum) {
			return false
		}
	}
	return true
}

// whole tells whether a shard is stored. One without anything in it was cut.
func (f *shardFolder) whole(sum shards.Sum) bool { return f.stored[sum].Size > 0 }

// over is the condition for a shard to be written. What was cut is replaced.
func (f *shardFolder) over(sum shards.Sum) store.Cond {
	if f == nil {
		return store.IfAbsent
	}
	in, exists := f.stored[sum]
	return (&object{info: in, exists: exists}).over()
}

// has tells whether the shard sum need not be written, where an index names
// was for its package.
func (f *shardFolder) has(sum, was shards.Sum) bool {
	if f == nil {
		return sum == was
	}
	return f.whole(sum)
}

// shardsDue lists the shards, once a day: those that nobody needs are deleted,
// and those that are missing written. It returns nil in between.
func (r *run) shardsDue(ctx context.Context, known state) (*shardFolder, error) {
	age := r.now().Sub(time.Unix(known.swept.Swept, 0))
	if r.o.Check || !r.o.Full && 0 <= age && age < sweepEvery { // one of the future is of a clock that was off
		return nil, nil
	}
	return r.listShards(ctx)
}

func (r *run) listShards(ctx context.Context) (*shardFolder, error) {
	f := &shardFolder{stored: map[shards.Sum]store.Info{}}
	prefix := r.subdir + "/" + shards.Folder + "/"
	for in, err := range r.s.List(ctx, prefix, store.ListOptions{Shallow: true}) {
		if err != nil {
			return nil, err
		}
		text, ok := strings.CutSuffix(strings.TrimPrefix(in.Key, prefix), shards.Ext)
		if b, err := hex.DecodeString(text); ok && err == nil && len(b) == len(shards.Sum{}) {
			f.stored[shards.Sum(b)] = in
		}
	}
	var err error
	f.named, err = r.namedShards(ctx)
	return f, err
}

// namedShards are those that the stored index of shards names.
func (r *run) namedShards(ctx context.Context) (map[string]shards.Sum, error) {
	o, err := r.read(ctx, shards.IndexName)
	if err != nil || !o.exists {
		return nil, err
	}
	x, _, err := r.oldShards(ctx, &part{object: o, name: shards.IndexName})
	return x.Shards, err
}

// NeedsFull tells whether a check found what only a run with Options.Full surely
// mends: shards that are missing are looked for once a day.
func (r *Report) NeedsFull() bool {
	return slices.ContainsFunc(r.Subdirs, func(s SubdirReport) bool {
		return slices.ContainsFunc(s.Stale, func(name string) bool { return strings.HasPrefix(name, shards.Folder+"/") })
	})
}

// missingShards are shards that the index names and that are not stored, or empty.
func (r *run) missingShards(ctx context.Context, p *part) ([]string, error) {
	if !p.exists {
		return nil, nil
	}
	f, err := r.listShards(ctx)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(f.named)) {
		if !f.whole(f.named[name]) {
			missing = append(missing, f.named[name].Key())
		}
	}
	return missing, nil
}

// sweep deletes shards that no index has named for a week. since says, by their
// keys, when each was first seen to be none that is named, in seconds since 1970; of
// those that stay it is returned. How old a shard is does not tell, for the index may
// have named it until a moment ago. The index is asked again first: another writer may
// have come back to an old shard. If one does so now it is missing until the next run
// that lists the shards.
func (r *run) sweep(ctx context.Context, f *shardFolder, since map[string]int64) (later map[string]int64, swept int, err error) {
	now, named := r.now(), f.namedKeys()
	later = map[string]int64{}
	var due []string
	for sum, in := range f.stored {
		key := sum.Key()
		if named[key] {
			continue
		}
		at, known := since[key]
		if !known || at > now.Unix() { // one of the future is of a clock that was off
			at = now.Unix()
		}
		later[key] = at
		if now.Sub(time.Unix(at, 0)) > shardGrace && now.Sub(in.Modified) > shardGrace {
			due = append(due, key)
		}
	}
	if len(due) == 0 {
		return later, 0, nil
	}
	again := &shardFolder{}
	if again.named, err = r.namedShards(ctx); err != nil {
		return later, 0, err
	}
	named = again.namedKeys()
	for _, key := range due {
		if named[key] {
			continue
		}
		if err := r.s.Delete(ctx, r.subdir+"/"+key); err != nil {
			return later, swept, err
		}
		delete(later, key)
		swept++
	}
	return later, swept, nil
}

// namedKeys are those of the shards that the index of shards names.
func (f *shardFolder) namedKeys() map[string]bool {
	keys := map[string]bool{}
	for _, sum := range f.named {
		keys[sum.Key()] = true
	}
	return keys
}
