#!/usr/bin/env bash
# A balsa cluster on this machine, for trying and testing. Each node has its own process, data directory and log file.
#
#   scripts/cluster.sh up [--nodes N] [--base-port P] [--dir D] [-- SERVER FLAGS...]
#   scripts/cluster.sh down | status | wipe          stop all nodes | show health | stop all and delete the data
#   scripts/cluster.sh kill N | stop N | start N     kill -9 | SIGTERM and wait | start again and wait
#   scripts/cluster.sh add | remove N                one node more, with its share of the partitions | drain, remove and stop one
#   scripts/cluster.sh logs N                        print the log of a node
#
# `up` prints bootstrap=host:port,... when the cluster serves, and nothing else on standard output. Node N listens for
# clients on 127.0.0.1:(P+N) and for the other nodes on 127.0.0.1:(P+100+N). The defaults are 3 nodes, 19090, .cluster.
# The binary is bin/balsa, built if missing, or what BALSA_BINARY names. Processes are only ever ended by the pid that
# `up` recorded, after checking that this pid is still the node.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
binary=${BALSA_BINARY:-$root/bin/balsa}
unset BALSA_BINARY # the server refuses BALSA_ variables that it does not know

die() { echo "cluster.sh: $*" >&2; exit 1; }
note() { echo "$*" >&2; }

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

command=${1:-help}
[ $# -gt 0 ] && shift
node=
nodes=   # the highest id
initial= # how many began the cluster; those after joined it
removed=()
base_port=
dir=.cluster
server_flags=()
while [ $# -gt 0 ]; do
	case $1 in
	--nodes | --base-port | --dir)
		[ $# -ge 2 ] || die "$1 needs a value"
		case $1 in
		--nodes) nodes=$2 ;;
		--base-port) base_port=$2 ;;
		--dir) dir=$2 ;;
		esac
		shift 2
		;;
	--nodes=* | --base-port=* | --dir=*)
		value=${1#*=}
		case $1 in
		--nodes=*) nodes=$value ;;
		--base-port=*) base_port=$value ;;
		--dir=*) dir=$value ;;
		esac
		shift
		;;
	--)
		shift
		server_flags=("$@")
		break
		;;
	-*) die "unknown option $1; see 'scripts/cluster.sh help'" ;;
	*)
		[ -z "$node" ] || die "unexpected argument $1"
		node=$1
		shift
		;;
	esac
done

# What `up` was told is kept in the directory, so that the other commands need only --dir.
state=$dir/cluster.conf
load() {
	[ -f "$state" ] || die "no cluster in $dir; start one with 'scripts/cluster.sh up'"
	while IFS='=' read -r key value; do
		case $key in
		nodes) nodes=$value ;;
		initial) initial=$value ;;
		removed) removed+=("$value") ;;
		base_port) base_port=$value ;;
		flag) server_flags+=("$value") ;;
		esac
	done <"$state"
	initial=${initial:-$nodes}
}

# ids prints the numbers of the nodes that were not removed.
ids() {
	local i gone
	for ((i = 1; i <= nodes; i++)); do
		for gone in ${removed[@]+"${removed[@]}"}; do [ "$gone" != "$i" ] || continue 2; done
		echo "$i"
	done
}
size() { echo $((nodes - ${#removed[@]})); }

number() { [[ $1 =~ ^[0-9]+$ ]] || die "$2 must be a number, not '$1'"; }
client_address() { echo "127.0.0.1:$((base_port + $1))"; }
peer_address() { echo "127.0.0.1:$((base_port + 100 + $1))"; }

bootstrap() {
	local list='' i
	for i in $(ids); do list+=${list:+,}$(client_address "$i"); done
	echo "$list"
}

peers() {
	local list='' i
	for ((i = 1; i <= initial; i++)); do list+=${list:+,}$i@$(peer_address "$i"); done
	echo "$list"
}

# seeds prints where node $1, which joins, finds the others.
seeds() {
	local list='' i
	for i in $(ids); do [ "$i" = "$1" ] || list+=${list:+,}$(peer_address "$i"); done
	echo "$list"
}

# pid_of prints the pid of node $1 if that process runs and is ours: pids are reused, and after a reboot the file may
# name anything.
pid_of() {
	local pid
	pid=$(cat "$dir/$1/pid" 2>/dev/null) || return 1
	kill -0 "$pid" 2>/dev/null || return 1
	if [ -r "/proc/$pid/cmdline" ]; then
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "--data-dir $dir/$1/data " || return 1
	fi
	echo "$pid"
}

check_node() {
	[ -n "$node" ] || die "$command needs the number of a node"
	number "$node" "the node"
	ids | grep -qx "$node" || die "there is no node $node, only $(ids | tr '\n' ' ')"
}

# setsid, where the system has it, keeps a Ctrl-C at the terminal from reaching the nodes.
detach=(nohup)
if command -v setsid >/dev/null; then detach=(setsid); fi

# launch starts node $1 in the background; it outlives this script.
launch() {
	local i=$1
	mkdir -p "$dir/$i/data"
	if pid_of "$i" >/dev/null; then
		note "node $i already runs"
		return
	fi
	local others=(--peers "$(peers)")
	((i <= initial)) || others=(--join "$(seeds "$i")")
	"${detach[@]}" "$binary" server --node-id "$i" --data-dir "$dir/$i/data" --listen "$(client_address "$i")" \
		--peer-listen "$(peer_address "$i")" "${others[@]}" ${server_flags[@]+"${server_flags[@]}"} \
		>>"$dir/$i/log" 2>&1 </dev/null &
	local pid=$!
	echo $pid >"$dir/$i/pid"
	# Until the new process has become the server, pid_of would take it for someone else's.
	until pid_of "$i" >/dev/null || ! kill -0 $pid 2>/dev/null || [ "$(state_of $pid)" = Z ]; do sleep 0.01; done
}

# await returns when $1 nodes serve; a node that ended meanwhile is reported with its last lines at once.
await() {
	local want=$1 started=$SECONDS i
	until "$binary" cluster status --brokers "$(bootstrap)" --nodes "$want" >"$dir/status" 2>&1; do
		for i in $(ids); do
			if [ -f "$dir/$i/pid" ] && ! pid_of "$i" >/dev/null; then
				tail -n 5 "$dir/$i/log" >&2
				die "node $i ended; its log is $dir/$i/log"
			fi
		done
		if ((SECONDS - started > 60)); then
			cat "$dir/status" >&2
			die "the cluster does not serve after 60 s"
		fi
		sleep 0.1
	done
}

await_node() {
	local started=$SECONDS
	until "$binary" topic list --brokers "$(client_address "$node")" >"$dir/status" 2>&1; do
		pid_of "$node" >/dev/null || { tail -n 5 "$dir/$node/log" >&2; die "node $node ended"; }
		((SECONDS - started <= 60)) || { cat "$dir/status" >&2; die "node $node does not serve after 60 s"; }
		sleep 0.1
	done
}

# halt ends node $1 with signal $2 and waits until the process is gone.
halt() {
	local pid
	if ! pid=$(pid_of "$1"); then
		rm -f "$dir/$1/pid"
		return 1
	fi
	kill "-$2" "$pid"
	while kill -0 "$pid" 2>/dev/null && [ "$(state_of "$pid")" != Z ]; do sleep 0.05; done
	rm -f "$dir/$1/pid"
}

# state_of prints Z for a process that has ended and that its parent has not yet collected.
state_of() { sed 's/.*) //;s/ .*//' "/proc/$1/stat" 2>/dev/null || true; }

running() {
	local n=0 i
	for i in $(ids); do if pid_of "$i" >/dev/null; then n=$((n + 1)); fi; done
	echo "$n"
}

stop_all() {
	local i pids=()
	for i in $(ids); do
		halt "$i" TERM &
		pids+=($!)
	done
	for i in ${pids[@]+"${pids[@]}"}; do wait "$i" || true; done
}

build() {
	if [ ! -x "$binary" ]; then
		note "building $binary"
		make -C "$root" --no-print-directory build >&2
	fi
}

up() {
	[ -f "$state" ] && [ "$(load && running)" -gt 0 ] && die "a cluster in $dir is running; stop it with 'scripts/cluster.sh down --dir $dir'"
	nodes=${nodes:-3} base_port=${base_port:-19090}
	number "$nodes" --nodes
	number "$base_port" --base-port
	((nodes >= 1 && nodes <= 99)) || die "--nodes must be 1 to 99"
	build
	mkdir -p "$dir"
	{
		echo "nodes=$nodes"
		echo "initial=$nodes"
		echo "base_port=$base_port"
		local flag
		for flag in ${server_flags[@]+"${server_flags[@]}"}; do echo "flag=$flag"; done
	} >"$state"
	initial=$nodes
	local i
	for ((i = 1; i <= nodes; i++)); do launch "$i"; done
	await "$nodes"
	echo "bootstrap=$(bootstrap)"
}

# add starts one node more and waits until it has its share.
add() {
	((nodes < 99)) || die "there are 99 nodes already"
	nodes=$((nodes + 1))
	echo "nodes=$nodes" >>"$state" # the last one counts
	launch "$nodes"
	node=$nodes
	await_node
	"$binary" cluster add "$nodes" --brokers "$(bootstrap)"
	echo "bootstrap=$(bootstrap)"
}

# remove moves everything off a node, takes it out of the cluster and ends it. Its data stays.
remove() {
	"$binary" cluster drain "$node" --brokers "$(bootstrap)"
	"$binary" cluster remove "$node" --brokers "$(bootstrap)"
	echo "removed=$node" >>"$state"
	halt "$node" TERM || true
	removed+=("$node")
	echo "bootstrap=$(bootstrap)"
}

[ "$command" = up ] || [ ! -d "$dir" ] || dir=$(cd "$dir" && pwd)
if [ "$command" = up ]; then
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
fi
state=$dir/cluster.conf

case $command in
up) up ;;
down)
	load
	stop_all
	;;
wipe)
	if [ -f "$state" ]; then
		load
		stop_all
		for ((i = 1; i <= nodes; i++)); do rm -rf "${dir:?}/$i"; done
		rm -f "$state" "$dir/status"
		rmdir "$dir" 2>/dev/null || true
	fi
	;;
status)
	load
	for i in $(ids); do
		if pid=$(pid_of "$i"); then note "node $i: pid $pid, $(client_address "$i")"; else note "node $i: not running"; fi
	done
	exec "$binary" cluster status --brokers "$(bootstrap)" --nodes "$(size)"
	;;
add)
	load
	build
	add
	;;
remove)
	load
	check_node
	build
	remove
	;;
kill)
	load
	check_node
	halt "$node" KILL || die "node $node does not run"
	;;
stop)
	load
	check_node
	halt "$node" TERM || die "node $node does not run"
	;;
start)
	load
	check_node
	build
	launch "$node"
	if [ "$(running)" -eq "$(size)" ]; then
		await "$(size)"
	else
		# With another node down the cluster is not healthy, however long one waits: this node must only serve.
		await_node
	fi
	;;
logs)
	load
	check_node
	cat "$dir/$node/log"
	;;
help | --help | -h) usage ;;
*) die "unknown command $command; known are up, down, status, kill, stop, start, add, remove, wipe, logs" ;;
esac
