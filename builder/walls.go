package builder

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/sandbox"
)

// walls are those of the request; a recipe that downloads in its script says so
// (extra: {condaworker: {network: true}}).
func (b *build) walls() sandbox.Walls {
	w := b.Walls
	asked, _ := b.out.Extra["condaworker"].(map[string]any)
	if asked["network"] == true && !b.Sealed {
		w.Network = true
	}
	return w
}

// tellLayers logs what holds, once unless it changes.
func (b *build) tellLayers(l sandbox.Layers) {
	if text := l.String(); text != b.layers {
		b.layers = text
		b.Info(text)
	}
}

// tellLeft logs that a script left processes: a package that counts on what they do
// later is not whole.
func (b *build) tellLeft(names []string) {
	slices.Sort(names)
	b.Warn(fmt.Sprintf("the script left processes behind (%d), which were ended: %s", len(names), strings.Join(slices.Compact(names), ", ")))
}

// scriptView is what the build script sees: its folders and the recipe. Finished
// packages, the cache and other outputs' folders are out of its reach.
func (b *build) scriptView() sandbox.View {
	return sandbox.View{
		Read:  slices.Concat([]string{b.dirs.scripts}, b.visibleRecipe(), b.Read),
		Write: []string{b.dirs.work, b.dirs.prefix, b.dirs.buildPrefix, b.dirs.home, b.dirs.tmp, b.dirs.pipCache},
		Tmp:   b.dirs.systemTmp,
	}
}

// testView is what a test sees.
func (b *build) testView() sandbox.View {
	return sandbox.View{
		Read:  slices.Concat([]string{b.dirs.scripts}, b.Read),
		Write: []string{b.dirs.testPrefix, b.dirs.testTools, b.dirs.testWork, b.dirs.testHome, b.dirs.testTmp},
		Tmp:   b.dirs.systemTmp,
	}
}

// visibleRecipe is the recipe's folder. Where that is a folder with more than the
// recipe in it, such as the user's home, only the files beside the recipe are shown.
func (b *build) visibleRecipe() []string {
	if !within(b.Work, b.Dir) && !within(b.CallerEnv["HOME"], b.Dir) {
		return []string{b.Dir}
	}
	b.Warn("the recipe lies in " + b.Dir + ", which holds more than the recipe: its script sees the files there, but no folders; give the recipe a folder of its own")
	entries, _ := os.ReadDir(b.Dir) // the recipe was read from it
	var files []string
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(b.Dir, e.Name()))
		}
	}
	return files
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return path != "" && err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}

// makeTmp gives each script an empty /tmp.
func (j job) makeTmp() error {
	if err := os.RemoveAll(j.view.Tmp); err != nil {
		return err
	}
	return os.MkdirAll(j.view.Tmp, 0o755)
}
