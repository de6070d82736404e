package store_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/store"
)

// place is a Reader that has one object or fails.
type place struct {
	text string
	err  error
}

func (p place) Get(context.Context, string, int64, int64) (io.ReadCloser, store.Info, error) {
	return io.NopCloser(strings.NewReader(p.text)), store.Info{}, p.err
}

func mirrored(warn func(string), readers ...store.Reader) *store.Mirrored {
	var places []store.Place
	for i, r := range readers {
		places = append(places, store.Place{Name: string(rune('a' + i)), Reader: r})
	}
	return store.Mirror(warn, places...)
}

func TestMirrored(t *testing.T) {
	down := errors.New("down")
	missing, broken, there := place{err: fs.ErrNotExist}, place{err: down}, place{text: "x"}
	for name, tt := range map[string]struct {
		places []store.Reader
		err    error
	}{
		"the first":                      {[]store.Reader{there, broken}, nil},
		"not there yet":                  {[]store.Reader{missing, there}, nil},
		"out of reach":                   {[]store.Reader{broken, there}, nil},
		"nowhere":                        {[]store.Reader{missing, missing}, fs.ErrNotExist},
		"not in the channel itself":      {[]store.Reader{broken, missing}, fs.ErrNotExist},
		"perhaps where nobody can reach": {[]store.Reader{missing, broken}, down},
	} {
		_, _, err := mirrored(nil, tt.places...).Get(t.Context(), "key", 0, -1)
		if !errors.Is(err, tt.err) || errors.Is(err, fs.ErrNotExist) && errors.Is(tt.err, down) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counted is a place that counts how often it was asked.
type counted struct {
	place
	asked *int
}

func (c counted) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	*c.asked++
	return c.place.Get(ctx, key, off, n)
}

func TestAMirrorThatIsDownIsAskedLastAndNamedOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		mirror, itself place
		asked          int
		warned         []string
		err            string
	}{
		"down":                  {place{err: errors.New("502")}, place{text: "x"}, 1, []string{"mirror a is passed over: 502"}, ""},
		"refuses what it lacks": {place{err: fs.ErrPermission}, place{text: "x"}, 3, nil, ""},
		"both are down":         {place{err: errors.New("502")}, place{err: errors.New("504")}, 3, []string{"mirror a is passed over: 502"}, "504; mirror a: 502"},
	} {
		asked := 0
		var warned []string
		m := mirrored(func(text string) { warned = append(warned, text) }, counted{tt.mirror, &asked}, tt.itself)
		for range 3 {
			_, _, err := m.Get(t.Context(), "key", 0, -1)
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("%s: %v", name, err)
			}
		}
		if asked != tt.asked || tt.warned != nil && !slices.Equal(warned, tt.warned) {
			t.Errorf("%s: asked %d times, warned %q", name, asked, warned)
		}
	}
}

func TestWhoeverFindsAPlaceWrongGoesOnToTheNext(t *testing.T) {
	var warned []string
	m := mirrored(func(text string) { warned = append(warned, text) }, place{text: "wrong"}, place{text: "right"})
	for range 2 { // one that can be read stays the first
		var got []string
		err := store.Try(t.Context(), m, func(at store.Place) error {
			body, _, err := at.Get(t.Context(), "key", 0, -1)
			if err != nil {
				return err
			}
			text, err := io.ReadAll(body)
			got = append(got, at.Name+" "+string(text))
			if string(text) == "wrong" {
				err = errors.New("other bytes")
			}
			return err
		})
		if err != nil || !slices.Equal(got, []string{"a wrong", "b right"}) {
			t.Error(got, err)
		}
	}
	if want := "mirror a is passed over: other bytes"; !slices.Equal(warned, []string{want, want}) {
		t.Errorf("%q", warned)
	}
}
