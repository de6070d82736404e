package conda

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	texts := 50
	if testing.Short() {
		texts = 5
	}
	for range texts {
		var text Text
		var want []byte
		for range rng.IntN(60) {
			b := bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, rng.IntN(3)*rng.IntN(100_000)+rng.IntN(200))
			want = append(want, b...)
			if rng.IntN(2) == 0 {
				text.add(b)
				clear(b) // it was copied
			} else {
				text.share(b)
			}
		}
		if text.Len() != int64(len(want)) || !bytes.Equal(text.Bytes(), want) {
			t.Fatal("the text is another one")
		}
		if err := iotest.TestReader(text.Reader(), want); err != nil {
			t.Fatal(err)
		}
		r := text.Reader()
		for range 20 {
			from := rng.Int64N(int64(len(want) + 1))
			if at, err := r.Seek(from-int64(len(want)), io.SeekEnd); err != nil || at != from {
				t.Fatal(at, err)
			}
			if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, want[from:]) {
				t.Fatalf("from %d: %v", from, err)
			}
		}
	}
	whole := []byte("x")
	if one := TextOf(whole); &one.Bytes()[0] != &whole[0] || one.Len() != 1 {
		t.Error("a text of one piece is copied")
	}
}
