package env

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// maxRepoData bounds an index in memory: conda-forge's largest has 254 MB.
const maxRepoData = 2 << 30

// RepoData reads the index of a channel's subdir: the compressed one, a tenth of
// the bytes, or where older tools left only that repodata.json. An index that is
// not there is an error that matches fs.ErrNotExist.
func RepoData(ctx context.Context, r store.Reader, subdir string) (*conda.RepoData, error) {
	text, err := readAll(ctx, r, subdir+"/repodata.json.zst")
	if err == nil {
		text, err = archive.Unzstd(text, maxRepoData)
	} else if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNoChannel) {
		text, err = readAll(ctx, r, subdir+"/repodata.json")
	}
	if err != nil {
		return nil, err
	}
	return conda.ParseRepoData(text)
}

// readAll reads an object that fits into memory.
func readAll(ctx context.Context, r store.Reader, key string) (text []byte, err error) {
	err = store.Whole(ctx, func() error {
		body, _, err := r.Get(ctx, key, 0, -1)
		if err != nil {
			return err
		}
		text, err = io.ReadAll(body)
		return errors.Join(err, body.Close())
	})
	return text, err
}
