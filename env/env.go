// Package env makes environments: match specs and channels in, a prefix with
// the packages on disk out. It solves by env/solve and links by env/install;
// here lies what joins them: which records a channel offers, and their bytes.
// It never runs what it installed. Start with Create.
package env

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/store"
)

// Channel is a place to take packages from.
type Channel struct {
	URL     string // canonical, e.g. s3://studio-packages/Conda/Default
	Reader  store.Reader
	Offline bool // take what the cache has of its index; Reader is store.Offline

	// Elsewhere opens another place, a folder on a web server or in a bucket, that the
	// channel's index names for its packages or shards (CEP 15, CEP 16): with the
	// credentials and mirrors of that place, and none of the channel. Where it is nil, a
	// channel that keeps them elsewhere cannot be read.
	Elsewhere func(ctx context.Context, url string) (Channel, error)
}

// Request says which environment to make.
type Request struct {
	Prefix   string            // an absolute folder
	Specs    []string          // match specs, e.g. python >=3.11
	Channels []Channel         // first has priority: a name that it has is taken from nowhere else
	Subdir   string            // e.g. linux-64; noarch is always read as well
	Local    []install.Package // archives on disk that come before every channel
	Virtual  []conda.Record    // what the system offers, e.g. __linux
	Cache    string            // a folder for archives and unpacked packages; processes may share it

	Priority Priority          // "" is Strict
	Warn     func(text string) // what the caller should know; may be nil

	// What is there already: see solve.Problem. Installed and Locked are records
	// that Installed or Solve returned. What conda-meta/pinned of an environment at
	// Prefix has is pinned, too.
	Pinned            []string
	Installed, Locked []conda.Record

	// NotAfter leaves out what channels got after it, or where they do not say, what was
	// built after it; zero leaves out nothing. Records without a time stay, as with conda.
	NotAfter time.Time

	// Explicit are the packages themselves, as conda.ParseExplicit returns them: with
	// it nothing is solved and no index read, and Specs mean nothing. What they need is
	// known from the packages alone.
	Explicit []conda.Record

	// Vars are set on activation from then on, beside those that the packages bring.
	Vars map[string]string

	Update      bool           // whatever other packages an environment at Prefix has, it becomes this one
	Run         install.Runner // runs programs of the prefix, see install.Options; nil runs none
	LinkScripts bool           // Run also runs the packages' link scripts
}

// Solve chooses the records of r.Specs, dependencies first, and changes nothing.
// With no specs there are none, and no channel is read. An unsatisfiable request
// is a *solve.UnsolvableError.
func Solve(ctx context.Context, r Request) (records []conda.Record, err error) {
	release, err := useCache(ctx, r.Cache)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	return (&offers{request: r, ctx: ctx}).solve()
}

// Preview is Create without its changes: it returns the records that Create would
// install, and its error about a prefix that it would not touch. One that a killed run
// left unfinished is not looked at: what is in it shows when it is set right.
func Preview(ctx context.Context, r Request) ([]conda.Record, error) {
	records, err := Solve(ctx, r)
	if err != nil || len(records) == 0 || r.Prefix == "" || install.Unfinished(r.Prefix) {
		return records, err
	}
	if _, err := os.Lstat(r.Prefix); errors.Is(err, fs.ErrNotExist) {
		return records, nil
	}
	if err := makePrefix(r.Prefix); err != nil { // of one that is there, nothing is made
		return nil, err
	}
	if _, _, err := (&workplace{dir: r.Prefix}).difference(records, r.Update); err != nil {
		return nil, err
	}
	return records, nil
}

// Create solves r.Specs and installs the result as r.Prefix, all of it or nothing.
// It returns the records that are installed then, dependencies first. With no specs
// it makes nothing. A prefix that has exactly these records is left as it is; one that
// holds anything else is an error, or with r.Update an environment that is changed:
// of packages that stay only what they are asked for with is recorded anew. Of several processes that make one prefix the
// others wait.
func Create(ctx context.Context, r Request) (records []conda.Record, err error) {
	release, err := useCache(ctx, r.Cache)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	from := &offers{request: r, ctx: ctx}
	records, err = from.solve()
	if err != nil || len(records) == 0 {
		return nil, err
	}
	w, err := openWorkplace(ctx, r.Prefix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	come, leave, err := w.difference(records, r.Update)
	if err == nil && (len(come)+len(leave) > 0 || r.Update) {
		err = from.install(come, leave)
	}
	if err != nil {
		return records, err
	}
	return records, setVariables(r.Prefix, r.Vars)
}

// install changes the request's prefix by packages that come and names that leave.
func (o *offers) install(come []conda.Record, leave []string) error {
	packages, err := o.packages(come)
	if err != nil {
		return err
	}
	err = install.Install(o.ctx, packages, o.request.Prefix, install.Options{
		Cache: filepath.Join(o.request.Cache, "pkgs"), Remove: leave, Asked: o.kept(),
		Run: o.request.Run, LinkScripts: o.request.LinkScripts, Warn: o.request.Warn,
	})
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: make room there, or name another place for the prefix %s or the cache %s", err, o.request.Prefix, o.request.Cache)
	}
	return err
}

// kept is what is recorded of packages that stay: what the request asks for, when it
// makes the environment another one.
func (o *offers) kept() map[string]string {
	if o.request.Update && o.request.Explicit == nil {
		return o.asked
	}
	return nil
}
