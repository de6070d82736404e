package install

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Entries for menus are files of the prefix, recorded as such. What another client made
// of them outside is kept in the record, and named when the package leaves.
func TestMenus(t *testing.T) {
	entry := file{name: "Menu/demo.json", content: `{"menu_items": [{"command": ["` + placeholder + `/bin/demo"]}]}`, record: text(placeholder)}
	demo := made{name: "demo", files: []file{entry, {name: "share/both", content: "demo"}}}
	other := made{name: "other", files: []file{{name: "share/both", content: "other"}}}
	prefix := filepath.Join(t.TempDir(), "env")
	var warned []string
	o := Options{Cache: t.TempDir(), Warn: func(text string) { warned = append(warned, text) }}
	must(t, Install(t.Context(), []Package{demo.write(t)}, prefix, o))
	record := map[string]any{}
	readRecord(t, prefix, &record)
	if diff := cmp.Diff([]any{"Menu/demo.json", "share/both"}, record["files"]); diff != "" || record["installed_system_menus"] != nil {
		t.Errorf("%s %v", diff, record["installed_system_menus"])
	}

	outside := filepath.Join(t.TempDir(), "demo.desktop")
	must(t, os.WriteFile(outside, nil, 0o600))
	record["installed_system_menus"] = []any{map[string]any{"type": "linux", "install_mode": "User", "paths": []any{outside}}}
	writeRecord(t, prefix, record)
	must(t, Install(t.Context(), []Package{other.write(t)}, prefix, o)) // it takes a path from demo, whose record is written anew
	again := map[string]any{}
	readRecord(t, prefix, &again)
	if diff := cmp.Diff(record["installed_system_menus"], again["installed_system_menus"]); diff != "" {
		t.Error(diff)
	}

	warned, o.Remove = nil, []string{"demo"}
	must(t, Install(t.Context(), nil, prefix, o))
	if len(warned) != 1 || !strings.Contains(warned[0], "demo-1.0-0 leaves, and its entries in the system's menus stay: remove "+outside) {
		t.Error(warned)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]string{"share/both": "644 other"}, tree(t, prefix)); diff != "" {
		t.Error(diff)
	}
}

func writeRecord(t *testing.T, prefix string, record any) {
	t.Helper()
	text, err := json.Marshal(record)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(prefix, "conda-meta/demo-1.0-0.json"), text, 0o600))
}
