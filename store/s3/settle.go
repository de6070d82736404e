package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

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
	unknown                // 5xx, throttling, a lost connection, 200 with an error body: it may have landed
	fatal                  // anything else: trying again cannot help
)

// judge reads the error's code first: servers of other makes agree on it more
// than on the status.
func judge(err error) outcome {
	if err == nil {
		return landed
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "PreconditionFailed", "NoSuchKey":
			return refused
		case "ConditionalRequestConflict", "OperationAborted":
			return busy
		case "InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException":
			return unknown
		}
	}
	switch s := status(err); {
	case s == http.StatusPreconditionFailed:
		return refused
	case s == http.StatusConflict:
		return busy
	case s == 0 || s >= 500 || s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s == http.StatusOK:
		return unknown
	}
	return fatal
}

// The bounds of a write's attempts. Pauses are random up to the bound (full
// jitter), so that ten writers that met once do not meet again.
const (
	attempts   = 8
	firstPause = 200 * time.Millisecond
	longPause  = 10 * time.Second
)

// settle repeats try until it is known whether the body is at the key. It is
// the one place that reads the answers of conditional writes.
func (w *write) settle(ctx context.Context, try func(context.Context) (string, error)) (store.Info, error) {
	var last error
	for attempt := range attempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				return store.Info{}, fmt.Errorf("write %s: %w", w.key, err)
			}
		}
		version, err := try(ctx)
		if ctx.Err() != nil {
			return store.Info{}, fmt.Errorf("write %s: %w", w.key, context.Cause(ctx))
		}
		switch last = err; judge(err) {
		case landed:
			if version == "" {
				return store.Info{}, fmt.Errorf("write %s: %w", w.key, errNoETag)
			}
			return store.Info{Key: w.key, Size: w.size, Version: version, Meta: w.o.Meta}, nil
		case refused:
			return w.whose(ctx)
		case fatal:
			return store.Info{}, w.s.explain(ctx, "s3:PutObject", w.key, err)
		}
	}
	return store.Info{}, fmt.Errorf("write %s: gave up after %d attempts, and whether it landed is not known: %w", w.key, attempts, last)
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

// pause waits before another attempt.
func pause(ctx context.Context, attempt int) error {
	bound := min(firstPause<<attempt, longPause)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rand.N(bound)): //nolint:gosec // a pause is no secret
		return nil
	}
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
