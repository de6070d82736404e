package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Credentials are what servers know a user by.
type Credentials struct {
	hosts map[string]credential // of rattler's file: by host, or by *.host for it and all below it
	netrc map[string]login      // by host; "" is for all others
}

// credential is an entry of rattler's file: one of its fields is set.
type credential struct {
	BearerToken string // Authorization: Bearer …
	CondaToken  string // part of the path: /t/TOKEN/…
	BasicHTTP   *login
}

type login struct{ Username, Password string }

// LoadCredentials reads the files that conda and rattler read: the one that
// RATTLER_AUTH_FILE names, or ~/.rattler/credentials.json, and the one that NETRC
// names, or ~/.netrc. env has the environment variables. A file that is named and
// not there, or that cannot be read, is an error, which never repeats its contents.
func LoadCredentials(env map[string]string) (Credentials, error) {
	home := env["HOME"]
	if home == "" {
		home = env["USERPROFILE"]
	}
	netrc := ".netrc"
	if runtime.GOOS == "windows" {
		netrc = "_netrc"
	}
	var c Credentials
	text, err := readNamed(env["RATTLER_AUTH_FILE"], filepath.Join(home, ".rattler", "credentials.json"))
	if err != nil {
		return c, fmt.Errorf("read RATTLER_AUTH_FILE: %w", err)
	}
	if len(text) > 0 && json.Unmarshal(text, &c.hosts) != nil {
		return c, errors.New(`read rattler's credentials (RATTLER_AUTH_FILE or ~/.rattler/credentials.json): it is JSON such as {"conda.example": {"BearerToken": "…"}}`)
	}
	text, err = readNamed(env["NETRC"], filepath.Join(home, netrc))
	if err != nil {
		return c, fmt.Errorf("read NETRC: %w", err)
	}
	c.netrc = parseNetrc(string(text))
	return c, nil
}

// readNamed reads the file named, or else the usual one, which may be missing.
func readNamed(named, usual string) ([]byte, error) {
	if named != "" {
		return os.ReadFile(named) //nolint:gosec // the user's own choice
	}
	text, err := os.ReadFile(usual) //nolint:gosec // in the user's home
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// parseNetrc reads machine, default, login and password; macros end at an empty line.
func parseNetrc(text string) map[string]login {
	all := map[string]login{}
	host, known := "", false
	macro := false
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if macro = macro && len(words) > 0; macro {
			continue
		}
		for i := 0; i < len(words); i++ {
			value := ""
			if i+1 < len(words) {
				value = strings.Trim(words[i+1], `"`)
			}
			entry := all[host]
			switch word := words[i]; {
			case strings.HasPrefix(word, "#"):
				i = len(words)
				continue
			case word == "macdef":
				macro, i = true, len(words)
				continue
			case word == "default":
				host, known = "", true
				continue
			case word == "machine":
				host, known = strings.ToLower(value), true
			case word == "login" && known:
				entry.Username = value
				all[host] = entry
			case word == "password" && known:
				entry.Password = value
				all[host] = entry
			}
			i++
		}
	}
	return all
}

// of finds the entry of a host in rattler's file: its own, or that of the nearest
// domain with all below it.
func (c Credentials) of(host string) (credential, bool) {
	found, known := c.hosts[host]
	for domain := host; !known && domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		found, known = c.hosts["*."+domain]
	}
	return found, known
}

// sign adds to a request what its server asks for. What the URL itself has comes first.
func (c Credentials) sign(r *http.Request) {
	if r.URL.User != nil {
		return
	}
	host := strings.ToLower(r.URL.Hostname())
	entry, known := c.of(host)
	switch {
	case known && entry.BearerToken != "":
		r.Header.Set("Authorization", "Bearer "+entry.BearerToken)
		return
	case known && entry.BasicHTTP != nil:
		r.SetBasicAuth(entry.BasicHTTP.Username, entry.BasicHTTP.Password)
		return
	case known && entry.CondaToken != "":
		if !strings.HasPrefix(r.URL.Path, "/t/") {
			r.URL.Path = "/t/" + entry.CondaToken + r.URL.Path
			if r.URL.RawPath != "" {
				r.URL.RawPath = "/t/" + entry.CondaToken + r.URL.RawPath
			}
		}
		return
	}
	l, known := c.netrc[host]
	if !known {
		l, known = c.netrc[""]
	}
	if known && l.Password != "" {
		r.SetBasicAuth(l.Username, l.Password)
	}
}
