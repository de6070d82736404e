package recipe

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Repositories answers what recipes ask of git. A location is a URL, host:path,
// or a folder, which may be relative to the recipe's.
type Repositories interface {
	// HeadRev is the full hash of the commit that HEAD is at.
	HeadRev(location string) (string, error)
	// LatestTag is the last tag in git's order of versions, and its commit.
	LatestTag(location string) (name, rev string, err error)
	// TagDistance is how many commits HEAD has that the latest tag has not.
	TagDistance(location string) (int, error)
	// Describe is git describe --tags --long of a commit, tag or branch ("" is
	// HEAD), or "" when no tag is before it, and its full hash.
	Describe(location, revision string) (long, full string, err error)
}

// gitObject is recipe.yaml's git: git.head_rev(url) and the like.
func (j *job) gitObject() any {
	d := jinja.NewDict()
	add := func(name string, ask func(location string) (any, error)) {
		d.Set(name, jinja.Func(func(c jinja.Call) (any, error) {
			location, err := c.String(0, "url")
			if err != nil {
				return nil, err
			}
			if j.Git == nil {
				return nil, &jinja.Error{Text: "git." + name + " is not available", Hint: "write the revision out: this rendering does not look into repositories"}
			}
			v, err := ask(location)
			if err != nil {
				return nil, &jinja.Error{Text: fmt.Sprintf("git.%s: %v", name, err), Hint: "mend the location, or write the revision out"}
			}
			return v, nil
		}))
	}
	add("head_rev", func(location string) (any, error) { return j.Git.HeadRev(location) })
	add("latest_tag", func(location string) (any, error) {
		name, _, err := j.Git.LatestTag(location)
		return name, err
	})
	add("latest_tag_rev", func(location string) (any, error) {
		_, rev, err := j.Git.LatestTag(location)
		return rev, err
	})
	add("latest_tag_distance", func(location string) (any, error) {
		n, err := j.Git.TagDistance(location)
		return int64(n), err
	})
	return d
}

var (
	longDescription = regexp.MustCompile(`^(.*)-(\d+)-(g[0-9a-f]+)$`)
	plainTag        = regexp.MustCompile(`^[A-Za-z0-9.]+$`)
)

// checkout is what conda-build's GIT_* variables say of a meta.yaml's first
// source: a git_url at its revision, or a path that is a checkout.
func (j *job) checkout(source *tree.Node) (map[string]any, error) {
	first := source
	if source != nil && source.Kind == tree.List && len(source.Items) > 0 {
		first = source.Items[0]
	}
	location, revision := first.Get("git_url").Scalar(), ""
	if location == "" {
		location = first.Get("path").Scalar()
	} else {
		revision = cmp.Or(first.Get("git_rev").Scalar(), first.Get("git_tag").Scalar(), first.Get("git_branch").Scalar())
	}
	if location == "" || j.Git == nil {
		return nil, nil
	}
	long, full, err := j.Git.Describe(location, revision)
	if err != nil {
		return nil, err
	}
	return describedFacts(long, full), nil
}

// describedFacts are the variables of a description such as v1.2-3-g82c6ba6.
func describedFacts(long, full string) map[string]any {
	facts := map[string]any{"GIT_FULL_HASH": full}
	m := longDescription.FindStringSubmatch(long)
	if m == nil {
		return facts
	}
	tag, number, hash := m[1], m[2], m[3]
	facts["GIT_DESCRIBE_TAG"], facts["GIT_DESCRIBE_NUMBER"], facts["GIT_DESCRIBE_HASH"] = tag, number, hash
	facts["GIT_BUILD_STR"] = number + "_" + hash
	// PEP 440 wants no v before the version, and says commits after it as .postN+HASH.
	version := strings.TrimLeftFunc(tag, func(r rune) bool { return r == '_' || unicode.IsLetter(r) })
	if !plainTag.MatchString(version) {
		return facts
	}
	if number != "0" {
		version += ".post" + number + "+" + hash[1:]
	}
	facts["GIT_DESCRIBE_TAG_PEP440"] = version
	return facts
}
