// Package store reads and writes the objects of a channel, wherever it lives.
//
// It knows keys and bytes, nothing of conda. The doors are store/dir (a
// folder), store/s3 (a bucket) and store/http (read only); only package agent
// opens them. store/storetest holds the contract as a test suite that every
// door must pass, store/mem a door in memory for tests. Start with Store.
package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"
)

// ErrConflict reports that a conditional Put lost: other bytes than its own
// are at the key. It never stands for an unknown outcome. From a body that Get
// opened it says that the object was replaced before all of it was read.
var ErrConflict = errors.New("another writer was first")

// ErrNoChannel reports that the place itself is missing (a folder that does
// not exist, a bucket that is not there), not just one of its objects.
var ErrNoChannel = errors.New("there is no channel at this place")

// NoPlace is the error of a store whose place is missing, e.g. "such folder". todo
// is what the user should do. It matches ErrNoChannel and fs.ErrNotExist.
func NoPlace(place, todo string) error { return noPlace("there is no " + place + ": " + todo) }

type noPlace string

// Error tells what to do.
func (e noPlace) Error() string { return string(e) }

// Is tells what the error matches.
func (noPlace) Is(target error) bool { return target == ErrNoChannel || target == fs.ErrNotExist }

// ErrCredentials reports that a store takes the credentials for nobody's, or for
// nobody's any more, or this machine's clock for wrong: it refuses whatever is
// asked. It matches fs.ErrPermission.
var ErrCredentials error = noCredentials{}

type noCredentials struct{}

// Error is that of fs.ErrPermission: who wraps it says more.
func (noCredentials) Error() string { return fs.ErrPermission.Error() }

// Is tells what the error matches.
func (noCredentials) Is(target error) bool { return target == fs.ErrPermission }

// Info describes a stored object.
type Info struct {
	Key      string            // e.g. linux-64/blender-4.2.5-hb0f4dca_0.conda
	Size     int64             // of the whole object, in bytes; -1 from a List that could not look at it
	Version  string            // an ETag: opaque; other bytes mean another version
	Modified time.Time         // when it was written, by the store's clock
	Meta     map[string]string // as Put was given; nil from List
	Age      time.Duration     // from Get: how long ago it was written when it was read, all by the store's clock; 0: not known
	Fresh    time.Duration     // from Get: for how long a copy may be used without asking again (RFC 9111); 0: ask
	Found    bool              // by a conditional Put: the same bytes were there already, or its first answer was lost
}

// Reader is enough to install from a channel. HTTP channels offer no more.
//
// A missing key is an error that matches fs.ErrNotExist, a refused one matches
// fs.ErrPermission, and a missing folder or bucket matches ErrNoChannel as well
// as fs.ErrNotExist.
type Reader interface {
	// Get opens n bytes of key from off on. n < 0 reads to the end, off < 0
	// counts from the end (off -65536, n -1: the last 64 KiB, or the whole of
	// a smaller object), and n == 0 asks only whether it is there.
	Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, Info, error)
}

// Store is a channel that can be written.
type Store interface {
	Reader

	// List yields every object whose key begins with prefix, in key order.
	List(ctx context.Context, prefix string, o ListOptions) iter.Seq2[Info, error]

	// Put writes all of body at key, visible whole or not at all, if o.Cond
	// holds at that moment. It retries what is worth retrying; when the answer
	// to an attempt was lost it reads the object back, and bytes equal to
	// body's are success. ErrConflict means that other bytes are there.
	Put(ctx context.Context, key string, body io.ReadSeeker, o PutOptions) (Info, error)

	// Delete removes key; a key that is not there is no error.
	Delete(ctx context.Context, key string) error
}

// ListOptions narrow a listing.
type ListOptions struct {
	// Shallow yields, in place of all objects whose keys have a further slash
	// behind the prefix, one Info with nothing but that part of the key, e.g.
	// linux-64/ for the prefix "".
	Shallow bool
	After   string // only keys that come after this one

	// Known are keys, sorted, that are likely to be in the listing. They change
	// nothing in it; a store that answers in pages may ask for several of them
	// at a time.
	Known []string
}

// PutOptions say under which condition and with which attributes to write.
type PutOptions struct {
	Cond         Cond              // what must hold for the write to happen
	Meta         map[string]string // kept with the object: lower-case keys, ASCII values, 2 KB in all
	ContentType  string            // e.g. application/json
	CacheControl string            // e.g. public, max-age=300
}

// Cond is what must hold for a Put to happen. The zero value is Always.
type Cond string

const (
	Always   Cond = ""  // whatever is there is replaced
	IfAbsent Cond = "*" // nothing is there
)

// IfVersion holds while the object is the one that in described.
func IfVersion(in Info) Cond { return Cond(in.Version) }
