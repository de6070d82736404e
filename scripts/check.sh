#!/usr/bin/env bash
# Every gate that a change must pass. Tools are built once, from the Go module
# proxy, into a cache folder.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${XDG_CACHE_HOME:-$HOME/.cache}/condaworker-tools
tool() { # tool NAME MODULE@VERSION: prints the path of the program
	local dir=$tools/${2##*@}
	[ -x "$dir/$1" ] || GOBIN=$dir go install "$2"
	echo "$dir/$1"
}
gate() { echo "== $*"; }

gate gofumpt
unformatted=$("$(tool gofumpt mvdan.cc/gofumpt@v0.12.0)" -l .)
[ -z "$unformatted" ] || { echo "gofumpt would change: $unformatted"; exit 1; }

gate go vet
go vet ./...

gate golangci-lint
"$(tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0)" run ./...

gate go mod tidy
go mod tidy -diff

# Whether it compiles everywhere: without the optimizer, that takes a quarter of the
# time, and beside the tests, which leave much of it.
builds() {
	renice -n 19 "$BASHPID" >/dev/null
	for target in linux/amd64 linux/arm64 windows/amd64 darwin/arm64; do
		echo "$target"
		CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -gcflags='all=-N -l' -o /dev/null .
	done
}
log=$(mktemp) built=$(mktemp)
trap 'rm -f "$log" "$built"' EXIT
builds >"$built" 2>&1 </dev/null &
building=$!

gate go test -race -short
export GORACE=atexit_sleep_ms=0 # else each of the programs that the tests start sleeps for a second at its end
go test -race -short -shuffle=on -v ./... >"$log" 2>&1 || {
	awk '{lines[n++] = $0}
		/^(ok|\?) /{n = 0}
		/^FAIL\t/{for (i = 0; i < n; i++) print lines[i]; n = 0}' "$log" | grep -aEv '^ *(=== |--- PASS)'
	exit 1
}
grep -aE '^(ok|\?) ' "$log"
echo "skipped:"
awk '/^ *=== /{test = $3}
	/^ +[^ ]+\.go:[0-9]+: /{sub(/^ +[^ ]+ /, ""); why[test] = $0}
	/^ *--- SKIP: /{tests[why[$3]] = tests[why[$3]] " " $3}
	END{for (w in tests) print "  " w ":" tests[w]}' "$log"

gate govulncheck
if ! "$(tool govulncheck golang.org/x/vuln/cmd/govulncheck@v1.1.4)" ./... >/tmp/govulncheck.$$ 2>&1; then
	if grep -qi 'vuln.go.dev\|fetching vulnerabilities' /tmp/govulncheck.$$; then
		echo "govulncheck: its database cannot be reached from here"
	else
		cat /tmp/govulncheck.$$; exit 1
	fi
fi
rm -f /tmp/govulncheck.$$

gate builds
wait "$building" || { cat "$built"; exit 1; }
cat "$built"
echo "check.sh: all gates passed"
