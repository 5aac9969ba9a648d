#!/usr/bin/env bash
# Measures three fresh nodes on this machine: scripts/bench.sh [FLAGS OF balsa bench produce]. The nodes' processor time
# and disk writes are part of the result. Everything is removed afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

nodes=${NODES:-3}
dir=$(mktemp -d "${TMPDIR:-/tmp}/balsa-bench.XXXXXX")
trap 'scripts/cluster.sh wipe --dir "$dir/cluster"; rm -rf "$dir"' EXIT
out=$(scripts/cluster.sh up --nodes "$nodes" --base-port "${PORT:-29590}" --dir "$dir/cluster")
brokers=${out#bootstrap=}
pids=$(cat "$dir"/cluster/*/pid | paste -sd,)
topic=bench
bin/balsa bench produce --brokers "$brokers" --server-pids "$pids" --topic $topic "$@"
bin/balsa bench consume --brokers "$brokers" --server-pids "$pids" --topic $topic
bin/balsa bench end-to-end --brokers "$brokers" --server-pids "$pids" --rate 500 --duration 5s
