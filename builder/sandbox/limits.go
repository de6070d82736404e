package sandbox

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits bound what a command uses, all its processes taken together. They are
// far above what builds of render packages need; a zero takes the default.
type Limits struct {
	Processes int  // alive at one time; default 8192
	Memory    Size // default nine tenths of the machine's, or of the cgroup's
	FreeDisk  Size // left where it may write; default 2 GiB; at most half of what was free when it began
	Output    Size // printed; default 1 GiB
}

const (
	mebi             = 1 << 20
	gibi             = 1 << 30
	defaultProcesses = 8192
	defaultFreeDisk  = 2 * gibi
	defaultOutput    = gibi
)

// orDefault fills in what is not given. Memory's default is found where the
// command runs.
func (l Limits) orDefault() Limits {
	if l.Processes == 0 {
		l.Processes = defaultProcesses
	}
	if l.FreeDisk == 0 {
		l.FreeDisk = defaultFreeDisk
	}
	if l.Output == 0 {
		l.Output = defaultOutput
	}
	return l
}

// Size is a number of bytes. As a flag it is written as a whole number with
// K, M, G or T for powers of 1024, e.g. 16G.
type Size int64

// sizeUnits are in rising order.
const sizeUnits = "KMGT"

// String is the size in the largest unit that leaves it a whole number.
func (s Size) String() string {
	unit := ""
	for i := 0; i < len(sizeUnits) && s != 0 && s%1024 == 0; i++ {
		s, unit = s/1024, sizeUnits[i:i+1]
	}
	return strconv.FormatInt(int64(s), 10) + unit
}

// Set reads a flag's text.
func (s *Size) Set(text string) error {
	number, shift := strings.ToUpper(strings.TrimSpace(text)), 0
	if number == "" {
		*s = 0
		return nil
	}
	if i := strings.IndexByte(sizeUnits, number[len(number)-1]); i >= 0 {
		number, shift = number[:len(number)-1], 10*(i+1)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)>>shift {
		return fmt.Errorf("%q is no size: it is a whole number of bytes with K, M, G or T, such as 16G", text)
	}
	*s = Size(n << shift)
	return nil
}

// Type is the word that a flag's help has for the value.
func (*Size) Type() string { return "size" }
