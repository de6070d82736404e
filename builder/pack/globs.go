package pack

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Globs filter a package's files. In a glob * and ? match slashes as well, **
// is any number of folders, {a,b} and [a-z] are choices, and a glob that
// matches a folder matches everything in it (the rules of recipe.yaml).
type Globs struct {
	Include []string // of the new files; empty takes all
	Exclude []string // of the new files
	Always  []string // of the files that were there before, e.g. etc/fonts/fonts.conf
}

// Select returns what of added, and by Always of before, goes into the
// package, sorted.
func Select(added, before []string, g Globs) ([]string, error) {
	include, err := compileGlobs(g.Include)
	if err != nil {
		return nil, err
	}
	exclude, err := compileGlobs(g.Exclude)
	if err != nil {
		return nil, err
	}
	always, err := compileGlobs(g.Always)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, f := range added {
		if (len(include) == 0 || include.match(f)) && !exclude.match(f) {
			files = append(files, f)
		}
	}
	for _, f := range before {
		if always.match(f) {
			files = append(files, f)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

type globs []*regexp.Regexp

func (g globs) match(name string) bool {
	return slices.ContainsFunc(g, func(r *regexp.Regexp) bool { return r.MatchString(name) })
}

func compileGlobs(patterns []string) (globs, error) {
	var all globs
	for _, p := range patterns {
		expr, err := translate(p)
		if err != nil {
			return nil, fmt.Errorf("read glob %q: %w", p, err)
		}
		r, err := regexp.Compile(expr)
		if err != nil {
			return nil, fmt.Errorf("read glob %q: %w", p, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// translate turns a glob into a regular expression.
func translate(glob string) (string, error) {
	g := strings.TrimPrefix(glob, "./")
	if strings.HasSuffix(g, "/") {
		g += "**"
	}
	var out strings.Builder
	depth := 0
	for i := 0; i < len(g); {
		expr, n, err := token(g, i, &depth)
		if err != nil {
			return "", err
		}
		out.WriteString(expr)
		i += n
	}
	if g == "" || depth != 0 {
		return "", fmt.Errorf("it is empty, or a { has no }")
	}
	return `(?s)\A(?:` + out.String() + `)(?:/.*)?\z`, nil
}

// token translates what begins at g[i] and returns its length.
func token(g string, i int, depth *int) (expr string, n int, err error) {
	rest := g[i:]
	switch c := g[i]; {
	case strings.HasPrefix(rest, "**/") && (i == 0 || g[i-1] == '/'):
		return `(?:.*/)?`, 3, nil
	case c == '*':
		return `.*`, len(rest) - len(strings.TrimLeft(rest, "*")), nil
	case c == '?':
		return `.`, 1, nil
	case c == '[':
		return class(rest)
	case c == '{':
		*depth++
		return `(?:`, 1, nil
	case c == '}' && *depth > 0:
		*depth--
		return `)`, 1, nil
	case c == ',' && *depth > 0:
		return `|`, 1, nil
	case c == '\\' && len(rest) > 1:
		_, n := utf8.DecodeRuneInString(rest[1:])
		return regexp.QuoteMeta(rest[1 : 1+n]), 1 + n, nil
	default:
		_, n := utf8.DecodeRuneInString(rest)
		return regexp.QuoteMeta(rest[:n]), n, nil
	}
}

// class translates [abc], [a-z] and [!abc].
func class(g string) (expr string, n int, err error) {
	body, negate := g[1:], ""
	if strings.HasPrefix(body, "!") || strings.HasPrefix(body, "^") {
		body, negate = body[1:], "^"
	}
	end := strings.IndexByte(body, ']')
	if end == 0 { // a ] in front stands for itself
		end = 1 + strings.IndexByte(body[1:], ']')
	}
	if end <= 0 {
		return "", 0, fmt.Errorf("a [ has no ]")
	}
	inner := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(body[:end])
	return "[" + negate + inner + "]", len(g) - len(body) + end + 1, nil
}
