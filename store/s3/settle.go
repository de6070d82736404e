package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/condaworker/condaworker/store"
)

// outcome is what the answer to a conditional write says.
type outcome int

const (
	landed  outcome = iota // 200 with an ETag: it is ours
	refused                // 412, or 404 for If-Match: the condition is false, or an earlier attempt of ours landed
	busy                   // 409: another write is in flight, nothing was written
	expired                // the credentials are no longer good, or this machine's clock is off: nothing was done
	unknown                // 5xx, throttling, a lost connection, damage on the way, 200 with an error body, another error whose body was cut or is not S3's: it may have landed
	mute                   // 403 that does not say why, though it had room for that: nothing was done
	gone                   // the upload is there no more: another that sent the same completed or aborted it
	moved                  // the bucket is in another region: nothing was done
	spent                  // a request before the one that shows the object, which was made often enough: nothing was written
	fatal                  // anything else: trying again cannot help
)

// judge reads the error's code first: servers of other makes agree on it more
// than on the status.
func judge(err error) outcome {
	if err == nil {
		return landed
	}
	if _, ok := errors.AsType[tried](err); ok {
		return spent
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "PreconditionFailed", "NoSuchKey":
			return refused
		case "ConditionalRequestConflict", "OperationAborted":
			return busy
		case "NoSuchUpload":
			return gone
		case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
			return moved
		case "BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch", "InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException":
			return unknown
		case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "RequestExpired", "RequestTimeTooSkewed":
			return expired
		}
	}
	switch s := status(err); {
	case s == http.StatusPreconditionFailed:
		return refused
	case s == http.StatusForbidden && code(err) == "Forbidden" && isHead(err) && ahead(err).Abs() > maxSkew: // a HEAD has no room for the reason
		return expired
	case s == http.StatusForbidden && code(err) == "Forbidden" && !isHead(err): // a gateway's word, or what is left of S3's
		return mute
	case s == http.StatusConflict:
		return busy
	case s == http.StatusNotImplemented: // a server's word that it will never do that
		return fatal
	case s == http.StatusMovedPermanently, s == http.StatusBadRequest && code(err) == "BadRequest" && regionOf(err) != "": // a HEAD has no room for the reason
		return moved
	case s == 0 || s >= 500 || s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s == http.StatusOK:
		return unknown
	case code(err) == "": // 403 alone does not tell a key that is refused from credentials that have expired
		return unknown
	}
	return fatal
}

// maxSkew is less than S3 allows a clock to be off: fifteen minutes.
const maxSkew = 5 * time.Minute

// attempts bounds how often one request is tried.
const attempts = 8

// ask makes a request that changes nothing, or nothing more the second time,
// until its outcome is known.
func (s *Store) ask(ctx context.Context, request func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		asked := s.region()
		err := request(ctx)
		if ctx.Err() != nil && err != nil {
			return context.Cause(ctx)
		}
		switch judge(err) {
		case landed, refused, gone, fatal:
			return err
		case moved:
			if !s.follow(asked, err) {
				return err
			}
		case expired:
			s.refresh()
		}
		if attempt == attempts {
			return err
		}
		if err := store.Backoff(ctx, attempt); err != nil {
			return err
		}
	}
}

// refresh makes the next request fetch new credentials. The SDK does so when
// theirs end, but a session's may be withdrawn before. The SDK learns how far
// this machine's clock is off from the answer itself.
func (s *Store) refresh() {
	if cache, ok := s.client().Options().Credentials.(*aws.CredentialsCache); ok {
		cache.Invalidate()
	}
}

// settle repeats try until it is known whether the body is at the key. It is
// the one place that reads the answers of conditional writes.
func (w *write) settle(ctx context.Context, try func(context.Context) (string, error)) (store.Info, error) {
	var last error
	doubtful := false // whether an attempt may have landed
	for attempt := range attempts {
		if attempt > 0 {
			if err := store.Backoff(ctx, attempt); err != nil {
				return store.Info{}, fmt.Errorf("write %s: %w", w.key, err)
			}
		}
		asked := w.s.region()
		version, err := try(ctx)
		if ctx.Err() != nil {
			return store.Info{}, fmt.Errorf("write %s: %w", w.key, context.Cause(ctx))
		}
		last = err
		switch judge(err) {
		case spent:
			return store.Info{}, w.gaveUp(ctx, doubtful, errors.Unwrap(err))
		case landed:
			if version == "" {
				return store.Info{}, fmt.Errorf("write %s: %w", w.key, errNoETag)
			}
			return store.Info{Key: w.key, Size: w.size, Version: version, Meta: w.o.Meta}, nil
		case refused:
			return w.whose(ctx)
		case unknown:
			doubtful = true
		case expired:
			w.s.refresh()
		case gone:
			doubtful = true
			if info, same, err := store.Same(ctx, w.s, w.key, w.body, w.o); err != nil || same {
				return info, err
			}
		case moved:
			if !w.s.follow(asked, err) {
				return store.Info{}, w.s.explain(ctx, "s3:PutObject", w.key, err)
			}
		case fatal:
			return store.Info{}, w.s.explain(ctx, "s3:PutObject", w.key, err)
		}
	}
	return store.Info{}, w.gaveUp(ctx, doubtful, last)
}

// gaveUp is the error of a write whose last request was made as often as is of use.
func (w *write) gaveUp(ctx context.Context, doubtful bool, last error) error {
	last = w.s.explain(ctx, "s3:PutObject", w.key, last)
	if doubtful {
		return fmt.Errorf("write %s: gave up after %d attempts, and whether it landed is not known: %w", w.key, attempts, last)
	}
	return fmt.Errorf("write %s: gave up after %d attempts: %w", w.key, attempts, last)
}

// whose reads back what is at the key: our bytes are success, whoever wrote
// them; others are a conflict.
func (w *write) whose(ctx context.Context) (store.Info, error) {
	info, same, err := store.Same(ctx, w.s, w.key, w.body, w.o)
	switch {
	case err != nil:
		return info, fmt.Errorf("write %s: read back what is there: %w", w.key, err)
	case same:
		return info, nil
	}
	return info, fmt.Errorf("write %s: %w", w.key, store.ErrConflict)
}

// isHead tells whether the request was a HEAD, whose answer has no room for a reason.
func isHead(err error) bool {
	op, ok := errors.AsType[*smithy.OperationError](err)
	return ok && strings.HasPrefix(op.Operation(), "Head")
}

// status is the answer's HTTP status, 0 when there was no answer.
func status(err error) int {
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}

// code is S3's word for the error, e.g. NoSuchKey.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
