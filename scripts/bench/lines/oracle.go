package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// oracle is the Python process that judges.
type oracle struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// verdict is what it says of a batch.
type verdict struct {
	Records int    `json:"records"` // lines read, by all readers
	Ends    uint64 `json:"ends"`    // inputs whose end was seen
	Hits    []hit  `json:"hits"`
}

type hit struct {
	input                uint64 // counted in the batch
	reader, kind, record string
}

// UnmarshalJSON reads [input, reader, kind, record].
func (h *hit) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&h.input, &h.reader, &h.kind, &h.record})
}

func startOracle(ctx context.Context, python string) (*oracle, error) {
	c := exec.CommandContext(ctx, python, "-c", oracleProgram) //nolint:gosec // our own
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start the oracle: %w", err)
	}
	return &oracle{c, in, bufio.NewReader(out)}, nil
}

func (o *oracle) judge(data []byte) (v verdict, err error) {
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	for _, b := range [][]byte{head, data} {
		if _, err := o.in.Write(b); err != nil {
			return v, fmt.Errorf("ask the oracle: %w", err)
		}
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		return v, fmt.Errorf("hear the oracle: %w", err)
	}
	return v, json.Unmarshal(line, &v)
}

func (o *oracle) close() error {
	return errors.Join(o.in.Close(), o.process.Wait())
}
