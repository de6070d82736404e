package builder

// transfer is how an Observer that wants to hears of bytes that move.
func (b *build) transfer() func(total int64) (moved func(n int)) {
	if o, ok := b.Observer.(interface {
		Transfer(total int64) (moved func(n int))
	}); ok {
		return o.Transfer
	}
	return func(int64) func(int) { return func(int) {} }
}
