//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda/condatest"
)

// queue is a farm's queue with our queue environment, for sessions of the real
// library.
type queue struct {
	suite
	openjd, template string
	channel, kept    string
}

const awkward = "a \"quoted\" 'word' \\ and $HOME\n  openjd_fail: é line"

func newQueue(t *testing.T) queue {
	s := start(t)
	q := queue{
		suite: s, openjd: filepath.Join(filepath.Dir(s.python), "openjd"), template: filepath.Join(s.root, "scripts/openjd/queue_environment/template.yaml"),
		channel: t.TempDir(), kept: filepath.Join(t.TempDir(), "kept"),
	}
	vars, err := json.Marshal(map[string]string{"STATIC": awkward})
	if err != nil {
		t.Fatal(err)
	}
	q.add(t, "static", "1.0", map[string]string{"etc/conda/env_vars.d/static.json": string(vars), "share/static": "1"})
	q.add(t, "scripted", "1.0", map[string]string{"etc/conda/activate.d/scripted.sh": "echo 'openjd_fail: not this'\nexport SCRIPTED=\"$CONDA_PREFIX\"$'\\n'\"$STATIC\"\nunset GONE\n"})
	return q
}

// add puts a package into the channel.
func (q queue) add(t *testing.T, name, version string, files map[string]string) {
	t.Helper()
	file := filepath.Join(q.channel, "noarch", fmt.Sprintf("%s-%s-0.conda", name, version))
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := condatest.WriteFile(file, condatest.Index(name, version, 0, "noarch"), files); err != nil {
		t.Fatal(err)
	}
	q.must(t, q.program, "reindex", q.channel)
}

// job writes a template with one task that runs a script, in which $OUT is a
// folder of the test's.
func (q queue) job(t *testing.T, script string) (template, out string) {
	t.Helper()
	out = t.TempDir()
	template = filepath.Join(out, "job.json")
	text, err := json.Marshal(map[string]any{
		"specificationVersion": "jobtemplate-2023-09", "name": "job",
		"steps": []any{map[string]any{"name": "step", "script": map[string]any{
			"actions":       map[string]any{"onRun": map[string]any{"command": "bash", "args": []string{"{{Task.File.run}}"}}},
			"embeddedFiles": []any{map[string]any{"name": "run", "type": "TEXT", "data": "OUT='" + out + "'\n" + script}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, template, string(text))
	return template, out
}

// session is the command line of one.
func (q queue) session(job, packages, root string, environments ...string) []string {
	args := []string{"run", job}
	for _, e := range append(environments, q.template) {
		args = append(args, "--environment", e)
	}
	return append(args, "-p", "CondaPackages="+packages, "-p", "CondaChannels="+q.channel, "-p", "PersistEnvsRoot="+root,
		"-p", "CleanupAfterHours=0", "-p", "CondaworkerCommand="+q.program)
}

// environments is what env list says.
func (q queue) environments(t *testing.T) []map[string]any {
	t.Helper()
	c := exec.CommandContext(t.Context(), q.program, "env", "list", "--persist-envs-hashed", q.kept, "--format", "json") //nolint:gosec // the suite's own program
	text, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Environments []map[string]any `json:"environments"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	return report.Environments
}

// An environment around the queue's sees the variables as they were, before and
// after; the step sees what activation made of them.
const around = `
specificationVersion: environment-2023-09
environment:
  name: Around
  variables: {GONE: "yes"}
  script:
    actions:
      onEnter: {command: bash, args: ["-c", "env -0 > '%[1]s/before'"]}
      onExit: {command: bash, args: ["-c", "env -0 > '%[1]s/after'"]}
`

func TestQueueEnvironment(t *testing.T) {
	q := newQueue(t)
	q.must(t, q.openjd, "check", q.template)
	for name, root := range map[string]string{"the session's own": "", "kept": q.kept} {
		t.Run(name, func(t *testing.T) {
			job, out := q.job(t, `env -0 > "$OUT/task"; cp "$CONDA_PREFIX/share/static" "$OUT/"`)
			outer := filepath.Join(out, "around.yaml")
			write(t, outer, fmt.Sprintf(around, out))
			log := q.must(t, q.openjd, q.session(job, "static  'scripted >=1.0'", root, outer)...)
			if !strings.Contains(log, "Session ended successfully") || !strings.Contains(log, "| openjd_fail: not this") {
				t.Error(tail(log))
			}
			before, task, after := variables(t, out, "before"), variables(t, out, "task"), variables(t, out, "after")
			prefix := task["CONDA_PREFIX"]
			want := map[string]string{
				"STATIC": awkward, "SCRIPTED": prefix + "\n" + awkward, "PATH": prefix + "/bin:" + before["PATH"],
				"CONDA_SHLVL": "1", "CONDA_DEFAULT_ENV": prefix, "CONDA_PROMPT_MODIFIER": "(" + prefix + ") ", "CONDA_PREFIX": prefix, "GONE": "",
			}
			for name, value := range want {
				if task[name] != value {
					t.Errorf("the task has %s=%q, want %q", name, task[name], value)
				}
			}
			if _, there := task["GONE"]; there || before["GONE"] != "yes" {
				t.Error("GONE is there in the task, or was not before")
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the exit leaves changes: %s", diff)
			}
			if _, err := os.Stat(filepath.Join(out, "static")); err != nil {
				t.Error(err)
			}
			if left := q.environments(t); len(left) != 0 { // after 0 hours
				t.Errorf("left: %v", left)
			}
		})
	}
	job, out := q.job(t, `env -0 > "$OUT/task"`)
	q.must(t, q.openjd, q.session(job, "", q.kept)...)
	if prefix, is := variables(t, out, "task")["CONDA_PREFIX"]; is {
		t.Errorf("without packages %s is active", prefix)
	}
	if log, code := q.run(t, q.openjd, q.session(job, "static missing", q.kept)...); code == 0 || !strings.Contains(log, "openjd_fail: ") || !strings.Contains(log, "missing") {
		t.Errorf("what cannot be had: exit code %d\n%s", code, tail(log))
	}
}

// variables reads what env -0 wrote, without those that differ from process to
// process.
func variables(t *testing.T, dir, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // the test's own file
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		vars[name] = value
	}
	for _, name := range []string{"_", "SHLVL", "PWD", "OLDPWD"} {
		delete(vars, name)
	}
	return vars
}

// Sessions at the same time share one environment; the last that leaves lets it
// be removed, and none before.
func TestConcurrentSessionsShareAnEnvironment(t *testing.T) {
	q := newQueue(t)
	const sessions = 4
	meeting := t.TempDir() // each waits for all
	job, out := q.job(t, fmt.Sprintf(`touch '%[1]s/'$$
while [ $(ls '%[1]s' | wc -l) -lt %[2]d ]; do sleep 0.1; done
test -f "$CONDA_PREFIX/share/static" && echo "$CONDA_PREFIX" >> "$OUT/prefixes"`, meeting, sessions))
	var work sync.WaitGroup
	for i := range sessions {
		work.Go(func() {
			packages := []string{"static scripted", "scripted  static"}[i%2]
			if log, code := q.run(t, q.openjd, q.session(job, packages, q.kept)...); code != 0 {
				t.Errorf("session %d: %s", i, tail(log))
			}
		})
	}
	work.Wait()
	text, err := os.ReadFile(filepath.Join(out, "prefixes")) //nolint:gosec // the test's own file
	if err != nil {
		t.Fatal(err)
	}
	prefixes := strings.Fields(string(text))
	for _, prefix := range prefixes {
		if prefix != prefixes[0] {
			t.Errorf("%s is not %s", prefix, prefixes[0])
		}
	}
	if len(prefixes) != sessions {
		t.Errorf("%d of %d tasks saw their environment", len(prefixes), sessions)
	}
	q.must(t, q.program, "env", "clean", "--persist-envs-hashed", q.kept, "--cleanup-after-hours", "0") // two exits at once may each leave it to the other
	if left, err := os.ReadDir(q.kept); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// kill -9 of a session's runtime leaves its environment to the task that goes on,
// and to a session folder that says nothing yet; later it is removed.
func TestKilledSession(t *testing.T) {
	q := newQueue(t)
	job, out := q.job(t, `echo "$OPENJD_SESSION_WORKING_DIR" > "$OUT/folder.new"; echo $$ > "$OUT/task"; mv "$OUT/folder.new" "$OUT/folder"; exec sleep 300`)
	c := exec.CommandContext(t.Context(), q.openjd, q.session(job, "static", q.kept)...) //nolint:gosec // the suite's own command
	var log bytes.Buffer
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var folder string
	for folder == "" {
		if text, err := os.ReadFile(filepath.Join(out, "folder")); err == nil { //nolint:gosec // the test's own file
			folder = strings.TrimSpace(string(text))
		}
		if c.ProcessState != nil || t.Context().Err() != nil {
			t.Fatal(log.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
	defer os.RemoveAll(folder)
	var task int
	if text, err := os.ReadFile(filepath.Join(out, "task")); err != nil { //nolint:gosec // the test's own file
		t.Fatal(err)
	} else if _, err := fmt.Sscan(string(text), &task); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(task, syscall.SIGKILL)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // killed

	stays := func(when string) {
		t.Helper()
		q.must(t, q.program, "env", "clean", "--persist-envs-hashed", q.kept, "--cleanup-after-hours", "0")
		if left := q.environments(t); len(left) != 1 || left[0]["generations"] != 1.0 {
			t.Errorf("%s: %v", when, left)
		}
	}
	stays("its task goes on")
	q.backdate(t, folder)
	stays("its task goes on, its folder is old")
	if err := syscall.Kill(task, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := os.Chtimes(folder, now, now); err != nil {
		t.Fatal(err)
	}
	stays("its folder was written to just now")

	another, _ := q.job(t, `test -f "$CONDA_PREFIX/share/static"`)
	q.must(t, q.openjd, q.session(another, "static", q.kept)...) // whose exit cleans
	stays("another session came and went")
	q.backdate(t, folder)
	q.must(t, q.program, "env", "clean", "--persist-envs-hashed", q.kept, "--cleanup-after-hours", "0")
	if left, err := os.ReadDir(q.kept); err != nil || len(left) != 0 {
		t.Errorf("nobody uses it, and it stays: %v %v", left, err)
	}
}

// backdate lets the session's folder and its entering lie two days in the past.
func (q queue) backdate(t *testing.T, folder string) {
	t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(folder, then, then); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(q.kept, "env_*", "state.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	readers, _ := state["readers"].([]any)
	for _, r := range readers {
		if r, ok := r.(map[string]any); ok {
			r["entered"] = then.Format(time.RFC3339Nano)
		}
	}
	if text, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	write(t, files[0], string(text))
}

// theirActivation prints the script of py-rattler that activates a prefix in bash.
const theirActivation = `
import sys
from pathlib import Path
from rattler.shell import ActivationVariables, PathModificationBehavior, Shell, activate
print(activate(Path(sys.argv[1]), ActivationVariables(path_modification_behavior=PathModificationBehavior.Replace), Shell.bash, "linux-64").script)
`

// py-rattler's activation of a prefix, run by bash, comes to the same variables;
// two of them only conda sets.
func TestActivationBesideAPeer(t *testing.T) {
	q := newQueue(t)
	dir := t.TempDir()
	prefix, cache, packages := filepath.Join(dir, "an env"), filepath.Join(dir, "cache"), "static scripted"
	script := q.must(t, "env", "-i", "PATH="+os.Getenv("PATH"), "GONE=1", q.program, "env", "enter", prefix, "-p", packages, "-c", q.channel, "--cache", cache, "--print-env0")
	if !strings.Contains(script, "entered ") {
		t.Fatal(script)
	}
	environment := []string{"PATH=/usr/bin:/bin", "GONE=1", "KEPT=a\nb", "HOME=$HOME"} // to itself: its shell replaces $HOME in values; conda's and ours do not
	printed := func(name string, args ...string) {
		c := exec.CommandContext(t.Context(), args[0], args[1:]...) //nolint:gosec // the suite's own commands
		c.Env = environment
		var errors bytes.Buffer
		c.Stderr = &errors
		text, err := c.Output()
		if err != nil {
			t.Fatalf("%q: %v %s", args, err, errors.String())
		}
		if i := bytes.LastIndex(text, []byte("---\n")); i >= 0 { // after what the scripts print
			text = text[i+4:]
		}
		write(t, filepath.Join(dir, name), string(text))
	}
	printed("script", q.python, "-c", theirActivation, prefix)
	printed("theirs", "/bin/bash", "-c", `. "$1"; echo ---; env -0`, "-", filepath.Join(dir, "script"))
	printed("ours", q.program, "env", "enter", prefix, "-p", packages, "-c", q.channel, "--cache", cache, "--print-env0")
	ours, theirs := variables(t, dir, "ours"), variables(t, dir, "theirs")
	if ours["CONDA_DEFAULT_ENV"] != prefix || ours["CONDA_PROMPT_MODIFIER"] != "("+prefix+") " || ours["SCRIPTED"] == "" {
		t.Errorf("%q", ours)
	}
	delete(ours, "CONDA_DEFAULT_ENV")
	delete(ours, "CONDA_PROMPT_MODIFIER")
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("py-rattler -, condaworker +\n%s", diff)
	}
}

func TestTemplateIsValid(t *testing.T) {
	q := newQueue(t)
	q.must(t, q.python, "-c", `
import sys
from openjd.model import DocumentType, decode_environment_template, document_string_to_object
text = open(sys.argv[1], encoding="utf-8").read()
decode_environment_template(template=document_string_to_object(document=text, document_type=DocumentType.YAML))
`, q.template)
}

// Whenever env enter or env exit is killed, the next session finds the right
// environment, and in the end nothing is left of any.
func TestKilledEnterAndExit(t *testing.T) {
	q := newQueue(t)
	for i := range 4 {
		files := map[string]string{}
		for j := range 100 {
			files[fmt.Sprintf("share/p%d/%d", i, j)] = strings.Repeat(fmt.Sprintf("%d of %d\n", j, i), 100)
		}
		q.add(t, fmt.Sprintf("p%d", i), "1.0", files)
	}
	cache, whole, rng := t.TempDir(), map[string]string(nil), rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	enter := []string{"env", "enter", "-p", "static p0 p1 p2 p3", "-c", q.channel, "--persist-envs-hashed", q.kept, "--cache", cache, "--update-after-minutes", "0"}
	exit := []string{"env", "exit", "--persist-envs-hashed", q.kept, "--cleanup-after-hours", "0"}
	timed := func(args []string) time.Duration {
		begun := time.Now()
		q.must(t, q.program, args...)
		return time.Since(begun)
	}
	t.Setenv("OPENJD_SESSION_WORKING_DIR", t.TempDir())
	takes := []time.Duration{timed(enter), timed(exit)}
	const kills = 60
	killed, round := 0, 0
	for ; killed < kills && round < 5*kills; round++ {
		t.Setenv("OPENJD_SESSION_WORKING_DIR", t.TempDir())
		begun := time.Now()
		for i, args := range [][]string{enter, exit} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(takes[i]))))
			err := exec.CommandContext(ctx, q.program, args...).Run() //nolint:gosec // the suite's own
			cancel()
			if err != nil {
				killed++
			}
			if slices.Equal(args, exit) {
				continue
			}
			out := q.must(t, q.program, enter...)
			prefix := regexp.MustCompile(`"CONDA_PREFIX=([^"]*)"`).FindStringSubmatch(out)
			if prefix == nil {
				t.Fatal(out)
			}
			if got := tree(t, prefix[1]); whole == nil {
				whole = got
			} else if diff := cmp.Diff(whole, got); diff != "" {
				t.Fatalf("round %d: whole -, made again +\n%s", round, diff)
			}
		}
		for !strings.Contains(q.must(t, q.program, exit...), "left no environment") {
			if time.Since(begun) > time.Minute {
				t.Fatal("the session is always in one more")
			}
		}
		if left, err := os.ReadDir(q.kept); err != nil || len(left) != 0 {
			t.Fatalf("round %d: left %v %v", round, left, err)
		}
	}
	if killed < kills/2 {
		t.Errorf("only %d of %d runs were killed before they ended", killed, 2*round)
	}
	t.Logf("%d of %d runs were killed before they ended", killed, 2*round)
}
