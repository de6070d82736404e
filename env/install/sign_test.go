package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A stand-in signs in the place of codesign: it says which files it was given, and
// appends to them.
func TestChangedProgramsOfMacOSAreSigned(t *testing.T) {
	const thin, fat, class = "\xcf\xfa\xed\xfe____", "\xca\xfe\xba\xbe\x00\x00\x00\x02", "\xca\xfe\xba\xbe\x00\x00\x00\x34"
	with := func(head string) string { return head + placeholder + "\x00" }
	files := []file{
		{name: "bin/tool", content: with(thin), mode: 0o755, record: binary(placeholder)},
		{name: "lib/fat.dylib", content: with(fat), record: binary(placeholder)},
		{name: "lib/same.dylib", content: thin, record: binary(placeholder)}, // the prefix is not in it
		{name: "lib/plain.dylib", content: thin},
		{name: "lib/a.class", content: with(class), record: binary(placeholder)},
		{name: "lib/short", content: "\xcf\xfa", record: binary(placeholder)},
		{name: "lib/data", content: with("12345678"), record: binary(placeholder)},
		{name: "lib/text", content: with(thin), record: text(placeholder)},
	}
	all := []string{"bin/tool", "lib/fat.dylib"}
	for _, tt := range []struct {
		subdir string
		fails  string // a file that cannot be signed
		signed []string
		calls  int
	}{
		{"osx-arm64", "", all, 1},
		{"osx-64", "", all, 1},
		{"osx-arm64", "lib/fat.dylib", all[:1], 3},
		{"linux-64", "", nil, 0},
	} {
		prefix := filepath.Join(t.TempDir(), "env")
		var warned []string
		calls := 0
		o := Options{Cache: t.TempDir(), Signer: "/stand/in", Warn: func(text string) { warned = append(warned, text) }}
		o.Run = func(_ context.Context, c Command) error {
			calls++
			if diff := cmp.Diff([]string{"/stand/in", "--sign", "-", "--force", "--preserve-metadata=entitlements"}, c.Args[:5]); diff != "" {
				t.Error(diff)
			}
			if tt.fails != "" && slices.Contains(c.Args, filepath.Join(prefix, tt.fails)) {
				return errors.New("no object file")
			}
			return appendTo(c.Args[5:], "signature")
		}
		m := made{name: "demo", files: files, subdir: tt.subdir}
		must(t, Install(t.Context(), []Package{m.write(t)}, prefix, o))
		var signed []string
		for name, text := range tree(t, prefix) {
			if strings.HasSuffix(text, "signature") {
				signed = append(signed, name)
			}
		}
		slices.Sort(signed)
		if diff := cmp.Diff(tt.signed, signed); diff != "" || calls != tt.calls {
			t.Errorf("%+v: %d calls, %s", tt, calls, diff)
		}
		if tt.fails != "" && (len(warned) != 1 || !strings.Contains(warned[0], tt.fails+" of demo-1.0-0 cannot be signed (no object file)")) {
			t.Error(warned)
		}
		checkSums(t, prefix)
	}
}

func appendTo(files []string, text string) error {
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err := f.WriteString(text); errors.Join(err, f.Close()) != nil {
			return err
		}
	}
	return nil
}

// checkSums holds the sums and times of conda-meta against the files.
func checkSums(t *testing.T, prefix string) {
	t.Helper()
	var record struct {
		Data struct {
			Paths []pathEntry `json:"paths"`
		} `json:"paths_data"`
	}
	readRecord(t, prefix, &record)
	for _, p := range record.Data.Paths {
		name := filepath.Join(prefix, p.Path)
		sum := sumOf(t, name)
		info, err := os.Stat(name)
		must(t, err)
		if sum != p.SHA256InPrefix || !info.ModTime().Equal(time.Unix(1600000000, 0)) {
			t.Errorf("%s: %s, recorded as %s; of %v", p.Path, sum, p.SHA256InPrefix, info.ModTime())
		}
	}
}

func TestACancelledRunDoesNotEndAsAnUnsignedOne(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := made{name: "demo", subdir: "osx-arm64", files: []file{{name: "bin/tool", content: "\xcf\xfa\xed\xfe____" + placeholder, record: binary(placeholder)}}}
	prefix := filepath.Join(t.TempDir(), "env")
	o := Options{Cache: t.TempDir(), Signer: "/stand/in", Warn: func(text string) { t.Error(text) }}
	o.Run = func(context.Context, Command) error {
		cancel()
		return ctx.Err()
	}
	if err := Install(ctx, []Package{m.write(t)}, prefix, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left := tree(t, prefix); len(left) != 0 {
		t.Error(left)
	}
}
