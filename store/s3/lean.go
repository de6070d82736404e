package s3

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
)

// remembering is a client that works out once per region what the SDK works out
// for each request, from some sixty rules: where the bucket is, and how requests
// to it are signed. For one bucket they say the same each time.
func remembering(client *s3.Client) *s3.Client {
	o := client.Options()
	o.EndpointResolverV2 = &endpoints{rules: o.EndpointResolverV2}
	o.AuthSchemeResolver = &schemes{rules: o.AuthSchemeResolver}
	return s3.New(o)
}

// endpoints remembers where a bucket is.
type endpoints struct {
	rules s3.EndpointResolverV2
	known sync.Map // smithyendpoints.Endpoint by place
}

// place is what differs between the requests of one channel.
type place struct{ bucket, region string }

// ResolveEndpoint applies the rules to the first request of each place. What it
// returns is read alone.
func (e *endpoints) ResolveEndpoint(ctx context.Context, p s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	at := place{aws.ToString(p.Bucket), aws.ToString(p.Region)}
	if known, ok := e.known.Load(at); ok {
		return known.(smithyendpoints.Endpoint), nil
	}
	found, err := e.rules.ResolveEndpoint(ctx, p)
	if err == nil {
		e.known.Store(at, found)
	}
	return found, err
}

// schemes remembers how requests to a bucket are signed.
type schemes struct {
	rules s3.AuthSchemeResolver
	known sync.Map // []*smithyauth.Option by region
}

// ResolveAuthSchemes applies the rules to the first request of each region. Each
// request has options of its own: the SDK adds to them.
func (c *schemes) ResolveAuthSchemes(ctx context.Context, p *s3.AuthResolverParameters) ([]*smithyauth.Option, error) {
	known, ok := c.known.Load(p.Region)
	if !ok {
		found, err := c.rules.ResolveAuthSchemes(ctx, p)
		if err != nil {
			return nil, err
		}
		known, _ = c.known.LoadOrStore(p.Region, found)
	}
	var own []*smithyauth.Option
	for _, was := range known.([]*smithyauth.Option) {
		option := &smithyauth.Option{SchemeID: was.SchemeID}
		option.IdentityProperties.SetAll(&was.IdentityProperties)
		option.SignerProperties.SetAll(&was.SignerProperties)
		own = append(own, option)
	}
	return own, nil
}

// unsigned dates requests and does not sign them.
type unsigned struct{}

// SignHTTP sets the date that a signature would be of.
func (unsigned) SignHTTP(_ context.Context, _ aws.Credentials, r *http.Request, _, _, _ string, at time.Time, _ ...func(*v4.SignerOptions)) error {
	r.Header.Set("X-Amz-Date", at.UTC().Format("20060102T150405Z"))
	return nil
}
