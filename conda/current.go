package conda

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Current returns the part of r that current_repodata.json has, for the older
// solver of conda: of each package the builds of its newest version, and of
// what those depend on the newest version that will do. A .conda hides the
// .tar.bz2 of the same build and has the other's hash as legacy_bz2_md5. A
// package whose record cannot be read is left out.
func (r *RepoData) Current() *RepoData {
	c := current{all: map[string][]release{}, chosen: map[string]map[string]bool{}}
	for _, name := range r.Names() {
		c.all[name] = releases(r, name)
	}
	out := NewRepoData(r.subdir())
	out.Other, out.Removed = r.Other, r.Removed
	for _, name := range slices.Sorted(maps.Keys(c.all)) {
		if len(c.all[name]) > 0 {
			c.choose(name, c.all[name][0])
		}
	}
	for name, versions := range c.chosen {
		for _, one := range c.all[name] {
			if !versions[one.text] {
				continue
			}
			for _, record := range one.records {
				out.Set(record.FileName, r.withTwin(record.FileName))
			}
		}
	}
	return out
}

// release is all builds of a version.
type release struct {
	text    string
	version Version
	records []Record
}

// releases are a package's versions, the newest first.
func releases(r *RepoData, name string) []release {
	records, _ := r.Records(name) // what is broken is nobody's newest version
	byVersion := map[string]*release{}
	for _, record := range records {
		v, err := ParseVersion(record.Version)
		if err != nil {
			continue
		}
		if byVersion[record.Version] == nil {
			byVersion[record.Version] = &release{text: record.Version, version: v}
		}
		byVersion[record.Version].records = append(byVersion[record.Version].records, record)
	}
	var all []release
	for _, one := range byVersion {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b release) int {
		return cmp.Or(b.version.Compare(a.version), strings.Compare(a.text, b.text))
	})
	return all
}

// current chooses versions.
type current struct {
	all    map[string][]release
	chosen map[string]map[string]bool // by package name and version
}

// choose takes a version in, and whatever it needs and nothing chosen gives.
func (c current) choose(name string, one release) {
	if c.chosen[name] == nil {
		c.chosen[name] = map[string]bool{}
	}
	if c.chosen[name][one.text] {
		return
	}
	c.chosen[name][one.text] = true
	for _, record := range one.records {
		for _, text := range record.Depends {
			spec, err := ParseMatchSpec(text)
			if err != nil || !spec.ExactName() {
				continue
			}
			if fit, found := c.fit(spec); found {
				c.choose(spec.Name, fit)
			}
		}
	}
}

// fit is the newest version with a build that spec matches.
func (c current) fit(spec MatchSpec) (release, bool) {
	for _, one := range c.all[spec.Name] {
		if slices.ContainsFunc(one.records, func(r Record) bool { return spec.Match(&r) }) {
			return one, true
		}
	}
	return release{}, false
}

// withTwin is the record of file; a .conda's names the older format's hash.
func (r *RepoData) withTwin(file string) json.RawMessage {
	record, _ := r.Record(file)
	stem, ok := strings.CutSuffix(file, ".conda")
	if !ok {
		return record
	}
	keys, err := readObject(record, "record of "+file)
	if err != nil {
		return record
	}
	keys["legacy_bz2_md5"] = json.RawMessage("null")
	if twin, found := r.Packages.Get(stem + ".tar.bz2"); found {
		var other Record
		if json.Unmarshal(twin, &other) == nil && other.MD5 != "" {
			keys["legacy_bz2_md5"] = appendString(nil, other.MD5)
		}
	}
	return encodeObject(keys)
}
