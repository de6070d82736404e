package s3

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Identity is who asks a bucket, and where it is.
type Identity struct {
	Source   string    // where the SDK found the credentials, e.g. SharedConfigCredentials
	KeyID    string    // of the access key; not secret
	Expires  time.Time // zero: never
	Region   string
	Endpoint string // "": Amazon's
}

// Identity tells what Open found.
func (s *Store) Identity(ctx context.Context) (Identity, error) {
	o := s.client().Options()
	c, err := o.Credentials.Retrieve(ctx)
	if err != nil {
		return Identity{}, fmt.Errorf("find AWS credentials for s3://%s: %w", s.bucket, err)
	}
	i := Identity{Source: c.Source, KeyID: c.AccessKeyID, Region: o.Region, Endpoint: s.endpoint}
	if c.CanExpire {
		i.Expires = c.Expires
	}
	return i, nil
}

// Clock tells by how much this machine's clock is ahead of the server's, to
// the second: S3 refuses requests from 15 minutes on. A server that refuses to
// answer still tells the time.
func (s *Store) Clock(ctx context.Context) (ahead time.Duration, err error) {
	var now time.Time
	err = s.ask(ctx, func(ctx context.Context) error {
		out, err := s.client().HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket})
		if err == nil {
			now, _ = awsmiddleware.GetServerTime(out.ResultMetadata)
		}
		return err
	})
	switch {
	case err == nil && now.IsZero():
		return 0, fmt.Errorf("s3://%s does not tell the time", s.bucket)
	case err == nil:
		return time.Since(now), nil
	case clockOf(err).IsZero():
		return 0, s.explain(ctx, "s3:ListBucket", "", err)
	}
	return time.Since(clockOf(err)), nil
}

// ProbeUpload begins an upload in parts, as packages of more than a few
// megabytes need, and ends it: nothing is stored.
func (s *Store) ProbeUpload(ctx context.Context) error {
	w := &write{s: s, key: probeFolder + "/" + rand.Text()}
	id, err := w.begin(ctx)
	if err != nil {
		return s.explain(ctx, "s3:PutObject", w.key, err)
	}
	err = s.ask(ctx, func(ctx context.Context) error {
		_, err := s.client().AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: aws.String(s.key(w.key)), UploadId: &id})
		return err
	})
	if err != nil && judge(err) != gone {
		return s.explain(ctx, "s3:AbortMultipartUpload", w.key, err)
	}
	return nil
}
