package archive

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
)

// Digest is what an index says about an archive's bytes.
type Digest struct {
	Size   int64  // in bytes
	SHA256 string // lower-case hex
	MD5    string // lower-case hex
}

// Sum reads r to its end and returns its digest. Both hashes and the reading
// go on at the same time.
func Sum(ctx context.Context, r io.Reader) (Digest, error) {
	const first, block = 32 << 10, 256 << 10 // many packages are smaller than a block
	var (
		d       Digest
		sha     = sha256.New()
		md      = md5.New()
		buffers [2][]byte
		hashing sync.WaitGroup
	)
	for i := 0; ; i++ {
		if size := min(block, first<<min(i, 3)); len(buffers[i%2]) < size {
			buffers[i%2] = make([]byte, size) // what it held is hashed already
		}
		buf := buffers[i%2]
		n, err := fill(r, buf)
		hashing.Wait() // of the block before
		if ctx.Err() != nil {
			return d, ctx.Err()
		}
		if i == 0 && errors.Is(err, io.EOF) { // a small one is hashed before two goroutines have begun
			return SumOf(buf[:n]), nil
		}
		d.Size += int64(n)
		hashing.Go(func() { sha.Write(buf[:n]) })
		hashing.Go(func() { md.Write(buf[:n]) })
		if err == nil {
			continue
		}
		hashing.Wait()
		if !errors.Is(err, io.EOF) {
			return d, err
		}
		break
	}
	d.SHA256, d.MD5 = hex.EncodeToString(sha.Sum(nil)), hex.EncodeToString(md.Sum(nil))
	return d, nil
}

// SumOf returns the digest of an archive that is in memory.
func SumOf(b []byte) Digest {
	sha, md := sha256.Sum256(b), md5.Sum(b)
	return Digest{int64(len(b)), hex.EncodeToString(sha[:]), hex.EncodeToString(md[:])}
}

// fill reads until buf is full or r ends or fails. io.ReadFull would report an
// end and a connection that was cut by the same error.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var more int
		more, err = r.Read(buf[n:])
		n += more
	}
	return n, err
}
