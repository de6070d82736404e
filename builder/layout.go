package builder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// layout is where one output's build takes place, all of it below Work. The
// program's own files lie beside the work folder, never in it: recipes copy
// "$SRC_DIR"/. into packages.
type layout struct {
	work        string // SRC_DIR
	prefix      string // PREFIX, padded with _placehold to its length
	buildPrefix string // BUILD_PREFIX; the prefix itself when both are one
	home, tmp   string // HOME and TMPDIR of the scripts
	scripts     string // generated scripts
	downloads   string // sources before they are unpacked
	cache       string // archives and unpacked packages of environments, of all outputs
	testPrefix  string // PREFIX of the tests; short, so that padding is really replaced
	testTools   string // BUILD_PREFIX of the tests: what they are run with
	testWork    string // SRC_DIR of the tests
	testHome    string // HOME of a test: what the build left in its own must not help it
	testTmp     string // TMPDIR of a test
	systemTmp   string // what scripts have for /tmp
	pipCache    string // PIP_CACHE_DIR
	packages    string // finished packages
}

const (
	defaultPrefixLength = 255
	maxFileName         = 255 // bytes of one path component, on Linux's file systems
)

// layout makes the folders of this output's build, empty.
func (b *build) layout() error {
	root := filepath.Join(b.Work, b.out.Name)
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	prefix, err := paddedPrefix(filepath.Join(root, "_h_env"), b.PrefixLength)
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(root, name) }
	b.dirs = layout{
		work: in("work"), prefix: prefix, buildPrefix: in("_build_env"),
		home: in("home"), tmp: in("tmp"), scripts: in("scripts"),
		downloads: in("downloads"), cache: filepath.Join(b.Work, "_cache"),
		testPrefix: in("_t_env"), testTools: in("_t_build_env"), testWork: in("test_tmp"),
		testHome: in("test_home"), testTmp: in("test_tmpdir"), systemTmp: in("system_tmp"), pipCache: in("pip_cache"), packages: b.OutputDir,
	}
	if b.OutputDir == "" {
		b.dirs.packages = filepath.Join(b.Work, "_packages") // outlives this output: later ones may need it
	}
	if b.mergedPrefix() {
		b.dirs.buildPrefix = b.dirs.prefix
	}
	for _, dir := range []string{b.dirs.work, b.dirs.prefix, b.dirs.buildPrefix, b.dirs.home, b.dirs.tmp, b.dirs.scripts, b.dirs.testWork, b.dirs.pipCache} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the build's folders: %w", err)
		}
	}
	b.Folder("work", b.dirs.work)
	b.Folder("build prefix", b.dirs.buildPrefix)
	b.Folder("prefix", b.dirs.prefix) // it may be the build prefix as well
	b.Folder("test prefix", b.dirs.testPrefix)
	return nil
}

// paddedPrefix appends _placehold to path until it is length bytes long: a
// prefix can only be replaced by a shorter one inside a binary file, so it is
// as long as a path may be (conda-build's rule; its default is 255).
func paddedPrefix(path string, length int) (string, error) {
	if length == 0 {
		length = defaultPrefixLength
	}
	if len(path) > length {
		return "", fmt.Errorf("the work folder is too deep: a prefix of %d bytes cannot hold %s; choose a shorter --work-dir or a longer --prefix-length", length, path)
	}
	if name := length - len(filepath.Dir(path)) - 1; name > maxFileName {
		return "", fmt.Errorf("a prefix of %d bytes below %s needs a folder's name of %d bytes, and a file system allows %d: choose a shorter --prefix-length", length, filepath.Dir(path), name, maxFileName)
	}
	pad := length - len(path)
	return path + strings.Repeat("_placehold", pad/len("_placehold")+1)[:pad], nil
}
