package agent

import (
	"context"
	"io"
	"slices"

	"github.com/condaworker/condaworker/agent/openjd"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
)

// observe makes the output hear what is read from channels.
func (d *desk) observe(channels []env.Channel) []env.Channel {
	all := slices.Clone(channels)
	for i := range all {
		all[i].Reader = observed{all[i].Reader, d.out}
		if open := all[i].Elsewhere; open != nil {
			all[i].Elsewhere = func(ctx context.Context, url string) (env.Channel, error) {
				c, err := open(ctx, url)
				return d.observe([]env.Channel{c})[0], err
			}
		}
	}
	return all
}

// observed is a channel whose bytes are told to the output as they move.
type observed struct {
	store.Reader
	out *openjd.Output
}

// Get counts what is read of an object.
func (o observed) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	body, info, err := o.Reader.Get(ctx, key, off, n)
	if err != nil || n == 0 {
		return body, info, err
	}
	return observedBody{body, o.out.Transfer(part(info.Size, off, n))}, info, nil
}

// part is how many bytes a Get with off and n opens of an object.
func part(size, off, n int64) int64 {
	if off < 0 {
		off = max(0, size+off)
	}
	rest := max(0, size-off)
	if n < 0 {
		return rest
	}
	return min(n, rest)
}

// Try has what is read of each place counted.
func (o observed) Try(ctx context.Context, use func(at store.Place) error) error {
	return store.Try(ctx, o.Reader, func(at store.Place) error {
		return use(store.Place{Name: at.Name, Reader: observed{at.Reader, o.out}})
	})
}

type observedBody struct {
	io.ReadCloser
	moved func(n int)
}

func (b observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.moved(n)
	return n, err
}

// observedStore is a channel that packages are published to.
type observedStore struct {
	store.Store
	out *openjd.Output
}

// Put counts what is read of the body, which may be read more than once.
func (o observedStore) Put(ctx context.Context, key string, body io.ReadSeeker, opts store.PutOptions) (store.Info, error) {
	if at, ok := body.(file); ok { // what is large comes from a file
		size, err := at.Seek(0, io.SeekEnd)
		if err != nil {
			return store.Info{}, err
		}
		if _, err := at.Seek(0, io.SeekStart); err != nil {
			return store.Info{}, err
		}
		body = observedFile{at, o.out.Transfer(size)}
	}
	return o.Store.Put(ctx, key, body, opts)
}

type file interface {
	io.ReadSeeker
	io.ReaderAt
}

type observedFile struct {
	file
	moved func(n int)
}

func (f observedFile) Read(p []byte) (int, error) {
	n, err := f.file.Read(p)
	f.moved(n)
	return n, err
}

func (f observedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	f.moved(n)
	return n, err
}
