package install

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// randomPackages are some whose files are in each other's way, with symlinks that make
// folders of several names one.
func randomPackages(rng *rand.Rand) map[string]made {
	all := map[string]made{}
	paths := []string{"lib/x", "lib64/x", "lib/d/y", "lib64/d/y", "lib32/d/y", "bin/z", "lib/d/e/z", "lib64/d/e/z"}
	for _, name := range []string{"a", "b", "c", "y", "z"} {
		if rng.IntN(3) == 0 {
			continue
		}
		m := made{name: name, version: fmt.Sprintf("%d.0", 1+rng.IntN(2))}
		for _, p := range paths {
			if rng.IntN(3) == 0 {
				m.files = append(m.files, file{name: p, content: name + m.version + p})
			}
		}
		all[name] = m
	}
	for _, link := range []made{
		{name: "k", files: []file{{name: "lib64", target: "lib"}, {name: "lib/k"}}},
		{name: "m", files: []file{{name: "lib32", target: "lib64"}, {name: "lib64/m"}}},
		{name: "x", files: []file{{name: "lib/d", target: "../share"}, {name: "share/x"}}},
	} {
		if rng.IntN(2) == 0 {
			all[link.name] = link
		}
	}
	return all
}

// An environment that is changed into another one is the same as if it had been made at
// once; a change that is refused, or cut off anywhere, leaves it as it was.
func TestRandomChanges(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // repeatable on purpose
		from, to := randomPackages(rng), randomPackages(rng)
		cache := t.TempDir()
		pkgs := func(all map[string]made) []Package {
			var list []made
			for _, name := range slices.Sorted(maps.Keys(all)) {
				list = append(list, all[name])
			}
			return writeAll(t, list)
		}
		prefix, fresh := filepath.Join(t.TempDir(), "env"), filepath.Join(t.TempDir(), "env")
		if Install(t.Context(), pkgs(from), prefix, Options{Cache: cache}) != nil {
			continue
		}
		come, leave := map[string]made{}, []string{}
		for name, m := range to {
			if old, there := from[name]; !there || old.version != m.version || fmt.Sprint(old) != fmt.Sprint(m) {
				come[name] = m
			}
		}
		for _, name := range slices.Sorted(maps.Keys(from)) {
			if _, stays := to[name]; !stays || come[name].name != "" {
				leave = append(leave, name)
			}
		}
		want := Install(t.Context(), pkgs(to), fresh, Options{Cache: cache})
		before := whole(t, prefix)
		if want == nil && seed%15 == 0 {
			var list []made
			for _, name := range slices.Sorted(maps.Keys(come)) {
				list = append(list, come[name])
			}
			cutOff(t, prefix, cache, list, leave...)
		}
		err := Install(t.Context(), pkgs(come), prefix, Options{Cache: cache, Remove: leave})
		switch {
		case (err == nil) != (want == nil):
			t.Errorf("%d: %v to %v: changed: %v; made at once: %v", seed, from, to, err, want)
		case err != nil:
			if diff := cmp.Diff(before, whole(t, prefix)); diff != "" {
				t.Errorf("%d: refused, but changed: %s", seed, diff)
			}
		default:
			if diff := cmp.Diff(tree(t, fresh), tree(t, prefix)); diff != "" {
				t.Errorf("%d: %v to %v: made at once -, changed +\n%s", seed, from, to, diff)
			}
		}
	}
}
