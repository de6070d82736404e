package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
)

// A change of a prefix is done as a whole: what it will make and take away is written
// down before the first step, what it takes away is put aside, and one rename ends it.
// Whoever finds the folder of a change undoes it before that rename, and tidies up
// after it. That holds for a process that is killed; when the machine loses its power
// the files of a prefix themselves may be lost, and nothing here waits for the disk.
const (
	changeDir = ".condaworker-transaction"
	undoFile  = changeDir + "/undo.json"
	doneFile  = changeDir + "/done.json"
	oldDir    = changeDir + "/old"
)

// journal is what has to be known to undo a change.
type journal struct {
	Fresh bool     `json:"fresh,omitempty"` // the prefix was empty: the rest is not needed
	Old   []string `json:"old,omitempty"`   // paths that are put aside, in this order, as old/0, old/1, …
	New   []string `json:"new,omitempty"`   // paths that are made, in this order
	Dirs  []string `json:"dirs,omitempty"`  // folders that are made, parents first
	Empty []string `json:"empty,omitempty"` // folders that go with what was in them, parents last

	// Same are paths of New that are, through a symlink, the same file as one of Old: that.
	Same map[string]string `json:"same,omitempty"`
}

// change is a journal at work.
type change struct {
	journal
	root *os.Root
}

// begin writes j down and puts the old paths aside. Those that are gone already are
// no error.
func begin(root *os.Root, j journal) (*change, error) {
	c := &change{j, root}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(root.MkdirAll(filepath.FromSlash(oldDir), 0o755), root.WriteFile(filepath.FromSlash(undoFile+".part"), text, 0o644)); err != nil {
		return nil, errors.Join(err, root.RemoveAll(changeDir))
	}
	if err := root.Rename(undoFile+".part", undoFile); err != nil {
		return nil, errors.Join(err, root.RemoveAll(changeDir))
	}
	for i, name := range j.Old {
		if err := root.Rename(filepath.FromSlash(name), c.aside(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, c.undo())
		}
	}
	return c, nil
}

// aside is where the i-th old path lies now.
func (c *change) aside(i int) string { return filepath.Join(changeDir, "old", strconv.Itoa(i)) }

// commit ends the change: from the rename on there is no way back.
func (c *change) commit() error {
	if err := c.root.Rename(undoFile, doneFile); err != nil {
		return errors.Join(err, c.undo())
	}
	if err := c.tidy(); err != nil {
		return fmt.Errorf("%s is changed, but for the removal of what was there before, which the next run does: %w", c.root.Name(), err)
	}
	return nil
}

// tidy removes what was put aside, and folders that are empty without it.
func (c *change) tidy() error {
	err := c.root.RemoveAll(filepath.FromSlash(oldDir))
	for _, dir := range c.Empty {
		if info, err := c.root.Lstat(filepath.FromSlash(dir)); err == nil && info.IsDir() {
			_ = c.root.Remove(filepath.FromSlash(dir)) // unless something is in it
		}
	}
	return errors.Join(err, c.root.RemoveAll(changeDir))
}

// undo brings back what was there. It may be cut off and done again.
func (c *change) undo() error {
	if c.Fresh {
		return c.empty()
	}
	old := map[string]int{}
	for i, name := range c.Old {
		old[name] = i
	}
	var errs []error
	note := func(err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	isOld := func(name string) bool { // it was never put aside, or is back
		i, was := old[name]
		if was {
			_, err := c.root.Lstat(c.aside(i))
			return err != nil
		}
		return false
	}
	made := map[string]bool{}
	for _, dir := range c.Dirs {
		made[dir] = true
	}
	// Of folders that are made some are reached through symlinks that are: they go with
	// the last file in them, before the symlink does.
	leave := func(dir string) bool {
		info, err := c.root.Lstat(filepath.FromSlash(dir))
		return err == nil && info.IsDir() && !isOld(dir) && c.root.Remove(filepath.FromSlash(dir)) == nil // unless somebody else put something in
	}
	for _, name := range halfWritten(c.root, c.New) {
		note(c.root.Remove(filepath.FromSlash(name)))
	}
	inOld := below(c.root, slices.DeleteFunc(slices.Clone(c.Old), func(name string) bool { return !isOld(name) }))
	for _, name := range slices.Backward(c.New) {
		if isOld(name) || isOld(c.Same[name]) || inOld(name) { // an old symlink leads to old files
			continue
		}
		note(c.root.Remove(filepath.FromSlash(name)))
		for dir := path.Dir(name); made[dir] && leave(dir); {
			dir = path.Dir(dir)
		}
	}
	for again := true; again; { // one may lie in another by another name
		again = false
		for _, dir := range slices.Backward(c.Dirs) {
			again = leave(dir) || again
		}
	}
	for i, name := range slices.Backward(c.Old) {
		note(c.bringBack(c.aside(i), filepath.FromSlash(name)))
	}
	if len(errs) > 0 {
		return fmt.Errorf("bring back what was in %s: %w; the next run tries that again", c.root.Name(), errors.Join(errs...))
	}
	return c.root.RemoveAll(changeDir)
}

// bringBack puts an old path back, and its folder, if that is gone. One that is not aside
// is back already, or never was there.
func (c *change) bringBack(aside, name string) error {
	err := c.root.Rename(aside, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := c.root.Lstat(aside); err != nil {
		return err
	}
	return errors.Join(c.root.MkdirAll(filepath.Dir(name), 0o755), c.root.Rename(aside, name))
}

// empty removes all that is in the prefix, the journal last.
func (c *change) empty() error {
	dir, err := c.root.Open(".")
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	err = errors.Join(err, dir.Close())
	for _, name := range names {
		if name != changeDir {
			err = errors.Join(err, c.root.RemoveAll(name))
		}
	}
	if err != nil {
		return fmt.Errorf("remove what was begun in %s: %w", c.root.Name(), err)
	}
	return c.root.RemoveAll(changeDir)
}

// Recover undoes the change of a prefix that a killed run did not come to the end of,
// or finishes the one that it had ended; without any it does nothing. No other
// process may work on the prefix meanwhile.
func Recover(prefix string) (err error) {
	root, err := os.OpenRoot(prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return resume(root)
}

// Unfinished reports whether Recover has something to do.
func Unfinished(prefix string) bool {
	_, err := os.Lstat(filepath.Join(prefix, changeDir))
	return err == nil
}

func resume(root *os.Root) error {
	c := &change{root: root}
	text, err := root.ReadFile(filepath.FromSlash(doneFile))
	if err == nil {
		if err := json.Unmarshal(text, &c.journal); err != nil {
			return fmt.Errorf("read %s: %w; remove the prefix", doneFile, err)
		}
		return c.tidy()
	}
	text, err = root.ReadFile(filepath.FromSlash(undoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return root.RemoveAll(changeDir) // it was never begun, or undone
	}
	if err == nil {
		err = json.Unmarshal(text, &c.journal)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w; remove the prefix", undoFile, err)
	}
	return c.undo()
}
