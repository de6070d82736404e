//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// large publishes packages into the index of a folder with n records, of whose
// packages there are none: a fast path does not look for them. The first publish
// makes what is derived of the whole index, the others change it.
func large(ctx context.Context, program, work string, n int) error {
	root := filepath.Join(work, "large")
	if err := writeIndex(ctx, root, n); err != nil {
		return err
	}
	stock := filepath.Join(work, "one")
	const publishes = 3
	if err := fillApart(ctx, stock, 0, publishes); err != nil {
		return err
	}
	printHead()
	for i := range publishes {
		kind := "publish"
		if i == 0 {
			kind = "first"
		}
		used, err := measure(ctx, []string{program, "publish", filepath.Join(stock, "linux-64", file(i)), "--to", root}, nil)
		if err != nil {
			return err
		}
		printLine(n, "condaworker", kind, used, 1)
	}
	in, err := os.Stat(filepath.Join(root, "linux-64", "repodata.json"))
	if err != nil {
		return err
	}
	fmt.Printf("repodata.json has %d MB\n", in.Size()/1e6)
	return nil
}

// writeIndex writes repodata.json of n records, twelve for each name, and the
// index of shards.
func writeIndex(ctx context.Context, root string, n int) error {
	text, err := os.CreateTemp(filepath.Dir(root), "index-")
	if err != nil {
		return err
	}
	defer os.Remove(text.Name()) //nolint:errcheck // in a temporary folder
	defer text.Close()           //nolint:errcheck // read to its end
	w := bufio.NewWriter(text)
	if err := writeRecords(w, n); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s := dir.Open(root)
	ours := store.PutOptions{Meta: map[string]string{"shards": "yes"}} // as an index of ours says that it has some
	if _, err := s.Put(ctx, "linux-64/repodata.json", text, ours); err != nil {
		return err
	}
	x := shards.Index{Subdir: "linux-64", BaseURL: "./", ShardsBaseURL: "./" + shards.Folder + "/", Shards: map[string]shards.Sum{}}
	for i := range n / builds {
		x.Shards[fmt.Sprintf("pkg-%06d", i)] = shards.Sum{byte(i), byte(i >> 8), byte(i >> 16)}
	}
	_, err = s.Put(ctx, "linux-64/"+shards.IndexName, strings.NewReader(string(archive.Zstd(x.Encode()))), store.PutOptions{})
	return err
}

func writeRecords(w io.Writer, n int) error {
	if _, err := io.WriteString(w, `{"info":{"subdir":"linux-64"},"packages":{},"packages.conda":{`); err != nil {
		return err
	}
	separator := ""
	for i := range n {
		name, version := fmt.Sprintf("pkg-%06d", i/builds), fmt.Sprintf("1.%02d.0", i%builds)
		_, err := fmt.Fprintf(w, `%s"%s-%s-h0123456_0.conda":{"build":"h0123456_0","build_number":0,"depends":["python >=3.11,<3.12.0a0","libstdcxx >=13"],`+
			`"indexed_timestamp":1700000000000,"license":"GPL-3.0-or-later","md5":"%032x","name":"%s","sha256":"%064x","size":%d,"subdir":"linux-64",`+
			`"timestamp":1700000000000,"version":"%s"}`, separator, name, version, i*7919, name, i*104729, 1000+i, version)
		if err != nil {
			return err
		}
		separator = ","
	}
	_, err := io.WriteString(w, `},"removed":[],"repodata_version":1}`)
	return err
}
