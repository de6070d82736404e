package pack

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda/archive"
)

// infoMember is a file of the info part. Long lists are never held as text:
// write makes them twice, once to know their size.
type infoMember struct {
	path  string // below info/
	mode  fs.FileMode
	size  int64
	from  string // the file on disk, if there is one
	write func(io.Writer) error
}

// writeInfo writes the info part: index.json first, the others sorted.
func (p *packer) writeInfo(ctx context.Context, w *archive.Writer) error {
	members, err := p.infoMembers()
	if err != nil {
		return err
	}
	size := int64(2 * 512)
	for _, m := range members {
		size += tarSize("info/"+m.path, "", m.size)
	}
	part, err := w.Part(archive.InfoPart, size)
	if err != nil {
		return err
	}
	t := tar.NewWriter(part)
	for _, m := range members {
		if err = ctx.Err(); err == nil {
			err = p.writeMember(t, m)
		}
		if err != nil {
			return closePart(part, err)
		}
	}
	return closePart(part, t.Close())
}

func (p *packer) writeMember(t *tar.Writer, m infoMember) error {
	if err := t.WriteHeader(p.header("info/"+m.path, m.mode, m.size)); err != nil {
		return fmt.Errorf("pack info/%s: %w", m.path, err)
	}
	if err := m.write(t); err != nil {
		return fmt.Errorf("pack info/%s: %w", m.path, err)
	}
	return t.Flush() // fails when the content was shorter than said
}

func (p *packer) infoMembers() ([]infoMember, error) {
	members, err := p.generated()
	if err != nil {
		return nil, err
	}
	for _, x := range p.Extra {
		m, err := extra(x)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	// What a script put below $PREFIX/info is kept unless it is in the way.
	for _, f := range p.info {
		name := strings.TrimPrefix(f, "info/")
		if slices.ContainsFunc(members, func(m infoMember) bool { return m.path == name }) {
			continue
		}
		m, err := extra(InfoFile{Path: name, Source: p.disk(f)})
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return order(members)
}

// order sorts members and drops those that two globs found.
func order(members []infoMember) ([]infoMember, error) {
	slices.SortStableFunc(members, func(a, b infoMember) int {
		switch {
		case a.path == b.path:
			return 0
		case a.path == "index.json":
			return -1
		case b.path == "index.json":
			return 1
		}
		return strings.Compare(a.path, b.path)
	})
	for i := 1; i < len(members); i++ {
		a, b := members[i-1], members[i]
		if a.path == b.path && (a.from == "" || a.from != b.from) {
			return nil, fmt.Errorf("two files want to be info/%s in the package", a.path)
		}
	}
	return slices.CompactFunc(members, func(a, b infoMember) bool { return a.path == b.path }), nil
}

// generated are the files that every builder writes.
func (p *packer) generated() ([]infoMember, error) {
	for _, e := range p.entries {
		if e.isLink() {
			if err := p.follow(e); err != nil {
				return nil, fmt.Errorf("follow symlink %s: %w", e.path, err)
			}
		}
	}
	members := []infoMember{held("index.json", p.Index, 0)}
	if p.About != nil {
		members = append(members, held("about.json", p.About, 0))
	}
	if p.HashInput != nil {
		members = append(members, held("hash_input.json", p.HashInput, 0))
	}
	lists := map[string]func(*text){"paths.json": p.pathsJSON, "files": p.fileList}
	if slices.ContainsFunc(p.entries, func(e *entry) bool { return e.prefixed }) {
		lists["has_prefix"] = p.hasPrefix
	}
	for name, list := range lists {
		m, err := counted(name, list)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

func held(path string, data []byte, mode fs.FileMode) infoMember {
	return infoMember{path: path, mode: mode, size: int64(len(data)), write: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
}

// counted is a file that list writes, with the size that it will have.
func counted(path string, list func(*text)) (infoMember, error) {
	write := func(w io.Writer) error {
		t := &text{w: bufio.NewWriterSize(w, 64<<10)}
		list(t)
		return errors.Join(t.err, t.w.Flush())
	}
	var n counter
	err := write(&n)
	return infoMember{path: path, size: int64(n), write: write}, err
}

// text writes strings and keeps the first error.
type text struct {
	w   *bufio.Writer
	err error
}

func (t *text) put(parts ...string) {
	for _, s := range parts {
		if t.err == nil {
			_, t.err = t.w.WriteString(s)
		}
	}
}

type counter int64

// Write only counts.
func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func extra(x InfoFile) (infoMember, error) {
	if !fs.ValidPath(x.Path) || x.Path == "." || strings.ContainsAny(x.Path, "\n\r") {
		return infoMember{}, fmt.Errorf("%q is not a path below info/", x.Path)
	}
	if x.Source == "" {
		return held(x.Path, x.Data, x.Mode), nil
	}
	stat, err := os.Stat(x.Source)
	if err != nil {
		return infoMember{}, fmt.Errorf("pack info/%s: %w", x.Path, err)
	}
	if !stat.Mode().IsRegular() {
		return infoMember{}, fmt.Errorf("pack info/%s: %s is not a file", x.Path, x.Source)
	}
	mode := x.Mode
	if mode == 0 {
		mode = stat.Mode().Perm()
	}
	return infoMember{path: x.Path, mode: mode, size: stat.Size(), from: x.Source, write: func(w io.Writer) error {
		return copyFile(w, x.Source, stat.Size())
	}}, nil
}

func copyFile(w io.Writer, name string, size int64) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(w, io.LimitReader(f, size+1))
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != size {
		return changed(name)
	}
	return err
}
