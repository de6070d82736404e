package agent_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/agent"
)

// subdir is that of this machine.
var subdir = regexp.MustCompile(`linux-[a-z0-9]+/`)

// TestMistakes names what is not there, or is something else. Each reason says
// what was being done to what, and what to change; W is the working folder.
func TestMistakes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("packages are built on Linux")
	}
	work := t.TempDir()
	t.Chdir(work)
	t.Setenv("HOME", work)
	for name, text := range map[string]string{
		"file": "", "broken-1.0-0.conda": "no zip", "broken-1.0-0.tar.bz2": "no bzip2", "note.txt": "", "channel/noarch/repodata.json": "{}",
		"recipe/recipe.yaml": "package: {name: x, version: 1}\n", "none/readme": "", "below/recipe/recipe.yaml": "", "folder.conda/x": "",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const (
		noFolder = "there is no such folder: correct the URL, or make it by publishing a package to it"
		isFile   = "it is not a folder: name the one that has the subdirs"
		readOnly = "is read only: name the folder or the s3:// URL that this server shows"
		inTheWay = "a file is in the way; name a folder"
		noFile   = "there is no such file"
		ending   = "a package's name ends in .conda or .tar.bz2; name the file, or its URL"
		again    = "; build it again, or copy it again from where it is whole"
	)
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"reindex nowhere":                                        {1, "index channel W/nowhere: " + noFolder},
		"reindex --check nowhere":                                {1, "index channel W/nowhere: " + noFolder},
		"reindex file":                                           {1, "index channel W/file: " + isFile},
		"reindex file/below":                                     {1, "index channel W/file/below: " + isFile},
		"reindex https://host.invalid/c":                         {2, "channel https://host.invalid/c " + readOnly},
		"reindex https://b.s3.amazonaws.com/c":                   {2, "channel https://b.s3.amazonaws.com/c is read only: name s3://b/c"},
		"reindex ~/nowhere":                                      {1, "index channel W/nowhere: " + noFolder},
		"reindex --check channel/noarch/":                        {2, "W/channel/noarch is a subdir of a channel: name the channel, W/channel"},
		"channel prune --channel s3://b/c/linux-64":              {2, "s3://b/c/linux-64 is a subdir of a channel: name the channel, s3://b/c"},
		"reindex ftp://host.invalid/c":                           {2, "channel URL ftp://host.invalid/c: a channel is a folder, file://, s3:// or https://"},
		"reindex channel --patch nowhere":                        {2, "--patch nowhere: " + noFile},
		"channel remove x-1-0.conda --channel nowhere":           {1, "change channel W/nowhere: " + noFolder},
		"channel restore x-1-0.conda --channel file":             {1, "change channel W/file: " + isFile},
		"channel prune --channel nowhere":                        {1, "change channel W/nowhere: " + noFolder},
		"channel prune --channel https://host.invalid/c":         {2, "channel https://host.invalid/c " + readOnly},
		"lock status nowhere":                                    {1, "look at the lock of channel W/nowhere: " + noFolder},
		"lock status file":                                       {1, "look at the lock of channel W/file: " + isFile},
		"publish nowhere-1.0-0.conda --to channel":               {2, "package nowhere-1.0-0.conda: " + noFile},
		"publish note.txt --to channel":                          {2, "package note.txt: " + ending},
		"publish none --to channel":                              {2, "package none: " + ending},
		"publish folder.conda --to channel":                      {2, "package folder.conda: it is no regular file"},
		"publish broken-1.0-0.conda --to channel":                {1, "publish to W/channel: read broken-1.0-0.conda: not a valid conda package: it is not a zip, or its end is missing" + again},
		"publish broken-1.0-0.conda --to https://host.invalid/c": {2, "channel https://host.invalid/c " + readOnly},
		"publish https://host.invalid/x.conda --to channel":      {2, "publish to W/channel: https://host.invalid/x.conda: read file name \"x.conda\": a package is called name-version-build.conda; the URL of a package is that of its file"},
		"test nowhere-1.0-0.conda":                               {2, "package nowhere-1.0-0.conda: " + noFile},
		"test file":                                              {2, "package file: " + ending},
		"test broken-1.0-0.conda":                                {1, "test package broken-1.0-0.conda: read W/broken-1.0-0.conda: not a valid conda package: it is not a zip, or its end is missing" + again},
		"test broken-1.0-0.tar.bz2":                              {1, "test package broken-1.0-0.tar.bz2: read W/broken-1.0-0.tar.bz2: not a valid conda package: bzip2 data invalid: bad magic value" + again},
		"build nowhere --to channel":                             {3, "no recipe at nowhere: it does not exist; name a folder with a recipe.yaml or a meta.yaml"},
		"build none --to channel":                                {3, "no recipe at none: it has none of recipe.yaml, recipe.yml, meta.yaml, meta.yml: name the folder that has one"},
		"build below --to channel":                               {3, "no recipe at below: it has none of recipe.yaml, recipe.yml, meta.yaml, meta.yml, but there is recipe/recipe.yaml: name that folder"},
		"build recipe --to file":                                 {1, "publish to W/file: " + isFile},
		"build recipe --to https://host.invalid/c":               {2, "channel https://host.invalid/c " + readOnly},
		"build recipe --output-dir file":                         {2, "--output-dir file: " + inTheWay},
		"build recipe --output-dir out --work-dir file/below":    {2, "--work-dir file/below: " + inTheWay},
		"build recipe --output-dir out --variant-config nowhere": {2, "--variant-config nowhere: " + noFile},
		"build recipe --output-dir out --source-archive nowhere": {2, "--source-archive nowhere: " + noFile},
		"build recipe --output-dir out --source-archive none":    {2, "--source-archive none: it is no regular file"},
		"render recipe --exclusive-config-file nowhere":          {2, "--exclusive-config-file nowhere: " + noFile},
		"env create -p prefix -c nowhere x":                      {1, "channel W/nowhere: " + noFolder + "; where nowhere is the name of a channel, say where it lies, e.g. --channel-alias https://conda.anaconda.org"},
		"env create -p prefix -c file x":                         {1, "read the index of channel W/file: " + isFile},
		"env create -p prefix -c none x":                         {1, "channel W/none has no PLATFORM/repodata.json and no noarch/repodata.json: reindex it, or correct its URL"},
		"env create -p prefix -c channel --file nowhere":         {2, "--file nowhere: " + noFile},
		"env create -p file -c channel x":                        {2, "prefix file: " + inTheWay},
		"env create -p file/below -c channel x":                  {2, "prefix file/below: " + inTheWay},
		"env create -p prefix -c channel x --cache file":         {2, "--cache file: " + inTheWay},
		"env enter file -c channel -p x":                         {2, "prefix file: " + inTheWay},
		"env enter --persist-envs-hashed file -c channel -p x":   {2, "--persist-envs-hashed W/file: " + inTheWay},
		"env exit --persist-envs-hashed file/below":              {2, "--persist-envs-hashed W/file/below: " + inTheWay},
		"env list --persist-envs-hashed file":                    {2, "--persist-envs-hashed W/file: " + inTheWay},
		"env clean --cache file/below":                           {2, "--cache file/below: " + inTheWay},
		"env create -p prefix --explicit nowhere":                {2, "--explicit nowhere: " + noFile},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var out, log bytes.Buffer
		code := agent.Main(ctx, agent.Host{Args: strings.Fields(line), Stdout: &log, Stderr: &out, Env: []string{"HOME=" + work, "PATH=" + os.Getenv("PATH")}, Cancel: cancel})
		cancel(nil)
		text := strings.ReplaceAll(strings.TrimSpace(out.String()), work, "W")
		text = subdir.ReplaceAllString(text, "PLATFORM/")
		if code != want.code || text != "error: "+want.text {
			t.Errorf("%s: exit code %d\n%s\nwant %d\nerror: %s", line, code, text, want.code, want.text)
		}
	}
	if _, err := os.Stat("nowhere"); err == nil {
		t.Error("a folder was made where there was none")
	}
}
