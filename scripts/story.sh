#!/usr/bin/env bash
# What the demonstrations have in common. They source it: it makes a directory that goes when they end, and says how to
# start a cluster in it, tell what happens, and fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ -x bin/balsa ] || make --no-print-directory build
# shellcheck disable=SC2034 # used by who sources this
balsa=$PWD/bin/balsa
dir=$(mktemp -d "${TMPDIR:-/tmp}/balsa-demo.XXXXXX")
pids=() # processes of the story, ended with it
cluster() { scripts/cluster.sh "$@" --dir "$dir/cluster"; }
finish() {
	local code=$? pid
	for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
	[ "$code" -eq 0 ] || tail -n 3 "$dir"/cluster/*/log "$dir"/*.err 2>/dev/null || true
	cluster wipe
	rm -rf "$dir"
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
tell() { printf '  %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# begin starts three nodes, the first port is $1, and has the commands talk to them.
begin() {
	BALSA_BROKERS=$(cluster up --base-port "$1")
	export BALSA_BROKERS=${BALSA_BROKERS#bootstrap=}
	tell "brokers $BALSA_BROKERS"
}
