package solve

import "math/bits"

// set is a set of states of one name. Bit 0 stands for "not installed", bit i
// for the candidate i-1. A set is never changed after it was made.
type set []uint64

// newSet is the empty set of candidates of a name that has size of them.
func newSet(size int) set { return make(set, (size+63)/64) }

// full is the set of all states of a name with n candidates.
func full(n int) set {
	s := newSet(n + 1)
	for i := range n + 1 {
		s.add(i)
	}
	return s
}

// single holds candidate i alone.
func single(size, i int) set {
	s := newSet(size)
	s.add(i)
	return s
}

func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s set) and(o set) set   { return s.each(o, func(a, b uint64) uint64 { return a & b }) }
func (s set) or(o set) set    { return s.each(o, func(a, b uint64) uint64 { return a | b }) }
func (s set) minus(o set) set { return s.each(o, func(a, b uint64) uint64 { return a &^ b }) }

// each makes a new set: those that clashes hold must not change.
func (s set) each(o set, op func(a, b uint64) uint64) set {
	out := make(set, len(s))
	for i := range s {
		out[i] = op(s[i], o[i])
	}
	return out
}

// within reports whether all of s is in o.
func (s set) within(o set) bool {
	for i := range s {
		if s[i]&^o[i] != 0 {
			return false
		}
	}
	return true
}

// apart reports whether s and o have nothing in common.
func (s set) apart(o set) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return false
		}
	}
	return true
}

// count is how many candidates are left.
func (s set) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// members lists the bits that are set, in ascending order.
func (s set) members(yield func(int) bool) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			if !yield(i*64 + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}
