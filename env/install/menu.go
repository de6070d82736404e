package install

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Entries for the system's menus (menuinst) are files Menu/*.json of a package. They
// are linked and recorded like any other, and nothing outside of the prefix is made of
// them: so conda-meta has no installed_system_menus, by which rattler says what it made
// outside, and both conda and rattler find the files to make menus of.

// warnOfMenus names what other clients made outside of the prefix for packages that
// leave: this one changes nothing there.
func warnOfMenus(leaving []*installed, o Options) {
	for _, i := range leaving {
		if made := i.systemMenus(); len(made) > 0 {
			o.warn(fmt.Sprintf("%s leaves, and its entries in the system's menus stay: remove %s", i.dist(), strings.Join(made, ", ")))
		}
	}
}

// systemMenus are the paths that rattler's record names: of desktop and MIME files, of an
// application's folder on macOS, of shortcuts on Windows. What cannot be read names
// none.
func (i *installed) systemMenus() []string {
	var all []struct {
		Paths     []string `json:"paths"`
		MIME      []string `json:"registered_mime_files"`
		AppFolder string   `json:"app_folder"`
		Shortcuts []string `json:"shortcuts"`
	}
	if json.Unmarshal(i.record["installed_system_menus"], &all) != nil {
		return nil
	}
	var made []string
	for _, m := range all {
		made = slices.Concat(made, m.Paths, m.MIME, m.Shortcuts)
		if m.AppFolder != "" {
			made = append(made, m.AppFolder)
		}
	}
	return made
}
