#!/usr/bin/env bash
# The story of the README on real input, checking itself: three nodes, a file of this machine produced by key, read by a
# group of two, a leader killed with kill -9 while the file is produced, and everything replayed from offset 0. What comes
# out must be what went in: every record, in the order of the file within each key. Exit code 0 only then.
#   scripts/demo.sh [FILE]
# shellcheck source=scripts/story.sh
. "$(dirname "${BASH_SOURCE[0]}")/story.sh"
sum() { sha256sum | cut -c1-16; }

# The input: a real file whose lines have a key. Each line becomes key<TAB>line.
choose() {
	local file
	for file in /var/log/dpkg.log /var/log/syslog /usr/share/dict/words /var/log/alternatives.log; do
		if [ -r "$file" ] && [ "$(head -c 20000 "$file" | wc -c)" -eq 20000 ]; then
			echo "$file"
			return
		fi
	done
	file=$dir/go-source.txt # every machine that builds balsa has Go's own text
	find "$(go env GOROOT)/src/net" -name '*.go' -print0 | sort -z | xargs -0 cat >"$file"
	echo "$file"
}
file=${1:-$(choose)}
[ -r "$file" ] || fail "cannot read $file"
# Tabs and empty lines are taken out, because a tab separates key and value here. The fourth field of a dpkg line is the
# package or its state, of others any word: enough keys to reach every partition. 20,000 lines are story enough.
tr '\t' ' ' <"$file" | awk 'NF && n++ < 20000 { print (NF >= 4 ? $4 : $1) "\t" $0 }' >"$dir/input"
lines=$(wc -l <"$dir/input")
[ "$lines" -ge 100 ] || fail "$file has only $lines lines"
# By key, keeping the order within a key: what every complete and ordered read must equal.
by_key() { LC_ALL=C sort -s -t $'\t' -k1,1; }
expected=$(by_key <"$dir/input" | sum)

step "1. A cluster of three nodes"
begin "${PORT:-29190}"
"$balsa" topic create story --partitions 6 --replicas 3 | sed 's/^/  /'
"$balsa" cluster status --wait 30s | sed 's/^/  /'

step "2. Produce $file: $lines lines, by key"
"$balsa" produce story "$dir/input" --key-separator $'\t' 2>&1 | sed 's/^/  /'

step "3. A consumer group of two reads it"
for member in 1 2; do
	"$balsa" consume story --group readers --format '%k\t%v\n' >"$dir/member$member" 2>"$dir/member$member.err" &
	pids+=($!)
done
deadline=$((SECONDS + 60))
until [ "$(cat "$dir/member1" "$dir/member2" | wc -l)" -ge "$lines" ] &&
	[ "$("$balsa" group describe readers 2>/dev/null | head -n 1 | sed 's/.*lag //')" = 0 ]; do
	[ $SECONDS -lt $deadline ] || fail "the group has read $(cat "$dir/member1" "$dir/member2" | wc -l) of $lines records"
	sleep 0.2
done
"$balsa" group describe readers | sed 's/^/  /'
for pid in "${pids[@]}"; do kill -INT "$pid"; done
for pid in "${pids[@]}"; do wait "$pid" || fail "a consumer failed"; done
pids=()
tell "member 1 read $(wc -l <"$dir/member1") records, member 2 read $(wc -l <"$dir/member2")"
# A rebalance may hand a partition over between print and commit: at least once. So duplicates are dropped here, and only here.
cat "$dir/member1" "$dir/member2" | LC_ALL=C sort | uniq >"$dir/read"
LC_ALL=C sort "$dir/input" | uniq | cmp -s - "$dir/read" || fail "the group did not read what was produced"

step "4. kill -9 the leader of a partition while producing the file again"
"$balsa" topic create outage --partitions 6 --replicas 3 | sed 's/^/  /'
"$balsa" cluster status --wait 30s >/dev/null
leader=$("$balsa" topic describe outage | awk '$1 == "0" { print $2; exit }')
# The file goes in bit by bit over two seconds, so that the kill falls between records that are acknowledged.
feed() {
	split -l $((lines / 80 + 1)) "$dir/input" "$dir/chunk."
	local chunk
	for chunk in "$dir"/chunk.*; do
		cat "$chunk"
		sleep 0.025
	done
}
feed | "$balsa" produce outage --key-separator $'\t' 2>"$dir/produce.err" &
producer=$!
sleep 1
cluster kill "$leader"
killed=$(date +%s%N)
echo probe | "$balsa" produce outage --partition 0 --key probe --quiet
tell "node $leader, the leader of partition 0, is gone; partition 0 accepts records again after $((($(date +%s%N) - killed) / 1000000)) ms"
kill -0 "$producer" 2>/dev/null || fail "the producer ended before the leader was killed"
wait "$producer" || fail "the producer lost records: $(cat "$dir/produce.err")"
sed 's/^/  /' "$dir/produce.err"
{ "$balsa" cluster status || true; } | awk '/^TOPIC/ { skip = 1 } /^problem/ { skip = 0 } !skip { print "  " $0 }'

step "5. Replay both topics from offset 0, without node $leader"
replay() { "$balsa" consume "$1" --from start --exit --format '%k\t%v\n' | grep -v $'^probe\tprobe$' | by_key | sum; }
story=$(replay story)
outage=$(replay outage)
tell "sha256 by key: file $expected, story $story, outage $outage"
[ "$story" = "$expected" ] || fail "topic story differs from the file"
[ "$outage" = "$expected" ] || fail "topic outage differs from the file: a record was lost, doubled or reordered"

step "6. Node $leader comes back"
cluster start "$leader"
"$balsa" cluster status --wait 60s | sed 's/^/  /'

step "Nothing lost, nothing doubled, nothing reordered: $lines records, $(wc -c <"$dir/input") bytes."
