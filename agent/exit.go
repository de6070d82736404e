package agent

import (
	"errors"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/env/solve"
	"github.com/condaworker/condaworker/lock"
	"github.com/condaworker/condaworker/store"
)

// The exit codes, as README.md lists them.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitRecipe     = 3
	exitNoSolution = 4
	exitScript     = 5
	exitTests      = 6
	exitLock       = 7
	exitConflict   = 8
)

// exitCode is the one place where an error becomes a number.
func exitCode(err error) int {
	var (
		signal     Cancelled
		usage      usageError
		problems   tree.Problems
		missing    *builder.MissingRecipeError
		script     *builder.ScriptError
		test       *builder.TestError
		unsolvable *solve.UnsolvableError
	)
	switch {
	case errors.As(err, &signal):
		return signalCode(signal.Signal)
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &problems), errors.As(err, &missing):
		return exitRecipe
	case errors.As(err, &test):
		return exitTests
	case errors.As(err, &unsolvable):
		return exitNoSolution
	case errors.As(err, &script):
		return exitScript
	case errors.Is(err, lock.ErrTimeout), errors.Is(err, lock.ErrLost):
		return exitLock
	case errors.Is(err, store.ErrConflict):
		return exitConflict
	}
	return exitFailed
}
