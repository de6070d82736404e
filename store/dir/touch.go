package dir

import (
	"os"
	"time"
)

// touchedAfter is how exactly Touch tells when a path was used: most uses write nothing.
const touchedAfter = time.Hour

// Touch notes that a file or folder of a cache is being used now: its modification time
// becomes now, unless that is less than an hour ago. A cache that may not be written is
// as good as before.
func Touch(path string) {
	info, err := os.Lstat(path)
	if now := time.Now(); err == nil && now.Sub(info.ModTime()) > touchedAfter {
		_ = os.Chtimes(path, now, now)
	}
}
