package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/solve"
)

// downstream runs the tests that another package has in it, with b's package
// installed beside it, and says how many ran. spec is a match spec of the other one:
// of all that fit together with b's package the newest is tested. Where none does,
// that is worth a warning and no failure, as with rattler-build and conda-build: a
// new major version often comes before what is built on it.
func (b *build) downstream(ctx context.Context, spec string) (ran int, err error) {
	ran, err = b.testWith(ctx, spec)
	if unsolvable, ok := errors.AsType[*solve.UnsolvableError](err); ok {
		b.Warn(fmt.Sprintf("the tests of %s are not run: it cannot be installed together with %s: %v", spec, b.dist(), unsolvable))
		return ran, nil
	}
	return ran, err
}

func (b *build) testWith(ctx context.Context, spec string) (ran int, err error) {
	request := b.testRequest(spec)
	records, err := env.Solve(ctx, request)
	if err != nil {
		return 0, fmt.Errorf("find %s, whose tests are asked for: %w", spec, err)
	}
	at := slices.IndexFunc(records, func(r conda.Record) bool { return r.Name == nameOf(spec) })
	if at < 0 || records[at].Name == b.out.Name {
		return 0, fmt.Errorf("the tests of %q are asked for: name one other package", spec)
	}
	r := records[at]
	file, err := env.Fetch(ctx, request, r)
	if err != nil {
		return 0, err
	}
	t, err := readTested(file, b.dirs.testWork)
	if err != nil {
		return 0, fmt.Errorf("read the tests of package %s: %w", file, err)
	}
	t.made.Record = r // with the channel's patches
	others := slices.DeleteFunc(append(slices.Clone(b.earlier), b.made), func(p Package) bool { return p.Record.Name == r.Name })
	other := &build{Request: b.Request, Observer: b.Observer, out: t.out, dirs: b.dirs, earlier: others, made: t.made, beside: b.exact()}
	if ran, err = other.runTests(ctx, t); err != nil {
		return ran, fmt.Errorf("with the package installed, the tests of %s from %s: %w", other.dist(), r.Channel, err)
	}
	b.Info(fmt.Sprintf("with the package installed, %d tests of %s from %s passed", ran, other.dist(), r.Channel))
	return ran, nil
}
