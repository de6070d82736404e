//go:build unix

package persist_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/persist"
	"github.com/condaworker/condaworker/env/solve"
	"github.com/condaworker/condaworker/store/dir"
)

// place is a root with a clock and a channel of its own.
type place struct {
	persist.Root
	t       *testing.T
	clock   time.Time
	version atomic.Int32 // of what the channel offers; below 0 it cannot be reached
	made    atomic.Int32
	kept    atomic.Int32
	begun   chan string // when set, hears of a Create and holds it until something is sent to finish
	finish  chan struct{}
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, clock: time.Now()}
	p.Root = persist.Root{Dir: filepath.Join(t.TempDir(), "envs"), Machine: persist.Machine{Name: "host", Boot: "boot", Space: "pid:[1]", Proc: t.TempDir()}, Now: func() time.Time { return p.clock }}
	p.process(os.Getpid(), "test", 1, 1) // so that processes are known of
	return p
}

// process begins one; its folder is what the kernel would show.
func (p *place) process(pid int, name string, parent, started int) string {
	p.t.Helper()
	folder := filepath.Join(p.Machine.Proc, fmt.Sprint(pid))
	must(p.t, os.MkdirAll(folder, 0o755))
	stat := fmt.Sprintf("%d (%s) S %d %s%d 0", pid, name, parent, strings.Repeat("0 ", 17), started)
	must(p.t, os.WriteFile(filepath.Join(folder, "stat"), []byte(stat), 0o644))
	return folder
}

// session is a new one: its folder, below a runtime of this pid.
func (p *place) session(runtime int) persist.Session {
	p.t.Helper()
	p.process(runtime, "openjd run (1)", 1, 77)
	p.process(runtime+1, "sudo", runtime, 78)
	p.process(runtime+2, "condaworker", runtime+1, 79)
	return p.Machine.SessionOf("", p.t.TempDir(), runtime+2)
}

func (p *place) maker() persist.Maker {
	return persist.Maker{
		Create: func(_ context.Context, prefix string) error {
			if p.begun != nil {
				p.begun <- prefix
				<-p.finish
			}
			if p.version.Load() < 0 {
				return errors.New("no channel")
			}
			p.made.Add(1)
			must(p.t, os.MkdirAll(filepath.Join(prefix, "conda-meta"), 0o755))
			return os.WriteFile(filepath.Join(prefix, "conda-meta", "history"), fmt.Append(nil, p.version.Load()), 0o644)
		},
		Newest: func(_ context.Context, prefix string) (bool, error) {
			switch v := p.version.Load(); {
			case v == -2:
				return false, &solve.UnsolvableError{}
			case v < 0:
				return false, errors.New("no channel")
			}
			text, err := os.ReadFile(filepath.Join(prefix, "conda-meta", "history"))
			return string(text) == fmt.Sprint(p.version.Load()), err
		},
		Keep: func(error) { p.kept.Add(1) },
	}
}

func (p *place) enter(s persist.Session) string {
	p.t.Helper()
	prefix, err := p.Enter(p.t.Context(), wanted(p.t), s, 10*time.Hour, p.maker())
	must(p.t, err)
	return prefix
}

func (p *place) leave(s persist.Session) string {
	p.t.Helper()
	name, err := p.Leave(p.t.Context(), s)
	must(p.t, err)
	return name
}

func (p *place) clean(unused time.Duration) []string {
	p.t.Helper()
	would, err := p.Clean(p.t.Context(), unused, true)
	must(p.t, err)
	cleaned, err := p.Clean(p.t.Context(), unused, false)
	must(p.t, err)
	if diff := cmp.Diff(would, cleaned); diff != "" {
		p.t.Errorf("a dry run says otherwise: %s", diff)
	}
	var prefixes []string
	for _, c := range cleaned {
		prefixes = append(prefixes, c.Prefix)
		if _, err := os.Stat(c.Prefix); !errors.Is(err, fs.ErrNotExist) {
			p.t.Errorf("%s is there: %v", c.Prefix, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(p.Dir, ".trash-*")); len(left) > 0 {
		p.t.Errorf("left: %s", left)
	}
	return prefixes
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wanted(t *testing.T) persist.Wanted {
	t.Helper()
	w, err := persist.Want([]string{"app"}, []string{"s3://bucket/Conda/Default"}, "linux-64", nil)
	must(t, err)
	return w
}

func TestNamesAreOfWhatIsWanted(t *testing.T) {
	name := func(specs, channels []string, platform string, virtual []conda.Record, options ...string) string {
		w, err := persist.Want(specs, channels, platform, virtual, options...)
		must(t, err)
		return w.Name()
	}
	glibc := []conda.Record{{Name: "__glibc", Version: "2.34", Build: "0"}, {Name: "__unix", Version: "0", Build: "0"}}
	base := name([]string{"blender=4.2", "python >=3.11"}, []string{"s3://a", "s3://b"}, "linux-64", glibc, "exclude-newer=2026-01-31")
	if len(base) != len("env_")+24 {
		t.Errorf("the name is %s", base)
	}
	if again := name([]string{"python>=3.11", "blender  4.2.*", "blender=4.2"}, []string{"s3://a", "s3://b", "s3://a"}, "linux-64", []conda.Record{glibc[1], glibc[0]}, "exclude-newer=2026-01-31"); again != base {
		t.Errorf("the same in other words is %s, not %s", again, base)
	}
	others := map[string]string{
		"a package more":          name([]string{"blender=4.2", "python >=3.11", "pip"}, []string{"s3://a", "s3://b"}, "linux-64", glibc, "exclude-newer=2026-01-31"),
		"another version":         name([]string{"blender=4.3", "python >=3.11"}, []string{"s3://a", "s3://b"}, "linux-64", glibc, "exclude-newer=2026-01-31"),
		"another first channel":   name([]string{"blender=4.2", "python >=3.11"}, []string{"s3://b", "s3://a"}, "linux-64", glibc, "exclude-newer=2026-01-31"),
		"another platform":        name([]string{"blender=4.2", "python >=3.11"}, []string{"s3://a", "s3://b"}, "linux-aarch64", glibc, "exclude-newer=2026-01-31"),
		"another machine":         name([]string{"blender=4.2", "python >=3.11"}, []string{"s3://a", "s3://b"}, "linux-64", glibc[:1], "exclude-newer=2026-01-31"),
		"another option":          name([]string{"blender=4.2", "python >=3.11"}, []string{"s3://a", "s3://b"}, "linux-64", glibc),
		"a channel in one":        name([]string{"blender=4.2", "python >=3.11"}, []string{"s3://a s3://b"}, "linux-64", glibc, "exclude-newer=2026-01-31"),
		"a spec for a channel":    name([]string{"blender=4.2"}, []string{"python >=3.11", "s3://a", "s3://b"}, "linux-64", glibc, "exclude-newer=2026-01-31"),
		"an option of its letter": name([]string{"blender=4.2", "python >=3.11"}, []string{"s3://a", "s3://b"}, "linux-64", glibc, "exclude-newer=2026-02-01"),
	}
	seen := map[string]string{base: "the first"}
	for what, name := range others {
		if first := seen[name]; first != "" {
			t.Errorf("%s and %s are one", what, first)
		}
		seen[name] = what
	}
	if _, err := persist.Want([]string{"app >="}, nil, "linux-64", nil); err == nil {
		t.Error("a broken spec was taken")
	}
}

func TestSessionsShareAnEnvironment(t *testing.T) {
	p := newPlace(t)
	sessions := make([]persist.Session, 20)
	for i := range sessions {
		sessions[i] = p.session(100 * (i + 1))
	}
	prefixes := make([]string, len(sessions))
	var work sync.WaitGroup
	for i, s := range sessions {
		work.Go(func() {
			var err error
			if prefixes[i], err = p.Enter(t.Context(), wanted(t), s, time.Hour, p.maker()); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	for _, prefix := range prefixes {
		if prefix != filepath.Join(p.Dir, wanted(t).Name(), "1") {
			t.Errorf("got %s", prefix)
		}
	}
	if n := p.made.Load(); n != 1 {
		t.Errorf("it was made %d times", n)
	}
	list, err := p.List()
	must(t, err)
	if len(list) != 1 || list[0].Sessions != 20 || list[0].Generations != 1 || list[0].Prefix != prefixes[0] || list[0].Packages[0] != "app" {
		t.Errorf("%+v", list)
	}
	for i, s := range sessions {
		if got := p.clean(0); got != nil {
			t.Errorf("%s was removed under %d sessions", got, len(sessions)-i)
		}
		p.leave(s)
	}
	if got := p.clean(0); len(got) != 1 {
		t.Errorf("removed: %s", got)
	}
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if list, err := p.List(); err != nil || list != nil {
		t.Errorf("%+v %v", list, err)
	}
	p.enter(sessions[0])
}

func TestASessionMayEnterTwice(t *testing.T) {
	p := newPlace(t)
	s := p.session(100)
	p.enter(s)
	p.enter(s)
	p.leave(s)
	if got := p.clean(0); got != nil {
		t.Errorf("removed %s under a session that came twice", got)
	}
	if name := p.leave(s); name != wanted(t).Name() {
		t.Errorf("left %q", name)
	}
	if name := p.leave(s); name != "" {
		t.Errorf("left %q, which it was not in", name)
	}
	if got := p.clean(0); len(got) != 1 {
		t.Errorf("removed: %s", got)
	}
}

// Hours are hours, and count from the last use.
func TestUnusedIsSinceTheLastUse(t *testing.T) {
	p := newPlace(t)
	s := p.session(100)
	p.enter(s)
	p.clock = p.clock.Add(90 * time.Hour)
	p.leave(s)
	p.clock = p.clock.Add(96*time.Hour - time.Second)
	if got := p.clean(96 * time.Hour); got != nil {
		t.Errorf("removed too early: %s", got)
	}
	p.clock = p.clock.Add(-1000 * time.Hour) // the clock is put back
	if got := p.clean(time.Second); got != nil {
		t.Errorf("removed by a wrong clock: %s", got)
	}
	p.clock = p.clock.Add(1000*time.Hour + time.Second)
	if got := p.clean(96 * time.Hour); len(got) != 1 {
		t.Errorf("removed: %s", got)
	}
}

func TestAnUpdateIsANewPrefix(t *testing.T) {
	p := newPlace(t)
	first, second, third := p.session(100), p.session(200), p.session(300)
	old := p.enter(first)
	p.version.Store(1)
	if again := p.enter(second); again != old {
		t.Errorf("updated after no time: %s", again)
	}
	p.leave(second)
	p.clock = p.clock.Add(11 * time.Hour)
	renewed := p.enter(second)
	if renewed == old {
		t.Fatal("not updated")
	}
	if text, err := os.ReadFile(filepath.Join(old, "conda-meta", "history")); err != nil || string(text) != "0" {
		t.Errorf("the prefix that a session is in became %s %v", text, err)
	}
	if got := p.clean(time.Hour); got != nil {
		t.Errorf("removed: %s", got)
	}
	p.leave(first)
	if got := p.clean(time.Hour); len(got) != 1 || got[0] != old { // nobody can get it any more
		t.Errorf("removed: %s", got)
	}
	p.clock = p.clock.Add(11 * time.Hour)
	if same := p.enter(third); same != renewed || p.made.Load() != 2 {
		t.Errorf("made %d times, the last as %s", p.made.Load(), same)
	}
	p.version.Store(-1)
	p.clock = p.clock.Add(11 * time.Hour)
	if same := p.enter(third); same != renewed || p.kept.Load() != 1 {
		t.Errorf("without a channel: %s, said %d times", same, p.kept.Load())
	}
	p.version.Store(-2)
	_, err := p.Enter(t.Context(), wanted(t), p.session(400), time.Hour, p.maker())
	if _, ok := errors.AsType[*solve.UnsolvableError](err); !ok {
		t.Errorf("what cannot be had any more: %v", err)
	}
	if list, err := p.List(); err != nil || list[0].Sessions != 3 { // second, and third twice
		t.Errorf("%+v %v", list, err)
	}
}

// While one session makes a newer one, another gets what is there; where there
// is nothing, it waits until its own end.
func TestWhoWaitsForAnUpdate(t *testing.T) {
	p := newPlace(t)
	p.begun, p.finish = make(chan string), make(chan struct{})
	results := make(chan string)
	begin := func(s persist.Session) {
		go func() {
			prefix, err := p.Enter(t.Context(), wanted(t), s, time.Hour, p.maker())
			if err != nil {
				t.Error(err)
			}
			results <- prefix
		}()
	}
	begin(p.session(100))
	first := <-p.begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Enter(ctx, wanted(t), p.session(200), time.Hour, p.maker()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("did not wait: %v", err)
	}
	if got := p.clean(0); got != nil {
		t.Errorf("removed %s, which is being made", got)
	}
	p.finish <- struct{}{}
	if got := <-results; got != first {
		t.Errorf("got %s, made %s", got, first)
	}
	p.clock = p.clock.Add(2 * time.Hour)
	p.version.Store(1)
	begin(p.session(300))
	second := <-p.begun
	if got := p.enter(p.session(400)); got != first {
		t.Errorf("got %s during the update of %s", got, first)
	}
	p.finish <- struct{}{}
	if got := <-results; got != second || second == first {
		t.Errorf("got %s, made %s", got, second)
	}
}

func TestAFailedEnterLeavesNoReader(t *testing.T) {
	p := newPlace(t)
	p.version.Store(-1)
	if _, err := p.Enter(t.Context(), wanted(t), p.session(100), time.Hour, p.maker()); err == nil {
		t.Fatal("made without a channel")
	}
	if list, err := p.List(); err != nil || len(list) != 1 || list[0].Sessions != 0 {
		t.Errorf("%+v %v", list, err)
	}
	p.clean(0)
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// A run that was killed while it made a generation leaves one that is never used.
func TestWhatAKilledRunLeftIsRemoved(t *testing.T) {
	p := newPlace(t)
	half := filepath.Join(p.Dir, wanted(t).Name(), "1", "lib")
	must(t, os.MkdirAll(half, 0o755))
	must(t, os.Mkdir(filepath.Join(p.Dir, ".trash-1"), 0o755))
	must(t, os.Chmod(half, 0o500))
	prefix := p.enter(p.session(100))
	if filepath.Base(prefix) != "2" {
		t.Errorf("got %s", prefix)
	}
	if got := p.clean(time.Hour); len(got) != 1 || got[0] != filepath.Dir(half) {
		t.Errorf("removed: %s", got)
	}
	must(t, os.RemoveAll(prefix)) // and somebody tidied up by hand
	if again := p.enter(p.session(200)); again == "" || p.made.Load() != 2 {
		t.Errorf("%s, made %d times", again, p.made.Load())
	}
	must(t, os.WriteFile(filepath.Join(filepath.Dir(prefix), "state.json"), []byte("{"), 0o600))
	if _, err := p.Leave(t.Context(), p.session(300)); err == nil || !strings.Contains(err.Error(), "state.json") {
		t.Errorf("a broken state: %v", err)
	}
}

// A session that was killed holds its environment as long as it may live.
func TestKilledSessions(t *testing.T) {
	for name, c := range map[string]struct {
		kill func(*place, persist.Session)
		wait time.Duration
		over bool
	}{
		"it lives":                                         {func(*place, persist.Session) {}, 200 * time.Hour, false},
		"its folder was removed":                           {func(p *place, s persist.Session) { must(p.t, os.RemoveAll(s.Folder)) }, 0, true},
		"the machine was started again":                    {func(p *place, _ persist.Session) { p.Machine.Boot = "another" }, 0, true},
		"its runtime was killed just now":                  {killed, 0, false},
		"its runtime was killed, its folder is in use":     {func(p *place, s persist.Session) { killed(p, s); touched(p, s, 23*time.Hour) }, 200 * time.Hour, false},
		"its runtime was killed, its folder is left alone": {func(p *place, s persist.Session) { killed(p, s); touched(p, s, 199*time.Hour) }, 200 * time.Hour, true},
		"its folder is left alone, its runtime lives":      {func(p *place, s persist.Session) { touched(p, s, 199*time.Hour) }, 200 * time.Hour, false},
		"its runtime's pid is another's": {func(p *place, s persist.Session) {
			p.process(s.Process, "openjd", 1, 9999)
			touched(p, s, 199*time.Hour)
		}, 200 * time.Hour, true},
		"its runtime was killed, a task lives": {func(p *place, s persist.Session) {
			killed(p, s)
			touched(p, s, 199*time.Hour)
			task := p.process(4000, "blender", 1, 1)
			prefix := filepath.Join(p.Dir, wanted(p.t).Name(), "1")
			must(p.t, os.WriteFile(filepath.Join(task, "environ"), []byte("A=b\x00CONDA_PREFIX="+prefix+"\x00"), 0o644))
		}, 200 * time.Hour, false},
		"its runtime was killed, a program lives": {func(p *place, s persist.Session) {
			killed(p, s)
			touched(p, s, 199*time.Hour)
			must(p.t, os.Symlink(filepath.Join(p.Dir, wanted(p.t).Name(), "1", "bin", "blender"), filepath.Join(p.process(4000, "blender", 1, 1), "exe")))
		}, 200 * time.Hour, false},
		"another machine":          {func(p *place, _ persist.Session) { p.Machine.Name = "other"; p.Machine.Boot = "another" }, 200 * time.Hour, false},
		"another machine, a month": {func(p *place, _ persist.Session) { p.Machine.Name = "other"; p.Machine.Boot = "another" }, 800 * time.Hour, true},
		"another container of this name": {func(p *place, s persist.Session) {
			p.Machine.Space = "pid:[2]"
			must(p.t, os.RemoveAll(s.Folder)) // it is not seen from there
		}, 200 * time.Hour, false},
		"another container of this name, a month": {func(p *place, _ persist.Session) { p.Machine.Space = "pid:[2]" }, 800 * time.Hour, true},
		"another container, the machine was started again": {func(p *place, _ persist.Session) {
			p.Machine.Space, p.Machine.Boot = "pid:[2]", "another"
		}, 0, true},
		"processes are not known": {func(p *place, s persist.Session) {
			must(p.t, os.RemoveAll(p.Machine.Proc))
			touched(p, s, 199*time.Hour)
		}, 200 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s := p.session(100)
			if s.Process != 100 {
				t.Fatalf("the runtime is %d", s.Process)
			}
			p.enter(s)
			c.kill(p, s)
			p.clock = p.clock.Add(c.wait)
			if got := p.clean(0); (len(got) > 0) != c.over {
				t.Errorf("removed: %s", got)
			}
		})
	}
}

func killed(p *place, s persist.Session) {
	must(p.t, os.RemoveAll(filepath.Join(p.Machine.Proc, fmt.Sprint(s.Process))))
}

// touched says that something was written to the session's folder so long before
// the end of the wait of 200 hours.
func touched(p *place, s persist.Session, ago time.Duration) {
	at := p.clock.Add(200*time.Hour - ago)
	must(p.t, os.Chtimes(s.Folder, at, at))
}

// Entering, leaving and cleaning at the same time never takes a prefix away from
// a session.
func TestCleaningWhileSessionsComeAndGo(t *testing.T) {
	p := newPlace(t)
	stop := make(chan struct{})
	var cleaning, sessions sync.WaitGroup
	for range 2 {
		cleaning.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := p.Clean(t.Context(), 0, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 8 {
		s := p.session(100 * (i + 1))
		sessions.Go(func() {
			for range 8 {
				prefix, err := p.Enter(t.Context(), wanted(t), s, time.Hour, p.maker())
				if err != nil {
					t.Error(err)
					return
				}
				for range 3 {
					if _, err := os.Stat(filepath.Join(prefix, "conda-meta", "history")); err != nil {
						t.Errorf("taken away: %v", err)
					}
					time.Sleep(time.Millisecond)
				}
				if _, err := p.Leave(t.Context(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sessions.Wait()
	close(stop)
	cleaning.Wait()
}

func TestTheLockOfTheStateIsGivenBack(t *testing.T) {
	p := newPlace(t)
	p.enter(p.session(100))
	for _, name := range []string{"lock", "update"} {
		release, err := dir.TryLock(filepath.Join(p.Dir, wanted(t).Name(), name))
		must(t, err)
		must(t, release())
	}
}

// An update that fails, whatever at, stops nobody who can have what is there.
func TestAnUpdateThatFails(t *testing.T) {
	p := newPlace(t)
	old := p.enter(p.session(100))
	p.version.Store(1)
	p.clock = p.clock.Add(11 * time.Hour)
	m := p.maker()
	m.Create = func(context.Context, string) error { return errors.New("a package cannot be fetched") }
	s := p.session(200)
	prefix, err := p.Enter(t.Context(), wanted(t), s, 10*time.Hour, m)
	if prefix != old || err != nil || p.kept.Load() != 1 {
		t.Errorf("got %q %v, said %d times", prefix, err, p.kept.Load())
	}
	if list, err := p.List(); err != nil || list[0].Sessions != 2 {
		t.Errorf("%+v %v", list, err)
	}
	p.leave(s)
	if renewed := p.enter(s); renewed == old {
		t.Error("the next session does not try again")
	}
}

// What was compared in the future was compared by a wrong clock.
func TestAClockThatWasWrong(t *testing.T) {
	p := newPlace(t)
	p.clock = p.clock.Add(10000 * time.Hour)
	old := p.enter(p.session(100))
	p.clock = p.clock.Add(-10000 * time.Hour)
	p.version.Store(1)
	if renewed := p.enter(p.session(200)); renewed == old {
		t.Error("not compared with its channels")
	}
}

// A state that cannot be read is told, and stops what has to do with it alone.
func TestABrokenState(t *testing.T) {
	p := newPlace(t)
	s := p.session(100)
	p.enter(s)
	for _, name := range []string{"env_0", "env_f"} { // before and after the other
		must(t, os.MkdirAll(filepath.Join(p.Dir, name, "1"), 0o755))
		must(t, os.WriteFile(filepath.Join(p.Dir, name, "state.json"), nil, 0o600))
	}
	told := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "env_0/state.json") || !strings.Contains(err.Error(), "env_f/state.json") || !strings.Contains(err.Error(), "remove its folder") {
			t.Errorf("got %v", err)
		}
	}
	list, err := p.List()
	told(err)
	if len(list) != 1 || list[0].Name != wanted(t).Name() {
		t.Errorf("%+v", list)
	}
	if name := p.leave(s); name != wanted(t).Name() {
		t.Errorf("left %q", name)
	}
	_, err = p.Leave(t.Context(), s)
	told(err)
	cleaned, err := p.Clean(t.Context(), 0, false)
	told(err)
	if len(cleaned) != 1 || cleaned[0].Name != wanted(t).Name() {
		t.Errorf("removed: %v", cleaned)
	}
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) != 2 {
		t.Errorf("left: %v %v", left, err)
	}
}

// A folder in which nothing was begun is not used by the cleaning of it.
func TestAFolderWithoutAStateStaysWithoutOne(t *testing.T) {
	p := newPlace(t)
	folder := filepath.Join(p.Dir, wanted(t).Name())
	must(t, os.MkdirAll(folder, 0o755))
	for range 2 {
		p.clean(time.Hour)
		if _, err := os.Stat(filepath.Join(folder, "state.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the cleaning made a state: %v", err)
		}
	}
	p.clock = p.clock.Add(2 * time.Hour)
	p.clean(time.Hour)
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// The names of folders mean nothing.
func TestARootWithAnyName(t *testing.T) {
	p := newPlace(t)
	p.Dir = filepath.Join(t.TempDir(), "envs [1-*?]")
	s := p.session(100)
	p.enter(s)
	p.leave(s)
	if got := p.clean(0); len(got) != 1 {
		t.Errorf("removed: %s", got)
	}
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// Several cleans at one time take nothing from each other.
func TestCleaningAtOneTime(t *testing.T) {
	p := newPlace(t)
	for i := range 40 {
		generation := filepath.Join(p.Dir, fmt.Sprintf("env_%d", i), "1")
		must(t, os.MkdirAll(generation, 0o755))
	}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			if _, err := p.Clean(t.Context(), 0, false); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if _, err := p.Clean(t.Context(), 0, false); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// A root that cannot be one is told with what to do.
func TestARootThatIsNone(t *testing.T) {
	p := newPlace(t)
	must(t, os.Symlink("nowhere", p.Dir))
	if _, err := p.Enter(t.Context(), wanted(t), p.session(100), time.Hour, p.maker()); err == nil || !strings.Contains(err.Error(), "; name a folder that") {
		t.Errorf("got %v", err)
	}
	p.Dir = filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(p.Dir, nil, 0o600))
	if _, err := p.List(); err == nil || !strings.Contains(err.Error(), "; name a folder that") {
		t.Errorf("got %v", err)
	}
}

// What a session comes for and does not enter has an exit, too. It leaves the session
// where it was.
func TestAnExitOfNothing(t *testing.T) {
	for name, pass := range map[string]func(*place, persist.Session) error{
		"wants nothing": func(p *place, s persist.Session) error { return p.Pass(t.Context(), s) },
		"failed": func(p *place, s persist.Session) error {
			other, err := persist.Want([]string{"other"}, nil, "linux-64", nil)
			must(t, err)
			m := p.maker()
			m.Create = func(context.Context, string) error { return errors.New("no channel") }
			if _, err := p.Enter(t.Context(), other, s, time.Hour, m); err == nil {
				t.Error("it was made")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s := p.session(100)
			if err := pass(p, s); err != nil { // around nothing
				t.Fatal(err)
			}
			if left := p.leave(s); left != "" {
				t.Errorf("left %q", left)
			}
			outer := p.enter(s)
			must(t, pass(p, s))
			if left := p.leave(s); left != "" {
				t.Errorf("left %q", left)
			}
			p.clean(0)
			if _, err := os.Stat(outer); err != nil {
				t.Error(err)
			}
			if list, err := p.List(); err != nil || len(list) != 1 || list[0].Sessions != 1 {
				t.Errorf("%+v %v", list, err)
			}
			if left := p.leave(s); left != wanted(t).Name() {
				t.Errorf("left %q", left)
			}
			p.clean(0)
			if left, err := os.ReadDir(p.Dir); err != nil || len(left) != 0 {
				t.Errorf("left: %v %v", left, err)
			}
		})
	}
}

// One runtime may have several sessions, and each knows its own.
func TestSessionsOfOneRuntime(t *testing.T) {
	p := newPlace(t)
	p.session(100)
	folder := t.TempDir()
	first, second := p.Machine.SessionOf("session-1", folder, 102), p.Machine.SessionOf("session-2", "", 102)
	p.enter(first)
	other, err := persist.Want([]string{"other"}, nil, "linux-64", nil)
	must(t, err)
	if _, err := p.Enter(t.Context(), other, second, time.Hour, p.maker()); err != nil {
		t.Fatal(err)
	}
	if left := p.leave(p.Machine.SessionOf("session-1", "", 102)); left != wanted(t).Name() {
		t.Errorf("the first left %q", left)
	}
	if left := p.leave(second); left != other.Name() {
		t.Errorf("the second left %q", left)
	}
}

// The kernel names a program's file without the links that a root may be reached by.
func TestAProgramBelowARootThatIsALink(t *testing.T) {
	p := newPlace(t)
	folder := t.TempDir()
	must(t, os.Symlink(folder, p.Dir))
	s := p.session(100)
	p.enter(s)
	p.leave(s)
	program := p.process(4000, "blender", 1, 1)
	must(t, os.Symlink(filepath.Join(folder, wanted(t).Name(), "1", "bin", "blender"), filepath.Join(program, "exe")))
	if got := p.clean(0); got != nil {
		t.Errorf("removed %s under a program", got)
	}
	must(t, os.RemoveAll(program))
	if got := p.clean(0); len(got) != 1 {
		t.Errorf("removed: %s", got)
	}
}
