package source

import (
	"io"
	"sync"
)

const (
	aheadBlock  = 1 << 20 // bytes
	aheadBlocks = 8
)

// ahead reads in a goroutine of its own, up to aheadBlocks blocks before its
// reader.
type ahead struct {
	blocks chan []byte
	free   chan []byte
	quit   chan struct{}
	done   sync.WaitGroup
	err    error // set before blocks is closed
	block  []byte
	rest   []byte
}

func readAhead(r io.Reader) *ahead {
	a := &ahead{blocks: make(chan []byte, aheadBlocks), free: make(chan []byte, aheadBlocks), quit: make(chan struct{})}
	for range aheadBlocks {
		a.free <- make([]byte, aheadBlock)
	}
	a.done.Go(func() { a.fill(r) })
	return a
}

func (a *ahead) fill(r io.Reader) {
	defer close(a.blocks)
	for {
		var b []byte
		select {
		case b = <-a.free:
		case <-a.quit:
			return
		}
		n := 0
		for n < len(b) && a.err == nil {
			var m int
			m, a.err = r.Read(b[n:])
			n += m
		}
		if n > 0 {
			a.blocks <- b[:n] // there is room for every block
		}
		if a.err != nil {
			return
		}
	}
}

// Read gives out what was read.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.block != nil {
			a.free <- a.block[:aheadBlock]
			a.block = nil
		}
		b, ok := <-a.blocks
		if !ok {
			if a.err == nil {
				return 0, io.ErrClosedPipe
			}
			return 0, a.err
		}
		a.block, a.rest = b, b
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close waits for the goroutine; the reader below is not used after it.
func (a *ahead) Close() error {
	close(a.quit)
	a.done.Wait()
	return nil
}
