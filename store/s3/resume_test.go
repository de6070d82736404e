package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
	"github.com/condaworker/condaworker/store/s3/s3test"
)

// dying passes requests on until the process is dead: from the nth part on
// nothing of it arrives.
type dying struct {
	parts atomic.Int32 // that were sent
	dies  int32        // with this part; 0 never
	death context.CancelFunc
}

func (d *dying) Do(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && r.URL.Query().Has("partNumber") {
		d.parts.Add(1)
	}
	if d.dies > 0 && d.parts.Load() >= d.dies {
		d.death()
		return nil, errors.New("the process is dead")
	}
	return http.DefaultClient.Do(r)
}

// large is a body of seven parts.
func large(seed byte) []byte {
	body := make([]byte, 100<<20)
	r := rand.NewChaCha8([32]byte{seed})
	_, _ = r.Read(body)
	return body
}

// put writes the body as a process would that dies with the nth part.
func put(t *testing.T, server s3test.Server, body []byte, dies int32) (int32, error) {
	t.Helper()
	t.Setenv("AWS_CA_BUNDLE", "") // it is for the SDK's own client
	ctx, death := context.WithCancel(t.Context())
	defer death()
	client := &dying{dies: dies, death: death}
	s, err := s3.Open(t.Context(), s3.Options{Bucket: "resume", Env: server.Env(), HTTP: client})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(ctx, "big.conda", bytes.NewReader(body), store.PutOptions{Cond: store.IfAbsent, Meta: map[string]string{"m": "1"}})
	return client.parts.Load(), err
}

// A large package whose upload was killed goes on where it was.
func TestAKilledUploadGoesOn(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket(t, "resume")
	for k, v := range server.Env() {
		t.Setenv(k, v)
	}
	body := large(1)
	if _, err := put(t, server, body, 5); err == nil {
		t.Fatal("the dead process wrote it")
	}
	other := large(2)
	if n, err := put(t, server, other, 7); err == nil || n < 7 {
		t.Fatalf("another body went on with this one's upload: %d parts, %v", n, err)
	}
	n, err := put(t, server, body, 0)
	if err != nil || n > 6 || n == 0 {
		t.Errorf("%d parts of seven were sent again, %v", n, err)
	}
	s := open(t, server.Env(), "resume", "")
	there, in, err := s.Get(t.Context(), "big.conda", 0, -1)
	if err != nil || in.Meta["m"] != "1" {
		t.Fatal(in, err)
	}
	if got, err := io.ReadAll(there); err != nil || !bytes.Equal(got, body) {
		t.Errorf("read back %d bytes: %v", len(got), err)
	}
	if _, err := put(t, server, other, 0); !errors.Is(err, store.ErrConflict) {
		t.Errorf("other bytes: %v", err)
	}
}

// Whoever may not look for uploads sends a new one.
func TestWithoutTheRightToLookForUploads(t *testing.T) {
	var asked, parts atomic.Int32
	s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodGet && q.Has("uploads"):
			asked.Add(1)
			refuse(w, http.StatusForbidden, "AccessDenied")
		case r.Method == http.MethodPost && q.Has("uploads"):
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case q.Has("partNumber"):
			parts.Add(1)
			w.Header().Set("ETag", `"part"`)
		default:
			_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"e-7"</ETag></CompleteMultipartUploadResult>`)
		}
	})
	in, err := s.Put(t.Context(), "big.conda", bytes.NewReader(large(1)), store.PutOptions{Cond: store.IfAbsent})
	if err != nil || asked.Load() != 1 || parts.Load() != 7 || !strings.Contains(in.Version, "e-7") {
		t.Errorf("%+v, %v after %d looks and %d parts", in, err, asked.Load(), parts.Load())
	}
}

// Of two workers that send the same bytes at once, one may complete the upload
// that both go on with: the other finds the object and sends nothing again.
func TestAnUploadThatAnotherCompleted(t *testing.T) {
	var begun, parts, looked atomic.Int32
	body := large(1)
	s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodGet && q.Has("uploads"):
			_, _ = io.WriteString(w, `<ListMultipartUploadsResult></ListMultipartUploadsResult>`)
		case r.Method == http.MethodPost && q.Has("uploads"):
			begun.Add(1)
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case q.Has("partNumber"):
			parts.Add(1)
			refuse(w, http.StatusNotFound, "NoSuchUpload")
		case r.Method == http.MethodGet:
			looked.Add(1)
			w.Header().Set("ETag", `"e-7"`)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
		}
	})
	in, err := s.Put(t.Context(), "big.conda", bytes.NewReader(body), store.PutOptions{Cond: store.IfAbsent})
	if err != nil || !in.Found || begun.Load() != 1 || parts.Load() > 7 || looked.Load() != 1 {
		t.Errorf("%+v, %v after %d uploads, %d parts and %d looks", in, err, begun.Load(), parts.Load(), looked.Load())
	}
}

func TestAbandonedUploadsAreAborted(t *testing.T) {
	upload := func(id string, age time.Duration) string {
		return "<Upload><Key>Conda/linux-64/" + id + "-1-0.conda</Key><UploadId>" + id + "</UploadId><Initiated>" +
			time.Now().Add(-age).UTC().Format(time.RFC3339) + "</Initiated></Upload>"
	}
	list := "<ListMultipartUploadsResult>" + upload("old", 25*time.Hour) + upload("gone", 72*time.Hour) + upload("new", time.Hour) + "</ListMultipartUploadsResult>"
	for _, dryRun := range []bool{true, false} {
		var aborted []string
		s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
			switch q := r.URL.Query(); {
			case r.Method == http.MethodGet && q.Has("uploads") && q.Get("prefix") == "Conda/":
				_, _ = io.WriteString(w, list)
			case r.Method == http.MethodDelete && q.Get("uploadId") == "gone": // by somebody else, since the listing
				refuse(w, http.StatusNotFound, "NoSuchUpload")
			case r.Method == http.MethodDelete:
				aborted = append(aborted, r.URL.Path+" "+q.Get("uploadId"))
				w.WriteHeader(http.StatusNoContent)
			default:
				t.Errorf("%s %s", r.Method, r.URL)
			}
		})
		keys, err := s.AbortAbandoned(t.Context(), dryRun)
		if want := []string{"linux-64/old-1-0.conda", "linux-64/gone-1-0.conda"}; err != nil || !slices.Equal(keys, want) {
			t.Errorf("dry run %t: %q, %v", dryRun, keys, err)
		}
		var want []string
		if !dryRun {
			want = []string{"/studio/Conda/linux-64/old-1-0.conda old"}
		}
		if !slices.Equal(aborted, want) {
			t.Errorf("dry run %t: aborted %q", dryRun, aborted)
		}
	}
	s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden, "AccessDenied") })
	if _, err := s.AbortAbandoned(t.Context(), false); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "allow s3:ListBucketMultipartUploads on arn:aws:s3:::studio for") {
		t.Error(err)
	}
}
