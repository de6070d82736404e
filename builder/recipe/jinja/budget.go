package jinja

// Limits of one recipe's evaluation. Real recipes stay far below a hundredth.
const (
	maxSteps    = 1_000_000 // evaluated nodes and loop rounds
	maxOutput   = 1 << 20   // bytes of any text that is made
	maxItems    = 100_000   // of any list that is made
	maxTokens   = 200_000   // words and signs of one template
	maxNesting  = 100       // of parentheses, lists and blocks
	maxChain    = 1000      // operators or filters in a row
	bytesAStep  = 64        // making text costs a step for so many bytes
	maxExponent = 1024
	maxMisses   = 1000 // undefined names that are worth telling of
)

// Budget is what a recipe's templates may spend together.
type Budget struct {
	left int
}

// NewBudget is 10^6 steps.
func NewBudget() *Budget { return &Budget{left: maxSteps} }

// Spend takes steps for work that a template causes elsewhere, and tells whether
// that many were left.
func (b *Budget) Spend(steps int) bool { return b.spend(steps) }

// Used is how many steps were taken.
func (b *Budget) Used() int { return maxSteps - b.left }

// spend takes steps and tells whether that many were left. It goes on counting
// below zero, so that every later step fails as well.
func (b *Budget) spend(steps int) bool {
	b.left -= steps
	return b.left >= 0
}
