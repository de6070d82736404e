package main

import (
	"os"
	"testing"
)

// asProgram, when set, makes the test binary the program itself.
const asProgram = "CONDAWORKER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}
