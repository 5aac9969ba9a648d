#!/usr/bin/env bash
# Checks every shell script of the repository. Without shellcheck it says so and fails only in CI, where it must be there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t scripts < <(git ls-files -co --exclude-standard | while read -r file; do
	[ -f "$file" ] && head -c 64 "$file" | grep -qaE '^#!.*\b(ba)?sh\b' && echo "$file"
done || true)
for script in "${scripts[@]}"; do bash -n "$script"; done
if ! command -v shellcheck >/dev/null; then
	echo "shellcheck is not installed: only the syntax of ${#scripts[@]} scripts was checked" >&2
	[ -z "${CI:-}" ] || exit 1
	exit 0
fi
shellcheck --severity=warning "${scripts[@]}"
