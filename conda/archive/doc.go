// Package archive reads and writes conda's package archives: .conda, a zip of
// stored members (CEP 35), and the older .tar.bz2, which is only read. It
// compresses and decompresses zstd for everybody else, too.
//
// It never touches a disk: it is given readers, writers and sizes, and checks
// all that it reads, in bounded memory. What a package must hold is the
// business of its callers. Start with Writer, ReadInfo and Walk.
package archive
