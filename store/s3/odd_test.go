package s3_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3/s3test"
)

// What others put into a bucket may have any name: a listing that has
// characters which XML cannot carry is read all the same.
func TestOddKeysAreListed(t *testing.T) {
	odd := []string{"linux-64/a b.conda", "linux-64/a+b.conda", "linux-64/a%2Fb.conda", "linux-64/a\x01b.conda", "linux-64/a\nb.conda", "linux-64/ü & <x>.conda", "linux-64/\"q\" 'q'.conda", "linux-64/ /x", "odd+%folder \x02/x"}
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		server.Bucket(t, "odd")
		s := open(t, server.Env(), "odd", "Conda + x")
		cfg, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		raw := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
		var stored []string
		for _, key := range odd {
			if strings.HasSuffix(t.Name(), "versitygw") && strings.ContainsAny(key, "\x01\x02") {
				continue // it has no encoding of URLs, and puts another character in their place
			}
			_, err := raw.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("odd"), Key: aws.String("Conda + x/" + key), Body: strings.NewReader("x")})
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, key)
		}
		slices.Sort(stored)
		var got []string
		for in, err := range s.List(t.Context(), "", store.ListOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, in.Key)
		}
		if !slices.Equal(got, stored) {
			t.Errorf("listed\n%q, want\n%q", got, stored)
		}
	})
}
