package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
)

// original is a package in another channel, or beside none.
type original struct {
	url     string // of the file, e.g. s3://studio/Conda/linux-64/x-1.0-0.conda
	channel env.Channel
	subdir  string // "" when the folder of the file cannot be one
	file    string
	sha256  string // "" when nobody says
}

func (o original) key() string { return path.Join(o.subdir, o.file) }

// isURL tells a package in a channel from one on disk. A folder's URL may have a
// single slash, as that of a channel.
func isURL(text string) bool {
	scheme, _, found := strings.Cut(text, ":")
	return strings.Contains(text, "://") || found && strings.EqualFold(scheme, string(store.Folder))
}

// findOriginal asks what is known of the package at a URL: its hash travels
// with it, or is in the index of its channel.
func (d *desk) findOriginal(ctx context.Context, at string) (original, error) {
	folder, file := path.Split(at)
	o := original{url: at, file: file}
	if unescaped, err := url.PathUnescape(file); err == nil && !strings.HasPrefix(strings.ToLower(at), "s3:") { // keys are written as they are
		o.file = unescaped
	}
	if _, err := conda.ParseFileName(o.file); err != nil {
		return o, usageError{fmt.Errorf("%s: %w; the URL of a package is that of its file", at, err)}
	}
	folder = strings.TrimRight(folder, "/")
	if subdir := path.Base(folder); conda.CanBeSubdir(subdir) && !strings.HasSuffix(folder, "://"+subdir) {
		o.subdir, folder = subdir, strings.TrimSuffix(folder, subdir)
	}
	var err error
	if o.channel, err = d.openReader(ctx, folder); err != nil {
		return o, err
	}
	body, info, err := o.channel.Reader.Get(ctx, o.key(), 0, 0)
	if err != nil {
		return o, fmt.Errorf("read package %s: %w", at, err)
	}
	if err := body.Close(); err != nil {
		return o, err
	}
	if o.sha256 = info.Meta[store.HashKey]; o.sha256 == "" && o.subdir != "" {
		o.sha256, err = o.indexedSHA256(ctx)
	}
	return o, err
}

// indexedSHA256 is what the channel's index says, "" if that does not have the
// package.
func (o original) indexedSHA256(ctx context.Context) (string, error) {
	data, err := env.RepoData(ctx, o.channel.Reader, o.subdir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the index of %s for the sha256 of %s: %w", o.channel.URL, o.key(), err)
	}
	var record conda.Record
	if raw, found := data.Record(o.file); found {
		err = json.Unmarshal(raw, &record)
	}
	return record.SHA256, err
}

// copyPackage publishes the package at a URL. What is in the channel already
// does not travel, and what arrives with another hash than was announced is not
// published.
func (d *desk) copyPackage(ctx context.Context, to store.Store, at, parent string, p *progress) (got indexer.Published, err error) {
	o, err := d.findOriginal(ctx, at)
	if err != nil {
		return got, err
	}
	if o.sha256 == "" {
		p.Warn("nobody says which sha256 " + at + " has: it is published as it arrives")
	} else if o.subdir != "" {
		there, found, err := indexer.Stored(ctx, to, o.key())
		if err != nil || found && there.SHA256 == o.sha256 {
			return there, err
		}
	}
	work, err := d.makeWorkDir(parent)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, d.removeWork(work, false)) }()
	file := filepath.Join(work.path, o.file)
	if _, err := env.Download(ctx, o.channel.Reader, o.key(), file, archive.Digest{SHA256: o.sha256}); err != nil {
		return got, fmt.Errorf("read package %s: %w", at, err)
	}
	return indexer.Publish(ctx, to, indexer.Package{Path: file})
}
