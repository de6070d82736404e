package install

import (
	"cmp"
	"fmt"
	"maps"
	"path"
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
func layout(order []*member) (moves []move, warnings []string, err error) {
	claims, err := claimAll(order)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range order {
		for i := range m.paths {
			p := &m.paths[i]
			if p.PathType == directory {
				continue
			}
			to, winner := p.original(), claims[p.original()].of
			if winner != m {
				to = path.Join(clobbers, m.name, p.original())
			}
			if to == p.Path {
				continue
			}
			moves = append(moves, move{m, p, to})
			if winner != m {
				warnings = append(warnings, fmt.Sprintf("%s is in %s and in %s: that of %s is used", p.original(), m.dist, winner.dist, winner.dist))
			}
		}
	}
	return moves, warnings, nil
}

// original is the path that the package has it under.
func (p *pathEntry) original() string { return cmp.Or(p.Original, p.Path) }

// claimAll returns who has each path in the end. A path that is a file of one package
// and a folder of another is an error.
func claimAll(order []*member) (map[string]claim, error) {
	claims, folders := map[string]claim{}, map[string]*member{}
	for _, m := range order {
		for i := range m.paths {
			p := &m.paths[i]
			name := p.original()
			dir := path.Dir(name)
			if p.PathType == directory {
				dir = name
			} else {
				if claims[name].of == m {
					return nil, fmt.Errorf("install %s: it has the file %s twice", m.dist, name)
				}
				claims[name] = claim{m, p}
			}
			for ; dir != "." && folders[dir] == nil; dir = path.Dir(dir) {
				folders[dir] = m
			}
		}
	}
	for dir, m := range folders {
		if c, ok := claims[dir]; ok && c.at.PathType != softlink { // links to folders are followed
			return nil, fmt.Errorf("%s is a file of %s and a folder of %s: they cannot be installed together", dir, c.of.dist, m.dist)
		}
	}
	return claims, nil
}
