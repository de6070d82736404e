package agent

import (
	"context"
	"fmt"
	"os"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
)

// readExplicit fills in the packages of a list of URLs, and opens their channels, the
// flags' mirrors applied.
func (d *desk) readExplicit(ctx context.Context, file string, o sourceOptions, r *env.Request) error {
	if err := checkFiles("--explicit", file); err != nil {
		return err
	}
	mirrors, err := o.mirrorURLs()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file) //nolint:gosec // the user's
	if err != nil {
		return usageError{fmt.Errorf("--explicit: %w", err)}
	}
	records, err := conda.ParseExplicit(string(text))
	if err != nil {
		return usageError{fmt.Errorf("--explicit %s: %w", file, err)}
	}
	if len(records) == 0 {
		return usageError{fmt.Errorf("--explicit %s: it names no package: write their URLs, one a line", file)}
	}
	opened := map[string]env.Channel{}
	for i, p := range records {
		if p.Subdir != r.Subdir && p.Subdir != "noarch" {
			return usageError{fmt.Errorf("--explicit %s: %s is for %s, not for %s", file, p.FileName, p.Subdir, r.Subdir)}
		}
		c, found := opened[p.Channel]
		if !found {
			if c, err = d.source(ctx, p.Channel, mirrors, o.offline); err != nil {
				return err
			}
			opened[p.Channel] = c
			r.Channels = append(r.Channels, c)
		}
		records[i].Channel = c.URL
	}
	r.Explicit = records
	return nil
}
