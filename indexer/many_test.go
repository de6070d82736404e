//go:build !race

package indexer

// many is how many packages a large channel has.
const many = 100_000
