package conda

import (
	"slices"
	"strings"
)

// defaultServer is where a channel that is given by its name alone lies.
const defaultServer = "https://conda.anaconda.org/"

// defaultChannels are what conda's "defaults" stands for.
var defaultChannels = []string{"pkgs/main", "pkgs/r", "pkgs/msys2", "pkgs/free", "pkgs/pro"}

// channelField compares channels. A name such as conda-forge fits that channel
// on any server: a mirror at s3://studio/conda-forge is conda-forge. A URL
// fits only itself.
func channelField(value string) (specField, error) {
	name := channelName(value)
	kind, match, err := textMatcher(name)
	f := specField{value: name, kind: kind}
	switch {
	case err != nil:
		return f, err
	case kind != exact:
		f.match = func(r *Record, _ Version) bool {
			return match(channelPath(r.Channel)) || match(strings.TrimRight(r.Channel, "/"))
		}
	case strings.Contains(name, "://"):
		f.match = func(r *Record, _ Version) bool { return channelName(r.Channel) == name }
	default:
		f.match = func(r *Record, _ Version) bool { return isChannel(r.Channel, name) }
	}
	return f, nil
}

// isChannel reports whether a record's channel, a name or a URL, is called name.
func isChannel(channel, name string) bool {
	got := channelPath(channel)
	switch {
	case name == "defaults":
		return got == name || slices.Contains(defaultChannels, got)
	case strings.HasPrefix(got, "/"): // a folder: nobody writes all of its path
		return got == name || strings.HasSuffix(got, "/"+name)
	}
	return got == name
}

// channelPath is a channel without its server: conda-forge of
// s3://studio/conda-forge.
func channelPath(s string) string {
	name := channelName(s)
	if _, rest, isURL := strings.Cut(name, "://"); isURL {
		_, name, _ = strings.Cut(rest, "/")
	}
	return name
}

// channelName shortens the URL of a channel on the usual servers to the name
// that people write. Other URLs stay.
func channelName(s string) string {
	s = strings.TrimRight(s, "/ ")
	if name, ok := strings.CutPrefix(s, defaultServer); ok {
		return name
	}
	for _, server := range []string{"https://repo.anaconda.com/", "https://repo.continuum.io/"} {
		if name, ok := strings.CutPrefix(s, server); ok && strings.HasPrefix(name, "pkgs/") {
			return name
		}
	}
	return s
}
