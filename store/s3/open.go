package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/condaworker/condaworker/store"
)

// Options name a channel in a bucket.
type Options struct {
	Bucket string            // e.g. studio-packages
	Prefix string            // e.g. Conda/Default; "" is the whole bucket
	Env    map[string]string // the process's environment, which the SDK reads as well
	HTTP   HTTPClient        // sends the requests; nil: the SDK's own client
}

// HTTPClient sends one HTTP request, as http.Client does.
type HTTPClient interface {
	Do(r *http.Request) (*http.Response, error)
}

// Open finds credentials, region and endpoint where the AWS SDK looks for them
// (AWS_PROFILE, AWS_ENDPOINT_URL, …). The credentials of the machine itself
// are not used unless AWS_EC2_METADATA_DISABLED=false: on a render farm they
// are the fleet's, not the queue's.
func Open(ctx context.Context, o Options) (*Store, error) {
	load := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // the log is not the SDK's to write
	if o.Env["AWS_EC2_METADATA_DISABLED"] != "false" {
		load = append(load, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	if o.HTTP != nil {
		load = append(load, config.WithHTTPClient(o.HTTP))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("find AWS credentials for s3://%s: %w; set AWS_PROFILE, or give the queue a role", o.Bucket, err)
	}
	endpoint := cmp.Or(o.Env["AWS_ENDPOINT_URL_S3"], o.Env["AWS_ENDPOINT_URL"])
	custom := endpoint != ""
	if cfg.Region == "" && custom {
		cfg.Region = "us-east-1" // servers of other makes do not ask
	}
	if cfg.Region == "" {
		if cfg.Region, err = bucketRegion(ctx, cfg, o.Bucket); err != nil {
			return nil, err
		}
	}
	client := s3.NewFromConfig(cfg, func(c *s3.Options) {
		c.UsePathStyle = custom
		c.Retryer = aws.NopRetryer{}                       // ask and settle know which answers are worth another attempt
		c.DisableLogOutputChecksumValidationSkipped = true // the SDK would print it
	})
	return &Store{client: client, bucket: o.Bucket, prefix: o.Prefix, endpoint: endpoint}, nil
}

// regionHeader is in every answer about a bucket, refusals included.
const regionHeader = "X-Amz-Bucket-Region"

// bucketRegion asks the bucket itself: a worker's profile often names none.
func bucketRegion(ctx context.Context, cfg aws.Config, bucket string) (string, error) {
	cfg.Region = "us-east-1"
	out, err := s3.NewFromConfig(cfg).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	if err == nil {
		return aws.ToString(out.BucketRegion), nil
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		if region := answer.Response.Header.Get(regionHeader); region != "" {
			return region, nil
		}
	}
	return "", fmt.Errorf("find the region of bucket %s: %w; set AWS_REGION", bucket, err)
}

// explain turns an answer into what the user can change, and into the errors
// of the store's contract.
func (s *Store) explain(ctx context.Context, action, key string, err error) error {
	what := fmt.Sprintf("%s on s3://%s/%s", action, s.bucket, s.key(key))
	switch st := status(err); {
	case code(err) == "NoSuchBucket", st == http.StatusNotFound && code(err) != "NoSuchKey" && s.bucketMissing(ctx):
		return fmt.Errorf("bucket %s does not exist: create it or correct the channel URL: %w: %w", s.bucket, store.ErrNoChannel, fs.ErrNotExist)
	case st == http.StatusNotFound:
		return fmt.Errorf("%s: %w", what, fs.ErrNotExist)
	case judge(err) == expired:
		return fmt.Errorf("%s: the credentials are no longer good, or this machine's clock is off (%s): %w", what, code(err), fs.ErrPermission)
	case st == http.StatusForbidden || st == http.StatusUnauthorized:
		return fmt.Errorf("%s is refused (%s): allow the action for these credentials: %w", what, code(err), fs.ErrPermission)
	case st == http.StatusMovedPermanently:
		return fmt.Errorf("%s: the bucket is in another region: set AWS_REGION: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// bucketMissing asks, since the answer to a HEAD does not say which of the two
// is not there.
func (s *Store) bucketMissing(ctx context.Context) bool {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket})
	return status(err) == http.StatusNotFound
}
