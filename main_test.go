package main

import (
	"os"
	"strings"
	"testing"
)

// TestMain makes the test binary the program itself where go test did not start
// it: a session of the tests did, or the program, which may run itself. Such a
// process must never run the tests again.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "-test.") {
		main()
	}
	os.Exit(m.Run())
}
