package openjd

import "testing"

func TestEnvironIsForAProgram(t *testing.T) {
	out := open(Options{Session: true, JSON: true})
	if err := out.Environ(map[string]string{"B": "two\nlines", "A": "", "OPENJD_SESSION_WORKING_DIR": "/s"}); err != nil {
		t.Error(err)
	}
	out.expect(t, "A=\x00B=two\nlines\x00OPENJD_SESSION_WORKING_DIR=/s\x00", "")
	for _, hostile := range []string{"x\nopenjd_fail: y", "\rOPENJD_ENV", "x openjd_unset_env: PATH"} {
		if out.Environ(map[string]string{"A": hostile}) == nil {
			t.Errorf("%q was printed", hostile)
		}
	}
}
