package agent

import (
	"net/url"
	"slices"
	"strings"
)

// secretNames end the names of variables whose values are nobody's to read.
var secretNames = []string{"_SECRET_ACCESS_KEY", "_SESSION_TOKEN", "_TOKEN", "_SECRET", "_PASSWORD", "_API_KEY"}

// secretLength is that of the shortest value that is hidden: a shorter one is
// more likely a word that the log is full of.
const secretLength = 8

// secrets are what the environment holds that no log should show: keys, tokens,
// and the passwords in the URLs of proxies, which scripts are given.
func secrets(env map[string]string) []string {
	var all []string
	for name, value := range env {
		name = strings.ToUpper(name)
		secret := func(end string) bool { return strings.HasSuffix("_"+name, end) }
		if len(value) >= secretLength && slices.ContainsFunc(secretNames, secret) {
			all = append(all, value)
		}
		if strings.HasSuffix(name, "_PROXY") {
			all = append(all, passwords(value)...)
		}
	}
	return all
}

// passwords returns the one in a URL, as it is meant and as it is written.
func passwords(text string) []string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	_, raw, _ := strings.Cut(u.User.String(), ":")
	return []string{password, raw}
}
