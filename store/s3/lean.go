package s3

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
)

// endpoints remembers where a bucket is. The SDK works it out for each request
// from some sixty rules, and for one bucket they say the same each time.
type endpoints struct {
	rules s3.EndpointResolverV2
	known sync.Map // smithyendpoints.Endpoint by place
}

// place is what differs between the requests of one channel.
type place struct{ bucket, region string }

// ResolveEndpoint applies the rules to the first request of each place.
func (e *endpoints) ResolveEndpoint(ctx context.Context, p s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	at := place{aws.ToString(p.Bucket), aws.ToString(p.Region)}
	if known, ok := e.known.Load(at); ok {
		return copied(known.(smithyendpoints.Endpoint)), nil
	}
	found, err := e.rules.ResolveEndpoint(ctx, p)
	if err == nil {
		e.known.Store(at, copied(found))
	}
	return found, err
}

// copied is one that a request may change: the SDK adds to how it is signed.
func copied(e smithyendpoints.Endpoint) smithyendpoints.Endpoint {
	var own smithy.Properties
	own.SetAll(&e.Properties)
	if options, ok := smithyauth.GetAuthOptions(&own); ok {
		options = slices.Clone(options)
		for i, was := range options {
			options[i] = &smithyauth.Option{SchemeID: was.SchemeID}
			options[i].IdentityProperties.SetAll(&was.IdentityProperties)
			options[i].SignerProperties.SetAll(&was.SignerProperties)
		}
		smithyauth.SetAuthOptions(&own, options)
	}
	e.Headers, e.Properties = e.Headers.Clone(), own
	return e
}

// unsigned dates requests and does not sign them.
type unsigned struct{}

// SignHTTP sets the date that a signature would be of.
func (unsigned) SignHTTP(_ context.Context, _ aws.Credentials, r *http.Request, _, _, _ string, at time.Time, _ ...func(*v4.SignerOptions)) error {
	r.Header.Set("X-Amz-Date", at.UTC().Format("20060102T150405Z"))
	return nil
}
