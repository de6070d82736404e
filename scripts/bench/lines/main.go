// Command lines sends hostile text through everything that prints what is not
// ours, reads the result as the session runtimes do, and asks the real
// openjd-sessions which lines it would act on. It fails if there is one, or one
// with a secret in it:
//
//	go run ./scripts/bench/lines -python ~/.cache/condaworker-tools/venv/bin/python -n 10000000
//	go run ./scripts/bench/lines -python … -first 4711 -n 1   # one input, printed
//
// First some inputs are shown to the oracle as they are: it must act on each
// kind of directive, or the inputs would prove nothing.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/condaworker/condaworker/agent/openjd"
)

//go:embed oracle.py
var oracleProgram string

const (
	end   = "-- end of input --\n" // oracle.py knows it
	batch = 2000                   // inputs that the oracle judges at a time
)

func main() {
	var o options
	flag.StringVar(&o.python, "python", "python3", "a Python with openjd-sessions")
	flag.Uint64Var(&o.first, "first", 0, "number of the first input")
	flag.Uint64Var(&o.n, "n", 100_000, "inputs to try")
	flag.Uint64Var(&o.seed, "seed", 1, "draws the inputs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Println(err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	python         string
	first, n, seed uint64
}

// run shows the oracle raw inputs, then filtered ones.
func run(ctx context.Context, o options) (err error) {
	oracle, err := startOracle(ctx, o.python)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, oracle.close()) }()
	if o.n > 1 {
		if err := sharp(oracle, o.seed); err != nil {
			return err
		}
	}
	begun, records := time.Now(), 0
	for done := uint64(0); done < o.n; {
		now := min(batch, o.n-done)
		verdict, err := o.try(oracle, o.first+done, now)
		if err != nil {
			return err
		}
		done += now
		records += verdict.Records
		if done%1_000_000 == 0 || done == o.n {
			fmt.Printf("%d inputs, %d records in %s: no session acts on any\n", done, records, time.Since(begun).Round(time.Second))
		}
	}
	return nil
}

// sharp fails unless the oracle acts on every kind of directive in raw inputs.
func sharp(oracle *oracle, seed uint64) error {
	var g generator
	var raw bytes.Buffer
	for number := range uint64(20_000) {
		raw.Write(g.input(seed, number))
		raw.WriteString("\n" + end)
	}
	verdict, err := oracle.judge(raw.Bytes())
	if err != nil {
		return err
	}
	acts := map[string]int{}
	for _, h := range verdict.Hits {
		acts[h.kind]++
	}
	fmt.Printf("of 20000 raw inputs a session acts on %v\n", acts)
	for _, kind := range []string{"progress", "status", "fail", "env", "unset_env", "session_runtime_loglevel", "broken directive", "near miss", "not UTF-8"} {
		if acts[kind] == 0 {
			return fmt.Errorf("the oracle or the inputs are blunt: nothing raw is taken for %s", kind)
		}
	}
	return nil
}

// try judges the inputs from first on, filtered.
func (o options) try(oracle *oracle, first, n uint64) (verdict, error) {
	var g generator
	var printed bytes.Buffer
	doors := open(&printed)
	for number := first; number < first+n; number++ {
		input := g.input(o.seed, number)
		from := printed.Len()
		hides := doors.through(input, &g)
		got := printed.Bytes()[from:]
		if o.n == 1 {
			fmt.Printf("input %q\nprinted %q\n", input, got)
		}
		for _, secret := range secrets {
			if hides && bytes.Contains(got, []byte(secret)) {
				return verdict{}, fmt.Errorf("input %d shows the secret %s", number, secret)
			}
		}
		printed.WriteString(end)
	}
	v, err := oracle.judge(printed.Bytes())
	switch {
	case err != nil:
		return v, err
	case len(v.Hits) > 0:
		h := v.Hits[0]
		return v, fmt.Errorf("input %d: a session (%s) takes %q for %s", first+h.input, h.reader, h.record, h.kind)
	case v.Ends != n:
		return v, fmt.Errorf("between the inputs %d and %d one does not end its last line", first, first+n-1)
	}
	return v, nil
}

// doors are the ways by which foreign text gets to the output.
type doors struct{ text, document, structured *openjd.Output }

func open(w io.Writer) doors {
	o := openjd.Options{Stdout: w, Stderr: w, Session: true, Redact: secrets}
	d := doors{text: openjd.New(o)}
	o.LogJSON = true
	d.structured = openjd.New(o)
	o.JSON = true
	d.document = openjd.New(o)
	return d
}

// through prints an input, mostly as a program's output, in pieces. It tells
// whether secrets are hidden on the way: in documents of our own there are none.
func (d doors) through(input []byte, g *generator) (hides bool) {
	switch g.IntN(20) {
	case 0:
		d.text.Log().Info(string(input))
		d.structured.Log().Warn("it failed: " + string(input))
		return true
	case 1:
		_ = d.text.Print(input)
		return false
	case 2:
		doc, _ := json.Marshal(map[string]string{string(input): "openjd_env"})
		_ = d.document.Print(doc)
		return false
	}
	w := d.text.Lines()
	if g.IntN(10) == 0 {
		w = d.structured.Lines()
	}
	for len(input) > 0 {
		n := 1 + g.IntN(len(input))
		if g.IntN(3) == 0 {
			n = min(n, 3)
		}
		_, _ = w.Write(input[:n]) // it never fails
		input = input[n:]
	}
	_ = w.Close()
	return true
}
