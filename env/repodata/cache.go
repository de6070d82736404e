package repodata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// place is a subdir of a channel, and the folder where what was read of it lies:
// note.json, and the file that it names. A file is never changed; a newer one gets
// another name, so who reads the old one reads on.
type place struct {
	Options
	reader store.Reader
	at     store.Place // where the index is being read
	subdir string
	dir    string
	own    bool   // dir is this process's alone, and goes at Close
	folder string // of the packages, as conda.Record has it

	declined map[string]declined // forms that were passed over
	leftOut  map[string][]string // what of each name is no offer, and why
}

// declined says why a form, in this version, was passed over.
type declined struct {
	Version string `json:"version"`
	Why     string `json:"why"` // "" is no reason to warn
}

// note says what was kept.
type note struct {
	Channel string        `json:"channel"`
	Form    string        `json:"form"`    // which form of the index was read
	Version string        `json:"version"` // of the object: its ETag, or time and size
	File    string        `json:"file"`    // in the folder
	Checked time.Time     `json:"checked"` // when this was the channel's version
	Fresh   time.Duration `json:"fresh"`   // how long after that nobody need ask again, in ns

	Declined map[string]declined `json:"declined,omitempty"` // better forms that were no use
}

const noteName = "note.json"

// layout is a part of the folder's name that changes when the files' form does.
const layout = "repodata-3"

func openPlace(r store.Reader, subdir string, o Options) (p *place, err error) {
	p = &place{Options: o, reader: r, subdir: subdir}
	sum := sha256.Sum256([]byte(o.Channel + "/" + subdir))
	p.dir = filepath.Join(o.Cache, layout, hex.EncodeToString(sum[:8]))
	if o.Cache == "" || os.MkdirAll(p.dir, 0o755) != nil {
		return p, p.leaveCache()
	}
	return p, nil
}

// leaveCache works in a folder of this process: a cache that cannot be written
// costs time, no more.
func (p *place) leaveCache() (err error) {
	p.own = true
	p.dir, err = os.MkdirTemp("", "condaworker-repodata-")
	return err
}

// leaveOut notes which of a name's records are no offer, for they are broken.
func (p *place) leaveOut(name string, broken []error) {
	var why []string
	for _, err := range broken {
		why = append(why, err.Error()+": build or index it anew")
	}
	if p.leftOut == nil {
		p.leftOut = map[string][]string{}
	}
	p.leftOut[name] = why
}

// named is how many left-out records are told of one by one.
const named = 10

// Close tells what was left out, and removes what nobody else can use.
func (p *place) Close() error {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.leftOut)) {
		all = append(all, p.leftOut[name]...)
	}
	for i, why := range all {
		switch {
		case p.Warn == nil || i > named:
		case i == named:
			p.Warn(fmt.Sprintf("channel %s: %s has %d more that are left out", p.Channel, p.subdir, len(all)-named))
		default:
			p.Warn(fmt.Sprintf("channel %s: left out of %s: %s", p.Channel, p.subdir, why))
		}
	}
	if p.own {
		return os.RemoveAll(p.dir)
	}
	return nil
}

// read returns what was kept; known is false if there is nothing.
func (p *place) read() (n note, known bool) {
	text, err := os.ReadFile(filepath.Join(p.dir, noteName))
	if err != nil || json.Unmarshal(text, &n) != nil {
		return note{}, false
	}
	dir.Touch(filepath.Join(p.dir, noteName))
	return n, n.Channel == p.Channel && n.File == filepath.Base(n.File) && n.File != ""
}

// resolve takes a URL that an index gives, relative to itself or absolute (CEP 15,
// CEP 16), to a folder of the channel, or to one elsewhere: on a web server, or for a
// channel that is not on one itself, in a bucket. A web server cannot have us read what
// only this machine or its user's account can. ok is false for what is neither.
func (p *place) resolve(ref string) (key, elsewhere string, ok bool) {
	root := strings.TrimRight(p.Channel, "/") + "/"
	if !strings.Contains(root, "://") { // a folder's path, which has no need to be a URL
		root = "folder://here/one/two/three/channel/"
	}
	base, err := url.Parse(root + p.subdir + "/")
	if err != nil {
		return "", "", false
	}
	at, err := base.Parse(ref)
	if err != nil || at.RawQuery != "" || at.Fragment != "" {
		return "", "", false
	}
	text := strings.TrimRight(at.String(), "/")
	if key, ok = strings.CutPrefix(text+"/", root); ok {
		key, err = url.PathUnescape(strings.TrimRight(key, "/"))
		return key, "", err == nil
	}
	web := func(scheme string) bool { return scheme == "http" || scheme == "https" }
	if at.Host == "" || !web(at.Scheme) && (at.Scheme != "s3" || web(base.Scheme)) {
		return "", "", false
	}
	return "", text, true
}

// locate notes where the packages lie. ok is false where they cannot be had.
func (p *place) locate(baseURL string) (ok bool) {
	p.folder = ""
	key, elsewhere, ok := p.resolve(baseURL)
	switch {
	case elsewhere != "":
		p.folder = elsewhere
		return p.Elsewhere != nil
	case ok && key != p.subdir:
		p.folder = strings.TrimRight(strings.TrimRight(p.Channel, "/")+"/"+key, "/")
	}
	return ok
}

// offer returns the records of a name that can be installed, with the folder of their
// archives, and why others cannot.
func (p *place) offer(data *conda.RepoData, name string) (records []conda.Record, broken []error) {
	all, broken := data.Records(name)
	for _, r := range all {
		r.Folder = p.folder
		if err := r.CheckHashes(); err != nil {
			broken = append(broken, fmt.Errorf("read the record of %s: %w", r.FileName, err))
			continue
		}
		records = append(records, r)
	}
	return records, broken
}

// version tells contents apart; "" is not known.
func version(info store.Info) string {
	switch {
	case info.Version != "":
		return info.Version
	case !info.Modified.IsZero():
		return fmt.Sprintf("%d-%d", info.Modified.UnixNano(), info.Size)
	}
	return ""
}

func (n note) of(form store.Info) bool {
	return n.Form == form.Key && n.Version == version(form) && n.Version != ""
}

// get opens a form: what was kept, if it is of this version, or else what the
// channel has, which one process reads while others wait.
func (p *place) get(ctx context.Context, form store.Info) (Subdir, error) {
	if n, known := p.read(); known && n.of(form) {
		if s, err := p.load(ctx, n); err == nil {
			p.confirm(n, form)
			return s, nil
		}
	}
	unlock, err := dir.Lock(ctx, filepath.Join(p.dir, "lock"))
	if err != nil && ctx.Err() == nil && p.leaveCache() == nil {
		return p.renew(ctx, form)
	}
	if err != nil {
		return nil, err
	}
	s, err := p.renew(ctx, form)
	return s, errors.Join(err, unlock())
}

// renew is get under the lock.
func (p *place) renew(ctx context.Context, form store.Info) (Subdir, error) {
	if n, known := p.read(); known && n.of(form) {
		if s, err := p.load(ctx, n); err == nil {
			return s, nil
		}
	}
	n, err := p.fetch(ctx, form.Key)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", p.subdir, form.Key, err)
	}
	s, err := p.load(ctx, n)
	if err != nil {
		return nil, err
	}
	p.sweep(n.File)
	return s, p.write(n)
}

// confirm notes when a copy was last seen to be the channel's version, where that
// spares the next request, and what else was seen.
func (p *place) confirm(n note, form store.Info) {
	if form.Fresh == 0 && n.Fresh == 0 && maps.Equal(n.Declined, p.declined) {
		return
	}
	n.Checked, n.Fresh = time.Now(), form.Fresh
	_ = p.write(n) // then the next run asks
}

// errLost reports that what was read ended early, or was not what the server had said.
var errLost = errors.New("it did not arrive whole")

// tries is how often something is read that does not arrive whole. Who reads it has
// already tried to go on where it broke off.
const tries = 3

// again calls read until what it reads arrives whole.
func again(ctx context.Context, read func() error) error {
	for try := 1; ; try++ {
		err := read()
		if !errors.Is(err, errLost) || try == tries || store.Pause(ctx, time.Duration(try)*pause, time.Duration(try)*2*pause) != nil {
			return err
		}
	}
}

const pause = 100 * time.Millisecond

// fetch reads a form into a file of the folder.
func (p *place) fetch(ctx context.Context, form string) (n note, err error) {
	err = again(ctx, func() error {
		n, err = p.fetchOnce(ctx, form)
		return err
	})
	return n, err
}

func (p *place) fetchOnce(ctx context.Context, form string) (n note, err error) {
	asked := time.Now()
	body, info, err := p.at.Get(ctx, p.subdir+"/"+form, 0, -1)
	if err != nil {
		return note{}, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	part, err := os.CreateTemp(p.dir, ".part-")
	if err != nil {
		return note{}, err
	}
	from := &source{r: body}
	err = errors.Join(part.Chmod(0o644), convert(form, from, part)) // a cache may serve several users
	if from.err != nil {                                            // whatever that made of the index
		err = fmt.Errorf("%w: %w", errLost, from.err)
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return note{}, errors.Join(err, os.Remove(part.Name()))
	}
	n = note{Channel: p.Channel, Form: form, Version: version(info), File: filepath.Base(part.Name())[1:], Checked: asked, Fresh: info.Fresh}
	return n, os.Rename(part.Name(), filepath.Join(p.dir, n.File))
}

// source notes why reading failed: that is the network's fault, not the index's.
type source struct {
	r   io.Reader
	n   int64 // bytes that were read
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// convert writes a form as it is kept.
func convert(form string, from *source, to *os.File) (err error) {
	var text io.Reader = from
	if form == shards.IndexName {
		_, err := io.Copy(to, from)
		return err
	}
	if filepath.Ext(form) == ".zst" {
		z, err := archive.UnzstdReader(from, maxSize)
		if err != nil {
			return err
		}
		defer z.Close() //nolint:errcheck // it has nothing to report
		text = z
	}
	err = fill(to, text)
	if err == nil && from.n == 0 && filepath.Ext(form) == ".zst" { // the compressed form of an empty index is not
		err = fmt.Errorf("%w: it has no bytes", errBroken)
	}
	return err
}

// load opens a file that was kept.
func (p *place) load(ctx context.Context, n note) (Subdir, error) {
	if n.Form == shards.IndexName {
		return openSharded(ctx, p, n)
	}
	return openShelf(p, n.File)
}

func (p *place) write(n note) error {
	n.Declined = p.declined
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return keep(filepath.Join(p.dir, noteName), text)
}

// sweep removes older files, and what killed processes left.
func (p *place) sweep(but string) {
	entries, _ := os.ReadDir(p.dir)
	for _, e := range entries {
		if name := e.Name(); name != but && name != noteName && name != "lock" {
			_ = os.Remove(filepath.Join(p.dir, name)) // open on Windows, it stays until the next time
		}
	}
}

// keep writes a file that appears whole.
func keep(file string, text []byte) error {
	part, err := os.CreateTemp(filepath.Dir(file), ".part-")
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(file), 0o755); err == nil {
			part, err = os.CreateTemp(filepath.Dir(file), ".part-")
		}
	}
	if err != nil {
		return err
	}
	_, err = part.Write(text)
	if err = errors.Join(err, part.Chmod(0o644), part.Close()); err == nil { // as all of the cache
		err = os.Rename(part.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return nil
}
