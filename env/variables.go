package env

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// setVariables adds variables to those that activating the prefix sets, in the file
// where conda keeps the user's own (conda-meta/state). What else is there stays. It is
// replaced at once, and not written when it says the same already.
func setVariables(prefix string, vars map[string]string) error {
	if len(vars) == 0 {
		return nil
	}
	file := filepath.Join(prefix, "conda-meta", "state")
	state, had, err := readState(file)
	if err != nil {
		return fmt.Errorf("read the prefix's own variables in %s: %w; correct or remove that file", file, err)
	}
	now := maps.Clone(had)
	maps.Copy(now, vars)
	if maps.Equal(now, had) {
		return nil
	}
	state["env_vars"] = now
	if state["version"] == nil {
		state["version"] = 1
	}
	text, err := json.Marshal(state)
	if err == nil {
		err = replaceFile(file, text)
	}
	if err != nil {
		return fmt.Errorf("set the variables of %s, whose packages are installed: %w; run the same again", prefix, err)
	}
	return nil
}

// readState is all of conda-meta/state, and the variables in it; a missing file has none.
func readState(file string) (state map[string]any, vars map[string]string, err error) {
	state, vars = map[string]any{}, map[string]string{}
	text, err := os.ReadFile(file) //nolint:gosec // the user's prefix
	if errors.Is(err, fs.ErrNotExist) {
		return state, vars, nil
	}
	known := struct {
		Vars *map[string]string `json:"env_vars"`
	}{&vars}
	if err == nil {
		err = errors.Join(json.Unmarshal(text, &state), json.Unmarshal(text, &known))
	}
	if err == nil && (state == nil || vars == nil) {
		err = errors.New("it is null")
	}
	return state, vars, err
}

// replaceFile is for whoever has the prefix's lock: a killed run leaves the old text.
func replaceFile(file string, text []byte) error {
	part := file + ".part"
	if err := os.WriteFile(part, text, 0o644); err != nil { //nolint:gosec // as all of the prefix
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, file)
}
