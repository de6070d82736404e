package meter

import (
	"os"
	"os/exec"
	"slices"
	"testing"
)

// TestProcfs keeps files open, no more than it may, and closes those of what
// has ended.
func TestProcfs(t *testing.T) {
	for _, most := range []int{0, 1, 100} {
		files := newProcfs()
		files.most = most
		stop := start(t, "hold 1")
		look := func() (children []int) {
			defer files.sweep()
			own, ok := files.process(os.Getpid())
			if !ok || own.name == "" || own.rss < 1<<20 {
				t.Errorf("this process is %+v", own)
			}
			children = files.children(own, nil)
			for _, pid := range children {
				if is, ok := files.process(pid); !ok || is.parent != os.Getpid() || is.id.pid != pid {
					t.Errorf("the child is %+v", is)
				}
			}
			return children
		}
		first, again := look(), look()
		if len(first) != 1 || !slices.Equal(first, again) {
			t.Errorf("children %v, then %v", first, again)
		}
		if len(files.held) > most || most > 10 && len(files.held) < 4 { // two stat files, threads, children of each
			t.Errorf("%d files are open, %d may be", len(files.held), most)
		}
		stop()
		if _, ok := files.process(first[0]); ok {
			t.Error("the child has ended and is there")
		}
		if left := look(); len(left) != 0 {
			t.Errorf("children %v", left)
		}
		look()
		if _, held := files.held[procFile{first[0], statFile}]; held {
			t.Error("a file of the child is open still")
		}
		files.close()
		if look(); len(files.held) != 0 {
			t.Errorf("%d files are open after the end", len(files.held))
		}
	}
}

// TestManyChildren are more than fit in one page of the list.
func TestManyChildren(t *testing.T) {
	const many = 900
	for range many {
		c := exec.CommandContext(t.Context(), "cat")
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close(); _ = c.Wait() }()
	}
	files := newProcfs()
	defer files.close()
	own, _ := files.process(os.Getpid())
	if children := files.children(own, nil); len(children) != many {
		t.Errorf("%d children, want %d", len(children), many)
	}
}
