package archive

import (
	"encoding/binary"
)

// The parts of a zip (APPNOTE.TXT 4.3) that a .conda needs.
const (
	sigLocal     = 0x04034b50
	sigEntry     = 0x02014b50
	sigEnd       = 0x06054b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50

	lenLocal     = 30
	lenEntry     = 46
	lenEnd       = 22
	lenEnd64     = 56
	lenLocator64 = 20

	extra64 = 0x0001 // the id of the zip64 extra field

	max16 = 0xFFFF
	max32 = 0xFFFFFFFF // the 32-bit field's way to say: see the zip64 one

	date1980   = 1<<5 | 1  // 1 January 1980, the first day that zip knows
	version20  = 20        // needed to read: folders and stored members
	version45  = 45        // needed to read: zip64
	madeByUnix = 3 << 8    // the attributes are a Unix mode
	flagUTF8   = 1 << 11   // the name is UTF-8
	modeFile   = 0o100_644 // -rw-r--r--
)

// member is a stored member of the zip.
type member struct {
	name   string // e.g. pkg-blender-4.2.5-hb0f4dca_0.tar.zst
	offset int64  // of its local header
	size   int64  // stored, so compressed and uncompressed alike
	crc    uint32 // CRC-32 of its bytes
	zip64  bool   // the local header has 64-bit sizes
}

// localHeader has the same length whatever the sizes are: it is written before
// the member and once more when they are known.
func (m *member) localHeader() []byte {
	version, size := uint16(version20), uint32(m.size)
	var extra []byte
	if m.zip64 {
		version, size = version45, max32
		extra = zip64Extra(uint64(m.size), uint64(m.size))
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, sigLocal)
	b = le.AppendUint16(b, version)
	b = m.appendCommon(b, size)
	b = le.AppendUint16(b, uint16(len(extra)))
	b = append(b, m.name...)
	return append(b, extra...)
}

// appendCommon adds the fields that local header and directory entry share.
func (m *member) appendCommon(b []byte, size uint32) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, flagUTF8)
	b = le.AppendUint16(b, 0) // stored
	b = le.AppendUint16(b, 0) // midnight
	b = le.AppendUint16(b, date1980)
	b = le.AppendUint32(b, m.crc)
	b = le.AppendUint32(b, size)
	b = le.AppendUint32(b, size)
	return le.AppendUint16(b, uint16(len(m.name)))
}

// entry is the member's directory entry, with 64-bit fields where one is due.
func (m *member) entry() []byte {
	version, size, offset := uint16(version20), uint32(m.size), uint32(m.offset)
	var large []uint64
	if m.size >= max32 {
		size, large = max32, append(large, uint64(m.size), uint64(m.size))
	}
	if m.offset >= max32 {
		offset, large = max32, append(large, uint64(m.offset))
	}
	var extra []byte
	if large != nil || m.zip64 {
		version = version45
	}
	if large != nil {
		extra = zip64Extra(large...)
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, sigEntry)
	b = le.AppendUint16(b, madeByUnix|version45)
	b = le.AppendUint16(b, version)
	b = m.appendCommon(b, size)
	b = le.AppendUint16(b, uint16(len(extra)))
	b = append(b, make([]byte, 6)...) // no comment, disk 0, binary
	b = le.AppendUint32(b, modeFile<<16)
	b = le.AppendUint32(b, offset)
	b = append(b, m.name...)
	return append(b, extra...)
}

func zip64Extra(values ...uint64) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, extra64)
	b = le.AppendUint16(b, uint16(8*len(values)))
	for _, v := range values {
		b = le.AppendUint64(b, v)
	}
	return b
}

// directory is all that follows the last member, which ends at offset at.
func directory(members []member, at int64) []byte {
	var b []byte
	for _, m := range members {
		b = append(b, m.entry()...)
	}
	size, count, offset := len(b), len(members), uint32(at)
	le := binary.LittleEndian
	if at >= max32 {
		offset = max32
		b = le.AppendUint32(b, sigEnd64)
		b = le.AppendUint64(b, lenEnd64-12) // of what follows this field
		b = le.AppendUint16(b, madeByUnix|version45)
		b = le.AppendUint16(b, version45)
		b = append(b, make([]byte, 8)...) // disk 0, directory on disk 0
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(size))
		b = le.AppendUint64(b, uint64(at))
		b = le.AppendUint32(b, sigLocator64)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(at)+uint64(size))
		b = le.AppendUint32(b, 1) // one disk in all
	}
	b = le.AppendUint32(b, sigEnd)
	b = append(b, make([]byte, 4)...) // disk 0, directory on disk 0
	b = le.AppendUint16(b, uint16(count))
	b = le.AppendUint16(b, uint16(count))
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, offset)
	return le.AppendUint16(b, 0) // no comment
}
