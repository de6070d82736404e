package openjd

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	hidden       = "********" // as the session runtimes print it
	secretLength = 4          // bytes; to hide shorter ones would shred the log
	scanLength   = 16 << 10   // bytes to gather before they are searched
)

// addSecrets returns secrets with what has to be searched for to hide the new
// ones: their lines, cleaned like the text that is searched.
func addSecrets(secrets, more []string) []string {
	secrets = slices.Clone(secrets) // writers hold the old slice
	for _, s := range more {
		for _, line := range cleanLines(s) {
			line = strings.TrimSpace(line)
			if len(line) >= secretLength && !slices.Contains(secrets, line) {
				secrets = append(secrets, line)
			}
		}
	}
	return secrets
}

// mask returns text with the secrets in it hidden.
func mask(text string, secrets []string) string {
	var b strings.Builder
	m := newMasker(secrets, func(p []byte) { b.Write(p) })
	m.write([]byte(text))
	m.flush()
	return b.String()
}

// masker hides secrets in a line that comes in pieces. It holds back what may
// be the beginning of a secret until the rest of it, or the line's end, is
// there.
type masker struct {
	emit    func([]byte)
	secrets []string
	longest int
	held    []byte
	covered int // bytes of held that belong to a secret whose mask is out
}

type span struct{ from, to int }

func newMasker(secrets []string, emit func([]byte)) *masker {
	m := &masker{emit: emit, secrets: secrets}
	for _, s := range secrets {
		m.longest = max(m.longest, len(s))
	}
	return m
}

func (m *masker) write(text []byte) {
	if m.longest == 0 {
		m.emit(text)
		return
	}
	m.held = append(m.held, text...)
	if len(m.held) < scanLength+m.longest {
		return
	}
	n := len(m.held) - m.longest + 1
	for !utf8.RuneStart(m.held[n]) {
		n-- // a line may be cut where a piece ends
	}
	m.release(n)
}

// flush emits what is held: the line is complete.
func (m *masker) flush() { m.release(len(m.held)) }

// release emits the first n bytes. A secret that begins in them is all there.
func (m *masker) release(n int) {
	at := 0
	for _, s := range m.spans(n) {
		if s.from > at {
			m.emit(m.held[at:min(s.from, n)])
		}
		if s.from > 0 || m.covered == 0 {
			m.emit([]byte(hidden))
		}
		at = s.to
	}
	if at < n {
		m.emit(m.held[at:n])
	}
	m.covered = max(0, at-n)
	m.held = append(m.held[:0], m.held[n:]...)
}

// spans returns where secrets begin before n, joined where they overlap or
// touch, in order.
func (m *masker) spans(n int) []span {
	var found []span
	if m.covered > 0 {
		found = append(found, span{0, m.covered})
	}
	for _, s := range m.secrets {
		for from := 0; from < n; from++ {
			i := bytes.Index(m.held[from:], []byte(s))
			if i < 0 || from+i >= n {
				break
			}
			from += i
			found = append(found, span{from, from + len(s)})
		}
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var joined []span
	for _, s := range found {
		if last := len(joined) - 1; last >= 0 && s.from <= joined[last].to {
			joined[last].to = max(joined[last].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}
