package recipe

import (
	"net/url"
	"strings"
)

// defaultPorts are left out of an address.
var defaultPorts = map[string]string{"http": "80", "https": "443", "ftp": "21"}

// normalURL writes an address as the WHATWG URL standard does, which is how
// recipe.yaml's tools print it: the host in small letters, a path of at least
// one /, and letters that an address cannot have as percent codes. What is no
// address is returned as it is.
func normalURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme == "" || defaultPorts[u.Scheme] == "" || u.Host == "" {
		return s
	}
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != nil {
		b.WriteString(u.User.String() + "@")
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	b.WriteString(host)
	if port := u.Port(); port != "" && port != defaultPorts[u.Scheme] {
		b.WriteString(":" + port)
	}
	rest := s[strings.Index(s, "://")+3:]
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[i:]
	} else {
		rest = ""
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	path, tail := rest, ""
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		path, tail = rest[:i], rest[i:]
	}
	b.WriteString(encoded(withoutDots(path), ` "<>`+"`{}^"))
	b.WriteString(encoded(tail, ` "<>`))
	return strings.TrimRight(b.String(), " ")
}

// withoutDots resolves . and .. in a path.
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	parts := strings.Split(path, "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch {
		case p == ".." && len(out) > 1:
			out = out[:len(out)-1]
		case p == "." || p == "..":
		default:
			out = append(out, p)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return strings.Join(out, "/")
}

// encoded writes letters outside of ASCII, and those of set, as percent codes.
func encoded(s, set string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c < 0x21 || c > 0x7e || strings.IndexByte(set, c) >= 0 {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
