package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
)

// original is a package in another channel.
type original struct {
	url    string // of the file, e.g. s3://studio/Conda/linux-64/x-1.0-0.conda
	folder env.Channel
	file   string
	sha256 string // "" when nobody says
}

// isURL tells a package in a channel from one on disk.
func isURL(text string) bool { return strings.Contains(text, "://") }

// findOriginal asks what is known of the package at a URL: its hash travels
// with it, or is in the index beside it.
func (d *desk) findOriginal(ctx context.Context, at string) (original, error) {
	parent, file := path.Split(at)
	o := original{url: at, file: file}
	if strings.HasPrefix(at, "http") {
		if unescaped, err := url.PathUnescape(file); err == nil {
			o.file = unescaped
		}
	}
	if _, err := conda.ParseFileName(o.file); err != nil {
		return o, usageError{fmt.Errorf("publish %s: %w; a URL to publish from is that of a package's file", at, err)}
	}
	var err error
	if o.folder, err = d.openReader(ctx, parent); err != nil {
		return o, err
	}
	body, info, err := o.folder.Reader.Get(ctx, o.file, 0, 0)
	if err != nil {
		return o, fmt.Errorf("read package %s: %w", at, err)
	}
	if err := body.Close(); err != nil {
		return o, err
	}
	if o.sha256 = info.Meta[store.HashKey]; o.sha256 == "" {
		o.sha256, err = o.indexedSHA256(ctx)
	}
	return o, err
}

// indexedSHA256 is what the index beside the package says, "" if there is none.
func (o original) indexedSHA256(ctx context.Context) (string, error) {
	body, _, err := o.folder.Reader.Get(ctx, "repodata.json", 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the index beside %s: %w", o.url, err)
	}
	text, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return "", fmt.Errorf("read the index beside %s: %w", o.url, err)
	}
	data, err := conda.ParseRepoData(text)
	if err != nil {
		return "", fmt.Errorf("beside %s: %w", o.url, err)
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
	if subdir := path.Base(path.Dir(at)); o.sha256 != "" && conda.CanBeSubdir(subdir) {
		there, found, err := indexer.Stored(ctx, to, subdir+"/"+o.file)
		if err == nil && found && there.SHA256 == o.sha256 {
			return there, nil
		}
	}
	work, err := makeWorkDir(parent)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	file := filepath.Join(work, o.file)
	sum, err := o.download(ctx, file)
	switch {
	case err != nil:
		return got, fmt.Errorf("read package %s: %w", at, err)
	case o.sha256 == "":
		p.Warn(fmt.Sprintf("nobody says which sha256 %s has: it arrived as %s", at, sum))
	case o.sha256 != sum:
		return got, fmt.Errorf("package %s has the sha256 %s, and its channel says %s: it is damaged or was replaced; reindex that channel", at, sum, o.sha256)
	}
	return indexer.Publish(ctx, to, indexer.Package{Path: file})
}

// download writes the package to a file and returns its sha256.
func (o original) download(ctx context.Context, file string) (string, error) {
	body, _, err := o.folder.Reader.Get(ctx, o.file, 0, -1)
	if err != nil {
		return "", err
	}
	f, err := os.Create(file) //nolint:gosec // in a folder of our own
	if err != nil {
		return "", errors.Join(err, body.Close())
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), body)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, body.Close(), f.Close())
}
