#!/usr/bin/env bash
# The client scenario of test/clients (see README.md there) with kcat (librdkafka).
#   scenario.sh BOOTSTRAP REPLICATION_FACTOR CREATE_COMMAND...
# kcat cannot create a topic with a given number of partitions: CREATE_COMMAND TOPIC does it. That a topic comes into
# being by being written to is its own step.
set -uo pipefail

readonly bootstrap=$1 replication=$2
shift 2
readonly create_command=("$@")
readonly partitions=4 per_partition=40 step_timeout=60
topic=clients-kcat-$(date +%s%N)
readonly topic
readonly group=$topic-group
readonly broker=(-b "$bootstrap" -X socket.timeout.ms=20000)
dir=$(mktemp -d)
readonly dir
members=()
a='' b='' c='' # the pids of members, which join assigns by name
failed=0

cleanup() {
  local pid
  for pid in "${members[@]}"; do kill -KILL "$pid" 2>/dev/null; done
  rm -rf "$dir"
}
trap cleanup EXIT

why() { echo "$*" >"$dir/why"; return 1; }

# wait_for WHAT CONDITION... polls until the condition holds.
wait_for() {
  local what=$1 end=$((SECONDS + step_timeout))
  shift
  until "$@"; do
    ((SECONDS < end)) || { why "timed out waiting for $what"; return 1; }
    sleep 0.1
  done
}

create() {
  "${create_command[@]}" "$topic" >"$dir/create" 2>&1 || { why "$(tr '\n' ' ' <"$dir/create")"; return 1; }
  local listed
  listed=$(timeout 30 kcat "${broker[@]}" -L -t "$topic" | grep -c "^    partition .* replicas: [0-9]*\(,[0-9]*\)\{$((replication - 1))\},")
  ((listed == partitions)) || why "kcat lists $listed partitions with $replication replicas, want $partitions"
}

auto_create() {
  local t=$topic-auto got
  echo created-by-writing | timeout 30 kcat "${broker[@]}" -P -t "$t" -p 0 2>"$dir/err" || { why "$(cat "$dir/err")"; return 1; }
  got=$(timeout 30 kcat "${broker[@]}" -C -t "$t" -p 0 -o 0 -e -q)
  [[ $got == created-by-writing ]] || why "read '$got'"
}

# produce WAVE CODEC writes to every partition and appends what was acknowledged to written.PARTITION.
produce() {
  local wave=$1 codec=$2 p i
  for ((p = 0; p < partitions; p++)); do
    for ((i = 0; i < per_partition; i++)); do
      printf '%s-%d-%03d\t%s\n' "$wave" "$p" "$i" "$wave $(printf '%*s' $((i * i)) '' | tr ' ' x)"
    done >"$dir/wave"
    timeout 30 kcat "${broker[@]}" -P -t "$topic" -p "$p" -z "$codec" -K '\t' -H "wave=$wave" \
      -X enable.idempotence=true -X acks=all <"$dir/wave" 2>"$dir/err" || { why "$(cat "$dir/err")"; return 1; }
    sed "s/\$/\twave=$wave/" "$dir/wave" >>"$dir/written.$p"
  done
}

# join NAME starts a group member; its records' keys go to NAME.seen, its assignments to NAME.log.
join() {
  kcat "${broker[@]}" -G "$group" -u -f '%k\n' -X auto.offset.reset=earliest -X session.timeout.ms=10000 \
    -X heartbeat.interval.ms=500 "$topic" >>"$dir/$1.seen" 2>>"$dir/$1.log" &
  members+=($!)
  eval "$1=$!"
}

# leave PID ends a member as a user does: it commits and leaves the group.
leave() {
  kill -TERM "$1" 2>/dev/null || { why "kcat ended by itself"; return 1; }
  wait_for "kcat to leave" gone "$1"
}
gone() { ! kill -0 "$1" 2>/dev/null; }

# owns NAME N: the last assignment of the member has N partitions.
owns() {
  local last
  last=$(grep -a 'assigned: ' "$dir/$1.log" 2>/dev/null | grep -v revoked | tail -1 | grep -o "\[[0-9]*\]" | wc -l)
  ((last == $2))
}
share() { owns a $((partitions / 2)) && owns b $((partitions / 2)); }

all_seen() {
  cat "$dir"/written.* | cut -f1 | sort -u >"$dir/want"
  sort -u "$dir"/[ab].seen | comm -13 - "$dir/want" >"$dir/missing"
  [[ ! -s $dir/missing ]]
}

group_rebalance() {
  join a
  wait_for "the first member to own all partitions" owns a $partitions || return 1
  join b
  wait_for "the members to share the partitions" share || return 1
  produce both none || return 1
  wait_for "both members to get all records" all_seen || return 1
  leave "$b" || return 1
  wait_for "the first member to take over" owns a $partitions || return 1
  produce alone snappy || return 1
  wait_for "the first member to get the rest" all_seen || return 1
  leave "$a"
}

enough() { (($(wc -l <"$dir/c.seen") >= partitions * per_partition)); }

commit_resume() {
  produce after zstd || return 1
  : >"$dir/c.seen"
  join c
  wait_for "the records after the commit" enough || return 1
  leave "$c" || return 1
  if grep -v '^after-' "$dir/c.seen" >"$dir/old"; then
    why "got $(head -1 "$dir/old"), which was committed before"
  fi
}

replay() {
  local p
  for ((p = 0; p < partitions; p++)); do
    awk -F '\t' -v OFS='\t' '{print NR-1, $0}' "$dir/written.$p" >"$dir/want"
    timeout 30 kcat "${broker[@]}" -C -t "$topic" -p "$p" -o 0 -e -q -f '%o\t%k\t%s\t%h\n' >"$dir/got" 2>"$dir/err" ||
      { why "$(cat "$dir/err")"; return 1; }
    cmp -s "$dir/want" "$dir/got" || { why "partition $p differs: $(diff "$dir/want" "$dir/got" | head -2 | cut -c1-200 | tr '\n' ' ')"; return 1; }
  done
}

step() {
  local name=$1
  shift
  : >"$dir/why"
  if "$@"; then
    echo "PASS kcat $name"
  else
    echo "FAIL kcat $name: $(cat "$dir/why")"
    failed=1
  fi
}

step create-topic create
step auto-create auto_create
for codec in none gzip snappy lz4 zstd; do
  if [[ $codec != none ]] && ! kcat -V 2>&1 | grep -q "builtin.features=.*$codec"; then
    echo "SKIP kcat produce-$codec: this librdkafka was built without it"
    continue
  fi
  step "produce-$codec" produce "$codec" "$codec"
done
step group-rebalance group_rebalance
step commit-resume commit_resume
step replay replay
exit $failed
