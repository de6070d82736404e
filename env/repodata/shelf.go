package repodata

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// A shelf is a file of the cache with all records of an index, as its repodata.json
// has them, and behind them a table of where those of each name lie. The table is
// read at once, a name's records when they are asked for. Numbers are uvarints but
// for those of the end, which has a size of its own:
//
//	records  …           each: length, file name, length, JSON
//	table    length, JSON of the key info; count, and for each name: length, name, CRC-32C of its records,
//	         count of runs, each: offset, length
//	end      offset of the table, CRC-32C of the table, magic: 8, 4 and 4 bytes
const (
	shelfEnd   = 16
	shelfMagic = "cws4"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// run is a part of the file.
type run struct{ off, size uint64 }

// group is where the records of one name lie.
type group struct {
	runs []run
	sum  uint32
}

// shelfWriter fills a shelf as records come.
type shelfWriter struct {
	w      *bufio.Writer
	off    uint64
	groups map[string]*group
	last   string // the name of the record before: most have the same
	frame  []byte
}

// fill writes the records of a repodata.json to a shelf. What it cannot read is
// errBroken.
func fill(to io.Writer, text io.Reader) error {
	s := &shelfWriter{w: bufio.NewWriterSize(to, 1<<20), groups: map[string]*group{}}
	var failed error
	info, err := conda.ScanRepoData(text, func(file string, record []byte) error {
		failed = s.add(file, record)
		return failed
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return s.finish(info)
}

// add writes a record. What is no file name of a package is no offer: only that name is
// kept, to be told, as one of the package "". A record that is none of the package that
// its file is called after is kept there, too: nobody may ever ask for that package.
func (s *shelfWriter) add(file string, record []byte) error {
	name, ok := s.nameOf(file)
	switch {
	case !ok:
		name, record = "", nil
	case saysName(record, name) || whyBroken(file, record) == nil:
		s.last = name
	default:
		name = ""
	}
	g := s.groups[name]
	if g == nil {
		g = &group{}
		s.groups[name] = g
	}
	s.frame = append(binary.AppendUvarint(s.frame[:0], uint64(len(file))), file...)
	s.frame = append(binary.AppendUvarint(s.frame, uint64(len(record))), record...)
	size := uint64(len(s.frame))
	if last := len(g.runs) - 1; last >= 0 && g.runs[last].off+g.runs[last].size == s.off {
		g.runs[last].size += size
	} else {
		g.runs = append(g.runs, run{s.off, size})
	}
	g.sum = crc32.Update(g.sum, castagnoli, s.frame)
	s.off += size
	_, err := s.w.Write(s.frame)
	return err
}

// saysName finds the name in a record, for most as fast as it can be. What it does not
// find may still be there.
func saysName(record []byte, name string) bool {
	_, rest, _ := bytes.Cut(record, []byte(`"name":`))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > len(name)+1 && rest[0] == '"' && string(rest[1:len(name)+1]) == name && rest[len(name)+1] == '"'
}

// whyBroken says what is wrong with a record, or with the file name before it.
func whyBroken(file string, record []byte) error {
	name, err := conda.ParseFileName(file)
	if err != nil {
		return err
	}
	data := conda.NewRepoData("")
	set(data, file, record)
	_, broken := data.Records(name.Name)
	return errors.Join(broken...)
}

// set puts a record among those that are offered, whichever map of the index had it.
func set(data *conda.RepoData, file string, record []byte) {
	if strings.HasSuffix(file, ".conda") {
		data.PackagesConda.Set(file, record)
	} else {
		data.Packages.Set(file, record)
	}
}

// nameOf is the package's name in a file name.
func (s *shelfWriter) nameOf(file string) (name string, ok bool) {
	if rest, same := strings.CutPrefix(file, s.last+"-"); same && s.last != "" && strings.Count(rest, "-") == 1 {
		return s.last, true
	}
	f, err := conda.ParseFileName(file)
	return strings.Clone(f.Name), err == nil
}

// finish writes the table.
func (s *shelfWriter) finish(info []byte) error {
	table := append(binary.AppendUvarint(nil, uint64(len(info))), info...)
	table = binary.AppendUvarint(table, uint64(len(s.groups)))
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		table = append(binary.AppendUvarint(table, uint64(len(name))), name...)
		for _, n := range []uint64{uint64(g.sum), uint64(len(g.runs))} {
			table = binary.AppendUvarint(table, n)
		}
		for _, r := range g.runs {
			table = binary.AppendUvarint(binary.AppendUvarint(table, r.off), r.size)
		}
	}
	end := binary.BigEndian.AppendUint64(nil, s.off)
	end = append(binary.BigEndian.AppendUint32(end, crc32.Checksum(table, castagnoli)), shelfMagic...)
	_, err := s.w.Write(append(table, end...))
	return errors.Join(err, s.w.Flush())
}

// shelf reads one.
type shelf struct {
	*place
	file   *os.File
	groups map[string]group
}

// openShelf reads the table of a shelf in the place.
func openShelf(p *place, name string) (s *shelf, err error) {
	f, err := os.Open(filepath.Join(p.dir, name)) //nolint:gosec // in the cache
	if err != nil {
		return nil, err
	}
	s = &shelf{place: p, file: f}
	var info string
	table, err := readTable(f)
	if err == nil {
		info, s.groups, err = parseTable(table)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s in the cache: %w", name, err), f.Close())
	}
	data := conda.RepoData{Other: map[string]json.RawMessage{"info": json.RawMessage(info)}}
	if err := s.leaveOutStrange(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !p.locate(data.BaseURL()) {
		return nil, errors.Join(fmt.Errorf("the packages of %s lie elsewhere, at %s: name the channel there", p.subdir, store.WithoutSecrets(data.BaseURL())), f.Close())
	}
	return s, nil
}

// leaveOutStrange tells of what is no file name of a package, or no record of it.
func (s *shelf) leaveOutStrange() error {
	text, err := s.read(s.groups[""])
	if err != nil {
		return err
	}
	delete(s.groups, "")
	var strange []error
	for t := (&tableReader{rest: text}); t.rest != ""; {
		file, record := t.text(), t.text()
		strange = append(strange, whyBroken(file, []byte(record)))
	}
	s.leaveOut("", strange)
	return nil
}

var errDamaged = errors.New("it is damaged")

func readTable(f *os.File) ([]byte, error) {
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	end := make([]byte, shelfEnd)
	if _, err := f.ReadAt(end, stat.Size()-shelfEnd); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	at := binary.BigEndian.Uint64(end)
	if string(end[12:]) != shelfMagic || at > uint64(stat.Size()-shelfEnd) { //nolint:gosec // not negative: its end was read
		return nil, errDamaged
	}
	table := make([]byte, uint64(stat.Size()-shelfEnd)-at) //nolint:gosec // see above
	if _, err := f.ReadAt(table, int64(at)); err != nil {  //nolint:gosec // not behind the end
		return nil, err
	}
	if crc32.Checksum(table, castagnoli) != binary.BigEndian.Uint32(end[8:]) {
		return nil, errDamaged
	}
	return table, nil
}

// tableReader reads a table whose sum is right: it was written so.
type tableReader struct {
	rest string
	bad  bool
}

func (t *tableReader) number() uint64 {
	n, size := binary.Uvarint([]byte(t.rest[:min(len(t.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		t.bad, t.rest = true, ""
		return 0
	}
	t.rest = t.rest[size:]
	return n
}

func (t *tableReader) text() string {
	n := t.number()
	if n > uint64(len(t.rest)) {
		t.bad, t.rest = true, ""
		return ""
	}
	text := t.rest[:n]
	t.rest = t.rest[n:]
	return text
}

func parseTable(table []byte) (info string, groups map[string]group, err error) {
	t := &tableReader{rest: string(table)}
	info = t.text()
	count := t.number()
	groups = make(map[string]group, min(count, uint64(len(table))))
	for range count {
		name := t.text()
		g := group{sum: uint32(t.number())} //nolint:gosec // as it was written
		runs := t.number()
		if t.bad || runs > uint64(len(t.rest)) {
			return "", nil, errDamaged
		}
		g.runs = make([]run, runs)
		for i := range g.runs {
			g.runs[i] = run{t.number(), t.number()}
		}
		groups[name] = g
	}
	if t.bad || t.rest != "" {
		return "", nil, errDamaged
	}
	return info, groups, nil
}

// Names returns the names of the table.
func (s *shelf) Names() []string { return slices.Collect(maps.Keys(s.groups)) }

// Close closes the file.
func (s *shelf) Close() error { return s.file.Close() }

// Records reads a name's records. A file that was damaged is removed.
func (s *shelf) Records(name string) ([]conda.Record, error) {
	g, found := s.groups[name]
	if !found {
		return nil, nil
	}
	text, err := s.read(g)
	if err != nil {
		file := s.file.Name()
		return nil, errors.Join(fmt.Errorf("read %s in the cache: %w; it was removed: run again", file, err), os.Remove(file))
	}
	data := conda.NewRepoData(s.subdir)
	for t := (&tableReader{rest: text}); t.rest != ""; {
		set(data, t.text(), []byte(t.text()))
	}
	records, broken := s.offer(data, name)
	s.leaveOut(name, broken)
	return records, nil
}

func (s *shelf) read(g group) (string, error) {
	var text []byte
	for _, r := range g.runs {
		if r.size > maxSize || r.off > maxSize*2 {
			return "", errDamaged
		}
		part := make([]byte, r.size)
		if _, err := s.file.ReadAt(part, int64(r.off)); err != nil { //nolint:gosec // bounded
			return "", err
		}
		text = append(text, part...)
	}
	if crc32.Checksum(text, castagnoli) != g.sum {
		return "", errDamaged
	}
	return string(text), nil
}
