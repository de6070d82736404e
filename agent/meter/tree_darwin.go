package meter

// tree does not sample here: without cgo it would have to run ps and pgrep, and
// measure these. The largest process is known all the same.
type tree struct{}

func (*tree) look(int64, bool) sample { return sample{} }

func (*tree) close() {}
