package indexer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

const (
	channelDataName = "channeldata.json"
	aboutsName      = ".condaworker-channeldata.json.zst"
)

// channelData is channeldata.json (CEP 38): of each package name what a person
// wants to know before installing it.
type channelData struct {
	Version  int                    `json:"channeldata_version"`
	Packages map[string]*nameData   `json:"packages"`
	Subdirs  []string               `json:"subdirs"`
	newest   map[string]reference   // by name
	builds   map[string][]reference // by name: the newest of each subdir
}

// nameData is what is said of one package name.
type nameData struct {
	about

	Version    string                     `json:"version"`
	Reference  string                     `json:"reference_package"`
	RunExports map[string]json.RawMessage `json:"run_exports"` // by version
	Subdirs    []string                   `json:"subdirs"`
	Timestamp  int64                      `json:"timestamp,omitempty"` // of the newest build, in seconds
}

// about is what only a package itself says. The fields above Activate are those
// of info/about.json; index.json may have them too, and goes before.
type about struct {
	Description  string          `json:"description,omitempty"`
	DevURL       json.RawMessage `json:"dev_url,omitempty"` // a string or a list, as are all URLs
	DocURL       json.RawMessage `json:"doc_url,omitempty"`
	DocSourceURL json.RawMessage `json:"doc_source_url,omitempty"`
	Home         json.RawMessage `json:"home,omitempty"`
	SourceURL    json.RawMessage `json:"source_url,omitempty"`
	SourceGitURL json.RawMessage `json:"source_git_url,omitempty"`
	Summary      string          `json:"summary,omitempty"`
	License      string          `json:"license,omitempty"`
	Tags         json.RawMessage `json:"tags,omitempty"`
	Identifiers  json.RawMessage `json:"identifiers,omitempty"`
	Keywords     json.RawMessage `json:"keywords,omitempty"`
	IconURL      string          `json:"icon_url,omitempty"`

	Activate     bool `json:"activate.d"`
	Deactivate   bool `json:"deactivate.d"`
	BinaryPrefix bool `json:"binary_prefix"`
	TextPrefix   bool `json:"text_prefix"`
	PreLink      bool `json:"pre_link"`
	PostLink     bool `json:"post_link"`
	PreUnlink    bool `json:"pre_unlink"`
}

// reference is a build that stands for its package.
type reference struct {
	record conda.Record
	file   conda.FileName
	key    string // with its subdir
}

// newer orders builds by what people would install first. Of twins the .conda
// is the newer.
func (r reference) newer(o reference) int {
	v, errV := conda.ParseVersion(r.record.Version)
	w, errW := conda.ParseVersion(o.record.Version)
	switch {
	case errV == nil && errW == nil && v.Compare(w) != 0:
		return v.Compare(w)
	case (errV == nil) != (errW == nil):
		return cmp.Compare(boolRank(errV == nil), boolRank(errW == nil))
	}
	return cmp.Or(cmp.Compare(r.record.BuildNumber, o.record.BuildNumber), cmp.Compare(r.record.Timestamp, o.record.Timestamp),
		cmp.Compare(r.file.Ext, o.file.Ext), strings.Compare(o.key, r.key))
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// abouts is what is kept of packages that were looked into, by key.
type abouts map[string]aboutOf

type aboutOf struct {
	SHA256 string `json:"sha256"` // of the package, as its record has it
	About  about  `json:"about"`
}

// channelData brings channeldata.json and rss.xml up to date where there is one
// or where it is asked for. Of the packages only the newest of each name and
// subdir is looked into, and only once. It says whether what there is was old.
func (r *run) channelData(ctx context.Context, t top, subdirs []string) (stale []string, err error) {
	if !r.o.ChannelData && !r.o.RSS && !t.has[channelDataName] {
		return nil, nil
	}
	for attempt := 1; ; attempt++ {
		stale, err = r.channelDataOnce(ctx, t, subdirs)
		if !errors.Is(err, store.ErrConflict) || attempt == attempts {
			break
		}
		if err := store.Backoff(ctx, attempt); err != nil {
			return stale, err
		}
	}
	if err != nil {
		err = fmt.Errorf("derive %s: %w", channelDataName, err)
	}
	return stale, err
}

func (r *run) channelDataOnce(ctx context.Context, t top, subdirs []string) (stale []string, err error) {
	wanted := []string{channelDataName}
	if r.o.RSS || t.has[rssName] {
		wanted = append(wanted, rssName)
	}
	there := map[string]*object{}
	for _, name := range wanted {
		info, exists, err := head(ctx, r.s, name)
		if err != nil {
			return nil, err
		}
		there[name] = &object{info: info, exists: exists}
	}
	source, err := r.indexVersions(ctx, subdirs)
	if closed(err) && len(r.o.Subdirs) > 0 { // not one of those: they were read
		r.warn(fmt.Sprintf("%s is left as it was, until a reindex of all subdirs can read them: %v", channelDataName, err))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, name := range wanted {
		if !there[name].exists || there[name].info.Meta[metaSource] != source {
			stale = append(stale, name)
		}
	}
	if r.o.Check || len(stale) == 0 {
		return stale, nil
	}
	data, err := r.gather(ctx, subdirs)
	if err != nil {
		return stale, err
	}
	texts := map[string][]byte{channelDataName: data.encode()}
	if slices.Contains(stale, rssName) {
		texts[rssName] = data.rss(r.o.URL)
	}
	types := map[string]string{channelDataName: "application/json", rssName: "application/rss+xml"}
	for _, name := range stale {
		_, err := r.s.Put(ctx, name, bytes.NewReader(texts[name]), store.PutOptions{
			Cond: there[name].over(), Meta: map[string]string{metaSource: source}, ContentType: types[name], CacheControl: indexCache,
		})
		if err != nil {
			return stale, err
		}
	}
	return stale, nil
}

// indexVersions is a digest of the versions of all subdirs' repodata.json.
func (r *run) indexVersions(ctx context.Context, subdirs []string) (string, error) {
	var all strings.Builder
	for _, subdir := range subdirs {
		info, _, err := head(ctx, r.s, subdir+"/"+indexName)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "%s %s\n", subdir, info.Version)
	}
	return hexSHA256([]byte(all.String())), nil
}

// gather makes channel data from the indexes of subdirs.
func (r *run) gather(ctx context.Context, subdirs []string) (channelData, error) {
	d := channelData{Version: 1, Packages: map[string]*nameData{}, Subdirs: subdirs, newest: map[string]reference{}, builds: map[string][]reference{}}
	for _, subdir := range subdirs {
		if err := d.addSubdir(ctx, &run{s: r.s, o: r.o, subdir: subdir}); err != nil {
			return d, err
		}
	}
	known, err := r.learnAbouts(ctx, d)
	if err != nil {
		return d, err
	}
	for name, p := range d.Packages {
		newest := d.newest[name]
		p.about = known[newest.key].About
		p.Version, p.License, p.Reference = newest.record.Version, cmp.Or(newest.record.License, p.License), newest.key
		for _, b := range d.builds[name] {
			p.join(known[b.key].About)
			p.Timestamp = max(p.Timestamp, b.record.Timestamp/1000)
		}
	}
	return d, nil
}

// addSubdir adds what the index of r's subdir says.
func (d channelData) addSubdir(ctx context.Context, r *run) error {
	index, err := r.read(ctx, indexName)
	if err != nil || !index.exists {
		return err
	}
	data, err := conda.ParseRepoData(index.text)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", r.subdir, indexName, err)
	}
	o, err := r.read(ctx, runExportsName)
	if err != nil {
		return err
	}
	exports, err := conda.ParseRunExports(o.text)
	if err != nil {
		exports = &conda.RunExports{} // a reindex mends it, and comes here again
	}
	newest, ofVersion := map[string]reference{}, map[string]reference{}
	for file, text := range data.All() {
		ref := reference{key: r.subdir + "/" + file}
		if ref.file, err = conda.ParseFileName(file); err != nil || json.Unmarshal(text, &ref.record) != nil {
			continue
		}
		keepNewer(newest, ref.record.Name, ref)
		keepNewer(ofVersion, ref.record.Name+" "+ref.record.Version, ref)
	}
	for name, ref := range newest {
		p := d.Packages[name]
		if p == nil {
			p = &nameData{RunExports: map[string]json.RawMessage{}}
			d.Packages[name] = p
		}
		p.Subdirs = append(p.Subdirs, r.subdir)
		keepNewer(d.newest, name, ref)
		d.builds[name] = append(d.builds[name], ref)
	}
	for _, ref := range ofVersion {
		if e := exports.Get(path.Base(ref.key)); len(e) > len("{}") {
			d.Packages[ref.record.Name].RunExports[ref.record.Version] = e
		}
	}
	return nil
}

func keepNewer(all map[string]reference, key string, ref reference) {
	if was, found := all[key]; !found || ref.newer(was) > 0 {
		all[key] = ref
	}
}

// join adds what is true of any subdir's build.
func (a *about) join(b about) {
	a.Activate = a.Activate || b.Activate
	a.Deactivate = a.Deactivate || b.Deactivate
	a.BinaryPrefix = a.BinaryPrefix || b.BinaryPrefix
	a.TextPrefix = a.TextPrefix || b.TextPrefix
	a.PreLink = a.PreLink || b.PreLink
	a.PostLink = a.PostLink || b.PostLink
	a.PreUnlink = a.PreUnlink || b.PreUnlink
}

// learnAbouts looks into the packages that stand for their names, but for those
// that an earlier run has looked into.
func (r *run) learnAbouts(ctx context.Context, d channelData) (abouts, error) {
	was, err := r.readAbouts(ctx)
	if err != nil {
		return nil, err
	}
	now := abouts{}
	var fresh []reference
	for _, name := range slices.Sorted(maps.Keys(d.builds)) {
		for _, b := range d.builds[name] {
			if k, found := was[b.key]; found && k.SHA256 == b.record.SHA256 {
				now[b.key] = k
			} else {
				fresh = append(fresh, b)
			}
		}
	}
	found := make([]aboutOf, len(fresh))
	err = r.each(ctx, len(fresh), func(ctx context.Context, i int) error {
		var bad badPackage
		a, err := aboutPackage(ctx, r.s, fresh[i])
		found[i] = aboutOf{fresh[i].record.SHA256, a}
		if closed(err) {
			found[i].SHA256 = "" // the next run may be let in
		}
		if errors.As(err, &bad) || notThere(err) || closed(err) {
			r.log(fmt.Sprintf("%s says nothing about itself: %v", fresh[i].key, err))
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, b := range fresh {
		now[b.key] = found[i]
	}
	if !maps.EqualFunc(was, now, func(a, b aboutOf) bool { return a.SHA256 == b.SHA256 }) {
		r.writeAbouts(ctx, now)
	}
	return now, nil
}

func (r *run) readAbouts(ctx context.Context) (abouts, error) {
	body, info, err := r.s.Get(ctx, aboutsName, 0, -1)
	if notThere(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := object{body: body, info: info}
	text, err := o.bytes()
	if err != nil {
		return nil, err
	}
	var all abouts
	if text, err = archive.Unzstd(text, maxIndex); err != nil || json.Unmarshal(text, &all) != nil {
		return nil, nil // it only saves work
	}
	return all, nil
}

func (r *run) writeAbouts(ctx context.Context, all abouts) {
	text, err := json.Marshal(all)
	if err == nil {
		_, err = r.s.Put(ctx, aboutsName, bytes.NewReader(archive.Zstd(text)), store.PutOptions{ContentType: "application/zstd"})
	}
	if err != nil {
		r.log(fmt.Sprintf("keep what packages say about themselves for the next run: %v", err))
	}
}

// aboutPackage reads what a stored package says of itself.
func aboutPackage(ctx context.Context, s store.Reader, ref reference) (about, error) {
	info, exists, err := head(ctx, s, ref.key)
	if err != nil || !exists {
		return about{}, err
	}
	in, err := inside(ctx, s, info)
	if err != nil {
		return about{}, err
	}
	return aboutOfInfo(ref.record.Name, in), nil
}

// aboutOfInfo puts together what about.json and paths.json say.
func aboutOfInfo(name string, in archive.Info) about {
	var a about
	a.add(in.AboutJSON)
	a.add(in.IndexJSON)
	var paths struct {
		Paths []struct {
			Path        string `json:"_path"`
			Mode        string `json:"file_mode"`
			Placeholder string `json:"prefix_placeholder"`
		} `json:"paths"`
	}
	_ = json.Unmarshal(in.PathsJSON, &paths) // a package without it has no flags
	for _, p := range paths.Paths {
		a.BinaryPrefix = a.BinaryPrefix || p.Placeholder != "" && p.Mode == "binary"
		a.TextPrefix = a.TextPrefix || p.Placeholder != "" && p.Mode != "binary"
		a.Activate = a.Activate || strings.HasPrefix(p.Path, "etc/conda/activate.d/")
		a.Deactivate = a.Deactivate || strings.HasPrefix(p.Path, "etc/conda/deactivate.d/")
		switch p.Path {
		case "bin/." + name + "-pre-link.sh", "Scripts/." + name + "-pre-link.bat":
			a.PreLink = true
		case "bin/." + name + "-post-link.sh", "Scripts/." + name + "-post-link.bat":
			a.PostLink = true
		case "bin/." + name + "-pre-unlink.sh", "Scripts/." + name + "-pre-unlink.bat":
			a.PreUnlink = true
		}
	}
	return a
}

// add takes the fields of a JSON object, each on its own: people write a list
// where a text is due, and what is of another kind is left out.
func (a *about) add(text []byte) {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(text, &fields) // one that is no object says nothing
	for key, value := range fields {
		one, err := json.Marshal(map[string]json.RawMessage{key: value})
		if err == nil && string(value) != "null" {
			_ = json.Unmarshal(one, a)
		}
	}
}

// encode is the text of channeldata.json, as conda-index lays it out.
func (d channelData) encode() []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(d) // of texts and numbers, it cannot fail
	return out.Bytes()
}
