package s3

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	minPart   = 16 << 20 // bytes
	maxParts  = 10_000   // S3's own bound
	inFlight  = 4
	abortTime = 10 * time.Second
)

// parts sends the body as a multipart upload, or goes on with one that an
// earlier run has left. The object appears, whole, with the last request, which
// carries the condition. An upload that fails or is cancelled is aborted: its
// parts would be paid for and never seen.
func (w *write) parts(ctx context.Context, at io.ReaderAt) (etag string, err error) {
	up, err := w.unfinished(ctx, at)
	if err != nil {
		return "", err
	}
	if up.id == "" {
		if up.id, err = w.begin(ctx); err != nil {
			return "", err
		}
	}
	defer func() {
		if err != nil {
			w.abort(ctx, up.id)
		}
	}()
	done, err := w.sendParts(ctx, up, at)
	if err != nil {
		return "", err
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)), UploadId: &up.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	}
	in.IfNoneMatch, in.IfMatch = w.conditions()
	out, err := w.s.client().CompleteMultipartUpload(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// begin starts an upload and returns its id.
func (w *write) begin(ctx context.Context) (string, error) {
	out, err := w.s.client().CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)),
		Metadata: w.o.Meta, ContentType: text(w.o.ContentType), CacheControl: text(w.o.CacheControl),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.UploadId), nil
}

// partSize is the size of all parts but the last.
func (w *write) partSize() int64 { return max(minPart, (w.size+maxParts-1)/maxParts) }

// part is the body's part with this number, which counts from 1.
func (w *write) part(at io.ReaderAt, number int32) *io.SectionReader {
	size := w.partSize()
	off := int64(number-1) * size
	return io.NewSectionReader(at, off, min(size, w.size-off))
}

// sendParts sends a few parts at a time; the first that fails ends the others.
func (w *write) sendParts(ctx context.Context, up upload, at io.ReaderAt) ([]types.CompletedPart, error) {
	size := w.partSize()
	count := int((w.size + size - 1) / size)
	done := make([]types.CompletedPart, count)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	for i := range count {
		number := int32(i + 1) //nolint:gosec // at most maxParts
		if sent, ok := up.sent[number]; ok {
			done[i] = sent
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			part, err := w.sendPart(ctx, up.id, number, w.part(at, number))
			if err != nil {
				cancel(err)
				return
			}
			done[i] = part
		})
	}
	wg.Wait()
	return done, context.Cause(ctx)
}

// sendPart sends one part with its checksum, again if need be: a part that
// arrives twice is no harm.
func (w *write) sendPart(ctx context.Context, upload string, number int32, body *io.SectionReader) (types.CompletedPart, error) {
	var out *s3.UploadPartOutput
	err := w.s.ask(ctx, func(ctx context.Context) (err error) {
		if _, err = body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		out, err = w.s.client().UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)), UploadId: &upload,
			PartNumber: &number, Body: body, ContentLength: aws.Int64(body.Size()),
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
		})
		return err
	})
	if err != nil {
		return types.CompletedPart{}, err
	}
	return types.CompletedPart{
		PartNumber: &number, ETag: out.ETag,
		ChecksumCRC32: out.ChecksumCRC32,
	}, nil
}

// abort is done even when the run was cancelled. Its own failure adds nothing:
// either the upload was completed and only the answer was lost, or the bucket's
// lifecycle rule must remove the parts.
func (w *write) abort(ctx context.Context, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_, _ = w.s.client().AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)), UploadId: &upload,
	})
}
