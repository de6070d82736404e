package main

// mutants are defects of the kind that such code has had. One that only makes
// work, such as taking a 409 for a 412, is none: what is there is read back
// either way.
var mutants = []mutant{
	{"the index is written without If-Match", "indexer/objects.go", "return store.IfVersion(o.info)", "return store.Always"},
	{"the first index is written without If-None-Match", "indexer/objects.go", "return store.IfAbsent", "return store.Always"},
	{"412 is taken for success without reading back", "store/s3/settle.go", "			return w.whose(ctx)\n", "			return store.Info{Key: w.key, Size: w.size, Version: \"x\"}, nil\n"},
	{"the listing is read before the index", "indexer/reindex.go", `	index, err := r.read(ctx, indexName)
	if err != nil {
		return report, err
	}
	e := r.successor(index)
	e.parse(r)
	stored, err := r.list(ctx, e.data)
	if err != nil {
		return report, err
	}
`, `	stored, err := r.list(ctx, conda.NewRepoData(r.subdir))
	if err != nil {
		return report, err
	}
	index, err := r.read(ctx, indexName)
	if err != nil {
		return report, err
	}
	e := r.successor(index)
	e.parse(r)
`},
	{"derived objects are written without a condition", "indexer/derive.go", "Cond: p.over(), Meta: meta,", "Cond: store.Always, Meta: meta,"},
	{"after a conflict the old text is derived again", "indexer/derive.go", "if err != nil || now.Version == e.index.info.Version {", "if true || err != nil || now.Version == e.index.info.Version {"},
	{"after a conflict run_exports of before are used", "indexer/derive.go", "		e.exports = nil // they were made with what is there no more\n", ""},
	{"a commit leaves shards out that another is about to write", "indexer/edition.go", `	e.meta[metaShards] = "yes"
`, ""},
	{"new packages are taken for known", "indexer/state.go", "	if !ok || r.Size != in.Size || !usable(r) {\n		return false", "	if !ok || r.Size != in.Size || !usable(r) {\n		return true"},
	{"a shard is taken for stored", "indexer/shards.go", "	if there.has(sum, was) {", "	if there.has(sum, was) || true {"},
	{"a body that is cut is taken for whole", "store/s3/s3.go", "	if err == nil || r.left <= 0 || r.lost == attempts || r.ctx.Err() != nil {\n		return n, err\n	}", "	if err != nil {\n		return n, io.EOF\n	}\n	if err == nil {\n		return n, err\n	}"},
	{"the lock's epoch does not rise", "lock/record.go", "return c.epoch + 1", "return c.epoch"},
	{"the lock is taken without a condition", "lock/lock.go", "	cond := store.IfAbsent\n	if cur.info.Version != \"\" {\n		cond = store.IfVersion(cur.info)\n	}", "	cond := store.Always"},
	{"a waiter leaves with work that had begun before it came", "lock/record.go", "if s.Epoch <= epoch {", "if s.Epoch < epoch {"},
	{"a text of the index comes twice", "indexer/edition.go", "	e.sign(r.now())\n", ""},
	{"a text of the removals comes twice", "indexer/removals.go", "file.Edit++", ""},
	{"a package that is being deleted is restored", "indexer/removals.go", "if all[file].ending(now) {", "if false {"},
	{"what another indexer brings back stays", "indexer/reindex.go", "found && !e.data.HasEdition()", "found && false"},
	{"what instructions hid is known after the index alone", "indexer/reindex.go", "if e.patch != nil { // first", "if false { // first"},
	{"what is stored again is restored at once", "indexer/removals.go", "now.Sub(time.Unix(was.Deleted, 0)) < landsWithin", "false"},
	{"a removed package is not listed as removed", "indexer/remove.go", "		e.base.Removed = append(e.base.Removed, file)\n", ""},
	{"a listing brings removed packages back", "indexer/merge.go", "		delete(stored, file)\n", "		_ = file\n"},
	{"a build number is claimed without a condition", "indexer/claim.go", "Cond: store.IfAbsent", "Cond: store.Always"},
	{"a task that comes again claims another build number", "indexer/claim.go", "	if c.Task != \"\" {", "	if false {"},
}
