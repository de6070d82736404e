package store

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Scheme is the kind of place that a channel lives in.
type Scheme string

const (
	Folder Scheme = "file"  // a folder on a local or network file system
	S3     Scheme = "s3"    // a prefix in a bucket
	HTTP   Scheme = "https" // a web server; read only
)

// URL is a channel's place in canonical form: two spellings of one channel
// give equal values, so that they also mean one lock.
type URL struct {
	Scheme Scheme
	Path   string // of a folder, e.g. /mnt/channel
	Bucket string // e.g. studio-packages
	Prefix string // in the bucket, without slashes at its ends; "" is the whole bucket
	Web    string // the http or https URL without a slash at its end
}

// ParseURL reads a folder's path, file://, s3://bucket/prefix, or http(s)://.
// White space around it, the case of the scheme and slashes that are too many
// say nothing.
func ParseURL(text string) (URL, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return URL{}, fmt.Errorf("the channel URL is empty: name a folder or s3://bucket/prefix")
	}
	scheme, rest, found := strings.Cut(text, ":")
	scheme = strings.ToLower(scheme)
	rest, slashes := strings.CutPrefix(rest, "//")
	switch {
	case found && scheme == "file":
		return parseFile(text)
	case found && slashes && scheme == "s3":
		return parseS3(text, rest)
	case found && slashes && (scheme == "http" || scheme == "https"):
		return parseWeb(text)
	case found && (slashes || scheme == "s3" || scheme == "http" || scheme == "https"): // hardly a folder's name
		return URL{}, fmt.Errorf("channel URL %s: a channel is a folder, file://, s3:// or https://", WithoutSecrets(text))
	}
	return URL{Scheme: Folder, Path: filepath.Clean(text)}, nil
}

// parseFile takes file:///folder and file:/folder (RFC 8089); another host's
// folder cannot be opened.
func parseFile(text string) (URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host != "" && !strings.EqualFold(u.Host, "localhost") || u.Path == "" {
		return URL{}, fmt.Errorf("channel URL %s: it is file:///absolute/folder", text)
	}
	if i := strings.IndexAny(text, "?#"); i >= 0 { // the folder's name may go on there
		return URL{}, fmt.Errorf("channel URL %s: a URL of a folder ends before %q: write %%%02X for it, or name the folder by its path", text, text[i:i+1], text[i])
	}
	return URL{Scheme: Folder, Path: filepath.Clean(filepath.FromSlash(u.Path))}, nil
}

// parseS3 drops slashes that are too many: they would be part of the keys.
func parseS3(text, rest string) (URL, error) {
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		return URL{}, fmt.Errorf("channel URL %s: clients would look for s3://%s, without %q: leave that out", WithoutSecrets(text), rest[:i], rest[i:])
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if bucket == "" || strings.ContainsAny(bucket, "@:") {
		return URL{}, fmt.Errorf("channel URL %s: it is s3://bucket/prefix", text)
	}
	var segments []string
	for s := range strings.SplitSeq(prefix, "/") {
		if s == "." || s == ".." || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return URL{}, fmt.Errorf("channel URL %s: %q is not a part of an s3 prefix", text, s)
		}
		if s != "" {
			segments = append(segments, s)
		}
	}
	return URL{Scheme: S3, Bucket: bucket, Prefix: path.Join(segments...)}, nil
}

// parseWeb drops query and fragment, which have no meaning for a channel.
func parseWeb(text string) (URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return URL{}, fmt.Errorf("channel URL: it is https://host/path")
	}
	u.Host = strings.ToLower(u.Host)
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawQuery, u.ForceQuery, u.Fragment = "", false, ""
	return URL{Scheme: HTTP, Web: u.String()}, nil
}

// awsHost is a server of Amazon's S3, with the bucket before it or in the path.
var awsHost = regexp.MustCompile(`^(?:(.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?$`)

// InS3 is the s3:// URL of what an https URL shows of Amazon's S3, if it is one.
func (u URL) InS3() (in URL, ok bool) {
	web, err := url.Parse(u.Web)
	if u.Scheme != HTTP || err != nil {
		return in, false
	}
	host := awsHost.FindStringSubmatch(web.Hostname())
	if host == nil {
		return in, false
	}
	in, err = ParseURL("s3://" + strings.TrimLeft(path.Join(host[1], web.Path), "/"))
	return in, err == nil
}

// String is the canonical spelling, without secrets (see WithoutSecrets).
func (u URL) String() string {
	switch u.Scheme {
	case S3:
		return strings.TrimSuffix("s3://"+u.Bucket+"/"+u.Prefix, "/")
	case HTTP:
		return WithoutSecrets(u.Web)
	}
	return u.Path
}
