package store

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// How long a token and a password are at least that are hidden wherever they are
// written: shorter ones are hidden in their place only, with what is before them.
const (
	tokenLength    = 8
	passwordLength = 4
)

var (
	urlStart = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://`)
	urlEnd   = regexp.MustCompile(`[\s"'<>]`)
)

// Secrets returns what nobody should read of the URLs in a text, as they are
// written and as they are meant: names with passwords, the tokens that conda's
// servers take as a part of the path (/t/TOKEN/), and tokens and signatures in a
// query. A text may hold several URLs, as a list of channels does.
func Secrets(text string) []string {
	var all []string
	starts := urlStart.FindAllStringIndex(text, -1)
	for i, at := range starts {
		rest := text[at[1]:]
		if i+1 < len(starts) {
			rest = text[at[1]:starts[i+1][0]]
		}
		if end := urlEnd.FindStringIndex(rest); end != nil {
			rest = rest[:end[0]]
		}
		all = append(all, secretsOf(rest)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// secretsOf takes a URL without its scheme. It does without url.Parse, which
// refuses what a server, or its log, might take.
func secretsOf(text string) (all []string) {
	text, _, _ = strings.Cut(text, "#")
	text, query, _ := strings.Cut(text, "?")
	host, path, _ := strings.Cut(text, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		all = append(all, userSecrets(host[:at])...)
	}
	if _, token, found := strings.Cut("/"+path, "/t/"); found {
		token, _, _ = strings.Cut(token, "/")
		all = append(all, inPlace("/t/", token)...)
	}
	for part := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(part, "="); secretName(name) {
			all = append(all, inPlace(name+"=", value)...)
		}
	}
	return all
}

// userSecrets are a password and the name with it, or a name that is so long
// that it may be a token.
func userSecrets(info string) []string {
	name, password, found := strings.Cut(info, ":")
	if !found && len(name) < tokenLength {
		return nil
	}
	if !found {
		return bothWays(name)
	}
	switch {
	case password == "": // some servers take a token for a name
		return inPlace("", name)
	case len(password) < passwordLength:
		return []string{info}
	}
	return bothWays(password)
}

// inPlace is a secret that may be a short word, and then is hidden only behind
// what is before it.
func inPlace(before, secret string) []string {
	if len(secret) >= tokenLength {
		return bothWays(secret)
	}
	if secret == "" || before == "" {
		return nil
	}
	return []string{before + secret}
}

// bothWays is a part of a URL as it is written and as it is meant.
func bothWays(part string) []string {
	if meant, err := url.PathUnescape(part); err == nil && meant != part {
		return []string{part, meant}
	}
	return []string{part}
}

// secretName tells the parameters of a query that let whoever knows them in.
func secretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"token", "signature", "sig", "secret", "password", "apikey", "api_key"}, func(end string) bool {
		return strings.HasSuffix(name, end)
	})
}

var (
	// userInfo is what a URL has before its host. A password may have an @ in it.
	userInfo = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://)[^/?#\s"']*@`)

	// token is the part of a path that conda's servers know a user by.
	token = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://[^\s"']*?)/t/[^/?#\s"']+`)
)

// WithoutSecrets returns a text without the user names, passwords and tokens that URLs
// in it have: https://user:password@host/t/TOKEN/channel is https://host/channel. It is
// conda's rule, and for what is shown or kept.
func WithoutSecrets(text string) string {
	return token.ReplaceAllString(userInfo.ReplaceAllString(text, "$1"), "$1")
}
