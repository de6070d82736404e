package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/stall"
)

// Options name a channel in a bucket.
type Options struct {
	Bucket string            // e.g. studio-packages
	Prefix string            // e.g. Conda/Default; "" is the whole bucket
	Env    map[string]string // the process's environment, which the SDK reads as well
	Owner  string            // the account, 12 digits, that the bucket must belong to; "": any
	HTTP   HTTPClient        // sends the requests; nil: the SDK's own client

	// AccessKey with its Secret, and of a session its Token, come before what the SDK
	// finds; "" is none.
	AccessKey, Secret, Token string

	// Unsigned sends requests with their date and without a signature, to a
	// server that asks for none.
	Unsigned bool
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
	if o.Owner != "" && !isAccount(o.Owner) {
		return nil, fmt.Errorf("the expected owner of bucket %s is %q: an AWS account has 12 digits", o.Bucket, o.Owner)
	}
	machine := o.Env["AWS_EC2_METADATA_DISABLED"] == "false"
	if !machine {
		load = append(load, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	if o.HTTP == nil {
		o.HTTP = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { stall.Bound(t, answerTimeout) })
	}
	load = append(load, config.WithHTTPClient(o.HTTP))
	if o.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: o.AccessKey, SecretAccessKey: o.Secret, SessionToken: o.Token}, nil
		})))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return nil, fmt.Errorf("find AWS credentials for s3://%s: no AWS configuration has the profile %s: correct AWS_PROFILE", o.Bucket, missing.Profile)
	}
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		last, ok := errors.AsType[*smithy.OperationError](err)
		if ok && last.Service() == imds.ServiceID && !machine { // which is asked when all else has none
			err = errors.New("there are none")
		}
		return nil, fmt.Errorf("find AWS credentials for s3://%s: %w; set AWS_PROFILE, or give the queue a role", o.Bucket, err)
	}
	if cfg.Region == "" {
		if cfg.Region, err = bucketRegion(ctx, cfg, o.Bucket); err != nil {
			return nil, err
		}
	}
	var endpoint string // "" is Amazon's
	client := s3.NewFromConfig(cfg, func(c *s3.Options) {
		endpoint = aws.ToString(c.BaseEndpoint) // from AWS_ENDPOINT_URL or a profile's endpoint_url, for all services or for S3 alone
		if o.Owner != "" {
			c.APIOptions = append(c.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Expected-Bucket-Owner", o.Owner))
		}
		if o.Unsigned {
			c.HTTPSignerV4 = unsigned{}
		}
		c.UsePathStyle = endpoint != ""
		c.HTTPClient = stall.Client{Send: c.HTTPClient.Do, Limit: answerTimeout}
		c.Retryer = aws.NopRetryer{}                       // ask and settle know which answers are worth another attempt
		c.DisableLogOutputChecksumValidationSkipped = true // the SDK would print it
	})
	s := &Store{bucket: o.Bucket, prefix: o.Prefix, endpoint: endpoint, owner: o.Owner}
	s.current.Store(remembering(client))
	return s, nil
}

// answerTimeout is how long a server may take from the end of a request to the
// beginning of its answer, and how long a body may stand still on its way. A longer
// silence is a lost connection.
const answerTimeout = time.Minute

// client is the one for the bucket's region, as far as that is known.
func (s *Store) client() *s3.Client { return s.current.Load() }

// region is the one whose server is asked.
func (s *Store) region() string { return s.client().Options().Region }

// follow goes to the region that an answer says the bucket is in, if another
// request has not gone there already. It tells whether that can help: not where the
// answer names none, or the one that was asked.
func (s *Store) follow(asked string, err error) bool {
	s.moving.Lock()
	defer s.moving.Unlock()
	o := s.client().Options()
	region := regionOf(err)
	if region != "" && region != o.Region {
		o.Region = region
		s.current.Store(s3.New(o))
	}
	return region != "" && region != asked
}

// regionOf is the bucket's region as an answer has it, "" if it has none.
func regionOf(err error) string {
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return answer.Response.Header.Get(regionHeader)
	}
	return ""
}

// regionHeader is in every answer about a bucket, refusals included.
const regionHeader = "X-Amz-Bucket-Region"

// bucketRegion asks the bucket itself: a worker's profile often names none. For servers
// of other makes any will do.
func bucketRegion(ctx context.Context, cfg aws.Config, bucket string) (string, error) {
	cfg.Region = "us-east-1"
	client := s3.NewFromConfig(cfg)
	if client.Options().BaseEndpoint != nil {
		return cfg.Region, nil
	}
	out, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	if err == nil {
		return aws.ToString(out.BucketRegion), nil
	}
	if region := regionOf(err); region != "" {
		return region, nil
	}
	return "", fmt.Errorf("find the region of bucket %s: %w; set AWS_REGION", bucket, err)
}

// isAccount tells whether text can be the id of an AWS account.
func isAccount(text string) bool {
	return len(text) == 12 && strings.Trim(text, "0123456789") == ""
}

// explain turns an answer into what the user can change, and into the errors
// of the store's contract.
func (s *Store) explain(ctx context.Context, action, key string, err error) error {
	what := fmt.Sprintf("%s on s3://%s/%s", action, s.bucket, s.key(key))
	noBucket := status(err) == http.StatusNotFound && code(err) != "NoSuchKey" && code(err) != "InvalidAccessKeyId" && s.bucketMissing(ctx)
	if noBucket {
		err = s.reason(ctx, key, err)
	}
	switch st := status(err); {
	case code(err) == "InvalidAccessKeyId" || code(err) == "SignatureDoesNotMatch":
		return fmt.Errorf("%s: the access key or its secret is wrong (%s): correct the credentials: %w", what, code(err), store.ErrCredentials)
	case st == http.StatusBadRequest && (code(err) == "" || code(err) == "BadRequest") && !canBeBucket.MatchString(s.bucket): // a HEAD has no room for the reason
		return store.NoPlace("bucket "+s.bucket, "correct the URL: a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens")
	case code(err) == "NoSuchBucket", code(err) == "InvalidBucketName", noBucket:
		return store.NoPlace("bucket "+s.bucket, "correct the URL, or create the bucket")
	case st == http.StatusNotFound:
		return fmt.Errorf("%s: %w", what, fs.ErrNotExist)
	case code(err) == "RequestTimeTooSkewed":
		return fmt.Errorf("%s: this machine's clock %s; set it right: %w", what, clockOff(err), store.ErrCredentials)
	case judge(err) == expired:
		return fmt.Errorf("%s: the credentials are no longer good (%s): %w", what, code(err), store.ErrCredentials)
	case code(err) != "" && (st == http.StatusForbidden || st == http.StatusUnauthorized):
		said := message(err)
		return fmt.Errorf("%s is refused (%s): %s: %w", what, strings.TrimSuffix(code(err)+": "+said, ": "), s.remedy(action, key, said), fs.ErrPermission)
	case judge(err) == moved && regionOf(err) == "":
		return fmt.Errorf("%s: the bucket is in another region, and the answer does not say which: set AWS_REGION: %w", what, err)
	case judge(err) == moved && s.endpoint != "":
		return fmt.Errorf("%s: the bucket is in region %s, and the endpoint %s is another region's (%s): set AWS_ENDPOINT_URL, or the profile's endpoint_url, to that of %[2]s, or to nothing for Amazon's own",
			what, regionOf(err), s.endpoint, code(err))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// reason is why a HEAD was refused, or err if that cannot be known: its answer has
// no room for that, a GET's has.
func (s *Store) reason(ctx context.Context, key string, err error) error {
	out, again := s.client().GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.key(key)), Range: aws.String("bytes=0-0")})
	if again == nil {
		_ = out.Body.Close() // it was asked for its header
	}
	if code(again) == "" {
		return err
	}
	return again
}

// canBeBucket are the names that a bucket may have.
var canBeBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// message is what S3 says of an error in one line, "" where that is no more than its code.
func message(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	words := strings.Fields(api.ErrorMessage())
	if strings.EqualFold(strings.Join(words, ""), api.ErrorCode()) { // Access Denied
		return ""
	}
	return strings.Join(words, " ")
}

// ofKey are the actions that a bucket with a key of its own needs beside S3's.
var ofKey = regexp.MustCompile(`\bkms:[A-Za-z]+`)

// remedy is what to change, by what S3 says of a refusal.
func (s *Store) remedy(action, key, said string) string {
	kms := ofKey.FindString(said)
	switch {
	case strings.Contains(said, "explicit deny"):
		return "take out the explicit deny that S3 names, or except these credentials from it"
	case kms != "":
		return fmt.Sprintf("allow %s on the key that bucket %s is encrypted with for these credentials, in their policy or in the key's", kms, s.bucket)
	}
	return s.allow(action, key)
}

// allow is what the policy of the credentials lacks, as far as an answer tells:
// S3 says 403 for an object that is not there, too, to those who may not list
// the bucket.
func (s *Store) allow(action, key string) string {
	bucket := "arn:aws:s3:::" + s.bucket
	text := fmt.Sprintf("allow %s on %s/%s for these credentials", action, bucket, s.key(key))
	switch action {
	case "s3:ListBucket", "s3:ListBucketMultipartUploads":
		text = fmt.Sprintf("allow %s on %s for these credentials", action, bucket)
	case "s3:GetObject":
		text += ", and s3:ListBucket on " + bucket + ", without which S3 refuses what is not there"
	}
	if s.owner != "" {
		text += "; or the bucket does not belong to account " + s.owner + ", which is expected of it"
	}
	return text
}

// clockOff says how far this machine's clock is from the server's.
func clockOff(err error) string {
	off := ahead(err).Round(time.Second)
	switch {
	case off < 0:
		return fmt.Sprintf("is %s behind S3's", -off)
	case off > 0:
		return fmt.Sprintf("is %s ahead of S3's", off)
	}
	return "is off"
}

// ahead is by how much this machine's clock is ahead of the one that answered,
// 0 when it does not say.
func ahead(err error) time.Duration {
	if at := clockOf(err); !at.IsZero() {
		return time.Since(at)
	}
	return 0
}

// clockOf is the time on the clock that answered, zero when it does not say.
func clockOf(err error) time.Time {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok {
		return time.Time{}
	}
	at, err := http.ParseTime(answer.Response.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// bucketMissing asks, since the answer to a HEAD does not say which of the two
// is not there.
func (s *Store) bucketMissing(ctx context.Context) bool {
	_, err := s.client().HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket})
	return status(err) == http.StatusNotFound
}
