package env

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	state, err := readState(file)
	if err != nil {
		return fmt.Errorf("read the prefix's own variables in %s: %w; correct or remove that file", file, err)
	}
	now, _ := state["env_vars"].(map[string]any)
	if now == nil {
		now = map[string]any{}
	}
	same := true
	for name, value := range vars {
		same = same && now[name] == value
		now[name] = value
	}
	if same {
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

// readState is all of conda-meta/state, as JSON has it; a missing file has nothing.
func readState(file string) (state map[string]any, err error) {
	text, err := os.ReadFile(file) //nolint:gosec // the user's prefix
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]any{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err == nil && state == nil {
		err = errors.New("it is null")
	}
	return state, err
}

// replaceFile is for whoever has the prefix's lock: a killed run leaves the old text.
func replaceFile(file string, text []byte) error {
	part := file + ".part"
	if err := os.WriteFile(part, text, 0o644); err != nil { //nolint:gosec // as all of the prefix
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, file)
}
