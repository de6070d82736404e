package install

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// plan is a change of a prefix before its first step.
type plan struct {
	journal
	leaving  []*installed
	arriving []*unpacked // dependencies first
	moves    []move      // of packages that stay
	links    links
	warnings []string

	asked   map[string]string // see Options.Asked
	reasked []*installed      // packages that stay, and are asked for otherwise
	unasked []string          // packages that are asked for no more
}

// plan finds out what has to be done, and everything that forbids it.
func (l *prefix) plan(all []*unpacked, o Options) (*plan, error) {
	kept, leaving, err := l.split(o.Remove)
	if err != nil {
		return nil, err
	}
	if err := l.findPython(kept, all); err != nil {
		return nil, err
	}
	members, err := l.members(kept, all)
	if err != nil {
		return nil, err
	}
	p := &plan{leaving: leaving}
	p.compareAsked(kept, o)
	order := inOrder(members)
	links := leaders(order)
	moves, warnings, err := layout(order, links)
	if err != nil {
		return nil, err
	}
	p.links, p.warnings = links, warnings
	for _, m := range moves {
		if m.of.kept != nil {
			p.moves = append(p.moves, m)
			continue
		}
		m.at.source, m.at.Original, m.at.Path = cmp.Or(m.at.source, m.at.Path), m.at.Path, m.to
	}
	p.arriving = sortedAs(order, all)
	if o.Run != nil {
		l.python.addCompiled(p.arriving)
	}
	return p, p.write(l, order, links)
}

// split tells the packages that stay from those called names.
func (l *prefix) split(names []string) (kept, leaving []*installed, err error) {
	for _, i := range l.packages {
		if slices.Contains(names, i.name) {
			leaving = append(leaving, i)
		} else {
			kept = append(kept, i)
		}
	}
	if len(leaving) < len(names) {
		return nil, nil, fmt.Errorf("not all of %q is installed in %s", names, l.dir)
	}
	return kept, leaving, nil
}

// members lists all packages, with the paths that they want.
func (l *prefix) members(kept []*installed, all []*unpacked) ([]*member, error) {
	var members []*member
	dists := map[string]string{}
	for _, i := range kept {
		dists[i.name] = i.dist()
		members = append(members, &member{name: i.name, dist: i.dist(), depends: i.depends, paths: i.paths, kept: i, from: l.resolved})
	}
	for _, u := range all {
		name, _ := u.index["name"].(string)
		if other, ok := dists[name]; ok {
			return nil, fmt.Errorf("install %s: the prefix has %s already", u.dist, other)
		}
		dists[name] = u.dist
		if u.index["noarch"] == "python" {
			if err := l.python.layOut(u); err != nil {
				return nil, fmt.Errorf("install %s: %w", u.dist, err)
			}
		}
		members = append(members, &member{name: name, dist: u.dist, depends: u.depends(), paths: u.paths, from: u.dir})
	}
	return members, nil
}

func sortedAs(order []*member, all []*unpacked) []*unpacked {
	byDist := map[string]*unpacked{}
	for _, u := range all {
		byDist[u.dist] = u
	}
	var sorted []*unpacked
	for _, m := range order {
		if m.kept == nil {
			sorted = append(sorted, byDist[m.dist])
		}
	}
	return sorted
}

// write fills in the journal, and looks for files in the way that are no package's.
func (p *plan) write(l *prefix, order []*member, links links) error {
	if p.Fresh = l.fresh; p.Fresh {
		return nil
	}
	folders := p.foldersInTheWay(l)
	gone := p.linksThatGo(l, links)
	p.moveOut(l, slices.Concat(folders, gone), order)
	p.putAside(l)
	if err := p.putFoldersAside(l, folders); err != nil {
		return err
	}
	if _, err := l.root.Lstat(filepath.FromSlash(historyFile)); err == nil {
		p.Old = append(p.Old, historyFile)
	}
	var unknown error
	elsewhere := below(l.root, gone)
	there := func(name string) bool {
		if elsewhere(name) { // by then
			return false
		}
		_, err := l.root.Lstat(filepath.FromSlash(name))
		if _, system := errors.AsType[syscall.Errno](err); system && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			unknown = err
		}
		return err == nil
	}
	aside := map[string]bool{}
	for _, name := range p.Old {
		aside[name] = true
	}
	byPlace := sync.OnceValue(func() map[string]string { return places(l.root, p.Old) })
	stays := func(name string) bool {
		return there(name) && !aside[name] && (len(folders)+len(gone) == 0 || byPlace()[really(l.root, name)] == "")
	}
	seen := map[string]bool{".": true}
	for _, dir := range p.make() {
		p.addDirs(dir, seen, stays)
	}
	p.Empty = p.emptied(order)
	if err := p.notInTheWay(l, byPlace, func(name string) bool { return there(name) && !aside[name] }); err != nil {
		return err
	}
	return unknown
}

// notInTheWay refuses what is where something new will be and is not put aside, by this
// name or another one.
func (p *plan) notInTheWay(l *prefix, old func() map[string]string, stays func(string) bool) error {
	for _, name := range p.New {
		if !stays(name) {
			continue
		}
		other, same := old()[really(l.root, name)]
		if !same {
			return fmt.Errorf("%s is in the prefix already and belongs to no package: remove it", name)
		}
		if p.Same == nil {
			p.Same = map[string]string{}
		}
		p.Same[name] = other
	}
	return nil
}

// foldersInTheWay are those that give way to a file or a symlink. rattler can leave a
// folder where a package has a symlink, and another package's files in it.
func (p *plan) foldersInTheWay(l *prefix) []string {
	var names, folders []string
	for _, u := range p.arriving {
		names = append(names, files(u.paths)...)
	}
	for _, m := range p.moves {
		names = append(names, m.to)
	}
	for _, name := range names {
		if info, err := l.root.Lstat(filepath.FromSlash(name)); err == nil && info.IsDir() {
			folders = append(folders, name)
		}
	}
	return folders
}

// linksThatGo are the symlinks of packages that leave, unless another one leads there,
// too. What other packages have behind them would be out of reach.
func (p *plan) linksThatGo(l *prefix, links links) (all []string) {
	for _, i := range p.leaving {
		for _, e := range i.paths {
			if info, err := l.root.Stat(filepath.FromSlash(e.Path)); e.PathType != softlink || err != nil || !info.IsDir() {
				continue
			}
			target, err := l.root.Readlink(filepath.FromSlash(e.Path))
			if err == nil && links[e.Path] != path.Join(path.Dir(e.Path), filepath.ToSlash(target)) {
				all = append(all, e.Path)
			}
		}
	}
	return all
}

// moveOut has the files that packages which stay have in folders that change, from
// folders to symlinks or back, placed once more: where their paths will lead.
func (p *plan) moveOut(l *prefix, folders []string, order []*member) {
	inside := below(l.root, folders)
	moved := map[*pathEntry]bool{}
	for _, m := range p.moves {
		moved[m.at] = true
	}
	for _, m := range order {
		for i := range m.paths {
			e := &m.paths[i]
			if m.kept != nil && e.PathType != directory && !moved[e] && inside(e.Path) {
				p.moves = append(p.moves, move{m, e, e.Path})
			}
		}
	}
}

// putFoldersAside lists the folders behind what is in them, which has to be put aside.
func (p *plan) putFoldersAside(l *prefix, folders []string) error {
	if len(folders) == 0 {
		return nil
	}
	aside := places(l.root, p.Old)
	for _, folder := range folders {
		var found []string // parents first
		err := fs.WalkDir(l.root.FS(), folder, func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir():
				found = append(found, name)
			case aside[really(l.root, name)] == "":
				return fmt.Errorf("%s is in the prefix already and belongs to no package, and its folder %s gives way to a file or a link: remove it", name, folder)
			}
			return nil
		})
		if err != nil {
			return err
		}
		slices.Reverse(found)
		p.Old = append(p.Old, found...)
	}
	return nil
}

// addDirs lists dir, if it has to be made, behind those that it lies in.
func (p *plan) addDirs(dir string, seen map[string]bool, there func(string) bool) {
	if seen[dir] {
		return
	}
	seen[dir] = true
	p.addDirs(path.Dir(dir), seen, there)
	if !there(dir) {
		p.Dirs = append(p.Dirs, dir)
	}
}

// putAside lists what will not be there any more: files before symlinks, and these from
// the bottom up, for all may be reached through a symlink above.
func (p *plan) putAside(l *prefix) {
	var links []string
	for _, i := range p.leaving {
		for _, e := range i.paths {
			switch e.PathType {
			case directory:
			case softlink:
				links = append(links, e.Path)
			default:
				p.Old = append(p.Old, e.Path)
			}
		}
	}
	for _, m := range p.moves {
		if m.at.PathType == softlink {
			links = append(links, m.at.Path)
		} else {
			p.Old = append(p.Old, m.at.Path)
		}
	}
	p.Old = append(p.Old, p.bytecode(l)...)
	depth := func(name string) int { return strings.Count(name, "/") }
	slices.SortStableFunc(links, func(a, b string) int { return cmp.Compare(depth(b), depth(a)) })
	p.Old = append(p.Old, links...)
	for _, i := range p.leaving {
		p.Old = append(p.Old, i.file)
	}
	for _, i := range p.changed() {
		p.Old = append(p.Old, i.file)
	}
}

// emptied lists the folders that may have nothing in them any more: those of what is put
// aside, and those that packages which leave have brought as such. What another package
// brings stays, empty or not.
func (p *plan) emptied(order []*member) []string {
	seen := map[string]bool{".": true}
	for _, m := range order {
		for _, e := range m.paths {
			if e.PathType == directory {
				seen[e.Path] = true
			}
		}
	}
	var all []string
	add := func(dir string) {
		for ; !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			all = append(all, dir)
		}
	}
	for _, name := range p.Old {
		add(path.Dir(name))
	}
	for _, i := range p.leaving {
		for _, e := range i.paths {
			if e.PathType == directory {
				add(e.Path)
			}
		}
	}
	slices.Sort(all)
	slices.Reverse(all) // what is inside comes first
	return all
}

// make lists what will be there, symlinks before files, and returns all folders.
func (p *plan) make() (dirs []string) {
	var names []string
	for _, u := range p.arriving {
		for _, e := range u.paths {
			switch e.PathType {
			case directory:
				dirs = append(dirs, e.Path)
				continue
			case softlink:
				p.New = append(p.New, e.Path)
			default:
				names = append(names, e.Path)
			}
			dirs = append(dirs, path.Dir(e.Path))
		}
		names = append(names, "conda-meta/"+u.dist+".json")
	}
	for _, m := range p.moves {
		if m.at.PathType == softlink {
			p.New = append(p.New, m.to)
		} else {
			names = append(names, m.to)
		}
		dirs = append(dirs, path.Dir(m.to))
	}
	for _, i := range p.changed() {
		names = append(names, i.file)
	}
	p.New = append(append(p.New, names...), historyFile)
	return append(dirs, "conda-meta")
}

// changed are the packages that stay, with other paths or another request.
func (p *plan) changed() []*installed {
	all := slices.Clone(p.reasked)
	for _, m := range p.moves {
		if !slices.Contains(all, m.of.kept) {
			all = append(all, m.of.kept)
		}
	}
	return all
}

// relocate gives what packages that stay have its new places, from where it was put
// aside: symlinks, or all else.
func (p *plan) relocate(l *prefix, c *change, links bool) error {
	for _, m := range p.moves {
		if (m.at.PathType == softlink) != links {
			continue
		}
		to, err := l.file(m.to)
		if err != nil {
			return err
		}
		from := filepath.Join(l.resolved, c.aside(slices.Index(p.Old, m.at.Path)))
		place := l.linkFile
		if links {
			place = copyLink
		}
		err = place(from, to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // what the user has removed stays removed
			return fmt.Errorf("move %s of %s: %w", m.at.Path, m.of.dist, err)
		}
	}
	return nil
}

// record writes down where what was relocated is now.
func (p *plan) record(l *prefix) error {
	for _, m := range p.moves {
		original := m.at.original()
		m.at.Path, m.at.Original = m.to, original
		if m.to == original {
			m.at.Original = ""
		}
	}
	for _, i := range p.changed() {
		moved := slices.ContainsFunc(p.moves, func(m move) bool { return m.of.kept == i })
		if err := l.rewriteRecord(i, moved, p.asked); err != nil {
			return fmt.Errorf("record %s: %w", i.dist(), err)
		}
	}
	return nil
}
