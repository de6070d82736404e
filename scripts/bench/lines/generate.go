package main

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
)

// secrets are told to the filter; the generator mixes them in, whole and not.
var secrets = []string{"hunter22", "22abcdef", "s3cret-t0ken-with-some-length", "grün🙂key"}

var (
	kinds = []string{
		"progress", "status", "fail", "env", "unset_env", "redacted_env", "session_runtime_loglevel", "service_ready", "environment", "",
	}
	payloads = []string{
		"42.5", "nan", "-1", "x", "A=b", `"A=b\nc"`, `"A`, "A", "9=9", "error", "DEBUG", "=", "", " ", "A=hunter22",
	}
	colons  = []string{": ", ": ", ": ", ":", " : ", ":  ", ":\t", " ", "", "：", ":\u00a0"}
	breaks  = []string{"\n", "\n", "\n", "\r", "\r\n", "\n\r", "\r\r\n", "\n\n"}
	spaces  = []string{"", "", "", "", " ", "   ", "\t", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\u0085", "\u00a0", "\u2028", "\u2029", "\u3000", "\u200b", "\ufeff", "\x00"}
	escapes = []string{
		"\x1b", "\x1b[", "\x1b[31m", "\x1b[K", "\x1b[1", "\x1b]0;title\x07", "\x1b]0;", "\x1b\\", "\x1bP", "\x1b(B", "\x1b_x\x1b\\",
		"\u009b31m", "\u009d", "\u009c", "\u0090", "\x9b", "\x9d", "\x07", "\b", "\x7f", "\x08\x08\x08", "\x1b[2K\r", "\x1bc", "\x1b[",
	}
	broken = []string{
		"\xff", "\xfe\xff", "\xc0\xaf", "\xc0\x8a", "\xe0\x80\x8a", "\xf0\x80\x80\x8d", "\xed\xa0\x80", "\xe2\x80", "\xf0\x9f\x99", "\xc2", "\x80", "\xf8\x88\x80\x80\x80", "\xf4\x90\x80\x80",
	}
	fillers = []string{"x", "é", "€", "🙂", " ", "ab\tc", "\x1b[0m"}
	// borders are lengths at which somebody cuts: the filter, the two session
	// runtimes, the filter's own buffers.
	borders = []int{4096, 8000, 16_384, 32_768, 64_000, 65_536}
)

type generator struct {
	*rand.Rand
	b bytes.Buffer
}

// input is the one with this number: the same in each run.
func (g *generator) input(seed, number uint64) []byte {
	g.Rand = rand.New(rand.NewPCG(seed, number)) //nolint:gosec // it repeats itself
	g.b.Reset()
	for range 1 + g.IntN(12) {
		g.piece()
	}
	return g.b.Bytes()
}

func (g *generator) pick(from []string) { g.b.WriteString(from[g.IntN(len(from))]) }

// piece adds what a hostile script would try, or nearly.
func (g *generator) piece() {
	switch n := g.IntN(1000); {
	case n < 2:
		g.long()
	case n < 350:
		g.directive()
	case n < 550:
		g.pick(breaks)
	case n < 620:
		g.pick(spaces)
	case n < 700:
		g.pick(escapes)
	case n < 770:
		g.pick(broken)
	case n < 830:
		g.secret()
	case n < 880:
		g.b.WriteString("| ")
	case n < 950:
		for range g.IntN(40) {
			g.b.WriteByte(byte(g.IntN(256))) //nolint:gosec // it fits
		}
	default:
		g.b.WriteString("cc -c src/file" + strconv.Itoa(g.IntN(1000)) + ".c\n")
	}
}

// directive adds a command, at the beginning of a line or not, perhaps spoilt
// so that a careless filter would mend it.
func (g *generator) directive() {
	if g.IntN(2) == 0 {
		g.pick(breaks)
	}
	g.pick(spaces)
	word := "openjd_" + kinds[g.IntN(len(kinds))]
	switch g.IntN(8) {
	case 0:
		word = strings.ToUpper(word)
	case 1:
		at := g.IntN(len(word))
		word = word[:at] + escapes[g.IntN(len(escapes))] + word[at:]
	case 2:
		at := g.IntN(len(word))
		word = word[:at] + spaces[g.IntN(len(spaces))] + word[at:]
	case 3:
		at := g.IntN(len(word))
		word = word[:at] + broken[g.IntN(len(broken))] + word[at:]
	}
	g.b.WriteString(word)
	g.pick(colons)
	g.pick(payloads)
	if g.IntN(2) == 0 {
		g.pick(breaks)
	}
}

// long adds a line that ends near a border, with a command behind it, counted
// in characters or in bytes.
func (g *generator) long() {
	filler := fillers[g.IntN(len(fillers))]
	length := borders[g.IntN(len(borders))] + g.IntN(40) - 30
	if g.IntN(2) == 0 {
		length /= len(filler)
	}
	if g.IntN(2) == 0 {
		g.pick(breaks)
	}
	g.b.WriteString(strings.Repeat(filler, length))
	if g.IntN(3) == 0 {
		g.secret()
	}
	g.b.WriteString("openjd_" + kinds[g.IntN(len(kinds))] + ": " + payloads[g.IntN(len(payloads))])
}

func (g *generator) secret() {
	s := secrets[g.IntN(len(secrets))]
	if g.IntN(3) == 0 {
		s = s[g.IntN(len(s)):]
	}
	if g.IntN(3) == 0 {
		at := g.IntN(len(s))
		s = s[:at] + escapes[g.IntN(len(escapes))] + s[at:]
	}
	g.b.WriteString(s)
}
