package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxFileSize of a file, in bytes. The largest of conda-forge has a tenth.
const maxFileSize = 1 << 20

// ReadFile is the text of a file with the same line ends for every file, since
// places are counted in lines. what it is stands in errors, e.g. the recipe; a
// file of more than 1 MiB is Problems.
func ReadFile(fsys fs.FS, name, what string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	if len(data) > maxFileSize {
		return "", Problems{{Pos: Pos{File: path.Base(name), Line: 1, Column: 1}, Text: fmt.Sprintf("%s is larger than %d bytes", what, maxFileSize)}}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), nil
}
