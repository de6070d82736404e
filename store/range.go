package store

import "fmt"

// Range is the HTTP Range header (RFC 9110, 14.2) for Get's off and n; "" asks
// for the whole object or for its head alone.
func Range(off, n int64) string {
	switch {
	case n == 0, off == 0 && n < 0:
		return ""
	case off < 0:
		return fmt.Sprintf("bytes=%d", off)
	case n < 0:
		return fmt.Sprintf("bytes=%d-", off)
	}
	return fmt.Sprintf("bytes=%d-%d", off, off+n-1)
}
