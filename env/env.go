// Package env makes environments: match specs and channels in, a prefix with
// the packages on disk out. It solves by env/solve and links by env/install;
// here lies what joins them: which records a channel offers, and their bytes.
// It never runs what it installed. Start with Create.
package env

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/env/solve"
	"github.com/condaworker/condaworker/store"
)

// Channel is a place to take packages from.
type Channel struct {
	URL    string // canonical, e.g. s3://studio-packages/Conda/Default
	Reader store.Reader
}

// Request says which environment to make.
type Request struct {
	Prefix   string            // an absolute folder that is empty or not there yet
	Specs    []string          // match specs, e.g. python >=3.11
	Channels []Channel         // first has priority: a name that it has is taken from nowhere else
	Subdir   string            // e.g. linux-64; noarch is always read as well
	Local    []install.Package // archives on disk that come before every channel
	Virtual  []conda.Record    // what the system offers, e.g. __linux
	Cache    string            // a folder for archives and unpacked packages
}

// Create solves r.Specs and installs the result into r.Prefix. It returns the
// installed records, dependencies first. With no specs it makes nothing and
// reads no channel. An unsatisfiable request is a *solve.UnsolvableError.
func Create(ctx context.Context, r Request) ([]conda.Record, error) {
	if len(r.Specs) == 0 {
		return nil, nil
	}
	specs, err := parseSpecs(r.Specs)
	if err != nil {
		return nil, err
	}
	from := &offers{request: r, ctx: ctx}
	records, err := solve.Solve(solve.Problem{Specs: specs, Candidates: from.candidates, Virtual: r.Virtual})
	if from.err != nil {
		return nil, from.err
	}
	if err != nil {
		return nil, err
	}
	packages, err := from.fetch(ctx, records)
	if err != nil {
		return nil, err
	}
	return records, install.Install(ctx, packages, r.Prefix, install.Options{Cache: filepath.Join(r.Cache, "pkgs")})
}

// parseSpecs names the spec that cannot be read.
func parseSpecs(texts []string) ([]conda.MatchSpec, error) {
	specs := make([]conda.MatchSpec, len(texts))
	for i, text := range texts {
		spec, err := conda.ParseMatchSpec(text)
		if err != nil {
			return nil, fmt.Errorf("read match spec %q: %w", text, err)
		}
		specs[i] = spec
	}
	return specs, nil
}
