package pack

import (
	"bytes"
	"strings"
)

// placeholderRoot is where the prefix pretends to be. It says who wrote it to
// those who find it in a file that was not relocated.
const placeholderRoot = "/opt/condaworker/_h_env"

// Placeholder returns the path of n bytes that stands for the prefix in a
// package. It depends on n alone. A binary file can only take an installation
// prefix that is not longer, so builds use prefixes of 255 bytes.
func Placeholder(n int) string {
	pad := max(0, n-len(placeholderRoot))
	padded := placeholderRoot + strings.Repeat("_placehold", pad/len("_placehold")+1)
	return padded[:max(0, n)]
}

// replacer replaces one string by another of the same length in a stream.
type replacer struct {
	from, to []byte
	found    bool
}

// next replaces in buf, in place, and returns how many of its first bytes are
// done. The others may begin an occurrence: they must come again in front of
// what follows, unless buf is the last.
func (r *replacer) next(buf []byte, last bool) int {
	done := 0
	for {
		i := index(buf[done:], r.from)
		if i < 0 {
			break
		}
		copy(buf[done+i:], r.to)
		r.found = true
		done += i + len(r.from)
	}
	if last {
		return len(buf)
	}
	return max(done, len(buf)-len(r.from)+1)
}

// index is bytes.Index, but quick for long needles as well: up to 63 bytes
// have assembler on the machines that build packages.
func index(s, needle []byte) int {
	const short = 63
	if len(needle) <= short {
		return bytes.Index(s, needle)
	}
	for at := 0; ; at++ {
		i := bytes.Index(s[at:], needle[:short])
		if i < 0 {
			return -1
		}
		at += i
		if bytes.HasPrefix(s[at:], needle) {
			return at
		}
	}
}
