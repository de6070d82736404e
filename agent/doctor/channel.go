package doctor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store"
)

const (
	probeFolder = ".condaworker-probe" // below the channel's prefix
	index       = "noarch/repodata.json"
	// patience is for all questions about a channel together.
	patience = 30 * time.Second
)

// Read checks that packages can be taken from a channel.
func Read(ctx context.Context, r store.Reader) Check {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, _, err := r.Get(ctx, index, 0, 0)
	switch {
	case err == nil:
		c := result("read", body.Close(), "")
		c.Found = cmp.Or(c.Found, "there is an index")
		return c
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoChannel):
		return good("read", "there is no index yet")
	}
	return result("read", err, "correct the URL, or the permissions that the message names")
}

// bucket is what a channel in S3 can be asked besides.
type bucket interface {
	Clock(ctx context.Context) (ahead time.Duration, err error)
	Probe(ctx context.Context, cache string) error
	ProbeUpload(ctx context.Context) error
	AbortAbandoned(ctx context.Context, dryRun bool) (keys []string, err error)
}

// Write checks what publishing and indexing ask of a store, one permission
// after the other; of a bucket also whether it can be read. It works on an object of its own and deletes it.
func Write(ctx context.Context, s store.Store) []Check {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, isBucket := s.(bucket)
	if !isBucket {
		return append([]Check{list(listing(ctx, s))}, object(ctx, s)...)
	}
	first := clock(ctx, b)
	if first.Status == Missing {
		return []Check{first} // nothing else has an answer
	}
	err := listing(ctx, s)
	switch {
	case errors.Is(err, store.ErrNoChannel):
		return []Check{first, bad("bucket", Missing, err.Error(), notAsked)}
	case errors.Is(err, store.ErrCredentials):
		return []Check{first, bad("credentials accepted", Missing, err.Error(), notAsked)}
	}
	checks := slices.Concat([]Check{first, list(err), Read(ctx, s)}, object(ctx, s), []Check{uploads(ctx, b)})
	_, err = b.AbortAbandoned(ctx, true)
	return append(checks, limited(result("list uploads", err, "without it channel prune cannot end uploads that killed workers left")))
}

// notAsked is what follows where every question would have the same answer.
const notAsked = "then ask again: the permissions were not looked at"

// listing is the first error of a list.
func listing(ctx context.Context, s store.Store) error {
	for _, err := range s.List(ctx, probeFolder+"/", store.ListOptions{Shallow: true}) {
		return err
	}
	return nil
}

func list(err error) Check {
	return result("list", err, "without it a reindex finds no packages")
}

func uploads(ctx context.Context, b bucket) Check {
	return result("upload in parts", b.ProbeUpload(ctx), "packages of more than a few megabytes need it")
}

// maxAhead is less than S3 allows: fifteen minutes.
const maxAhead = 5 * time.Minute

func clock(ctx context.Context, b bucket) Check {
	const name = "clock against the server's"
	switch ahead, err := b.Clock(ctx); {
	case err != nil:
		return result(name, err, "make sure that the server can be reached: proxy, firewall, VPC endpoint, AWS_ENDPOINT_URL")
	case ahead.Abs() > maxAhead:
		return bad(name, Missing, offset(ahead), "set the machine's clock, e.g. with chrony: S3 refuses requests that are 15 minutes off")
	default:
		return good(name, offset(ahead))
	}
}

// offset says how this machine's clock is.
func offset(ahead time.Duration) string {
	if ahead = ahead.Round(time.Second); ahead < 0 {
		return fmt.Sprintf("%s behind", -ahead)
	}
	return fmt.Sprintf("%s ahead", ahead)
}

// object writes one, several times, and deletes it. To delete what is not there
// needs the same permission.
func object(ctx context.Context, s store.Store) []Check {
	key := probeFolder + "/" + rand.Text()
	first, err := put(ctx, s, key, "1", store.IfAbsent)
	checks := []Check{result("write", err, "")}
	if err == nil {
		checks = append(checks,
			result("conditional writes", conditions(ctx, s, key, first), "use a server that honours If-None-Match and If-Match; with --lock best-effort one worker at a time may write there"),
			result("read what was written", readBack(ctx, s, key), ""))
	}
	return append(checks, limited(result("delete", s.Delete(ctx, key), "without it channel prune cannot delete packages, and "+key+" stays")))
}

// conditions tells whether the store keeps two workers apart.
func conditions(ctx context.Context, s store.Store, key string, first store.Info) error {
	if p, ok := s.(bucket); ok {
		if err := p.Probe(ctx, ""); err != nil {
			return err
		}
	}
	if _, err := put(ctx, s, key, "2", store.IfAbsent); !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("an object that is there was written as if it were not: %w", orIgnored(err))
	}
	if _, err := put(ctx, s, key, "3", store.IfVersion(first)); err != nil {
		return fmt.Errorf("the right version is refused: %w", err)
	}
	if _, err := put(ctx, s, key, "4", store.IfVersion(first)); !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("a version that is gone was replaced: %w", orIgnored(err))
	}
	return nil
}

func orIgnored(err error) error {
	if err == nil {
		return errors.New("the condition was ignored")
	}
	return err
}

func put(ctx context.Context, s store.Store, key, body string, cond store.Cond) (store.Info, error) {
	return s.Put(ctx, key, strings.NewReader(body), store.PutOptions{Cond: cond, Meta: map[string]string{"probe": body}})
}

func readBack(ctx context.Context, s store.Store, key string) error {
	body, _, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(body)
	if err == nil && !bytes.Equal(got, []byte("3")) {
		err = fmt.Errorf("the object holds %.20q, not what was written", got)
	}
	return errors.Join(err, body.Close())
}

// result is a check by its error; the store's own errors say what to allow.
func result(name string, err error, todo string) Check {
	if err == nil {
		return good(name, "")
	}
	return bad(name, Missing, err.Error(), todo)
}

// limited is a check without which a build runs all the same.
func limited(c Check) Check {
	if c.Status == Missing {
		c.Status = Limited
	}
	return c
}
