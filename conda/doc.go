// Package conda holds the words that all rooms share: package names, versions,
// match specs, subdirs, file names, index records and repodata.
//
// It is pure: no disk, network, clock or environment. Archives are read by
// conda/archive. Start with Record and RepoData.
package conda
