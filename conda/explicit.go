package conda

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// ParseExplicit reads a list of packages by their URLs, as conda list --explicit
// writes it (CEP 23): a line @EXPLICIT, and then lines URL, URL#MD5 or
// URL#sha256:SHA256; lines that begin with # are comments. The records have what a URL
// says: Channel, Subdir, FileName, Name, Version and Build, and the hash. A path takes
// the place of a URL for a package on disk. Errors name the line.
func ParseExplicit(text string) ([]Record, error) {
	var all []Record
	begun := false
	names := map[string]string{}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "@EXPLICIT":
			begun = true
		case !begun:
			return nil, fmt.Errorf("line %d: %q comes before a line @EXPLICIT: this is no list of URLs", n, line)
		default:
			r, err := parseExplicitLine(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if other, found := names[r.Name]; found {
				return nil, fmt.Errorf("line %d: %s is the second package called %s, after %s", n, r.FileName, r.Name, other)
			}
			names[r.Name] = r.FileName
			all = append(all, r)
		}
	}
	if !begun {
		return nil, fmt.Errorf("it has no line @EXPLICIT: this is no list of URLs")
	}
	return all, nil
}

// parseExplicitLine reads URL[#HASH].
func parseExplicitLine(line string) (Record, error) {
	place, hash, _ := strings.Cut(line, "#")
	place, _, _ = strings.Cut(place, "?")
	folder, file := path.Split(place)
	channel, subdir := path.Split(strings.TrimSuffix(folder, "/"))
	if unescaped, err := url.PathUnescape(file); err == nil && strings.Contains(place, "://") {
		file = unescaped
	}
	name, err := ParseFileName(file)
	if err != nil {
		return Record{}, fmt.Errorf("%q: %w", place, err)
	}
	if !CanBeSubdir(subdir) {
		return Record{}, fmt.Errorf("%q: a package lies in its platform's folder, such as linux-64, and that in a channel", place)
	}
	r := Record{
		Name: name.Name, Version: name.Version, Build: name.Build,
		FileName: file, Subdir: subdir, Channel: strings.TrimSuffix(channel, "/"),
	}
	sha, marked := strings.CutPrefix(hash, "sha256:")
	switch {
	case hash == "":
	case isHash(sha, 64):
		r.SHA256 = strings.ToLower(sha)
	case !marked && isHash(hash, 32):
		r.MD5 = strings.ToLower(hash)
	default:
		return r, fmt.Errorf("%q is no hash: it is the md5 in hexadecimal, or sha256: and the sha256", hash)
	}
	return r, nil
}

func isHash(s string, size int) bool {
	return len(s) == size && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}
