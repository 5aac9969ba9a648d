#!/usr/bin/env bash
# Runs every fuzz target of the module for some time each: scripts/fuzz.sh [TIME] [PACKAGE...], default 10s ./...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:-10s}
[ $# -gt 0 ] && shift
packages=("${@:-./...}")
failed=0 targets=0
mapfile -t directories < <(go list -f '{{.Dir}}' "${packages[@]}")
for directory in "${directories[@]}"; do
	mapfile -t names < <(cat "$directory"/*_test.go 2>/dev/null | sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p')
	for target in ${names[@]+"${names[@]}"}; do
		targets=$((targets + 1))
		echo "== $target in ${directory#"$PWD"/}"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$directory" || failed=$((failed + 1))
	done
done
echo "$targets fuzz targets, $failed failed"
[ "$failed" -eq 0 ] && [ "$targets" -gt 0 ]
