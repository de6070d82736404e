package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// tailSize is the first read: it nearly always holds the directory and
	// mostly the whole info part.
	tailSize = 64 << 10

	maxMembers   = 16       // a .conda has three
	maxDirectory = 64 << 10 // in bytes
)

var errNoZip = errors.New("it is not a zip, or its end is missing")

// extent is where a member lies: its local header begins at offset, and the
// next thing in the archive at end.
type extent struct {
	member
	end        int64
	descriptor bool // sizes and checksum follow the member, not its header
}

// container is the zip around the two tars.
type container struct {
	source  *source
	extents []extent
}

// openContainer reads the directory and refuses whatever two readers could
// read differently: members that overlap, are compressed, have the same name
// or lie behind foreign bytes.
func openContainer(s *source) (*container, error) {
	if err := s.readTail(); err != nil {
		return nil, err
	}
	end, err := findEnd(s)
	if err != nil {
		return nil, err
	}
	if end.count > maxMembers || end.size > maxDirectory || end.offset < 0 || end.size < 0 || end.offset+end.size != end.at {
		return nil, errors.New("its zip directory is damaged")
	}
	text := make([]byte, end.size)
	if _, err := s.ReadAt(text, end.offset); err != nil {
		return nil, err
	}
	c := &container{source: s}
	for range end.count {
		var e extent
		if e, text, err = parseEntry(text); err != nil {
			return nil, err
		}
		c.extents = append(c.extents, e)
	}
	if len(text) != 0 {
		return nil, errors.New("its zip directory holds more than its entries")
	}
	return c, c.place(end.offset)
}

// place finds where each member ends and refuses overlaps and equal names.
func (c *container) place(end int64) error {
	slices.SortFunc(c.extents, func(a, b extent) int { return cmp.Compare(a.offset, b.offset) })
	names := map[string]bool{}
	for i := range c.extents {
		e := &c.extents[i]
		if names[e.name] {
			return fmt.Errorf("it has two members %s", e.name)
		}
		names[e.name] = true
		e.end = end
		if i+1 < len(c.extents) {
			e.end = c.extents[i+1].offset
		}
		least := int64(lenLocal + len(e.name))
		if e.offset < 0 || e.size < 0 || e.end-e.offset < least || e.end-e.offset-least < e.size {
			return fmt.Errorf("its member %s overlaps what follows", e.name)
		}
	}
	return nil
}

// find returns the member that holds p, e.g. info-….tar.zst.
func (c *container) find(p Part) (extent, error) {
	found := extent{member: member{offset: -1}}
	for _, e := range c.extents {
		if !strings.HasPrefix(e.name, string(p)+"-") {
			continue
		}
		if !strings.HasSuffix(e.name, ".tar.zst") {
			return e, fmt.Errorf("its member %s is not a .tar.zst", e.name)
		}
		if found.offset >= 0 {
			return e, fmt.Errorf("it has two %s members, %s and %s", p, found.name, e.name)
		}
		found = e
	}
	if found.offset < 0 {
		return found, fmt.Errorf("it has no member %s-….tar.zst", p)
	}
	return found, nil
}

// zipEnd says where the directory is.
type zipEnd struct {
	count        int
	size, offset int64
	at           int64 // where the end records begin
}

func findEnd(s *source) (zipEnd, error) {
	le := binary.LittleEndian
	tail := s.tail
	sig := le.AppendUint32(nil, sigEnd)
	for i := len(tail) - lenEnd; i >= 0; i-- {
		b := tail[i:]
		if !bytes.HasPrefix(b, sig) || int(le.Uint16(b[20:])) != len(b)-lenEnd {
			continue
		}
		end := zipEnd{
			count: int(le.Uint16(b[10:])), size: int64(le.Uint32(b[12:])),
			offset: int64(le.Uint32(b[16:])), at: s.tailAt + int64(i),
		}
		if i < lenLocator64 || le.Uint32(tail[i-lenLocator64:]) != sigLocator64 {
			return end, nil
		}
		return findEnd64(s, end, tail[i-lenLocator64:i])
	}
	return zipEnd{}, errNoZip
}

// findEnd64 takes from the zip64 record what did not fit into end.
func findEnd64(s *source, end zipEnd, locator []byte) (zipEnd, error) {
	le := binary.LittleEndian
	at := int64(le.Uint64(locator[8:]))
	if at != end.at-lenLocator64-lenEnd64 {
		return end, errors.New("its zip64 end record is not where it should be")
	}
	b := make([]byte, lenEnd64)
	if _, err := s.ReadAt(b, at); err != nil {
		return end, err
	}
	if le.Uint32(b) != sigEnd64 || le.Uint64(b[4:]) != lenEnd64-12 {
		return end, errors.New("its zip64 end record is damaged")
	}
	count, size, offset := le.Uint64(b[32:]), int64(le.Uint64(b[40:])), int64(le.Uint64(b[48:]))
	if end.count != max16 && uint64(end.count) != count || end.size != max32 && end.size != size || end.offset != max32 && end.offset != offset {
		return end, errors.New("its two zip end records contradict each other")
	}
	return zipEnd{count: int(min(count, max16)), size: size, offset: offset, at: at}, nil
}

// parseEntry reads one directory entry and returns what follows it.
func parseEntry(b []byte) (e extent, rest []byte, err error) {
	le := binary.LittleEndian
	if len(b) < lenEntry || le.Uint32(b) != sigEntry {
		return e, nil, errors.New("its zip directory is damaged")
	}
	flags, method := le.Uint16(b[8:]), le.Uint16(b[10:])
	compressed, size := uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[24:]))
	name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	offset := uint64(le.Uint32(b[42:]))
	e.crc, e.descriptor = le.Uint32(b[16:]), flags&8 != 0
	if len(b) < lenEntry+name+extra+comment {
		return e, nil, errors.New("its zip directory is cut off")
	}
	e.name = string(b[lenEntry:][:name])
	if flags&1 != 0 || method != 0 {
		return e, nil, fmt.Errorf("its member %s is compressed or encrypted by zip; a .conda stores its members", e.name)
	}
	if err := widen(b[lenEntry+name:][:extra], &size, &compressed, &offset); err != nil {
		return e, nil, fmt.Errorf("its member %s: %w", e.name, err)
	}
	if size != compressed || size > 1<<62 || offset > 1<<62 {
		return e, nil, fmt.Errorf("its member %s has impossible sizes", e.name)
	}
	e.size, e.offset = int64(size), int64(offset)
	return e, b[lenEntry+name+extra+comment:], nil
}

// widen replaces each of fields that says so by its value in the zip64 extra
// field, which holds just those, in this order.
func widen(extra []byte, fields ...*uint64) error {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			return errors.New("an extra field is cut off")
		}
		if id != extra64 {
			extra = extra[n:]
			continue
		}
		values := extra[:n]
		for _, f := range fields {
			if *f != max32 {
				continue
			}
			if len(values) < 8 {
				return errors.New("the zip64 field is too short")
			}
			*f, values = le.Uint64(values), values[8:]
		}
		return nil
	}
	return nil
}

// checkLocal reads the local header of e from r and compares it: clients that
// read the archive as a stream believe it instead of the directory.
func (e extent) checkLocal(r io.Reader) error {
	le := binary.LittleEndian
	b := make([]byte, lenLocal)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if le.Uint32(b) != sigLocal {
		return fmt.Errorf("its member %s has no local header", e.name)
	}
	rest := make([]byte, int(le.Uint16(b[26:]))+int(le.Uint16(b[28:])))
	if _, err := io.ReadFull(r, rest); err != nil {
		return err
	}
	name, extra := rest[:le.Uint16(b[26:])], rest[le.Uint16(b[26:]):]
	compressed, size := uint64(le.Uint32(b[18:])), uint64(le.Uint32(b[22:]))
	if err := widen(extra, &size, &compressed); err != nil {
		return fmt.Errorf("its member %s: %w", e.name, err)
	}
	same := string(name) == e.name && le.Uint16(b[8:]) == 0
	if !e.descriptor {
		same = same && size == uint64(e.size) && compressed == uint64(e.size) && le.Uint32(b[14:]) == e.crc
	}
	if !same {
		return fmt.Errorf("the local header of its member %s contradicts the directory", e.name)
	}
	if int64(lenLocal+len(rest))+e.size > e.end-e.offset {
		return fmt.Errorf("its member %s overlaps what follows", e.name)
	}
	return nil
}
