package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/conda/condatest"
)

// nameOf is the i-th package; each depends on some before it, and the last on all.
func nameOf(i int) string { return fmt.Sprintf("package-%03d", i) }

func (b bench) makeChannel(ctx context.Context, channel string) error {
	subdir := filepath.Join(channel, "linux-64")
	if err := errors.Join(os.MkdirAll(subdir, 0o750), os.MkdirAll(filepath.Join(channel, "noarch"), 0o750)); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	for i := range b.packages {
		index := condatest.Index(nameOf(i), "1.0", 0, "linux-64")
		var depends []string
		for j := range i {
			if i == b.packages-1 || rng.IntN(i) < 3 {
				depends = append(depends, nameOf(j)+" >=1.0,<2.0a0")
			}
		}
		index["depends"] = append([]string{}, depends...)
		files, err := b.filesOf(i, rng)
		if err != nil {
			return err
		}
		if err := condatest.WriteFile(filepath.Join(subdir, nameOf(i)+"-1.0-0.conda"), index, files); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, b.program, "reindex", channel).CombinedOutput(); err != nil { //nolint:gosec // our own
		return fmt.Errorf("index the channel: %w\n%s", err, out)
	}
	return nil
}

// path is an entry of paths.json.
type path struct {
	Path        string `json:"_path"`
	Type        string `json:"path_type"`
	SHA256      string `json:"sha256"`
	Size        int    `json:"size_in_bytes"`
	FileMode    string `json:"file_mode,omitempty"`
	Placeholder string `json:"prefix_placeholder,omitempty"`
}

var placeholder = "/opt/conda/conda-bld/package_1700000000000/_h_env" + strings.Repeat("_placehold", 20)

// filesOf are those of the i-th package: of a hundred 2 are libraries and 4 are texts
// with the prefix in them.
func (b bench) filesOf(i int, rng *rand.Rand) (map[string]string, error) {
	files := map[string]string{}
	var paths []path
	for j := range b.files {
		p := path{Path: fmt.Sprintf("share/%s/dir%d/file%03d", nameOf(i), j%10, j), Type: "hardlink"}
		text := textOf(rng, 1<<(8+rng.IntN(7))) // 256 bytes to 16 KiB
		switch {
		case j < 2:
			p.Path, p.FileMode, p.Placeholder = fmt.Sprintf("lib/lib%s%d.so", nameOf(i), j), "binary", placeholder
			text = textOf(rng, 400<<10) + "\x00" + placeholder + "/lib\x00" + textOf(rng, 100<<10)
		case j < 6:
			p.FileMode, p.Placeholder = "text", placeholder
			text = "#!" + placeholder + "/bin/python\n" + text
		}
		sum := sha256.Sum256([]byte(text))
		p.SHA256, p.Size = hex.EncodeToString(sum[:]), len(text)
		files[p.Path] = text
		paths = append(paths, p)
	}
	list, err := json.Marshal(map[string]any{"paths_version": 1, "paths": paths})
	files["info/paths.json"] = string(list)
	return files, err
}

// textOf is a text that can be packed to about a third.
func textOf(rng *rand.Rand, size int) string {
	words := make([]byte, 0, size+16)
	for len(words) < size {
		words = fmt.Appendf(words, "%06x some words ", rng.IntN(1<<24))
	}
	return string(words[:size])
}
