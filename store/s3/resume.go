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

// AbortAbandoned ends the multipart uploads below the channel that were begun
// more than a day ago: their parts are paid for and never seen. It returns the
// keys that they were for; with dryRun it only looks. Whoever asks needs
// s3:ListBucketMultipartUploads and s3:AbortMultipartUpload.
func (s *Store) AbortAbandoned(ctx context.Context, dryRun bool) (keys []string, err error) {
	base := s.key("")
	if base != "" {
		base += "/"
	}
	in := &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &base}
	for pages := s3.NewListMultipartUploadsPaginator(s.client(), in); pages.HasMorePages(); {
		var page *s3.ListMultipartUploadsOutput
		if err := s.ask(ctx, func(ctx context.Context) (err error) {
			page, err = pages.NextPage(ctx)
			return err
		}); err != nil {
			return keys, s.explain(ctx, "s3:ListBucketMultipartUploads", "", err)
		}
		for _, u := range page.Uploads {
			if u.Initiated == nil || time.Since(*u.Initiated) <= abandoned {
				continue
			}
			key := strings.TrimPrefix(aws.ToString(u.Key), base)
			if err := s.abortUpload(ctx, u, dryRun); err != nil {
				return keys, s.explain(ctx, "s3:AbortMultipartUpload", key, err)
			}
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// abortUpload ends one; that another has ended it is as good.
func (s *Store) abortUpload(ctx context.Context, u types.MultipartUpload, dryRun bool) error {
	if dryRun {
		return nil
	}
	err := s.ask(ctx, func(ctx context.Context) error {
		_, err := s.client().AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: u.Key, UploadId: u.UploadId})
		return err
	})
	if judge(err) == gone {
		return nil
	}
	return err
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
