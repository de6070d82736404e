// Package openjd writes what the program says: its log, its progress and
// outcome for an Open Job Description session, its documents for programs, and
// the output of the programs it runs.
//
// It is the only writer of the process's standard output and standard error,
// because a session reads both as one stream of commands: a line that begins
// with openjd_ may set the outcome or the environment of the job, and one that
// nearly does (openjd_env, in any case, indented) cancels the action. Here such
// lines come from Status, Progress, Done, Fail, Setenv and Unsetenv alone. All
// else begins with a level word or with "| ", or is a JSON object that spells
// openjd_ otherwise, is valid UTF-8 without control characters, and is short
// enough that neither session runtime splits or truncates it: the one in Python
// splits at \n, \r\n and \r and after 64,000 characters, the one in Rust at \n
// and drops what follows byte 65,536.
//
// It never writes openjd_redacted_env, nor openjd_session_runtime_loglevel.
// Read output.go first, then lines.go.
package openjd
