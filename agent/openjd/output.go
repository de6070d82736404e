package openjd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	messageLength = 1000            // characters; the service cuts a message at 4,096
	progressStep  = 1.0             // percent
	progressPause = 5 * time.Second // the worker tells the service every 15 s or so
	statusPause   = 5 * time.Second
	statusBurst   = 30 // statuses; a build of three packages has no more
)

// Options say where to write and who reads it.
type Options struct {
	Stdout, Stderr io.Writer
	Session        bool  // an OpenJD session reads the output: directives are printed
	JSON           bool  // a program reads Stdout: only Print writes there, the log goes to Stderr
	Verbose        bool  // debug lines are logged
	LogJSON        bool  // each line of the log is a JSON object; directives stay as they are
	Volume         int64 // bytes of foreign output that the log takes; 0: 256 MiB

	// Width is that of the terminal which shows the log; 0: none does. There a
	// line at the bottom tells how a phase goes on, and with Colours the log has
	// some.
	Width   int
	Colours bool

	// Redact are secrets, e.g. a token: ******** is printed in their place,
	// except by Print, which takes what Hide returned. Those shorter than 4 bytes are no secrets and ignored;
	// those of several lines are hidden line by line.
	Redact []string

	// Broken, when set, is called once with the first error that a write gave:
	// the reader is gone (EPIPE) or the disk is full. What is written later to
	// the same stream is dropped.
	Broken func(error)
}

// Output is the process's standard output and standard error. Its methods are
// safe for concurrent use; each writes whole lines in a single write.
type Output struct {
	session  bool
	json     bool
	logJSON  bool
	doc      *stream // documents
	log      *stream // everything else
	errors   *stream // the outcome, outside a session
	logger   *zap.Logger
	format   format
	volume   *volume
	width    int
	now      func() time.Time
	mu       sync.Mutex // guards what follows
	secrets  []string
	live     *live // of the present phase
	status   string
	allowed  float64   // statuses that may be printed at once
	counted  time.Time // when allowed was right
	progress float64
	told     time.Time // when progress was printed
	failed   bool
}

// New returns an Output that writes as o says.
func New(o Options) *Output {
	shared := &device{broken: o.Broken}
	stdout, stderr := &stream{device: shared, w: o.Stdout}, &stream{device: shared, w: o.Stderr}
	out := &Output{session: o.Session, json: o.JSON, logJSON: o.LogJSON, doc: stdout, log: stdout, errors: stderr, now: time.Now, format: plain{colours: o.Colours}, width: o.Width, allowed: statusBurst}
	out.volume = &volume{limit: cmp.Or(o.Volume, volumeLimit)}
	if o.LogJSON {
		out.format = newStructured(func() time.Time { return out.now() })
	}
	if o.JSON {
		out.log = stderr
	}
	out.Redact(o.Redact...)
	level := zapcore.InfoLevel
	if o.Verbose {
		level = zapcore.DebugLevel
	}
	out.logger = zap.New(&core{LevelEnabler: level, out: out}, zap.ErrorOutput(zapcore.AddSync(io.Discard)))
	return out
}

// Log returns the logger. An event is a line of plain text, the level first,
// e.g. "INFO  fetched the source url=https://example.org/a.tgz bytes=1048576";
// a message of several lines becomes as many lines, each with its level.
func (o *Output) Log() *zap.Logger { return o.logger }

// Redact adds secrets that became known later, with the rules of
// Options.Redact. Writers that Lines returned before do not hide them.
func (o *Output) Redact(secrets ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.secrets = addSecrets(o.secrets, secrets)
}

// Hide returns text with the secrets that are known now hidden as in the log,
// for what is written elsewhere.
func (o *Output) Hide(text string) string { return mask(text, o.hide()) }

// Status tells what goes on, e.g. "running the build script": the session's
// progress message, or a line in the log when there is no session. Text is
// made one line of at most 1,000 characters; what was told last is not
// repeated, and an empty text tells nothing. A session hears 30 at once and then
// one in five seconds, and misses the others: each is a line that is paid for,
// and only the last of 15 seconds is ever shown.
func (o *Output) Status(text string) { o.tell(text, false) }

// Done tells how a run that succeeded ended: a session always hears it, and
// that all is done.
func (o *Output) Done(text string) {
	o.Progress(100)
	o.tell(text, true)
}

func (o *Output) tell(text string, always bool) {
	text = o.message(text)
	news := o.news(text, always)
	switch { // unlocked: printing may call Broken
	case !news:
	case o.session:
		o.log.print("openjd_status: " + text + "\n")
	default:
		o.logger.Info(text)
	}
}

// news notes a status and reports whether to print it.
func (o *Output) news(text string, always bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if text == "" || text == o.status {
		return false
	}
	now := o.now()
	if !o.counted.IsZero() {
		o.allowed = min(statusBurst, o.allowed+now.Sub(o.counted).Seconds()/statusPause.Seconds())
	}
	o.counted = now
	if o.session && !always {
		if o.allowed < 1 {
			return false
		}
		o.allowed--
	}
	o.status = text
	return true
}

// Progress tells how much of the work is done, in percent. Only a session
// hears it, and only a rise: by one percent and five seconds after the last,
// or to 100. Values are clamped to 0..100; one that is no number is dropped.
func (o *Output) Progress(percent float64) {
	if !o.session || math.IsNaN(percent) {
		return
	}
	percent = math.Floor(max(0, min(percent, 100))*10) / 10 // 99.96 is not done
	if o.advance(percent) {
		o.log.print(fmt.Sprintf("openjd_progress: %.1f\n", percent))
	}
}

// advance notes that percent is reached and reports whether to print it.
func (o *Output) advance(percent float64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	due := percent >= o.progress+progressStep && (o.told.IsZero() || now.Sub(o.told) >= progressPause)
	if last := percent == 100 && o.progress < 100; !due && !last {
		return false
	}
	o.progress, o.told = percent, now
	return true
}

// Fail tells why the process failed, e.g. "solve linux-64: nothing provides
// foo >=2". Without a session each line of it is "error: ..." on standard error.
// A session hears one line of at most 1,000 characters; a text that is longer or
// has several lines is logged in full before. It fails the action, so the exit
// status must not be 0. Only the first call counts; later ones are just logged.
func (o *Output) Fail(text string) {
	const silence = "failed without saying why"
	line, lines := cmp.Or(o.message(text), silence), cleanLines(text)
	o.mu.Lock()
	first := !o.failed
	o.failed = true
	o.mu.Unlock()
	switch long := len(lines) > 1 || utf8.RuneCountInString(text) > messageLength; {
	case !first:
		o.logger.Error(text)
	case o.session:
		if long {
			o.logger.Error(text)
		}
		o.log.print("openjd_fail: " + line + "\n")
	case long:
		o.errors.print(string(o.format.failure(lines)))
	default:
		o.errors.print(string(o.format.failure([]string{line})))
	}
}

// Print writes b whole to standard output, with a newline at its end: with
// Options.JSON a document for programs, else a block of text for people. In a
// session it is changed where it would be taken for a command: in JSON, openjd_
// is spelt with an escape, so that the document means the same, and in text the
// lines are cleaned and those like commands get the prefix "| ". With
// Options.LogJSON each line of a text is an event.
func (o *Output) Print(b []byte) error {
	switch {
	case o.logJSON && !o.json:
		return o.printEvents(string(b))
	case o.session && o.json && json.Valid(b):
		b = escapeJSON(b)
	case o.session:
		b = guard(b)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(bytes.Clone(b), '\n')
	}
	return o.doc.write(b)
}

func (o *Output) printEvents(text string) error {
	var b []byte
	for _, line := range cleanLines(text) {
		b = append(b, o.format.event(zapcore.Entry{Time: o.now(), Message: line}, nil, nil)...)
	}
	return o.doc.write(b)
}

// message makes text a single line that is short enough for a directive.
func (o *Output) message(text string) string {
	text = strings.Join(cleanLines(text), " ")
	return shorten(strings.TrimSpace(strings.ReplaceAll(mask(text, o.hide()), "\t", " ")))
}

// hide returns the secrets known so far.
func (o *Output) hide() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.secrets
}
