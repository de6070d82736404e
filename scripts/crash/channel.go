//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
)

// contents are a channel's files by name, without the times in them and without
// the names of editions, which are made of times.
type contents struct {
	files     map[string]string
	temporary []string // files that are being written, or were
}

// times are those at which a package came into a channel, in packages.js numbers
// alone, and what follows from them: which edition of the index this is.
var times = regexp.MustCompile(`"indexed_timestamp":\d+,?|\b1[789]\d{8}(\d{3})?\b|"(condaworker_edition|repodata_sha256)":"[0-9a-f]+",?|(?m)^// of repodata.json [0-9a-f]+$`)

// read reads a channel as a client does, and fails where one would be misled:
// an index that does not parse, or that names what is not stored.
func read(root string) (contents, error) {
	c := contents{files: map[string]string{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name) //nolint:gosec // our own folder
		if err != nil {
			return err
		}
		key := strings.TrimPrefix(name, root+"/")
		switch {
		case strings.HasPrefix(filepath.Base(key), ".tmp-"):
			c.temporary = append(c.temporary, key)
		case strings.HasPrefix(key, ".condaworker/"), strings.Contains(key, ".s3-object-mutex"), strings.Contains(key, "/.condaworker"):
		case strings.HasSuffix(key, ".msgpack.zst"): // their names and bytes have the times in them: the check looks at them
		case strings.HasSuffix(key, ".zst"):
			if text, err = archive.Unzstd(text, 1<<30); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			c.files[key] = times.ReplaceAllString(string(text), "")
		case strings.HasSuffix(key, ".json"), strings.HasSuffix(key, ".js"):
			if key != "" && strings.HasSuffix(key, ".json") && !json.Valid(text) {
				return fmt.Errorf("%s is no JSON", key)
			}
			c.files[key] = times.ReplaceAllString(string(text), "")
		default:
			c.files[key] = hash(text)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil // struck before there was a channel
	}
	if err != nil {
		return c, err
	}
	return c, c.named(root)
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// named requires that every package which an index names is stored as it says.
func (c contents) named(root string) error {
	for _, subdir := range []string{"linux-64", "noarch"} {
		for _, name := range []string{"repodata.json", "repodata.json.zst"} {
			text, err := os.ReadFile(filepath.Join(root, subdir, name)) //nolint:gosec // our own folder
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil && bytes.HasPrefix(text, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
				text, err = archive.Unzstd(text, 1<<30)
			}
			if err != nil {
				return err
			}
			data, err := conda.ParseRepoData(text)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", subdir, name, err)
			}
			for file, record := range data.All() {
				var r conda.Record
				if err := json.Unmarshal(record, &r); err != nil {
					return err
				}
				if got := c.files[subdir+"/"+file]; got != r.SHA256 {
					return fmt.Errorf("%s/%s names %s with the sha256 %s: stored is %q", subdir, name, file, r.SHA256, got)
				}
			}
		}
	}
	return nil
}

// differs says in what c is not as it should be.
func (c contents) differs(want contents) error {
	for key, text := range want.files {
		if got, found := c.files[key]; !found {
			return fmt.Errorf("%s is missing", key)
		} else if got != text {
			return fmt.Errorf("%s is\n%.300s\nnot\n%.300s", key, got, text)
		}
	}
	for key := range c.files {
		if _, found := want.files[key]; !found {
			return fmt.Errorf("there is %s", key)
		}
	}
	return nil
}
