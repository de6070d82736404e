package agent_test

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/condaworker/condaworker/agent"
	"github.com/condaworker/condaworker/builder"
)

// The scripts run this test binary under the program's name.
func TestMain(m *testing.M) {
	if code, inside := agent.Inside(os.Args); inside {
		os.Exit(code)
	}
	testscript.Main(m, map[string]func(){"condaworker": func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		os.Exit(agent.Main(ctx, agent.Host{
			Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Environ(), Cancel: cancel,
		}))
	}})
}

// Each script is the manual of a verb: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	platform, err := builder.HostPlatform()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PLATFORM", platform)
			return nil
		},
	})
}
