package s3test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
)

// LosesAnswers sends requests and loses the answer to each eighth PUT or so,
// which the server has applied.
type LosesAnswers struct{}

// Do sends one request.
func (LosesAnswers) Do(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultClient.Do(r)
	if err == nil && r.Method == http.MethodPut && rand.IntN(8) == 0 { //nolint:gosec // no secret
		return nil, errors.Join(io.ErrUnexpectedEOF, answer.Body.Close())
	}
	return answer, err
}

// Histories is how many histories of concurrent workers a test checks on each
// server: 60, or what CONDAWORKER_TEST_HISTORIES says.
func Histories(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CONDAWORKER_TEST_HISTORIES")
	if text == "" {
		return 60
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
