package builder

import (
	"context"
	"errors"
	"os"

	"github.com/condaworker/condaworker/builder/sandbox"
	"github.com/condaworker/condaworker/env/install"
)

// Programs returns what runs the programs of a prefix for env: behind walls, where
// they see nothing but the prefix and a home of their own for as long as they run.
// What they print goes to o.
func Programs(o Observer, walls sandbox.Walls) install.Runner {
	return func(ctx context.Context, c install.Command) (err error) {
		home, err := os.MkdirTemp("", "condaworker-run-")
		if err != nil {
			return err
		}
		lines := o.Lines()
		defer func() { err = errors.Join(err, lines.Close(), os.RemoveAll(home)) }()
		return sandbox.Run(ctx, sandbox.Command{
			Args: c.Args, Dir: c.Dir, Output: lines, Walls: walls,
			View: sandbox.View{Write: []string{c.Dir, home}, Tmp: home},
			Env:  append([]string{"HOME=" + home, "TMPDIR=" + home, "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}, c.Env...),
		})
	}
}
