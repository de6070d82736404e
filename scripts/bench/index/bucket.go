//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
)

const rattlerS3 = `
import asyncio, os, sys
from rattler.index import index_s3
from rattler.index.index import S3Credentials
asyncio.run(index_s3(channel_url=sys.argv[1], credentials=S3Credentials(endpoint_url=sys.argv[2], region="us-east-1",
    access_key_id=os.environ["AWS_ACCESS_KEY_ID"], secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"], addressing_style="path"),
    write_zst=True, write_shards=True))
sys.stdout.flush()
os._exit(0)
`

const credential = "condaworker-bench"

// bucket is one of a server on loopback, behind a counter of what goes by.
type bucket struct {
	endpoint string
	server   *exec.Cmd
	counter  *httptest.Server
	requests atomic.Int64
	bytes    atomic.Int64
	channels int
}

// startBucket starts the server and points the process's environment to it.
func startBucket(ctx context.Context, gateway, work string) (*bucket, error) {
	root := filepath.Join(work, "server")
	if err := os.MkdirAll(filepath.Join(root, "channels"), 0o755); err != nil {
		return nil, err
	}
	const address = "127.0.0.1:39871"
	b := &bucket{server: exec.CommandContext(ctx, gateway, "--access", credential, "--secret", credential, "--port", address, "--quiet", "posix", root)} //nolint:gosec // the user's program
	if err := b.server.Start(); err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: address})
		r.Out.Host = r.In.Host // which the request's signature covers
	}, ModifyResponse: func(r *http.Response) error {
		r.Body = &counted{r.Body, &b.bytes}
		return nil
	}}
	b.counter = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.requests.Add(1)
		r.Body = &counted{r.Body, &b.bytes}
		forward.ServeHTTP(w, r)
	}))
	b.endpoint = b.counter.URL
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": b.endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": credential, "AWS_SECRET_ACCESS_KEY": credential,
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	for range 100 {
		if answer, err := http.Get("http://" + address); err == nil { //nolint:noctx // loopback
			return b, answer.Body.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, fmt.Errorf("%s does not answer", gateway)
}

func (b *bucket) stop() {
	b.counter.Close()
	_ = b.server.Process.Kill()
	_ = b.server.Wait() // killed
}

// counts are the requests, and the bytes of their bodies both ways; b may be nil.
func (b *bucket) counts() (requests, bytes int64) {
	if b == nil {
		return 0, 0
	}
	return b.requests.Load(), b.bytes.Load()
}

// counted counts what is read.
type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// channel is a new one, in a folder or in a bucket.
type channel struct {
	root   string // its path or URL
	folder string // its path, when it is in no bucket
	stock  string // the folder that its packages come from
	prefix string // in the bucket
	bucket *bucket
}

func newChannel(b *bucket, stock, work string) (*channel, error) {
	folder, err := os.MkdirTemp(work, "channel-")
	c := &channel{root: folder, folder: folder, stock: stock, bucket: b}
	if b != nil {
		b.channels++
		c.prefix = fmt.Sprint("channel-", b.channels)
		c.root = "s3://channels/" + c.prefix
	}
	return c, err
}

func (c *channel) remove() error { return os.RemoveAll(c.folder) }

// fill adds the packages from..to, as another program would: without metadata.
func (c *channel) fill(ctx context.Context, from, to int) error {
	if c.bucket == nil {
		return c.link(from, to)
	}
	s, err := s3.Open(ctx, s3.Options{Bucket: "channels", Prefix: c.prefix})
	if err != nil {
		return err
	}
	errs := make(chan error, 1)
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for i := from; i < to; i++ {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := put(ctx, s, path.Join("linux-64", file(i)), filepath.Join(c.stock, "linux-64", file(i))); err != nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// link gives packages of the stock a place in the channel's folder.
func (c *channel) link(from, to int) error {
	if err := os.MkdirAll(filepath.Join(c.folder, "linux-64"), 0o755); err != nil {
		return err
	}
	for i := from; i < to; i++ {
		if err := os.Link(filepath.Join(c.stock, "linux-64", file(i)), filepath.Join(c.folder, "linux-64", file(i))); err != nil {
			return err
		}
	}
	return nil
}

func put(ctx context.Context, s store.Store, key, name string) error {
	f, err := os.Open(name) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	_, err = s.Put(ctx, key, f, store.PutOptions{})
	return err
}
