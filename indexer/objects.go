package indexer

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/condaworker/condaworker/store"
)

// object is an index object as it is in the channel. Its bytes are read when
// they are asked for: most runs need only to know its version.
type object struct {
	info   store.Info
	exists bool
	body   io.ReadCloser // nil once it was read or closed
	text   []byte
}

// open asks for an object of r's subdir; one that is not there is no error.
func (r *run) open(ctx context.Context, name string, n int64) (*object, error) {
	body, info, err := r.s.Get(ctx, r.subdir+"/"+name, 0, n)
	if notThere(err) {
		return &object{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &object{info: info, exists: true, body: body}, nil
}

// read returns the object with its bytes, which are those of one version.
func (r *run) read(ctx context.Context, name string) (o *object, err error) {
	err = store.Whole(ctx, func() (err error) {
		if o, err = r.open(ctx, name, -1); err == nil {
			_, err = o.bytes()
		}
		return err
	})
	return o, err
}

// bytes are those of the whole object.
func (o *object) bytes() ([]byte, error) {
	if o.body == nil {
		return o.text, nil
	}
	var text bytes.Buffer
	text.Grow(int(min(o.info.Size, maxIndex)) + bytes.MinRead) // growing as it comes would take twice as much
	_, err := text.ReadFrom(io.LimitReader(o.body, maxIndex))
	o.text = text.Bytes()
	return o.text, errors.Join(err, o.close())
}

func (o *object) close() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}

// over is the condition that nobody wrote it since it was asked for.
func (o *object) over() store.Cond {
	if !o.exists {
		return store.IfAbsent
	}
	return store.IfVersion(o.info)
}
