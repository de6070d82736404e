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
// earlier run has left, or an earlier attempt of this one. The object appears, whole,
// with the last request, which carries the condition and is the only one that settle
// repeats.
func (w *write) parts(ctx context.Context, at io.ReaderAt) (etag string, err error) {
	if w.up.id == "" {
		if w.up, err = w.unfinished(ctx, at); err != nil {
			return "", err
		}
	}
	if w.up.id == "" {
		if w.up.id, err = w.begin(ctx); err != nil {
			return "", before(err)
		}
	}
	done, err := w.sendParts(ctx, at)
	if err == nil {
		etag, err = w.complete(ctx, done)
	}
	switch judge(err) {
	case landed, gone:
		w.up = upload{} // there is none any more
	case busy: // S3 wants the whole upload again then
		w.abandon(ctx)
	}
	return etag, err
}

// tried is the error of a request before the one that shows the object: it was made
// as often as is of use, and nothing was written.
type tried struct{ error }

// Unwrap is what the server said.
func (e tried) Unwrap() error { return e.error }

// before is err, of a request that ask gave up on, for settle.
func before(err error) error {
	if o := judge(err); o == gone || o == refused || o == fatal {
		return err
	}
	return tried{err}
}

// begin starts an upload and returns its id.
func (w *write) begin(ctx context.Context) (id string, err error) {
	err = w.s.ask(ctx, func(ctx context.Context) error {
		out, err := w.s.client().CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)),
			Metadata: w.o.Meta, ContentType: text(w.o.ContentType), CacheControl: text(w.o.CacheControl),
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
		})
		if err == nil {
			id = aws.ToString(out.UploadId)
		}
		return err
	})
	return id, err
}

// complete makes one attempt to make the object of its parts, and returns its ETag.
func (w *write) complete(ctx context.Context, done []types.CompletedPart) (string, error) {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)), UploadId: &w.up.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	}
	in.IfNoneMatch, in.IfMatch = w.conditions()
	out, err := w.s.client().CompleteMultipartUpload(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// partSize is the size of all parts but the last.
func (w *write) partSize() int64 { return max(minPart, (w.size+maxParts-1)/maxParts) }

// part is the body's part with this number, which counts from 1.
func (w *write) part(at io.ReaderAt, number int32) *io.SectionReader {
	size := w.partSize()
	off := int64(number-1) * size
	return io.NewSectionReader(at, off, min(size, w.size-off))
}

// sendParts sends what has not arrived yet, a few parts at a time; the first that fails
// ends the others.
func (w *write) sendParts(ctx context.Context, at io.ReaderAt) ([]types.CompletedPart, error) {
	size := w.partSize()
	count := int((w.size + size - 1) / size)
	done := make([]types.CompletedPart, count)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	for i := range count {
		number := int32(i + 1) //nolint:gosec // at most maxParts
		if sent, ok := w.up.sent[number]; ok {
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
			part, err := w.sendPart(ctx, w.up.id, number, w.part(at, number))
			if err != nil {
				cancel(err)
				return
			}
			done[i] = part
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	w.up.sent = map[int32]types.CompletedPart{}
	for _, part := range done {
		w.up.sent[aws.ToInt32(part.PartNumber)] = part
	}
	return done, nil
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
		return types.CompletedPart{}, before(err)
	}
	return types.CompletedPart{
		PartNumber: &number, ETag: out.ETag,
		ChecksumCRC32: out.ChecksumCRC32,
	}, nil
}

// abandon aborts the upload, if there is one: its parts would be paid for and never
// seen.
func (w *write) abandon(ctx context.Context) {
	if w.up.id != "" {
		w.abort(ctx, w.up.id)
		w.up = upload{}
	}
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
