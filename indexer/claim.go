package indexer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// claimFolder holds an object for each build number that somebody has chosen:
// <name>-<version>-<number>. They stay, so that a number is never given twice;
// one whose build failed leaves a gap.
const claimFolder = ".condaworker-claims"

// latestClaims are how many of the newest claims are asked for whose they are:
// a task that is tried again comes soon.
const latestClaims = 50

// Claim says for what a build number is wanted, and by whom.
type Claim struct {
	Name, Version string
	Subdirs       []string // whose packages the number must be above, e.g. linux-64 and noarch

	// Task is the same whenever one task is tried again, and of no other; ""
	// is somebody who does not come again.
	Task string
	By   map[string]string // for people who look at the claim, e.g. the farm's ids
}

// claimed is a claim as it is stored.
type claimed struct {
	Task  string            `json:"task,omitempty"`
	By    map[string]string `json:"by,omitempty"`
	Nonce string            `json:"nonce"` // equal claims of two processes are two
}

// ClaimBuildNumber chooses a build number that no stored package and no other
// claim of this name and version has: one more than the highest of both. A task
// that comes again gets the number that it had; again says so. The claim is
// created conditionally, so that of two builders at once each has its own.
func ClaimBuildNumber(ctx context.Context, s store.Store, c Claim) (number int, again bool, err error) {
	taken, err := claims(ctx, s, c)
	if err != nil {
		return 0, false, err
	}
	if c.Task != "" {
		for _, n := range taken[:min(len(taken), latestClaims)] {
			mine, err := claimedBy(ctx, s, c, n)
			if err != nil || mine {
				return n, mine, err
			}
		}
	}
	next, err := NextBuildNumber(ctx, s, c.Name, c.Version, c.Subdirs)
	if err != nil {
		return 0, false, err
	}
	if len(taken) > 0 {
		next = max(next, taken[0]+1)
	}
	text, err := json.Marshal(claimed{c.Task, c.By, rand.Text()})
	if err != nil {
		return 0, false, err
	}
	for ; ; next++ {
		_, err := s.Put(ctx, c.key(next), bytes.NewReader(text), store.PutOptions{Cond: store.IfAbsent, ContentType: "application/json"})
		if !errors.Is(err, store.ErrConflict) {
			return next, false, err
		}
	}
}

func (c Claim) prefix() string { return claimFolder + "/" + c.Name + "-" + c.Version + "-" }

func (c Claim) key(number int) string { return c.prefix() + strconv.Itoa(number) }

// claims are the numbers that are taken, the highest first.
func claims(ctx context.Context, s store.Store, c Claim) ([]int, error) {
	var taken []int
	for in, err := range s.List(ctx, c.prefix(), store.ListOptions{Shallow: true}) {
		if errors.Is(err, store.ErrNoChannel) {
			return nil, nil // a folder that publishing will make
		}
		if err != nil {
			return nil, fmt.Errorf("list the build numbers that are taken: %w", err)
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(in.Key, c.prefix())); err == nil && n >= 0 {
			taken = append(taken, n)
		}
	}
	slices.SortFunc(taken, func(a, b int) int { return cmp.Compare(b, a) })
	return taken, nil
}

// claimedBy tells whether the claim of number is c's own.
func claimedBy(ctx context.Context, s store.Store, c Claim, number int) (bool, error) {
	body, _, err := s.Get(ctx, c.key(number), 0, -1)
	if notThere(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read who took build number %d: %w", number, err)
	}
	text, err := io.ReadAll(io.LimitReader(body, 1<<16))
	if err = errors.Join(err, body.Close()); err != nil {
		return false, err
	}
	var was claimed
	return json.Unmarshal(text, &was) == nil && was.Task == c.Task, nil // junk is another's
}

// Stored describes a package that is in the channel already, as Publish would
// have after it put it there; ok is false when there is none under key.
func Stored(ctx context.Context, s store.Reader, key string) (p Published, ok bool, err error) {
	l, err := look(ctx, s, key, 0)
	if notThere(err) {
		return Published{}, false, nil
	}
	if err != nil {
		return Published{}, false, fmt.Errorf("look at %s: %w", key, err)
	}
	h, _ := conda.HashesOf(l.record) // of a record that was just made
	return Published{Key: key, SHA256: h.SHA256, Size: l.info.Size, Existed: true, Record: l.record, RunExports: l.runExports}, true, nil
}
