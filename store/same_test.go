package store_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/store"
)

// object is a Reader of one object whose answer may be cut.
type object struct {
	info store.Info
	body io.Reader
}

func (o object) Get(context.Context, string, int64, int64) (io.ReadCloser, store.Info, error) {
	return io.NopCloser(o.body), o.info, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A comparison that could not be made is an error, never "other bytes": a
// caller would report a conflict that is none.
func TestSame(t *testing.T) {
	const block = 1 << 16
	long := strings.Repeat("x", 3*block+5)
	hash := func(s string) map[string]string { return map[string]string{store.HashKey: s} }
	lost := errors.New("lost")
	for name, tt := range map[string]struct {
		there  io.Reader
		size   int
		mine   string
		theirs map[string]string
		ours   map[string]string
		same   bool
		err    error
	}{
		"equal":           {there: strings.NewReader(long), size: len(long), mine: long, same: true},
		"empty":           {there: strings.NewReader(""), same: true},
		"one block":       {there: strings.NewReader(long[:block]), size: block, mine: long[:block], same: true},
		"last differs":    {there: strings.NewReader(long[1:] + "y"), size: len(long), mine: long},
		"shorter":         {there: strings.NewReader("x"), size: 1, mine: long},
		"cut":             {there: strings.NewReader(long[:block]), size: len(long), mine: long, err: io.EOF},
		"cut in a block":  {there: strings.NewReader(long[:block+9]), size: len(long), mine: long, err: io.ErrUnexpectedEOF},
		"connection lost": {there: io.MultiReader(strings.NewReader(long[:9]), failing{lost}), size: len(long), mine: long, err: lost},
		"cut by net/http": {there: io.MultiReader(strings.NewReader(long[:block]), failing{io.ErrUnexpectedEOF}), size: len(long), mine: long, err: io.ErrUnexpectedEOF},
		"equal hashes":    {there: failing{lost}, size: 1, mine: "x", theirs: hash("a"), ours: hash("a"), same: true},
		"other hashes":    {there: failing{lost}, size: 1, mine: "x", theirs: hash("a"), ours: hash("b")},
		"one hash":        {there: strings.NewReader("x"), size: 1, mine: "x", ours: hash("b"), same: true},
	} {
		r := object{store.Info{Size: int64(tt.size), Meta: tt.theirs}, tt.there}
		_, same, err := store.Same(t.Context(), r, "key", strings.NewReader(tt.mine), store.PutOptions{Meta: tt.ours})
		if same != tt.same || !errors.Is(err, tt.err) {
			t.Errorf("%s: %t, %v; want %t, %v", name, same, err, tt.same, tt.err)
		}
	}
}
