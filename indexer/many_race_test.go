//go:build race

package indexer

// many is how many packages a large channel has. What one more costs does not
// depend on it, and the race detector takes ten times as long for each.
const many = 10_000
