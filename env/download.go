package env

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // what a lock file may know of an archive
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// packages are what to install for records, in their order. Archives that are not
// unpacked in the cache yet are fetched when it comes to that.
func (o *offers) packages(records []conda.Record) ([]install.Package, error) {
	packages := make([]install.Package, len(records))
	for i, r := range records {
		p, err := o.archive(r)
		if err != nil {
			return nil, fmt.Errorf("fetch %s/%s from %s: %w", r.Subdir, r.FileName, r.Channel, err)
		}
		p.Spec = o.asked[r.Name]
		if o.request.Explicit != nil { // what a URL says is no record of its index
			p.Record = conda.Record{Channel: r.Channel, Subdir: r.Subdir, FileName: r.FileName, SHA256: r.SHA256, MD5: r.MD5}
		}
		packages[i] = p
	}
	return packages, nil
}

// Fetch has the archive of a record that Solve or Create returned for r on disk, and
// returns its path: that of an archive of r.Local, or a file in r.Cache. The error names
// the archive and its channel.
func Fetch(ctx context.Context, r Request, of conda.Record) (file string, err error) {
	release, err := useCache(ctx, r.Cache)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, release()) }()
	if file, err = fetched(ctx, r, of); err != nil {
		err = fmt.Errorf("get the archive of %s %s %s: %w", of.Name, of.Version, of.Build, err)
	}
	return file, err
}

// fetched is Fetch for who shares the cache already.
func fetched(ctx context.Context, r Request, of conda.Record) (file string, err error) {
	p, err := (&offers{request: r, ctx: ctx}).archive(of)
	if err == nil && p.Fetch != nil {
		_, err = p.Fetch(ctx)
	}
	return p.Path, err
}

// archive finds the place that offered a record.
func (o *offers) archive(r conda.Record) (install.Package, error) {
	for _, p := range o.request.Local {
		if p.Record.FileName == r.FileName && r.Channel == p.Record.Channel {
			return p, nil
		}
	}
	for _, c := range o.request.Channels {
		if c.URL != r.Channel {
			continue
		}
		from, key, err := o.place(c, r)
		if err != nil {
			return install.Package{}, err
		}
		file := filepath.Join(o.request.Cache, "archives", cacheName(r), r.FileName)
		want := archive.Digest{Size: r.Size, SHA256: r.SHA256, MD5: r.MD5}
		fetch := func(ctx context.Context) (archive.Digest, error) {
			got, err := download(ctx, from.Reader, key, file, want)
			switch {
			case o.request.Explicit != nil:
				err = blame(err, "correct the hash in the list")
			case errors.Is(err, fs.ErrNotExist):
				err = fmt.Errorf("%w, though the index names it: reindex the channel", err)
			default:
				err = blame(err, reindex)
			}
			if err != nil {
				err = fmt.Errorf("fetch %s from %s: %w", key, from.URL, err)
			}
			return got, err
		}
		return install.Package{Path: file, Record: r, URL: from.URL + "/" + key, Fetch: fetch}, nil
	}
	return install.Package{}, errors.New("no channel of this request has it")
}

// place is where the archive of a record of c lies: beside its index, in another folder
// of the channel, or in a folder elsewhere.
func (o *offers) place(c Channel, r conda.Record) (from Channel, key string, err error) {
	if r.Folder == "" {
		return c, path.Join(r.Subdir, r.FileName), nil
	}
	if folder, inside := strings.CutPrefix(r.Folder+"/", c.URL+"/"); inside {
		return c, path.Join(folder, r.FileName), nil
	}
	from, known := o.folders[r.Folder]
	if !known {
		if c.Elsewhere == nil {
			return from, "", fmt.Errorf("it lies elsewhere, at %s: name the channel there", store.WithoutSecrets(r.Folder))
		}
		if from, err = c.Elsewhere(o.ctx, r.Folder); err != nil {
			return from, "", fmt.Errorf("open %s, where its packages lie: %w", store.WithoutSecrets(r.Folder), err)
		}
		if o.folders == nil {
			o.folders = map[string]Channel{}
		}
		o.folders[r.Folder] = from
	}
	return from, r.FileName, nil
}

// elsewhere is what reading an index needs of Elsewhere.
func (c Channel) elsewhere() func(context.Context, string) (store.Reader, error) {
	if c.Elsewhere == nil {
		return nil
	}
	return func(ctx context.Context, url string) (store.Reader, error) {
		at, err := c.Elsewhere(ctx, url)
		return at.Reader, err
	}
}

// cacheName is the folder for an archive: two channels may have other bytes under
// one name. Whatever is no hash is not taken for a path.
func cacheName(r conda.Record) string {
	for _, sum := range []string{r.SHA256, r.MD5} {
		if b, err := hex.DecodeString(sum); err == nil && (len(b) == sha256.Size || len(b) == md5.Size) {
			return sum[:16]
		}
	}
	return "unhashed"
}

// attempts is how often a download goes on after it was cut off, each time with
// something more on disk than before.
const attempts = 5

// Download has the object key in the file to afterwards, with what want says of its
// bytes: size and hashes, of which zero ones are not checked. A file that has them
// already stays. Without any hash the object is read anew. It returns what the bytes are.
//
// Bytes that do not match never have the file's name. What a download that was cut
// off or killed has brought lies beside it in .part-NAME, and the next one goes on
// there. Processes that want the same file wait for the one that fetches it.
func Download(ctx context.Context, from store.Reader, key, to string, want archive.Digest) (archive.Digest, error) {
	got, err := download(ctx, from, key, to, want)
	return got, blame(err, reindex)
}

// reindex is what helps when a channel's index is wrong.
const reindex = "reindex the channel"

// blame adds what helps to an error about other bytes than those that were wanted.
func blame(err error, remedy string) error {
	if _, other := errors.AsType[otherBytes](err); other {
		return fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}

// download is Download without what to do about other bytes.
func download(ctx context.Context, from store.Reader, key, to string, want archive.Digest) (got archive.Digest, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a cache for all of the machine
		return got, err
	}
	free, err := dir.Hold(ctx, filepath.Join(filepath.Dir(to), ".lock-"+filepath.Base(to)))
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, free()) }()
	d := &transfer{key: key, want: want}
	if d.hashed() {
		if got, err := verifyFile(ctx, to, want); err == nil {
			dir.Touch(to)
			return got, nil
		}
	}
	name := filepath.Join(filepath.Dir(to), ".part-"+filepath.Base(to))
	d.part, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // a cache for all of the machine
	if err != nil {
		return got, err
	}
	keep := false
	err = store.Try(ctx, from, func(at store.Place) (err error) {
		d.from = at
		got, keep, err = d.run(ctx)
		if _, other := errors.AsType[otherBytes](err); other && at.Name != "" {
			err = fmt.Errorf("%s: %w", key, err)
		}
		if d.unwritten != nil { // no other place helps
			return nil
		}
		return err
	})
	if err = errors.Join(cmp.Or(d.unwritten, err), d.part.Close()); err == nil {
		return got, os.Rename(name, to)
	}
	if !keep || d.unwritten != nil { // a full disk gets its room back
		err = errors.Join(err, os.Remove(name))
	}
	return got, err
}

// transfer is an object on its way to a file, which this process holds.
type transfer struct {
	part *os.File
	from store.Reader
	key  string
	want archive.Digest

	unwritten error // why the part could not be written
}

func (d *transfer) hashed() bool { return d.want.SHA256 != "" || d.want.MD5 != "" }

// run begins where an earlier run ended. When that does not come to the right bytes
// they are thrown away, and it begins at the beginning. After an error, keep says that
// a later run may go on.
func (d *transfer) run(ctx context.Context) (got archive.Digest, keep bool, err error) {
	if d.hashed() && d.size() > 0 {
		if got, err := d.read(ctx); err == nil || ctx.Err() != nil {
			return got, true, err
		}
	}
	if err := d.part.Truncate(0); err != nil {
		return got, false, err
	}
	got, err = d.read(ctx)
	if _, other := errors.AsType[otherBytes](err); other {
		return got, false, errors.Join(err, d.part.Truncate(0))
	}
	return got, d.hashed() && d.size() > 0, err
}

func (d *transfer) size() int64 {
	info, err := d.part.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// read appends to the part until the object ends, and compares. An end before the
// record's may be a connection that was cut off: not all servers let one tell.
func (d *transfer) read(ctx context.Context) (archive.Digest, error) {
	var short error // what was wrong with what ended too soon
	for attempt := 1; ; attempt++ {
		had := d.size()
		sum, err := d.next(ctx, had)
		whole := err == nil
		if whole {
			err = compare(sum, d.want)
		}
		switch {
		case err == nil || whole && sum.Size >= d.want.Size || ctx.Err() != nil || !d.hashed():
			return sum, err
		case d.size() == had:
			return sum, cmp.Or(short, err)
		case attempt == attempts && whole: // the next run goes on
			return sum, fmt.Errorf("it ended after %d of its %d bytes, again and again: %w", sum.Size, d.want.Size, io.ErrUnexpectedEOF)
		case attempt == attempts:
			return sum, err
		case whole:
			short = err
		}
	}
}

// next appends what follows the first bytes of the object, and sums up all of it.
func (d *transfer) next(ctx context.Context, had int64) (archive.Digest, error) {
	rest := io.Reader(bytes.NewReader(nil))
	if had == 0 || had != d.want.Size { // else it was killed before the last step
		body, _, err := d.from.Get(ctx, d.key, had, -1)
		if err != nil {
			return archive.Digest{}, err
		}
		defer func() { _ = body.Close() }() // it was read to its end, or failed before
		rest = io.TeeReader(body, &partWriter{io.NewOffsetWriter(d.part, had), &d.unwritten})
	}
	return archive.Sum(ctx, io.MultiReader(io.NewSectionReader(d.part, 0, had), rest))
}

// partWriter notes why it could not write.
type partWriter struct {
	io.Writer
	failed *error
}

func (w *partWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	*w.failed = err
	return n, err
}

// otherBytes tells how the object is not what its record says.
type otherBytes string

func (e otherBytes) Error() string { return string(e) }

// compare says how got differs from want. Records with a hash have been seen with
// another archive's size.
func compare(got, want archive.Digest) error {
	if want.SHA256 == "" && want.MD5 == "" && want.Size != 0 && got.Size != want.Size {
		return otherBytes(fmt.Sprintf("it has %d bytes, its record says %d", got.Size, want.Size))
	}
	for _, c := range []struct{ what, got, want string }{
		{"sha256", got.SHA256, want.SHA256},
		{"md5", got.MD5, want.MD5},
	} {
		if c.want != "" && c.got != c.want {
			return otherBytes(fmt.Sprintf("its %s is %s, its record says %s", c.what, c.got, c.want))
		}
	}
	return nil
}

func verifyFile(ctx context.Context, name string, want archive.Digest) (got archive.Digest, err error) {
	f, err := os.Open(name) //nolint:gosec // in the cache
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	got, err = archive.Sum(ctx, f)
	if err != nil {
		return got, err
	}
	return got, compare(got, want)
}
