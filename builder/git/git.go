// Package git asks repositories about their revisions. It runs the system's git,
// which knows the user's credentials, proxies and SSH agents.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How long one question may take, and one that needs a copy of the history.
const (
	patience      = time.Minute
	clonePatience = 10 * time.Minute
)

// transports are those that only move data. Others, such as ext::, run what the
// location says.
const transports = "file:git:http:https:ssh"

// Client asks, and asks each thing once: a recipe asks again for each variant.
// It is not for use by several goroutines.
type Client struct {
	ctx     context.Context //nolint:containedctx // templates ask, and know of none
	dir     string
	env     []string
	answers map[string]answer
}

type answer struct {
	text string
	err  error
}

// NewClient returns a client that asks until ctx ends, for locations that are
// relative to dir. env is
// git's environment: PATH, HOME and whatever its credential helpers need.
func NewClient(ctx context.Context, dir string, env map[string]string) *Client {
	c := &Client{ctx: ctx, dir: dir, answers: map[string]answer{}}
	for name, value := range env {
		if !slices.Contains(ofOneRepository, name) {
			c.env = append(c.env, name+"="+value)
		}
	}
	c.env = append(c.env, "GIT_ALLOW_PROTOCOL="+transports, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
	return c
}

// ofOneRepository are variables that a hook or an alias of another repository
// leaves behind: git would ask that one.
var ofOneRepository = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
	"GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE",
}

// HeadRev returns the full hash of the commit that HEAD is at. location is a URL,
// an scp-like host:path, or a folder.
func (c *Client) HeadRev(location string) (string, error) {
	out, err := c.listRemote(location, "HEAD")
	if err != nil {
		return "", err
	}
	rev, _, ok := strings.Cut(out, "\t")
	if !ok {
		return "", fmt.Errorf("%s has no commit yet", shown(location))
	}
	return rev, nil
}

// LatestTag returns the name of the tag that is the last one in git's order of
// versions (v:refname: v1.9 is before v1.10), and the full hash of its commit.
func (c *Client) LatestTag(location string) (name, rev string, err error) {
	out, err := c.listRemote(location, "--tags", "--sort=v:refname")
	if err != nil {
		return "", "", err
	}
	// An annotated tag has a second line, NAME^{}, with the commit.
	lines := strings.Split(strings.TrimSpace(out), "\n")
	rev, ref, ok := strings.Cut(lines[len(lines)-1], "\t")
	if !ok {
		return "", "", fmt.Errorf("%s has no tags", shown(location))
	}
	return strings.TrimSuffix(strings.TrimPrefix(ref, "refs/tags/"), "^{}"), rev, nil
}

// TagDistance returns how many commits HEAD has that the latest tag has not.
func (c *Client) TagDistance(location string) (int, error) {
	_, rev, err := c.LatestTag(location)
	if err != nil {
		return 0, err
	}
	out, err := c.inside(location, "--filter=tree:0", func(ctx context.Context, repository string) (string, error) {
		return c.git(ctx, "--git-dir="+repository, "rev-list", "--count", rev+"..HEAD")
	}, "distance", rev)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(out)
	if err != nil {
		return 0, fmt.Errorf("count the commits of %s: git printed %q", shown(location), out)
	}
	return n, nil
}

// Describe returns what `git describe --tags --long` prints of a revision, e.g.
// v1.2-3-g82c6ba6, and the revision's full hash. long is "" when no tag is
// before it. revision is a commit, tag or branch; "" is HEAD. A repository
// elsewhere is copied whole: how long git writes a short hash depends on the
// number of objects.
func (c *Client) Describe(location, revision string) (long, full string, err error) {
	if revision == "" {
		revision = "HEAD"
	}
	out, err := c.inside(location, "--no-filter", func(ctx context.Context, repository string) (string, error) {
		full, err := c.git(ctx, "--git-dir="+repository, "rev-parse", "--verify", "--end-of-options", revision+"^{commit}")
		if err != nil {
			return "", err
		}
		long, err := c.git(ctx, "--git-dir="+repository, "describe", "--tags", "--long", full)
		if _, said := errors.AsType[*exec.ExitError](err); err != nil && !said {
			return "", err
		}
		return full + " " + long, nil
	}, "describe", revision)
	full, long, _ = strings.Cut(out, " ")
	return long, full, err
}

// listRemote is git ls-remote of a location.
func (c *Client) listRemote(location string, args ...string) (string, error) {
	return c.once(location, patience, func(ctx context.Context, place string) (string, error) {
		if !remote(place) {
			if _, err := gitDir(place); err != nil {
				return "", err
			}
		}
		args := append([]string{"ls-remote", "--quiet"}, args...)
		if args[len(args)-1] == "HEAD" {
			return c.git(ctx, append(args[:len(args)-1], "--", place, "HEAD")...)
		}
		return c.git(ctx, append(args, "--", place)...)
	}, args...)
}

// inside asks a repository that is here: a folder as it is, any other location
// as a bare copy, of which filter says what is left out.
func (c *Client) inside(location, filter string, ask func(ctx context.Context, repository string) (string, error), key ...string) (string, error) {
	return c.once(location, clonePatience, func(ctx context.Context, place string) (string, error) {
		if !remote(place) {
			repository, err := gitDir(place)
			if err != nil {
				return "", err
			}
			return ask(ctx, repository)
		}
		scratch, err := os.MkdirTemp("", "condaworker-git-")
		if err != nil {
			return "", fmt.Errorf("make a folder to clone into: %w", err)
		}
		defer func() { _ = os.RemoveAll(scratch) }()
		if _, err := c.git(ctx, "clone", "--quiet", "--bare", filter, "--", place, scratch); err != nil {
			return "", err
		}
		return ask(ctx, scratch)
	}, key...)
}

// once keeps an answer, and says what it was asked of when there is none.
func (c *Client) once(location string, patience time.Duration, ask func(ctx context.Context, place string) (string, error), key ...string) (string, error) {
	id := strings.Join(append(key, location), "\x00")
	if known, ok := c.answers[id]; ok {
		return known.text, known.err
	}
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	var a answer
	place, err := c.place(location)
	if err == nil {
		a.text, err = ask(ctx, place)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		a.err = fmt.Errorf("ask the repository %s: no answer within %v", shown(location), patience)
	case err != nil:
		a.err = fmt.Errorf("ask the repository %s: %w", shown(location), err)
	}
	c.answers[id] = a
	return a.text, a.err
}

// git runs git and returns what it prints. The error is *exec.ExitError with
// git's reason, or why it did not run.
func (c *Client) git(ctx context.Context, args ...string) (string, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return "", errors.New("there is no git on the PATH: install it")
	}
	var out, complaint bytes.Buffer
	command := exec.CommandContext(ctx, program, args...) //nolint:gosec // options are ours, and end before what a recipe says
	command.Dir, command.Env, command.Stdout, command.Stderr = c.dir, c.env, &out, &complaint
	command.WaitDelay = time.Second
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("git says %q: %w", reason(complaint.String()), err)
	}
	return strings.TrimSpace(out.String()), nil
}

// reason is the line of git's complaint that says why; the others are advice.
func reason(complaint string) string {
	lines := strings.Split(strings.TrimSpace(complaint), "\n")
	for _, line := range lines {
		if why, ok := strings.CutPrefix(line, "fatal: "); ok {
			return why
		}
	}
	return lines[len(lines)-1]
}

// scpLike is host:path; a single letter is a Windows drive.
var scpLike = regexp.MustCompile(`^[^/\\]{2,}:`)

// remote tells a URL and host:path from a folder.
func remote(location string) bool { return scpLike.MatchString(location) }

// place is a location as git takes it.
func (c *Client) place(location string) (string, error) {
	switch {
	case location == "" || strings.HasPrefix(location, "-"):
		return "", errors.New("this is no location: write a URL or a folder")
	case strings.HasPrefix(location, "file://"):
		u, err := url.Parse(location)
		if err != nil {
			return "", fmt.Errorf("read the URL: %w", err)
		}
		return filepath.FromSlash(u.Path), nil
	case remote(location) || filepath.IsAbs(location):
		return location, nil
	}
	return filepath.Join(c.dir, filepath.FromSlash(location)), nil
}

// gitDir is the repository of a folder. A folder in the middle of a repository
// has none: it would be another project's.
func gitDir(folder string) (string, error) {
	for _, dir := range []string{filepath.Join(folder, ".git"), folder} {
		if _, err := os.Stat(filepath.Join(dir, "objects")); err == nil {
			return dir, nil
		}
	}
	// In a worktree or a submodule .git is a file that says where.
	text, err := os.ReadFile(filepath.Join(folder, ".git"))
	if err == nil {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: "); ok {
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(folder, dir)
			}
			return dir, nil
		}
	}
	if _, err := os.Stat(folder); err != nil {
		return "", err
	}
	return "", errors.New("this folder is no git repository")
}

// shown is a location without its password.
func shown(location string) string {
	if u, err := url.Parse(location); err == nil && u.User != nil {
		return u.Redacted()
	}
	return location
}
