//go:build !linux

package meter

import "time"

// spent is how long do takes: other systems do not tell a thread's processor
// time without more ado.
func spent(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}
