package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
)

// answering is a channel on a server of one handler.
func answering(t *testing.T, o s3.Options, h http.HandlerFunc) *s3.Store {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return at(t, server.URL, o)
}

// at is a channel on the server at this address.
func at(t *testing.T, address string, o s3.Options) *s3.Store {
	t.Helper()
	o.Bucket, o.Prefix = "studio", "Conda"
	o.Env = map[string]string{
		"AWS_ENDPOINT_URL": address, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	}
	for k, v := range o.Env {
		t.Setenv(k, v)
	}
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>m</Message></Error>`)
}

// each is every kind of request to a store, and the action that it needs.
var each = map[string]func(context.Context, *s3.Store) error{
	"s3:GetObject on arn:aws:s3:::studio/Conda/k": func(ctx context.Context, s *s3.Store) error {
		_, _, err := s.Get(ctx, "k", 0, -1)
		return err
	},
	"s3:ListBucket on arn:aws:s3:::studio, without": func(ctx context.Context, s *s3.Store) error {
		_, _, err := s.Get(ctx, "k", 0, 0)
		return err
	},
	"s3:ListBucket on arn:aws:s3:::studio for": func(ctx context.Context, s *s3.Store) error {
		for _, err := range s.List(ctx, "", store.ListOptions{}) {
			return err
		}
		return nil
	},
	"s3:PutObject on arn:aws:s3:::studio/Conda/k": func(ctx context.Context, s *s3.Store) error {
		_, err := s.Put(ctx, "k", strings.NewReader("x"), store.PutOptions{})
		return err
	},
	"s3:DeleteObject on arn:aws:s3:::studio/Conda/k": func(ctx context.Context, s *s3.Store) error {
		return s.Delete(ctx, "k")
	},
}

func TestARefusalNamesWhatIsMissing(t *testing.T) {
	for want, do := range each {
		s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden, "AccessDenied") })
		if err := do(t.Context(), s); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// What S3 says of a refusal is said on: it knows which policy it was.
func TestARefusalSaysWhatS3Says(t *testing.T) {
	const who = "User: arn:aws:sts::123456789012:assumed-role/queue/x is not authorized to perform: "
	for said, want := range map[string]string{
		who + "kms:Decrypt on resource: arn:aws:kms:eu-north-1:123456789012:key/k because no identity-based policy allows the kms:Decrypt action": "allow kms:Decrypt on the key",
		who + "kms:GenerateDataKey on this resource":                                 "allow kms:GenerateDataKey on the key",
		who + "s3:X on resource: r with an explicit deny in a resource-based policy": "take out the explicit deny",
		who + "s3:X on resource: r because no policy allows it":                      "allow s3:",
	} {
		for name, do := range each {
			s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>"+said+"</Message></Error>")
			})
			err := do(t.Context(), s)
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), said) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "allow s3:") != (want == "allow s3:") {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
}

// No policy helps where the key itself is wrong.
func TestAWrongKeyIsNoMissingPermission(t *testing.T) {
	for name, do := range each {
		for _, code := range []string{"InvalidAccessKeyId", "SignatureDoesNotMatch"} {
			status := map[string]int{"InvalidAccessKeyId": http.StatusNotFound, "SignatureDoesNotMatch": http.StatusForbidden}[code] // as versitygw has them
			s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code) })
			err := do(t.Context(), s)
			if !errors.Is(err, fs.ErrPermission) || !errors.Is(err, store.ErrCredentials) || !strings.Contains(err.Error(), "correct the credentials") || strings.Contains(err.Error(), "allow s3:") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestABucketThatIsMissingIsNoMissingObject(t *testing.T) {
	for name, do := range each {
		for code, status := range map[string]int{"NoSuchBucket": http.StatusNotFound, "InvalidBucketName": http.StatusBadRequest} {
			if strings.HasSuffix(name, "without") && status == http.StatusBadRequest {
				continue
			}
			s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code) })
			if err := do(t.Context(), s); !errors.Is(err, store.ErrNoChannel) || !strings.Contains(err.Error(), "there is no bucket studio") {
				t.Errorf("%s, %s: %v", name, code, err)
			}
		}
	}
}

// A HEAD of a bucket that can be none is answered without a reason.
func TestABucketThatCanBeNone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer server.Close()
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
	for k, v := range env {
		t.Setenv(k, v)
	}
	for bucket, wrong := range map[string]bool{"Studio": true, "b_": true, "-bad-": true, "ab": true, "studio.packages-1": false} {
		s, err := s3.Open(t.Context(), s3.Options{Bucket: bucket, Prefix: "Conda", Env: env})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Get(t.Context(), "k", 0, 0)
		if errors.Is(err, store.ErrNoChannel) != wrong || wrong && !strings.Contains(err.Error(), "bucket "+bucket+": correct the URL: a bucket's name has") {
			t.Errorf("%s: %v", bucket, err)
		}
	}
}

// A bucket in another region is found by what the answers say.
func TestAnotherRegion(t *testing.T) {
	for name, do := range each {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusBadRequest} {
			var there, elsewhere atomic.Int32
			s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
				if !strings.Contains(r.Header.Get("Authorization"), "/eu-north-1/s3/") {
					elsewhere.Add(1)
					refuse(w, status, map[int]string{http.StatusMovedPermanently: "PermanentRedirect", http.StatusBadRequest: "AuthorizationHeaderMalformed"}[status])
					return
				}
				there.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("ETag", `"e"`)
				if r.Method == http.MethodGet && r.URL.Query().Has("list-type") {
					_, _ = io.WriteString(w, `<ListBucketResult></ListBucketResult>`)
				}
			})
			for range 2 {
				if err := do(t.Context(), s); err != nil {
					t.Errorf("%s, %d: %v", name, status, err)
				}
			}
			if there.Load() != 2 || elsewhere.Load() != 1 {
				t.Errorf("%s, %d: %d requests to the right region and %d to the wrong one", name, status, there.Load(), elsewhere.Load())
			}
		}
	}
}

// Several requests at once may all hear of the region; with an owner expected,
// too, each follows.
func TestAnotherRegionForManyAtOnce(t *testing.T) {
	var wrong sync.WaitGroup
	wrong.Add(4)
	s := answering(t, s3.Options{Owner: "123456789012"}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-north-1/s3/") {
			wrong.Done()
			wrong.Wait() // all are on their way before the first hears of it
			refuse(w, http.StatusMovedPermanently, "PermanentRedirect")
			return
		}
		if got := r.Header.Values("X-Amz-Expected-Bucket-Owner"); len(got) != 1 {
			t.Errorf("the owner is expected %d times", len(got))
		}
		w.Header().Set("ETag", `"e"`)
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, _, err := s.Get(t.Context(), "k", 0, 0); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A server that sends everybody elsewhere, to where they are, is not followed
// for ever.
func TestARegionThatIsNone(t *testing.T) {
	var n atomic.Int32
	s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.Header().Set("X-Amz-Bucket-Region", "us-east-1")
		refuse(w, http.StatusMovedPermanently, "PermanentRedirect")
	})
	ctx := store.WithChance(t.Context(), func(int64) int64 { return 0 }) // no pauses
	if err := s.Delete(ctx, "k"); err == nil || n.Load() > 10 {
		t.Errorf("%v after %d requests", err, n.Load())
	}
}

// An endpoint of one region, whatever region a request is signed for, does not serve
// a bucket of another.
func TestAnEndpointOfAnotherRegion(t *testing.T) {
	for name, do := range each {
		for code, status := range map[string]int{"PermanentRedirect": http.StatusMovedPermanently, "AuthorizationHeaderMalformed": http.StatusBadRequest} {
			var n atomic.Int32
			s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) {
				n.Add(1)
				w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
				refuse(w, status, code)
			})
			err := do(t.Context(), s)
			if err == nil || n.Load() > 3 || errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "landed") {
				t.Errorf("%s, %s: %v after %d requests", name, code, err, n.Load())
			}
			for _, want := range []string{"the bucket is in region eu-north-1, and the endpoint http://127.0.0.1:", "set AWS_ENDPOINT_URL, or the profile's endpoint_url, to that of eu-north-1"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s, %s: %v, want %s", name, code, err, want)
				}
			}
		}
	}
}

func TestARegionThatNobodyNames(t *testing.T) {
	s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusMovedPermanently, "PermanentRedirect")
	})
	for name, do := range each {
		if err := do(t.Context(), s); err == nil || !strings.Contains(err.Error(), "set AWS_REGION") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys that are handed in come before those of the environment.
func TestKeysThatAreHandedIn(t *testing.T) {
	for _, do := range each {
		s := answering(t, s3.Options{AccessKey: "OWN", Secret: "x", Token: "session"}, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Authorization"), "Credential=OWN/") || r.Header.Get("X-Amz-Security-Token") != "session" {
				t.Errorf("%s %s is signed by %s", r.Method, r.URL, r.Header.Get("Authorization"))
			}
			refuse(w, http.StatusForbidden, "AccessDenied")
		})
		if err := do(t.Context(), s); err == nil {
			t.Error("it was answered")
		}
	}
}

func TestTheExpectedOwner(t *testing.T) {
	for _, do := range each {
		s := answering(t, s3.Options{Owner: "123456789012"}, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Expected-Bucket-Owner") != "123456789012" || !strings.Contains(r.Header.Get("Authorization"), "x-amz-expected-bucket-owner") {
				t.Errorf("%s %s does not say, signed, which owner is expected", r.Method, r.URL)
			}
			refuse(w, http.StatusForbidden, "AccessDenied")
		})
		if err := do(t.Context(), s); err == nil || !strings.Contains(err.Error(), "does not belong to account 123456789012") {
			t.Error(err)
		}
	}
	if _, err := s3.Open(t.Context(), s3.Options{Bucket: "b", Owner: "studio"}); err == nil || !strings.Contains(err.Error(), "12 digits") {
		t.Errorf("%v", err)
	}
}

// A clock that is ten minutes off is allowed for: the requests are signed with
// the server's time.
func TestAClockThatIsOff(t *testing.T) {
	for _, off := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		for name, do := range each {
			s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
				now := time.Now().Add(off)
				w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
				signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				if err != nil || signed.Sub(now).Abs() > 5*time.Minute {
					refuse(w, http.StatusForbidden, "RequestTimeTooSkewed")
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("ETag", `"e"`)
				if r.URL.Query().Has("list-type") {
					_, _ = io.WriteString(w, `<ListBucketResult></ListBucketResult>`)
				}
			})
			if err := do(t.Context(), s); err != nil {
				t.Errorf("%s off, %s: %v", off, name, err)
			}
		}
	}
}

// What was damaged on the way is sent again: every body has a checksum.
func TestADamagedBodyIsSentAgain(t *testing.T) {
	var n atomic.Int32
	s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Amz-Checksum-Crc32") == "" && !strings.Contains(string(body), "x-amz-checksum-crc32:") {
			t.Error("a body without a checksum")
		}
		if n.Add(1) == 1 {
			refuse(w, http.StatusBadRequest, "BadDigest")
			return
		}
		w.Header().Set("ETag", `"e"`)
	})
	if _, err := s.Put(t.Context(), "k", strings.NewReader("x"), store.PutOptions{}); err != nil || n.Load() != 2 {
		t.Errorf("%v after %d attempts", err, n.Load())
	}
}

// Credentials that stay expired, whatever is asked for, end in a sentence that
// says so, and no word of a write that may have landed.
func TestCredentialsThatStayExpired(t *testing.T) {
	for name, do := range each {
		s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "ExpiredToken") })
		err := do(store.WithChance(t.Context(), func(int64) int64 { return 0 }), s) // no pauses
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "the credentials are no longer good (ExpiredToken)") || strings.Contains(err.Error(), "landed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A refusal that was cut on the way, so that it does not say why, is no refusal of
// the key: the next answer tells. One that never tells is none either.
func TestARefusalThatIsCut(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden} {
		for name, do := range each {
			for _, cut := range []int32{1, 1000} {
				var n atomic.Int32
				s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					if r.Method != http.MethodHead && n.Add(1) <= cut {
						w.Header().Set("Content-Length", "100")
						w.WriteHeader(status)
						_, _ = io.WriteString(w, "<Error><Code>Expired")
						return
					}
					w.Header().Set("ETag", `"e"`)
					if r.URL.Query().Has("list-type") {
						_, _ = io.WriteString(w, `<ListBucketResult></ListBucketResult>`)
					}
				})
				err := do(store.WithChance(t.Context(), func(int64) int64 { return 0 }), s) // no pauses
				if cut == 1 && err != nil || errors.Is(err, fs.ErrPermission) || cut > 1 && n.Load() > 1 && err == nil {
					t.Errorf("%d, %s, cut %d times: %v", status, name, cut, err)
				}
			}
		}
	}
}

// A refusal without a body, as gateways send them, is one of what was asked for,
// whatever else is there or is not: never an object that is missing.
func TestARefusalWithoutABody(t *testing.T) {
	for want, do := range each {
		for _, times := range []int32{1, 1000} {
			var n atomic.Int32
			head := strings.HasSuffix(want, "without")
			s := answering(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				asked := head || r.Method != http.MethodGet || r.URL.Query().Has("list-type") || want[:6] == "s3:Get"
				switch {
				case !asked:
					refuse(w, http.StatusNotFound, "NoSuchKey")
				case n.Add(1) <= times:
					w.WriteHeader(http.StatusForbidden)
				default:
					w.Header().Set("ETag", `"e"`)
					if r.URL.Query().Has("list-type") {
						_, _ = io.WriteString(w, `<ListBucketResult></ListBucketResult>`)
					}
				}
			})
			err := do(store.WithChance(t.Context(), func(int64) int64 { return 0 }), s) // no pauses
			if times == 1 && !head {
				if err != nil {
					t.Errorf("%s: one that may have been of the way: %v", want, err)
				}
				continue
			}
			if !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "landed") {
				t.Errorf("%s: %v after %d requests", want, err, n.Load())
			}
			if n.Load() > 8 {
				t.Errorf("%s: %d requests", want, n.Load())
			}
		}
	}
}

// The server of a profile (endpoint_url) is another make's like that of the
// environment: it is asked whether it honours conditions.
func TestAnEndpointOfAProfileIsProbed(t *testing.T) {
	for _, lines := range []string{"endpoint_url = %s\n", "services = mine\n[services mine]\ns3 =\n  endpoint_url = %s\n"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/studio/") {
				t.Errorf("asked for %s", r.URL)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"e"`) // whatever the condition
		}))
		t.Cleanup(server.Close)
		file := filepath.Join(t.TempDir(), "config")
		profile := "[profile studio]\nregion = us-east-1\naws_access_key_id = a\naws_secret_access_key = b\n" + fmt.Sprintf(lines, server.URL)
		if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{
			"AWS_CONFIG_FILE": file, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "studio",
			"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_REGION": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		} {
			t.Setenv(k, v)
		}
		s, err := s3.Open(t.Context(), s3.Options{Bucket: "studio"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Probe(t.Context(), ""); !errors.Is(err, s3.ErrUnconditional) {
			t.Errorf("%s: %v", profile, err)
		}
	}
}

func TestNoCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("[profile broken]\ncredential_process = false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	const set = "; set AWS_PROFILE, or give the queue a role"
	for _, tt := range []struct{ profile, machine, want string }{
		{"", "", ": there are none" + set},
		{"none-such", "", ": no AWS configuration has the profile none-such: correct AWS_PROFILE"},
		{"broken", "", "error in credential_process: exit status 1" + set},
		{"", "false", "deadline exceeded" + set}, // the machine's own were asked for
	} {
		t.Setenv("AWS_PROFILE", tt.profile)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := s3.Open(ctx, s3.Options{Bucket: "studio", Env: map[string]string{"AWS_EC2_METADATA_DISABLED": tt.machine}})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "find AWS credentials for s3://studio: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("profile %q: %v, want %s", tt.profile, err, tt.want)
		}
	}
}

func TestAnObjectsAgeIsByTheServersClock(t *testing.T) {
	now := time.Now().Add(-3 * time.Hour)
	s := answering(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		w.Header().Set("Last-Modified", now.Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"e"`)
	})
	body, in, err := s.Get(t.Context(), "k", 0, -1)
	if err != nil || in.Age != time.Hour {
		t.Fatalf("%s, %v", in.Age, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}
