package jinja

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// tokenKind tells tokens apart before their text does.
type tokenKind int

const (
	tokenEOF tokenKind = iota
	tokenText
	tokenOutput   // {{ or ${{
	tokenBlock    // {%
	tokenEnd      // }} or %}
	tokenName     // version
	tokenInt      // 12
	tokenFloat    // 1.5
	tokenString   // "text", unescaped
	tokenOperator // + == ( and the like
)

// token is a piece of a template; of a text its unescaped content.
type token struct {
	kind   tokenKind
	text   string
	offset int
}

// String shows the token in an error.
func (t token) String() string {
	switch t.kind {
	case tokenEOF:
		return "end of the template"
	case tokenEnd:
		return fmt.Sprintf("%q (end of the expression)", t.text)
	}
	return fmt.Sprintf("%q", t.text)
}

// operators, longest first.
var operators = []string{
	"**", "//", "==", "!=", "<=", ">=",
	"+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "|",
}

// lexer cuts a template up in one pass.
type lexer struct {
	source string
	pos    int
	output string // what begins an output, e.g. ${{
	tokens []token
	found  [3]int // where each opener comes next, as far as it was looked for
}

// lex cuts a template, or a bare expression, into tokens.
func lex(source string, d Dialect, bare bool) ([]token, error) {
	l := &lexer{source: source, output: "{{"}
	if d == Recipe {
		l.output = "${{"
	}
	var err error
	if bare {
		err = l.expression("")
	} else {
		err = l.template()
	}
	if err != nil {
		return nil, err
	}
	return append(l.tokens, token{kind: tokenEOF, offset: len(source)}), nil
}

// add appends a token that began at offset.
func (l *lexer) add(kind tokenKind, text string, offset int) {
	l.tokens = append(l.tokens, token{kind, text, offset})
}

// template alternates between text and tags. A minus inside a delimiter removes
// the blanks beside it, line ends included.
func (l *lexer) template() error {
	trim := false
	for l.pos < len(l.source) {
		start, kind, opener := l.nextTag()
		text := l.source[l.pos:start]
		if trim {
			kept := strings.TrimLeft(text, " \t\r\n")
			l.pos += len(text) - len(kept)
			text = kept
		}
		after := start + len(opener)
		if after < len(l.source) && l.source[after] == '-' {
			text = strings.TrimRight(text, " \t\r\n")
		}
		if text != "" {
			l.add(tokenText, text, l.pos)
		}
		if opener == "" {
			return nil
		}
		l.pos = after
		if err := l.tag(start, kind, opener); err != nil {
			return err
		}
		trim = l.trimsAfter()
	}
	return nil
}

// nextTag finds the next opening delimiter; opener is "" at the end.
func (l *lexer) nextTag() (at int, kind tokenKind, opener string) {
	at = len(l.source)
	for i, o := range []struct {
		opener string
		kind   tokenKind
	}{{l.output, tokenOutput}, {"{%", tokenBlock}, {"{#", tokenText}} {
		if l.found[i] <= l.pos {
			l.found[i] = len(l.source)
			if n := strings.Index(l.source[l.pos:], o.opener); n >= 0 {
				l.found[i] = l.pos + n
			}
		}
		if l.found[i] < at {
			at, kind, opener = l.found[i], o.kind, o.opener
		}
	}
	return at, kind, opener
}

// tag reads from behind an opener up to its closer.
func (l *lexer) tag(start int, kind tokenKind, opener string) error {
	if kind == tokenText {
		return l.comment(start)
	}
	closer := "}}"
	if kind == tokenBlock {
		closer = "%}"
		if done, err := l.raw(start); done || err != nil {
			return err
		}
	}
	l.add(kind, opener, start)
	if l.pos < len(l.source) && (l.source[l.pos] == '-' || l.source[l.pos] == '+') {
		l.pos++
	}
	if err := l.expression(closer); err != nil {
		return err
	}
	if last := l.tokens[len(l.tokens)-1]; last.kind != tokenEnd {
		return errorAt(start, "%s is never closed", opener).hint("end it with %s", closer)
	}
	return nil
}

// comment skips a comment. One that is never closed would swallow the rest of
// the recipe, so it is an error.
func (l *lexer) comment(start int) error {
	i := strings.Index(l.source[l.pos:], "#}")
	if i < 0 {
		return errorAt(start, "{# is never closed").hint("end the comment with #}")
	}
	l.pos += i + 2
	return nil
}

// raw takes {% raw %}text{% endraw %} as text.
func (l *lexer) raw(start int) (bool, error) {
	rest := l.source[l.pos:]
	name, after, found := strings.Cut(rest, "%}")
	if !found || strings.Trim(name, " \t\r\n-+") != "raw" {
		return false, nil
	}
	body := len(l.source) - len(after)
	for at := body; ; {
		i := strings.Index(l.source[at:], "{%")
		if i < 0 {
			return true, errorAt(start, "{%% raw %%} has no {%% endraw %%}")
		}
		end, _, found := strings.Cut(l.source[at+i+2:], "%}")
		if !found {
			return true, errorAt(start, "{%% raw %%} has no {%% endraw %%}")
		}
		if strings.Trim(end, " \t\r\n-+") == "endraw" {
			l.add(tokenText, l.source[body:at+i], body)
			l.pos = at + i + 2 + len(end) + 2
			return true, nil
		}
		at += i + 2
	}
}

// trimsAfter tells whether the tag that just ended was -}} or the like.
func (l *lexer) trimsAfter() bool {
	return l.pos >= 3 && l.source[l.pos-3] == '-'
}

// expression reads tokens up to and with closer, or to the end.
func (l *lexer) expression(closer string) error {
	braces := 0
	for {
		if len(l.tokens) > maxTokens {
			return &Error{Offset: l.pos, Text: fmt.Sprintf("the template has more than %d words and signs", maxTokens)}
		}
		l.pos += len(l.source[l.pos:]) - len(strings.TrimLeft(l.source[l.pos:], " \t\r\n"))
		rest := l.source[l.pos:]
		if rest == "" {
			return nil
		}
		if closer != "" && braces == 0 {
			sign := 0
			if strings.HasPrefix(rest, "-"+closer) {
				sign = 1
			}
			if strings.HasPrefix(rest[sign:], closer) {
				l.add(tokenEnd, closer, l.pos)
				l.pos += sign + len(closer)
				return nil
			}
		}
		switch rest[0] {
		case '{':
			braces++
		case '}':
			braces--
		}
		if err := l.token(rest); err != nil {
			return err
		}
	}
}

// token reads the token at the start of rest.
func (l *lexer) token(rest string) error {
	c := rest[0]
	switch {
	case isLetter(c):
		n := 1
		for n < len(rest) && (isLetter(rest[n]) || isDigit(rest[n])) {
			n++
		}
		l.add(tokenName, rest[:n], l.pos)
		l.pos += n
		return nil
	case isDigit(c):
		return l.number(rest)
	case c == '"' || c == '\'':
		return l.text(rest)
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.add(tokenOperator, op, l.pos)
			l.pos += len(op)
			return nil
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return errorAt(l.pos, "unexpected character %q in an expression", r)
}

// number reads 12, 1.5, 1e3 and 1_000. A letter behind it means that quotes
// were forgotten, e.g. around 1.2rc1.
func (l *lexer) number(rest string) error {
	n, kind := digits(rest, 0), tokenInt
	if n+1 < len(rest) && rest[n] == '.' && isDigit(rest[n+1]) {
		n, kind = digits(rest, n+1), tokenFloat
	}
	if n < len(rest) && (rest[n] == 'e' || rest[n] == 'E') {
		m := n + 1
		if m < len(rest) && (rest[m] == '+' || rest[m] == '-') {
			m++
		}
		if end := digits(rest, m); end > m {
			n, kind = end, tokenFloat
		}
	}
	if n < len(rest) && isLetter(rest[n]) {
		return errorAt(l.pos, "%q is not a number", rest[:n+1]).hint("put text in quotes")
	}
	l.add(kind, strings.ReplaceAll(rest[:n], "_", ""), l.pos)
	l.pos += n
	return nil
}

// digits is the end of the digits that begin at from.
func digits(s string, from int) int {
	for from < len(s) && (isDigit(s[from]) || s[from] == '_') {
		from++
	}
	return from
}

// text reads a quoted text, its escapes resolved.
func (l *lexer) text(rest string) error {
	quote := rest[0]
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case quote:
			l.add(tokenString, b.String(), l.pos)
			l.pos += i + 1
			return nil
		case '\\':
			n := unescape(&b, rest[i:])
			i += n - 1
		default:
			b.WriteByte(rest[i])
		}
	}
	return errorAt(l.pos, "the text that begins with %c is never closed", quote).hint("end it with the same quote")
}

// unescape writes what the escape at the start of s means and returns its
// length. What Python does not know stays as it is.
func unescape(b *strings.Builder, s string) int {
	if len(s) < 2 {
		b.WriteByte('\\')
		return 1
	}
	if i := strings.IndexByte(`ntr0\'"`, s[1]); i >= 0 {
		b.WriteByte("\n\t\r\x00\\'\""[i])
		return 2
	}
	width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if width > 0 && len(s) >= 2+width {
		var r rune
		if n, err := fmt.Sscanf(s[2:2+width], "%x", &r); err == nil && n == 1 {
			b.WriteRune(r)
			return 2 + width
		}
	}
	b.WriteByte('\\')
	return 1
}

// isLetter holds for what may begin a name. Other letters than ASCII's begin
// none, in both engines' recipes.
func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// isDigit holds for ASCII digits.
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
