package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// signed is a file whose signature the new prefix in it has broken.
type signed struct {
	of   *unpacked
	at   *pathEntry
	file string
}

// signer is the program that signs; "" is none. Only macOS asks for signatures, and
// only there is the program.
func (o Options) signer() string {
	if o.Signer == "" && runtime.GOOS == "darwin" {
		return "/usr/bin/codesign"
	}
	return o.Signer
}

// sign gives an ad-hoc signature to what needs a new one: macOS kills programs whose
// signature does not fit. It is rattler's rule, for both processors; conda has it for
// arm64 alone. One process signs all, unless it fails: then each file is tried by
// itself, and those that cannot be signed are named.
func (l *prefix) sign(ctx context.Context, all []*unpacked, o Options) error {
	if o.signer() == "" || o.Run == nil {
		return nil
	}
	files, err := l.unsigned(all)
	if err != nil || len(files) == 0 {
		return err
	}
	before := make([]os.FileInfo, len(files))
	for i, f := range files {
		if before[i], err = os.Stat(f.file); err != nil {
			return err
		}
	}
	if l.runSigner(ctx, files, o) != nil {
		for _, f := range files {
			if err := l.runSigner(ctx, []signed{f}, o); err != nil && ctx.Err() == nil {
				o.warn(fmt.Sprintf("%s of %s cannot be signed (%v): macOS may not run it", f.at.Path, f.of.dist, err))
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, f := range files {
		if f.at.SHA256InPrefix, err = hashFile(f.file); err != nil {
			return err
		}
		if err := os.Chtimes(f.file, before[i].ModTime(), before[i].ModTime()); err != nil {
			return err
		}
	}
	return nil
}

func (l *prefix) runSigner(ctx context.Context, files []signed, o Options) error {
	const most = 500 // paths in one command line
	var errs []error
	for len(files) > 0 && ctx.Err() == nil {
		args := []string{o.signer(), "--sign", "-", "--force", "--preserve-metadata=entitlements"}
		n := min(len(files), most)
		for _, f := range files[:n] {
			args = append(args, f.file)
		}
		files = files[n:]
		errs = append(errs, o.Run(ctx, Command{Args: args, Dir: l.dir, Env: l.vars()}))
	}
	return errors.Join(errs...)
}

// unsigned finds the Mach-O files of packages for macOS that the new prefix has
// changed.
func (l *prefix) unsigned(all []*unpacked) ([]signed, error) {
	var files []signed
	for _, u := range all {
		if subdir, _ := u.index["subdir"].(string); !strings.HasPrefix(subdir, "osx-") {
			continue
		}
		for i := range u.paths {
			p := &u.paths[i]
			if p.FileMode != "binary" || p.Placeholder == "" || p.SHA256InPrefix == p.SHA256 {
				continue
			}
			file, err := l.file(p.Path)
			if err != nil {
				return nil, err
			}
			is, err := isMachO(file)
			if err != nil {
				return nil, err
			}
			if is {
				files = append(files, signed{u, p, file})
			}
		}
	}
	return files, nil
}

// machO are the first bytes of programs and libraries: for one processor, 32 and 64
// bits, in either order of bytes, and for several.
var machO = [][]byte{
	{0xfe, 0xed, 0xfa, 0xce},
	{0xfe, 0xed, 0xfa, 0xcf},
	{0xce, 0xfa, 0xed, 0xfe},
	{0xcf, 0xfa, 0xed, 0xfe},
	{0xca, 0xfe, 0xba, 0xbe},
	{0xca, 0xfe, 0xba, 0xbf},
}

func isMachO(file string) (is bool, err error) {
	f, err := os.Open(file) //nolint:gosec // of the prefix
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, 8)
	n, err := io.ReadFull(f, head)
	if n < len(head) {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = nil
		}
		return false, err
	}
	for _, magic := range machO {
		if bytes.HasPrefix(head, magic) {
			// A class of Java begins like a file for several processors, and has
			// its version, 45 or more, where that has their number.
			return magic[0] != 0xca || head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] < 45, nil
		}
	}
	return false, nil
}

func hashFile(file string) (sum string, err error) {
	f, err := os.Open(file) //nolint:gosec // of the prefix
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), err
}
