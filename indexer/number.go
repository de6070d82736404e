package indexer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// NextBuildNumber is one more than the highest build number of name and version
// among the packages that are stored in subdirs, or 0 when there is none. It
// reads what is stored, not an index that may be old. An answer that cannot be
// had is an error, never "none".
func NextBuildNumber(ctx context.Context, s store.Store, name, version string, subdirs []string) (int, error) {
	next := 0
	for _, subdir := range subdirs {
		for in, err := range s.List(ctx, subdir+"/"+name+"-"+version+"-", store.ListOptions{Shallow: true}) {
			if errors.Is(err, store.ErrNoChannel) {
				break // a folder that publishing will make
			}
			if err != nil {
				return 0, fmt.Errorf("list %s: %w", subdir, err)
			}
			n, found, err := buildNumber(ctx, s, in.Key, strings.TrimPrefix(in.Key, subdir+"/"), name, version)
			if err != nil {
				return 0, err
			}
			if found {
				next = max(next, n+1)
			}
		}
	}
	return next, nil
}

// buildNumber reads the number of one package, never its payload.
func buildNumber(ctx context.Context, s store.Store, key, file, name, version string) (int, bool, error) {
	f, err := conda.ParseFileName(file)
	if err != nil || f.Name != name || f.Version != version {
		return 0, false, nil //nolint:nilerr // another object
	}
	d, err := describe(ctx, s, key)
	if err != nil {
		return 0, false, fmt.Errorf("read the build number of %s: %w", key, err)
	}
	index := d.record
	if index == nil {
		index = d.index
	}
	var r conda.Record
	if err := json.Unmarshal(index, &r); err != nil {
		return 0, false, fmt.Errorf("read the record of %s: %w", key, err)
	}
	return r.BuildNumber, true, nil
}
