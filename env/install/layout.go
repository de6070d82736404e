package install

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/condaworker/condaworker/conda"
)

// member is a package of the prefix as it is going to be.
type member struct {
	name    string
	dist    string
	depends []string // match specs
	paths   []pathEntry
	kept    *installed // nil for one that is new
	from    string     // the folder that its files lie in now
}

// clobbers is the folder in a prefix for files that give way to those of another
// package, below the name of theirs. rattler keeps them there.
const clobbers = "__clobbers__"

// inOrder sorts members so that dependencies come first. It is rattler's order to the
// last, as long as no package needs itself in the end: which of two packages has a
// path that both bring depends on it.
func inOrder(members []*member) []*member {
	byName := map[string]*member{}
	needed := map[string]bool{}
	for _, m := range members {
		byName[m.name] = m
	}
	for _, m := range members {
		for _, d := range m.needs(byName) {
			if d != m.name {
				needed[d] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(byName))
	tops := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return needed[name] })
	v := &visit{byName: byName, seen: map[string]bool{}}
	for _, name := range slices.Backward(tops) {
		v.add(name)
	}
	for _, name := range names { // of circles that nothing else needs
		v.add(name)
	}
	return v.sorted
}

// needs are the names of other members that m depends on, sorted.
func (m *member) needs(byName map[string]*member) []string {
	var names []string
	for _, d := range m.depends {
		if name := conda.SpecName(d); byName[name] != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

type visit struct {
	byName map[string]*member
	seen   map[string]bool
	sorted []*member
}

// add visits what name needs, the last first, and then adds it.
func (v *visit) add(name string) {
	if v.seen[name] {
		return
	}
	v.seen[name] = true
	m := v.byName[name]
	for _, d := range slices.Backward(m.needs(v.byName)) {
		v.add(d)
	}
	v.sorted = append(v.sorted, m)
}

// move is a path that gets another place than the one it has, or was to have.
type move struct {
	of *member
	at *pathEntry
	to string
}

// claim is the wish of a member for a path.
type claim struct {
	of *member
	at *pathEntry
}

// layout decides which member has a path that several bring: the last one in order.
// The others' files go to clobbers, and come back when they are alone. What it returns
// has to be moved; warnings name what gives way for the first time.
func layout(order []*member, links links) (moves []move, warnings []string, err error) {
	claims, err := claimAll(order, links)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range order {
		for i := range m.paths {
			p := &m.paths[i]
			if p.PathType == directory {
				continue
			}
			to, winner := p.original(), claims[links.place(p.original())]
			if winner.at != p {
				to = path.Join(clobbers, m.name, p.original())
			}
			if to == p.Path {
				continue
			}
			moves = append(moves, move{m, p, to})
			if winner.at != p {
				warnings = append(warnings, winner.warning(claim{m, p}))
			}
		}
	}
	return moves, warnings, nil
}

// warning says what gives way to c.
func (c claim) warning(other claim) string {
	if c.at.original() == other.at.original() {
		return fmt.Sprintf("%s is in %s and in %s: that of %s is used", other.at.original(), other.of.dist, c.of.dist, c.of.dist)
	}
	return fmt.Sprintf("%s of %s and %s of %s are one file here, where a folder is a symlink: that of %s is used",
		other.at.original(), other.of.dist, c.at.original(), c.of.dist, c.of.dist)
}

// original is the path that the package has it under.
func (p *pathEntry) original() string { return cmp.Or(p.Original, p.Path) }

// links are symlinks that are folders of other paths, e.g. lib64, with where they lead,
// e.g. lib: through them one file has several paths.
type links map[string]string

// leaders finds those of the members: also symlinks that are folders of paths only by way
// of others.
func leaders(order []*member) links {
	all, folders := links{}, foldersOf(order)
	for more := true; more; {
		more = false
		for _, m := range order {
			for i := range m.paths {
				p := &m.paths[i]
				if p.PathType != softlink || folders[p.original()] == nil {
					continue
				}
				target, err := os.Readlink(filepath.Join(m.from, filepath.FromSlash(cmp.Or(p.source, p.Path))))
				if err == nil && !filepath.IsAbs(target) { // one that is gone, or not to be followed, leads to no path
					more = more || all[p.original()] == ""
					all[p.original()] = path.Join(path.Dir(p.original()), filepath.ToSlash(target))
				}
			}
		}
		for _, dir := range slices.Collect(maps.Keys(folders)) {
			for at := path.Dir(all.place(dir + "/x")); at != "." && folders[at] == nil; at = path.Dir(at) {
				folders[at] = folders[dir]
			}
		}
	}
	return all
}

// maxLinks is how many symlinks a system follows on the way to one file.
const maxLinks = 40

// place is where a path really leads: what is one file has one place.
func (l links) place(name string) string {
	for range maxLinks {
		next := l.step(name)
		if next == name {
			break
		}
		name = next
	}
	return name
}

// step follows the first symlink on the way to name.
func (l links) step(name string) string {
	if len(l) == 0 {
		return name
	}
	for i, c := range name {
		if c != '/' {
			continue
		}
		if to, is := l[name[:i]]; is {
			return path.Join(to, name[i:])
		}
	}
	return name
}

// foldersOf returns the folders of all paths, each with a member that has something there.
func foldersOf(order []*member) map[string]*member {
	folders := map[string]*member{}
	for _, m := range order {
		for i := range m.paths {
			dir := m.paths[i].original()
			if m.paths[i].PathType != directory {
				dir = path.Dir(dir)
			}
			for ; dir != "." && folders[dir] == nil; dir = path.Dir(dir) {
				folders[dir] = m
			}
		}
	}
	return folders
}

// claimAll returns who has each place in the end. A path that is a file of one package
// and a folder of another is an error.
func claimAll(order []*member, links links) (map[string]claim, error) {
	claims := map[string]claim{}
	for _, m := range order {
		for i := range m.paths {
			p := &m.paths[i]
			if p.PathType == directory {
				continue
			}
			at := links.place(p.original())
			if c := claims[at]; c.of == m && c.at.original() == p.original() {
				return nil, fmt.Errorf("install %s: it has the file %s twice", m.dist, p.original())
			}
			claims[at] = claim{m, p}
		}
	}
	for dir, m := range foldersOf(order) {
		if c, ok := claims[links.place(dir)]; ok && c.at.PathType != softlink { // links to folders are followed
			return nil, fmt.Errorf("%s is a file of %s and a folder of %s: they cannot be installed together", dir, c.of.dist, m.dist)
		}
	}
	return claims, nil
}
