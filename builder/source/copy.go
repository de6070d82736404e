package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyFile copies a bare file. It stays executable, and becomes so when it
// looks like a program: a download has no mode of its own.
func copyFile(ctx context.Context, f *os.File, to string) (Result, error) {
	st, err := f.Stat()
	if err != nil {
		return Result{}, err
	}
	mode := fs.FileMode(0o644)
	if st.Mode()&0o111 != 0 {
		mode = 0o755
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return Result{}, err
	}
	n, err := io.Copy(out, &interruptible{ctx, f})
	if err = errors.Join(err, out.Close()); err != nil {
		return Result{}, fmt.Errorf("copy source to %s: %w", to, err)
	}
	return Result{Files: 1, Bytes: n}, nil
}

// copyTree copies a folder with its links and modes. Times are kept for
// build tools that look at them; they do not count as the source's time, for a
// checkout gives every file a new one.
func copyTree(ctx context.Context, from, to string) (Result, error) {
	var r Result
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		n, err := copyEntry(ctx, name, filepath.Join(to, rel), d)
		if err == nil && !d.IsDir() {
			r.Files++
			r.Bytes += n
		}
		return err
	})
	if err != nil {
		return Result{}, fmt.Errorf("copy source %s: %w", from, err)
	}
	return r, nil
}

func copyEntry(ctx context.Context, from, to string, d fs.DirEntry) (int64, error) {
	switch {
	case d.IsDir():
		return 0, os.MkdirAll(to, 0o755)
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return 0, err
		}
		return 0, os.Symlink(target, to)
	case !d.Type().IsRegular():
		return 0, fmt.Errorf("%s is a device, a pipe or a socket", from)
	}
	f, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	r, err := copyFile(ctx, f, to)
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	st, err := d.Info()
	if err != nil {
		return 0, err
	}
	return r.Bytes, os.Chtimes(to, st.ModTime(), st.ModTime())
}
