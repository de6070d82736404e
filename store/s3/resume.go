package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // S3's ETag of a part
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// abandoned is the age from which on nobody goes on with an upload any more.
const abandoned = 24 * time.Hour

// upload is a multipart upload under way.
type upload struct {
	id   string // "" is none
	sent map[int32]types.CompletedPart
}

// unfinished is an upload of these bytes to this key that a run has left which
// was killed: each of its parts is one of the body's. Those that nobody goes on
// with are aborted; others are left to whoever sends them. To look needs rights
// that an upload does not need: without them nothing is found.
func (w *write) unfinished(ctx context.Context, at io.ReaderAt) (upload, error) {
	key := w.s.key(w.key)
	out, err := w.s.client().ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &w.s.bucket, Prefix: &key})
	if err != nil {
		return upload{}, context.Cause(ctx)
	}
	for _, u := range out.Uploads {
		id := aws.ToString(u.UploadId)
		if aws.ToString(u.Key) != key || id == "" {
			continue
		}
		sent, err := w.sentParts(ctx, id, at)
		switch {
		case err == nil && len(sent) > 0:
			return upload{id, sent}, nil
		case ctx.Err() != nil:
			return upload{}, context.Cause(ctx)
		case u.Initiated != nil && time.Since(*u.Initiated) > abandoned:
			w.abort(ctx, id)
		}
	}
	return upload{}, nil
}

// errOther is an upload of something else.
var errOther = errors.New("a part is not one of the body's")

// sentParts are the parts that an upload has, if all are the body's.
func (w *write) sentParts(ctx context.Context, id string, at io.ReaderAt) (map[int32]types.CompletedPart, error) {
	sent := map[int32]types.CompletedPart{}
	pages := s3.NewListPartsPaginator(w.s.client(), &s3.ListPartsInput{Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)), UploadId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.Parts {
			number := aws.ToInt32(p.PartNumber)
			same, err := w.isPart(at, number, p)
			if err != nil {
				return nil, err
			}
			if !same {
				return nil, errOther
			}
			sent[number] = types.CompletedPart{PartNumber: &number, ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32}
		}
	}
	return sent, nil
}

// isPart compares a part with the body's by size and MD5. Parts whose ETag is
// none, as in buckets with keys of their own, are sent again.
func (w *write) isPart(at io.ReaderAt, number int32, p types.Part) (bool, error) {
	if int64(number-1)*w.partSize() >= w.size {
		return false, nil
	}
	body := w.part(at, number)
	if aws.ToInt64(p.Size) != body.Size() {
		return false, nil
	}
	h := md5.New() //nolint:gosec // S3's own
	if _, err := io.Copy(h, body); err != nil {
		return false, err
	}
	return strings.Trim(aws.ToString(p.ETag), `"`) == hex.EncodeToString(h.Sum(nil)), nil
}
