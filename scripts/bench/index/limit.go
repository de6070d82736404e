//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // an index has it
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/s3"
)

// limits time what no indexer can do without, through the door that condaworker
// has: cold is to read each package once and take its hashes; publish is to read
// repodata.json, to take the hash of another and compress it, and to write it and
// what is derived from it.
func limits(ctx context.Context, c *channel, n int) error {
	var s store.Store = dir.Open(c.folder)
	if c.bucket != nil {
		bucket, err := s3.Open(ctx, s3.Options{Bucket: "channels", Prefix: c.prefix})
		if err != nil {
			return err
		}
		s = bucket
	}
	for _, limit := range []struct {
		kind string
		do   func() error
	}{{"cold", func() error { return readAll(ctx, s, n) }}, {"publish", func() error { return writeOnce(ctx, s) }}} {
		requests, bytes := c.bucket.counts()
		begun, cpu := time.Now(), spent()
		if err := limit.do(); err != nil {
			return err
		}
		used := usage{wall: time.Since(begun).Seconds(), cpu: spent() - cpu}
		used.requests, used.bytes = c.bucket.counts()
		used.requests, used.bytes = used.requests-requests, used.bytes-bytes
		printLine(n, "(limit)", limit.kind, used, 0)
	}
	return nil
}

// spent are the seconds of processors that this process has used.
func spent() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func readAll(ctx context.Context, s store.Store, n int) error {
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for worker := range errs {
		wg.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += len(errs) {
				var text []byte
				text, errs[worker] = read(ctx, s, file(i))
				sha256.Sum256(text)
				md5.Sum(text) //nolint:gosec // an index has it
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func read(ctx context.Context, s store.Store, name string) ([]byte, error) {
	body, _, err := s.Get(ctx, path.Join("linux-64", name), 0, -1)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(body)
	return text, errors.Join(err, body.Close())
}

func writeOnce(ctx context.Context, s store.Store) error {
	text, err := read(ctx, s, "repodata.json")
	if err != nil {
		return err
	}
	sha256.Sum256(text)
	packed := make(chan []byte, 1)
	go func() {
		b, _ := archive.ZstdOf(bytes.NewReader(text), int64(len(text))) // of memory: it cannot fail
		packed <- b
	}()
	write := func(name string, text []byte) error {
		_, err := s.Put(ctx, path.Join("linux-64", "limit", name), bytes.NewReader(text), store.PutOptions{})
		return err
	}
	if err := write("repodata.json", text); err != nil {
		return err
	}
	derived := []string{"run_exports.json", "packages.js", "repodata_shards.msgpack.zst"}
	errs := make([]error, len(derived))
	var wg sync.WaitGroup
	for i, name := range derived {
		wg.Go(func() {
			var text []byte
			if text, errs[i] = read(ctx, s, name); errs[i] == nil {
				errs[i] = write(name, text)
			}
		})
	}
	err = write("repodata.json.zst", <-packed)
	wg.Wait()
	return errors.Join(append(errs, err)...)
}
