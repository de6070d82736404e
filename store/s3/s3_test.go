package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
	"github.com/condaworker/condaworker/store/s3/s3test"
	"github.com/condaworker/condaworker/store/storetest"
)

func open(t *testing.T, env map[string]string, bucket, prefix string) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), s3.Options{Bucket: bucket, Prefix: prefix, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		var n atomic.Int32
		storetest.Run(t, func(t *testing.T) store.Store {
			bucket := fmt.Sprint("bucket-", n.Add(1))
			server.Bucket(t, bucket)
			return open(t, server.Env(), bucket, "Conda/Default")
		})
	})
}

func TestMissingBucket(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		s := open(t, server.Env(), "none-such", "")
		for _, n := range []int64{0, -1} {
			if _, _, err := s.Get(t.Context(), "noarch/repodata.json", 0, n); !errors.Is(err, store.ErrNoChannel) || !strings.Contains(err.Error(), "none-such") {
				t.Errorf("get, n=%d: %v", n, err)
			}
		}
		for _, err := range s.List(t.Context(), "", store.ListOptions{}) {
			if !errors.Is(err, store.ErrNoChannel) {
				t.Errorf("list: %v", err)
			}
		}
		if _, err := s.Put(t.Context(), "k", strings.NewReader("x"), store.PutOptions{Cond: store.IfAbsent}); !errors.Is(err, store.ErrNoChannel) {
			t.Errorf("put: %v", err)
		}
	})
}

func TestLargeObjectsGoInParts(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		server.Bucket(t, "large")
		s := open(t, server.Env(), "large", "p")
		body := make([]byte, 100<<20)
		r := rand.NewChaCha8([32]byte{1})
		_, _ = r.Read(body)
		o := store.PutOptions{Cond: store.IfAbsent, Meta: map[string]string{"m": "1"}}
		if _, err := s.Put(t.Context(), "big.conda", bytes.NewReader(body), o); err != nil {
			t.Fatal(err)
		}
		there, in, err := s.Get(t.Context(), "big.conda", 0, -1)
		if err != nil || in.Meta["m"] != "1" {
			t.Fatal(in, err)
		}
		got, err := io.ReadAll(there)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("read back %d bytes, %v", len(got), err)
		}
		if _, err := s.Put(t.Context(), "big.conda", bytes.NewReader(body), o); err != nil {
			t.Errorf("the same bytes again: %v", err)
		}
		body[5]++
		if _, err := s.Put(t.Context(), "big.conda", bytes.NewReader(body), o); !errors.Is(err, store.ErrConflict) {
			t.Errorf("other bytes: %v", err)
		}
	})
}

func TestOutcomes(t *testing.T) {
	fail := func(code int, name string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(code)
			_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>m</Message></Error>`, name)
		}
	}
	hangUp := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	for name, answer := range map[string]func(http.ResponseWriter){
		"409":   fail(http.StatusConflict, "ConditionalRequestConflict"),
		"500":   fail(http.StatusInternalServerError, "InternalError"),
		"503":   fail(http.StatusServiceUnavailable, "SlowDown"),
		"reset": hangUp,
	} {
		for _, body := range []string{"mine", "theirs"} {
			t.Run(name+" "+body, func(t *testing.T) {
				fake := newFake(t)
				fake.spoil = func(n int, w http.ResponseWriter, land func()) bool {
					if n > 1 {
						return false
					}
					if body == "theirs" {
						fake.set("k", "theirs")
					} else if name != "409" {
						land() // it landed, and the answer is lost
					}
					answer(w)
					return true
				}
				s := open(t, fake.env, "b", "")
				_, err := s.Put(t.Context(), "k", strings.NewReader("mine"), store.PutOptions{Cond: store.IfAbsent})
				if body == "mine" && err != nil {
					t.Errorf("our own write: %v", err)
				}
				if body == "theirs" && !errors.Is(err, store.ErrConflict) {
					t.Errorf("another's write: %v", err)
				}
				if got := fake.get("k"); got != body {
					t.Errorf("holds %q", got)
				}
			})
		}
	}
}

func TestRefusalNamesTheAction(t *testing.T) {
	fake := newFake(t)
	fake.spoil = func(_ int, w http.ResponseWriter, _ func()) bool {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code></Error>`)
		return true
	}
	_, err := open(t, fake.env, "b", "p").Put(t.Context(), "k", strings.NewReader("x"), store.PutOptions{})
	if err == nil || !strings.Contains(err.Error(), "s3:PutObject on s3://b/p/k") {
		t.Errorf("%v", err)
	}
}
