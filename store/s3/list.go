package s3

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/condaworker/condaworker/store"
)

const (
	pageKeys   = 1000 // of one answer to a listing, at most
	spareKeys  = 16   // that may have come into a range since its bounds were known, for no further page
	listsAhead = 8    // ranges that are listed at a time
)

// List asks for pages one after the other, or, if o.Known tells where pages
// will lie, for several at a time.
func (s *Store) List(ctx context.Context, prefix string, o store.ListOptions) iter.Seq2[store.Info, error] {
	after := append([]string{o.After}, bounds(o)...)
	if len(after) == 1 {
		return s.list(ctx, prefix, o, o.After, "")
	}
	return func(yield func(store.Info, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		ranges := make([]chan []listed, len(after))
		for i := range after {
			ranges[i] = make(chan []listed, 1)
			to := ""
			if i+1 < len(after) {
				to = after[i+1]
			}
			wg.Go(func() { ranges[i] <- slices.Collect(pairs(s.list(ctx, prefix, o, after[i], to))) })
		}
		for _, r := range ranges {
			for _, one := range <-r {
				if !yield(one.Info, one.err) || one.err != nil {
					return
				}
			}
		}
	}
}

// listed is what a listing yields.
type listed struct {
	store.Info
	err error
}

func pairs(all iter.Seq2[store.Info, error]) iter.Seq[listed] {
	return func(yield func(listed) bool) {
		for in, err := range all {
			if !yield(listed{in, err}) {
				return
			}
		}
	}
}

// bounds are the keys behind which a range of a listing ends: all ranges fill
// nearly as many pages, so that in all there is hardly a request more.
func bounds(o store.ListOptions) []string {
	first, found := slices.BinarySearch(o.Known, o.After)
	if found {
		first++
	}
	known := o.Known[first:]
	pages := (len(known) + pageKeys - spareKeys - 1) / (pageKeys - spareKeys)
	step := (pages+listsAhead-1)/listsAhead*pageKeys - spareKeys
	var all []string
	for at := step; step > 0 && at < len(known); at += step {
		all = append(all, known[at-1])
	}
	return all
}

// list asks for one page after the other of the keys behind after, up to to;
// "" is the end. Keys are asked for in the encoding of URLs: others may have put
// characters into them that XML cannot carry, and one such would end the listing.
func (s *Store) list(ctx context.Context, prefix string, o store.ListOptions, after, to string) iter.Seq2[store.Info, error] {
	base := s.prefix
	if base != "" {
		base += "/"
	}
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(base + prefix), EncodingType: types.EncodingTypeUrl}
	if o.Shallow {
		in.Delimiter = aws.String("/")
	}
	if after != "" {
		in.StartAfter = aws.String(base + after)
	}
	return func(yield func(store.Info, error) bool) {
		pages := s3.NewListObjectsV2Paginator(lister{s}, in)
		for pages.HasMorePages() {
			var page *s3.ListObjectsV2Output
			err := s.ask(ctx, func(ctx context.Context) (err error) {
				page, err = pages.NextPage(ctx)
				return err
			})
			var all []store.Info
			if err == nil {
				all, err = entries(page, base)
			}
			if err != nil {
				yield(store.Info{}, s.explain(ctx, "s3:ListBucket", prefix, err))
				return
			}
			for _, in := range all {
				if to != "" && in.Key > to {
					return
				}
				if in.Key > after && !yield(in, nil) {
					return
				}
			}
		}
	}
}

// lister lists with the client of the moment.
type lister struct{ *Store }

// ListObjectsV2 asks for one page.
func (l lister) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, o ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	return l.client().ListObjectsV2(ctx, in, o...)
}

// entries are a page's objects and folders in the order of their keys, which
// it has apart.
func entries(page *s3.ListObjectsV2Output, base string) (all []store.Info, err error) {
	all = make([]store.Info, 0, len(page.Contents)+len(page.CommonPrefixes))
	for _, o := range page.Contents {
		all = append(all, store.Info{
			Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Version: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified),
		})
	}
	for _, p := range page.CommonPrefixes {
		all = append(all, store.Info{Key: aws.ToString(p.Prefix)})
	}
	for i := range all {
		if page.EncodingType == types.EncodingTypeUrl {
			if all[i].Key, err = url.QueryUnescape(all[i].Key); err != nil {
				return nil, fmt.Errorf("read a page of the listing: %w", err)
			}
		}
		all[i].Key = strings.TrimPrefix(all[i].Key, base)
	}
	if len(page.CommonPrefixes) > 0 {
		slices.SortFunc(all, func(a, b store.Info) int { return strings.Compare(a.Key, b.Key) })
	}
	return all, nil
}
