package archive

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestSumIsTheSameHoweverItComes(t *testing.T) {
	for _, tt := range []struct {
		text, sha256, md5 string
	}{
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "d41d8cd98f00b204e9800998ecf8427e"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "900150983cd24fb0d6963f7d28e17f72"},
		{strings.Repeat("a", 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", "7707d6ae4e027c70eea2a935c2296f21"},
	} {
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(tt.text), "halves": iotest.HalfReader(strings.NewReader(tt.text)), "end with data": iotest.DataErrReader(strings.NewReader(tt.text)),
		} {
			got, err := Sum(t.Context(), r)
			if want := (Digest{int64(len(tt.text)), tt.sha256, tt.md5}); err != nil || got != want {
				t.Errorf("%d bytes, %s: %+v, %v", len(tt.text), name, got, err)
			}
		}
	}
}

// net/http ends a body that was cut with io.ErrUnexpectedEOF: the digest of
// what came would be taken for the archive's.
func TestSumOfACutBody(t *testing.T) {
	for _, fault := range []error{io.ErrUnexpectedEOF, errors.New("reset")} {
		for _, n := range []int{0, 10, 1 << 20, 1<<20 + 1} {
			r := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(fault))
			if got, err := Sum(t.Context(), r); !errors.Is(err, fault) || got.SHA256 != "" {
				t.Errorf("%v after %d bytes: %+v, %v", fault, n, got, err)
			}
		}
	}
}
