// Package sim runs the real publishing, indexing and locking code, with the
// real S3 door and the AWS SDK, against an S3 of its own in virtual time: each
// request waits a while of the seed's choosing and may meet a fault. After every
// write the channel's invariants are checked (ARCHITECTURE.md, S0 to S4). It is
// used by tests alone. Start with Schedule.
package sim

import (
	"bytes"
	"crypto/md5" //nolint:gosec // S3's own ETag
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is one object of the bucket.
type object struct {
	body     []byte
	header   http.Header // x-amz-meta-*
	etag     string
	modified time.Time
}

// bucket is an S3 bucket: linearizable, with strongly consistent listings, MD5
// ETags and times in whole seconds.
type bucket struct {
	objects map[string]object
	page    int                                                                    // how many objects an answer to a listing has at most
	landed  func(key string, before, after object, existed bool, condition string) // told about each write
}

func newObject(body []byte, header http.Header) object {
	sum := md5.Sum(body) //nolint:gosec // S3's own ETag
	return object{body: body, header: header, etag: `"` + hex.EncodeToString(sum[:]) + `"`, modified: time.Now().Truncate(time.Second)}
}

// answer is what the server says.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func refusal(status int, code string) answer {
	return answer{status: status, body: fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, code)}
}

// request is what the server reads of an HTTP request.
type request struct {
	method string
	key    string // "" for a listing
	query  map[string]string
	header http.Header
	body   []byte
}

const path = "/bucket/"

func readRequest(r *http.Request) (request, error) {
	q := request{method: r.Method, key: strings.TrimPrefix(r.URL.Path, path), header: r.Header}
	if r.URL.Path == strings.TrimSuffix(path, "/") { // what others ask for says the SDK, not we
		q.key, q.query = "", map[string]string{}
		for name, values := range r.URL.Query() {
			q.query[name] = values[0]
		}
	}
	if r.Body == nil {
		return q, nil
	}
	body := make([]byte, max(0, r.ContentLength))
	_, err := io.ReadFull(r.Body, body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return q, err
	}
	q.body = body
	if r.Header.Get("X-Amz-Decoded-Content-Length") != "" {
		q.body, err = unchunk(body)
	}
	return q, err
}

// unchunk reads an aws-chunked body; its trailing checksum is the SDK's affair.
func unchunk(b []byte) ([]byte, error) {
	var out []byte
	for {
		line, rest, found := bytes.Cut(b, []byte("\r\n"))
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if !found || err != nil || int(n) > len(rest) {
			return nil, fmt.Errorf("aws-chunked body: %q", line)
		}
		if n == 0 {
			return out, nil
		}
		out = append(out, rest[:n]...)
		b = bytes.TrimPrefix(rest[n:], []byte("\r\n"))
	}
}

// operation is a request's name in the table of faults.
type operation string

const (
	get    operation = "GET"
	head   operation = "HEAD"
	list   operation = "LIST"
	put    operation = "PUT"
	over   operation = "PUT If-Match"
	create operation = "PUT If-None-Match"
	remove operation = "DELETE"
)

func (q request) operation() operation {
	_, listing := q.query["list-type"]
	switch {
	case listing:
		return list
	case q.method == http.MethodPut && q.header.Get("If-Match") != "":
		return over
	case q.method == http.MethodPut && q.header.Get("If-None-Match") != "":
		return create
	}
	return operation(q.method)
}

// deletion is what landed gets in place of a condition.
const deletion = "deletion"

// serve does what the request asks for.
func (b *bucket) serve(q request) answer {
	switch {
	case q.operation() == list:
		return b.list(q)
	case q.method == http.MethodPut:
		return b.put(q)
	case q.method == http.MethodDelete:
		if old, existed := b.objects[q.key]; existed {
			delete(b.objects, q.key)
			b.landed(q.key, old, object{}, true, deletion)
		}
		return answer{status: http.StatusNoContent}
	}
	return b.get(q)
}

func (b *bucket) put(q request) answer {
	old, existed := b.objects[q.key]
	match, none := q.header.Get("If-Match"), q.header.Get("If-None-Match")
	switch {
	case match != "" && !existed:
		return refusal(http.StatusNotFound, "NoSuchKey")
	case match != "" && match != old.etag, none == "*" && existed:
		return refusal(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	meta := http.Header{}
	for name, values := range q.header {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			meta[name] = slices.Clone(values)
		}
	}
	o := newObject(q.body, meta)
	b.objects[q.key] = o
	b.landed(q.key, old, o, existed, match+none)
	return answer{status: http.StatusOK, header: http.Header{"Etag": {o.etag}}}
}

func (b *bucket) get(q request) answer {
	o, exists := b.objects[q.key]
	if !exists {
		return refusal(http.StatusNotFound, "NoSuchKey")
	}
	if match := q.header.Get("If-Match"); match != "" && match != o.etag {
		return refusal(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	header := http.Header{"Etag": {o.etag}, "Last-Modified": {o.modified.UTC().Format(http.TimeFormat)}}
	maps.Copy(header, o.header.Clone()) // the SDK trims values where they are
	status, body := http.StatusOK, o.body
	if r := q.header.Get("Range"); r != "" {
		from, to := span(r, len(body))
		if from >= len(body) {
			return refusal(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		}
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(body)))
		status, body = http.StatusPartialContent, body[from:to]
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if q.method == http.MethodHead {
		body = nil
	}
	return answer{status: status, header: header, body: body}
}

// span is what a Range header asks for of size bytes.
func span(header string, size int) (from, to int) {
	first, last, _ := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	a, errA := strconv.Atoi(first)
	z, errZ := strconv.Atoi(last)
	switch {
	case errA != nil: // the last bytes
		return max(0, size-z), size
	case errZ != nil:
		return a, size
	}
	return a, min(z+1, size)
}

// listing is ListObjectsV2's answer.
type listing struct {
	XMLName        xml.Name `xml:"ListBucketResult"`
	IsTruncated    bool
	Next           string `xml:"NextContinuationToken,omitempty"`
	Contents       []content
	CommonPrefixes []struct{ Prefix string }
}

type content struct {
	Key, ETag, LastModified string
	Size                    int
}

func (b *bucket) list(q request) answer {
	after := max(q.query["start-after"], q.query["continuation-token"])
	var l listing
	seen := map[string]bool{}
	last := ""
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		rest, ok := strings.CutPrefix(key, q.query["prefix"])
		if !ok || key <= after {
			continue
		}
		folder, _, below := strings.Cut(rest, "/")
		if below && q.query["delimiter"] == "/" {
			p := q.query["prefix"] + folder + "/"
			if !seen[p] && !strings.HasPrefix(after, p) {
				l.CommonPrefixes = append(l.CommonPrefixes, struct{ Prefix string }{p})
			}
			seen[p] = true
			last = key
			continue
		}
		if len(l.Contents) == b.page {
			l.IsTruncated, l.Next = true, last
			break
		}
		last = key
		o := b.objects[key]
		l.Contents = append(l.Contents, content{key, o.etag, o.modified.UTC().Format(time.RFC3339), len(o.body)})
	}
	text, err := xml.Marshal(l)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return answer{status: http.StatusOK, body: text}
}

// response is a as HTTP.
func (a answer) response(r *http.Request) *http.Response {
	header := a.header
	if header == nil {
		header = http.Header{}
	}
	length := int64(len(a.body))
	if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: length, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r,
	}
}
