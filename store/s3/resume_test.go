package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// singlePut is what is sent with one request at most.
const singlePut = 64 << 20

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

// uploads answers as a bucket does that an upload in parts is sent to, save for what
// spoil answers.
type uploads struct {
	begun, aborted, completed int
	parts                     map[string]int // how often each was sent
	object                    []byte         // that is there; nil: none
	spoil                     func(w http.ResponseWriter, r *http.Request, what string) bool
	mu                        sync.Mutex
}

func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	_, _ = io.Copy(io.Discard, r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	what := r.Method
	switch {
	case r.Method == http.MethodGet && q.Has("uploads"):
		what = "uploads"
	case r.Method == http.MethodPost && q.Has("uploads"):
		what, u.begun = "begin", u.begun+1
	case q.Has("partNumber"):
		what, u.parts[q.Get("partNumber")] = "part", u.parts[q.Get("partNumber")]+1
	case r.Method == http.MethodPost:
		what, u.completed = "complete", u.completed+1
	case r.Method == http.MethodDelete:
		what, u.aborted = "abort", u.aborted+1
	}
	if u.spoil != nil && u.spoil(w, r, what) {
		return
	}
	w.Header().Set("ETag", `"e"`)
	switch what {
	case "uploads":
		_, _ = io.WriteString(w, `<ListMultipartUploadsResult></ListMultipartUploadsResult>`)
	case "begin":
		_, _ = fmt.Fprintf(w, `<InitiateMultipartUploadResult><UploadId>u%d</UploadId></InitiateMultipartUploadResult>`, u.begun)
	case "complete":
		_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"e-7"</ETag></CompleteMultipartUploadResult>`)
	case "abort":
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		if u.object == nil {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(u.object)))
		_, _ = w.Write(u.object)
	}
}

// Whatever answer a request of an upload meets, what has arrived is not sent again
// but where S3 asks for that, and nothing is left behind.
func TestAnUploadGoesOn(t *testing.T) {
	body := large(1)[:singlePut+1]
	outage := func(w http.ResponseWriter) { refuse(w, http.StatusServiceUnavailable, "SlowDown") }
	for name, tt := range map[string]struct {
		what   string                    // the request that is spoilt
		part   string                    // of parts, which; "": all
		times  int                       // how often it is spoilt
		lands  bool                      // the first time; there is no upload any more then
		answer func(http.ResponseWriter) // in its place
		want   [4]int                    // uploads, tries of part 3, aborts, completions
		err    string                    // "": none
	}{
		"a part that is refused for a while":     {"part", "3", 3, false, outage, [4]int{1, 4, 0, 1}, ""},
		"a part that is refused for good":        {"part", "3", 1000, false, outage, [4]int{1, 8, 1, 0}, "gave up after 8 attempts: "},
		"a part that may not be sent":            {"part", "3", 1000, false, func(w http.ResponseWriter) { refuse(w, http.StatusForbidden, "AccessDenied") }, [4]int{1, 1, 1, 0}, "allow s3:PutObject"},
		"no upload for a while":                  {"begin", "", 3, false, outage, [4]int{4, 1, 0, 1}, ""},
		"no upload at all":                       {"begin", "", 1000, false, outage, [4]int{8, 0, 0, 0}, "gave up after 8 attempts: "},
		"a completion that is lost":              {"complete", "", 2, false, outage, [4]int{1, 1, 0, 3}, ""},
		"a completion whose answer is lost":      {"complete", "", 1, true, outage, [4]int{1, 1, 0, 2}, ""},
		"a completion that is never answered":    {"complete", "", 1000, false, outage, [4]int{1, 1, 1, 8}, "whether it landed is not known"},
		"a completion in another write's way":    {"complete", "", 1, false, func(w http.ResponseWriter) { refuse(w, http.StatusConflict, "ConditionalRequestConflict") }, [4]int{2, 2, 1, 2}, ""},
		"a completion that another's was before": {"complete", "", 1, false, func(w http.ResponseWriter) { refuse(w, http.StatusPreconditionFailed, "PreconditionFailed") }, [4]int{1, 1, 1, 1}, "another writer was first"},
	} {
		u := &uploads{parts: map[string]int{}}
		spoilt := 0
		u.spoil = func(w http.ResponseWriter, r *http.Request, what string) bool {
			if what == "complete" && u.object != nil {
				refuse(w, http.StatusNotFound, "NoSuchUpload")
				return true
			}
			if what != tt.what || tt.part != "" && r.URL.Query().Get("partNumber") != tt.part || spoilt == tt.times {
				return false
			}
			spoilt++
			if tt.lands {
				u.object = body
			}
			tt.answer(w)
			return true
		}
		s := answering(t, s3.Options{}, u.ServeHTTP)
		ctx := store.WithChance(t.Context(), func(int64) int64 { return 0 }) // no pauses
		_, err := s.Put(ctx, "big.conda", bytes.NewReader(body), store.PutOptions{Cond: store.IfAbsent})
		if (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "landed") != strings.Contains(tt.err, "landed")) {
			t.Errorf("%s: %v, want %q", name, err, tt.err)
		}
		u.mu.Lock() // a part that was cancelled may still be arriving
		got := [4]int{u.begun, u.parts["3"], u.aborted, u.completed}
		u.mu.Unlock()
		if got != tt.want {
			t.Errorf("%s: %d uploads, %d times part 3, %d aborted, %d completions; want %d", name, got[0], got[1], got[2], got[3], tt.want)
		}
	}
}

// losesCompletions loses the answer to the first completion of an upload, and counts parts.
type losesCompletions struct{ parts, completions atomic.Int32 }

func (l *losesCompletions) Do(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	if q.Has("partNumber") {
		l.parts.Add(1)
	}
	answer, err := http.DefaultClient.Do(r)
	if err == nil && r.Method == http.MethodPost && q.Has("uploadId") && l.completions.Add(1) == 1 {
		return nil, errors.Join(io.ErrUnexpectedEOF, answer.Body.Close())
	}
	return answer, err
}

// What servers say of an upload that they have completed already is understood.
func TestACompletionWhoseAnswerIsLost(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		server.Bucket(t, "resume")
		t.Setenv("AWS_CA_BUNDLE", "") // it is for the SDK's own client
		client := &losesCompletions{}
		s, err := s3.Open(t.Context(), s3.Options{Bucket: "resume", Env: server.Env(), HTTP: client})
		if err != nil {
			t.Fatal(err)
		}
		in, err := s.Put(t.Context(), "big.conda", bytes.NewReader(large(1)), store.PutOptions{Cond: store.IfAbsent})
		if err != nil || client.parts.Load() != 7 {
			t.Errorf("%+v, %v; %d parts of seven were sent", in, err, client.parts.Load())
		}
	})
}

func TestAnUploadThatIsInterruptedIsAborted(t *testing.T) {
	u := &uploads{parts: map[string]int{}}
	ctx, interrupt := context.WithCancel(t.Context())
	u.spoil = func(_ http.ResponseWriter, r *http.Request, what string) bool {
		if what == "part" && r.URL.Query().Get("partNumber") == "5" {
			interrupt()
		}
		return false
	}
	_, err := answering(t, s3.Options{}, u.ServeHTTP).Put(ctx, "big.conda", bytes.NewReader(large(1)), store.PutOptions{Cond: store.IfAbsent})
	u.mu.Lock()
	defer u.mu.Unlock()
	if !errors.Is(err, context.Canceled) || u.aborted != 1 || u.completed != 0 {
		t.Errorf("%v, %d aborted, %d completed", err, u.aborted, u.completed)
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
