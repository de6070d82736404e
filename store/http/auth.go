package http

import (
	"cmp"
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
	hosts map[string]credential // of rattler's file: by host, by *.host for it and all below it, or by the URL of a bucket
	netrc map[string]login      // by host; "" is for all others
}

// credential is an entry of rattler's file: one of its fields is set.
type credential struct {
	BearerToken   string // Authorization: Bearer …
	CondaToken    string // part of the path: /t/TOKEN/…
	BasicHTTP     *login
	S3Credentials *S3Keys
}

type login struct{ Username, Password string }

// S3Keys are what rattler's file has for a bucket.
type S3Keys struct {
	ID      string `json:"access_key_id"`
	Secret  string `json:"secret_access_key"` //nolint:gosec // its name
	Session string `json:"session_token"`     // "" without one
}

// LoadS3Keys finds what the file of rattler that LoadCredentials reads has for a folder in
// a bucket, or for the nearest one that it lies in; nil: nothing. The entry's name is that
// of the bucket, or a URL s3://BUCKET/FOLDER.
func LoadS3Keys(env map[string]string, bucket, folder string) (*S3Keys, error) {
	c, err := loadRattlers(env)
	return c.s3(bucket, folder), err
}

func (c Credentials) s3(bucket, folder string) *S3Keys {
	at := "s3://" + bucket + "/" + folder
	for at = strings.TrimRight(at, "/"); len(at) > len("s3://"); at = strings.TrimRight(at[:strings.LastIndexByte(at, '/')], "/") {
		for _, name := range []string{at, at + "/"} {
			if entry := c.hosts[name]; entry.S3Credentials != nil {
				return entry.S3Credentials
			}
		}
	}
	entry, _ := c.of(bucket)
	return entry.S3Credentials
}

// LoadCredentials reads the files that conda and rattler read: the one that
// RATTLER_AUTH_FILE names, or ~/.rattler/credentials.json, and the one that NETRC
// names, or ~/.netrc. env has the environment variables. A file that is named and
// not there, or that cannot be read, is an error, which never repeats its contents.
func LoadCredentials(env map[string]string) (Credentials, error) {
	netrc := ".netrc"
	if runtime.GOOS == "windows" {
		netrc = "_netrc"
	}
	c, err := loadRattlers(env)
	if err != nil {
		return c, err
	}
	text, err := readNamed(env["NETRC"], filepath.Join(home(env), netrc))
	if err != nil {
		return c, fmt.Errorf("read NETRC: %w", err)
	}
	c.netrc = parseNetrc(string(text))
	return c, nil
}

func home(env map[string]string) string { return cmp.Or(env["HOME"], env["USERPROFILE"]) }

// loadRattlers reads rattler's file alone.
func loadRattlers(env map[string]string) (c Credentials, err error) {
	text, err := readNamed(env["RATTLER_AUTH_FILE"], filepath.Join(home(env), ".rattler", "credentials.json"))
	if err != nil {
		return c, fmt.Errorf("read RATTLER_AUTH_FILE: %w", err)
	}
	if len(text) > 0 && json.Unmarshal(text, &c.hosts) != nil {
		return c, errors.New(`read rattler's credentials (RATTLER_AUTH_FILE or ~/.rattler/credentials.json): it is JSON such as {"conda.example": {"BearerToken": "…"}}`)
	}
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
