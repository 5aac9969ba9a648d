#!/usr/bin/env bash
# What queues do, on a cluster of three nodes, checking itself: each story ends with what must be true, and fails if it is not.
#   scripts/queue-demo.sh [STORY...]    work, fan-out, poison, delayed, ordered; all by default
# shellcheck source=scripts/story.sh
. "$(dirname "${BASH_SOURCE[0]}")/story.sh"

queue() { "$balsa" queue "$@"; }
now() { date +%s%3N; }

# await WHAT COMMAND...: waits until the command succeeds.
await() {
	local what=$1 deadline=$((SECONDS + 30))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || fail "$what"
		sleep 0.1
	done
}

# same WHAT FILE EXPECTED: compares two lists, in any order.
same() {
	diff <(sort "$3") <(sort "$2") >"$dir/difference" || fail "$1: $(head -n 5 "$dir/difference" | tr '\n' ' ')"
}

# empty QUEUE: whether nothing of it is stored any more: every partition begins where it ends.
empty() { "$balsa" topic describe "$1" | awk '$1 ~ /^[0-9]+$/ && $6 != $7 { left = 1 } END { exit left }'; }

# dead QUEUE: whether it has dead letters, which are then in a file.
dead() { queue dead-letters "$1" 2>/dev/null >"$dir/letters" && [ -s "$dir/letters" ]; }

stats() { queue stats "$@" | sed 's/^/  /'; }

work() {
	step "A work queue, and a worker that crashes"
	queue create jobs --partitions 3 --replicas 3 --visibility 5s --dead-letters | sed 's/^/  /'
	seq -f 'job %g' 100 >"$dir/jobs"
	queue send jobs <"$dir/jobs" 2>&1 | sed 's/^/  /'

	tell "a worker takes a job, and is killed with kill -9 in the middle of it"
	# Not the function, whose pid would be a shell's.
	"$balsa" queue receive jobs --exec "echo \$\$ >$dir/command; cat >$dir/crashed; exec sleep 1000" >"$dir/crashed.err" 2>&1 &
	local worker=$! taken lost
	pids+=("$worker")
	await "the worker took no job" test -s "$dir/crashed"
	taken=$(now)
	{ kill -9 "$worker" "$(cat "$dir/command")" && wait "$worker"; } 2>/dev/null || true # the shell's "Killed"
	pids=()
	lost=$(cat "$dir/crashed")
	stats jobs

	tell "two others do the work, four jobs at a time each; they get '$lost' when its visibility timeout ends"
	local name pid
	: >"$dir/done"
	for name in anna ben; do
		"$balsa" queue receive jobs --parallel 4 --wait 7s --exec "echo \"\$(cat):$name:\$MESSAGE_DELIVERIES:\$(date +%s%3N)\" >>$dir/done" 2>"$dir/$name.err" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || fail "a worker failed"; done
	pids=()
	tell "anna did $(grep -c :anna: "$dir/done") jobs, ben $(grep -c :ben: "$dir/done")"

	cut -d: -f1 "$dir/done" >"$dir/finished"
	same "not every job was done once" "$dir/finished" "$dir/jobs"
	local line waited
	line=$(grep "^$lost:" "$dir/done")
	waited=$((${line##*:} - taken))
	tell "'$lost' was done $waited ms after the crash, as delivery $(cut -d: -f3 <<<"$line")"
	[ "$(cut -d: -f3 <<<"$line")" = 2 ] || fail "'$lost' was not a second delivery"
	[ "$waited" -ge 4000 ] && [ "$waited" -le 10000 ] || fail "its visibility timeout is 5 s"
	await "what is done is still stored: $("$balsa" topic describe jobs)" empty jobs
	tell "what was acknowledged is deleted, on every replica:"
	"$balsa" topic describe jobs | sed -n '2,5s/^/  /p'
}

fan_out() {
	step "One message, three services"
	queue create orders --partitions 3 --replicas 3 --group billing --group shipping --group search 2>&1 | sed 's/^/  /'
	seq -f 'order %g' 60 >"$dir/orders"
	queue send orders <"$dir/orders" 2>&1 | sed 's/^/  /'
	local service
	for service in billing shipping; do
		queue receive orders --group "$service" --parallel 4 --max 60 --quiet --exec "echo \"\$(cat)\" >>$dir/$service"
		same "$service did not get every order once" "$dir/$service" "$dir/orders"
		tell "$service has handled all orders"
	done
	stats orders
	! empty orders || fail "the orders are gone, and search has not had them"
	tell "search has been down. It is back, and everything is there for it:"
	queue receive orders --group search --parallel 4 --max 60 --quiet --exec "echo \"\$(cat)\" >>$dir/search"
	same "search did not get every order once" "$dir/search" "$dir/orders"
	await "what all have handled is still stored" empty orders
	stats orders
}

poison() {
	step "A poison message, its dead letter, and the way back"
	queue create payments --partitions 3 --replicas 3 --max-deliveries 3 --dead-letters | sed 's/^/  /'
	{ seq -f 'pay %g' 20; echo 'pay 1,5'; } >"$dir/payments"
	queue send payments -k alice <"$dir/payments" 2>&1 | sed 's/^/  /'
	tell "a worker that cannot read a number with a comma"
	queue receive payments --max 23 --parallel 4 --exec "read -r verb n; [ \"\$n\" -gt 0 ] 2>/dev/null && echo \"\$verb \$n\" >>$dir/paid" 2>&1 |
		sed 's/^/  /'
	[ "$(wc -l <"$dir/paid")" -eq 20 ] || fail "only $(wc -l <"$dir/paid") of 20 good payments were made"
	await "no dead letter" dead payments
	sed 's/^/  /' "$dir/letters"
	if [ "$(wc -l <"$dir/letters")" -ne 2 ] ||
		! grep -qE ' payments/[0-9]+@[0-9]+ +payments +3 +delivery count limit reached +alice +pay 1,5$' "$dir/letters"; then
		fail "that is not the one dead letter"
	fi
	stats payments
	tell "the worker is mended, and the payment redriven"
	queue redrive payments 2>&1 | sed 's/^/  /'
	queue receive payments --max 1 --exec "echo \"\$(cat)\" >>$dir/paid" 2>&1 | sed 's/^/  /'
	same "not every payment was made once" "$dir/paid" "$dir/payments"
	! dead payments || fail "the dead letter is still there"
	stats payments
}

delayed() {
	step "A delayed message, and the death of its node"
	queue create mails --partitions 1 --replicas 3 --dead-letters | sed 's/^/  /'
	local sent leader first came
	sent=$(now)
	queue send mails --delay 10s 'how was your first week?' 2>&1 | sed 's/^/  /'
	queue send mails 'welcome' 2>&1 | sed 's/^/  /'
	first=$(queue receive mails --ack --format %v)
	tell "at once comes: $first"
	[ "$first" = welcome ] || fail "a delayed message held up the one behind it"
	stats mails
	leader=$("$balsa" topic describe mails | awk '$1 == "0" { print $2; exit }')
	cluster kill "$leader"
	tell "kill -9 of node $leader, the leader of mails"
	first=$(queue receive mails --wait 30s --ack --format '%d %v')
	came=$(($(now) - sent))
	tell "after $came ms comes: ${first#* }"
	[ "$first" = '1 how was your first week?' ] || fail "received delivery $first"
	[ "$came" -ge 10000 ] && [ "$came" -le 13000 ] || fail "it was to come 10 s after it was sent"
	cluster start "$leader"
	"$balsa" cluster status --wait 60s >/dev/null
}

ordered() {
	step "An ordered queue: the messages of one key one after another, different keys at once"
	queue create accounts --partitions 3 --replicas 3 --ordered --max-deliveries 10 --dead-letters | sed 's/^/  /'
	local n account
	for n in $(seq 20); do for account in ada ben cem dan eva; do echo "$account:$n"; done; done >"$dir/changes"
	queue send accounts --key-separator : <"$dir/changes" 2>&1 | sed 's/^/  /'
	tell "a worker of 8 hands, which fails at every seventh message the first time"
	local command="read -r n; echo \"begin \$MESSAGE_KEY \$n\" >>$dir/log; sleep 0.0\$((n % 5))
		if [ \$((n % 7)) -eq 0 ] && [ \$MESSAGE_DELIVERIES -eq 1 ]; then echo \"fail \$MESSAGE_KEY \$n\" >>$dir/log; exit 1; fi
		echo \"end \$MESSAGE_KEY \$n\" >>$dir/log"
	queue receive accounts --parallel 8 --max 110 --quiet --exec "$command"
	awk '
		$1 == "begin" { if ($2 in at) wrong("two messages of " $2 " at once"); at[$2] = $3; if (++busy > most) most = busy }
		$1 != "begin" { if (at[$2] != $3) wrong($0 ", which did not begin"); delete at[$2]; busy-- }
		$1 == "end" { if ($3 != done[$2] + 1) wrong($2 " did " $3 " after " done[$2]); done[$2] = $3; ended++ }
		$1 == "fail" { failed++ }
		function wrong(what) { print what; bad = 1; exit 1 }
		END { if (!bad) printf "%d messages done, %d failed and delivered again, up to %d keys at once\n", ended, failed, most
			exit bad || ended != 100 || failed != 10 || most < 2 }' "$dir/log" >"$dir/verdict" || fail "the order is not kept: $(cat "$dir/verdict")"
	tell "$(cat "$dir/verdict"); in order within every key"
	stats accounts
}

stories=("$@")
[ ${#stories[@]} -gt 0 ] || stories=(work fan-out poison delayed ordered)
step "A cluster of three nodes"
begin "${PORT:-29390}"
for story in "${stories[@]}"; do
	case $story in
	work | poison | delayed | ordered) "$story" ;;
	fan-out) fan_out ;;
	*) fail "there is no story $story: work, fan-out, poison, delayed, ordered" ;;
	esac
done
step "All as it should be: ${stories[*]}."
