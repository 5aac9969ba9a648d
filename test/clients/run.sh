#!/usr/bin/env bash
# Runs the client scenario (README.md) with every Kafka client, or with those named.
#   run.sh [--bootstrap HOST:PORT,...] [--replication-factor N] [--strict] [--calm] [kcat|franz-go|sarama|kafka-python|confluent-kafka|kafkajs|java|java-admin|java-transactions|java-groups|java-share]...
# Without --bootstrap it starts three nodes of balsa on private ports and ends them. A client whose language is missing is
# skipped with the reason; --strict counts that as a failure. Our nodes are killed while java-transactions, java-groups and java-share
# run, except with --calm.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root
readonly all=(kcat franz-go sarama kafka-python confluent-kafka kafkajs java java-admin java-transactions java-groups java-share)
readonly client_timeout=300
readonly base_port=${BALSA_CLIENTS_PORT:-31490}
unset BALSA_CLIENTS_PORT # the server takes every BALSA_ variable for a setting of its own

bootstrap='' replication=3 strict=0 calm=0 clients=()
while (($#)); do
  case $1 in
  --bootstrap) bootstrap=${2:?--bootstrap needs host:port}; shift ;;
  --replication-factor) replication=${2:?--replication-factor needs a number}; shift ;;
  --strict) strict=1 ;;
  --calm) calm=1 ;;
  -h | --help) sed -n '2,7p' "$0"; exit 0 ;;
  -*) echo "run.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  *)
    [[ " ${all[*]} " == *" $1 "* ]] || { echo "run.sh: unknown client $1; known: ${all[*]}" >&2; exit 2; }
    clients+=("$1")
    ;;
  esac
  shift
done
((${#clients[@]})) || clients=("${all[@]}")

tmp=$(mktemp -d)
readonly tmp
cluster=0
cleanup() {
  ((cluster)) && "$root/scripts/cluster.sh" wipe --base-port "$base_port" --dir "$tmp/cluster" >/dev/null 2>&1
  rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# start_cluster sets bootstrap to three fresh nodes.
start_cluster() {
  cluster=1
  if ! "$root/scripts/cluster.sh" up --base-port "$base_port" --dir "$tmp/cluster" >"$tmp/cluster.out" 2>&1; then
    cat "$tmp/cluster.out" >&2
    echo "run.sh: the cluster does not start" >&2
    exit 1
  fi
  bootstrap=$(sed -n 's/^bootstrap=//p' "$tmp/cluster.out" | tail -1)
  [[ -n $bootstrap ]] || { cat "$tmp/cluster.out" >&2; echo "run.sh: cluster.sh printed no bootstrap=" >&2; exit 1; }
}

# write_restart writes the program that kills a node of ours and starts it again, for clients that want to see that.
write_restart() {
  local flags
  printf -v flags '%q ' --base-port "$base_port" --dir "$tmp/cluster"
  cat >"$tmp/restart" <<END
#!/usr/bin/env bash
${BALSA_BINARY:+export BALSA_BINARY=$(printf %q "$BALSA_BINARY")}
$(printf %q "$root/scripts/cluster.sh") kill "\$1" $flags && sleep 0.5 && $(printf %q "$root/scripts/cluster.sh") start "\$1" $flags
END
  chmod +x "$tmp/restart"
}

# need TOOL... skips the current client when a tool is missing.
need() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed" >"$tmp/skip"; return 1; }
  done
}

# prepare WHAT COMMAND... skips the current client when what it needs cannot be fetched or built.
prepare() {
  local what=$1
  shift
  "$@" >"$tmp/prepare" 2>&1 || { echo "$what: $(tail -1 "$tmp/prepare")" >"$tmp/skip"; return 1; }
}

python_venv() {
  local stamp=$here/python/.venv/requirements.txt
  cmp -s "$here/python/requirements.txt" "$stamp" && return
  python3 -m venv --clear "$here/python/.venv" &&
    "$here/python/.venv/bin/pip" install -q --disable-pip-version-check -r "$here/python/requirements.txt" &&
    cp "$here/python/requirements.txt" "$stamp"
}

node_modules() {
  cmp -s "$here/kafkajs/package-lock.json" "$here/kafkajs/node_modules/.installed" && return
  (cd "$here/kafkajs" && npm ci --no-audit --no-fund && cp package-lock.json node_modules/.installed)
}

java_classes() {
  (cd "$here/java" && mvn -q -B compile dependency:copy-dependencies -DoutputDirectory=target/libs)
}

go_build() { (cd "$1" && go build -o "$2" .); }

# The commands of each client; cmd is what runs the scenario.
setup() {
  case $1 in
  kcat)
    need kcat go && prepare "building the helper that creates topics" go_build "$here/franz" "$tmp/franz" || return
    cmd=(bash "$here/kcat/scenario.sh" "$bootstrap" "$replication"
      "$tmp/franz" -bootstrap "$bootstrap" -replication-factor "$replication" -create)
    ;;
  franz-go)
    need go && prepare "building" go_build "$here/franz" "$tmp/franz" || return
    cmd=("$tmp/franz" -bootstrap "$bootstrap" -replication-factor "$replication")
    ;;
  sarama)
    need go && prepare "building" go_build "$here/sarama" "$tmp/sarama" || return
    cmd=("$tmp/sarama" -bootstrap "$bootstrap" -replication-factor "$replication")
    ;;
  kafka-python | confluent-kafka)
    need python3 && prepare "installing Python packages" python_venv || return
    local script=kafka_python_client.py
    [[ $1 == confluent-kafka ]] && script=confluent_client.py
    cmd=("$here/python/.venv/bin/python" -B "$here/python/$script" "$bootstrap" "$replication")
    ;;
  kafkajs)
    need node npm && prepare "installing Node packages" node_modules || return
    cmd=(node "$here/kafkajs/scenario.js" "$bootstrap" "$replication")
    ;;
  java)
    need java mvn && prepare "building with Maven" java_classes || return
    cmd=(java -Xmx256m -cp "$here/java/target/classes:$here/java/target/libs/*" balsa.Scenario "$bootstrap" "$replication")
    ;;
  java-admin) # every call of the Admin interface, with what Kafka answers
    need java mvn && prepare "building with Maven" java_classes || return
    cmd=(java -Xmx256m -cp "$here/java/target/classes:$here/java/target/libs/*" balsa.AdminSweep "$bootstrap" "$here/java/admin-sweep.txt")
    ;;
  java-transactions | java-groups | java-share)
    need java mvn && prepare "building with Maven" java_classes || return
    local class=Transactions
    [[ $1 == java-groups ]] && class=Groups
    [[ $1 == java-share ]] && class=Shares
    cmd=(java -Xmx256m -cp "$here/java/target/classes:$here/java/target/libs/*" "balsa.$class" "$bootstrap" "$replication")
    if ((cluster && !calm)); then cmd+=("$tmp/restart"); fi
    ;;
  esac
}

# run_client prints the client's lines and appends them to the results.
run_client() {
  local client=$1 code
  if ! setup "$client"; then
    echo "SKIP $client: $(cat "$tmp/skip")" | tee -a "$tmp/results"
    return
  fi
  timeout -k 5 $client_timeout "${cmd[@]}" 2>"$tmp/stderr" | grep --line-buffered -E '^(PASS|FAIL|SKIP) ' | tee "$tmp/lines"
  code=${PIPESTATUS[0]}
  cat "$tmp/lines" >>"$tmp/results"
  if ((code != 0)); then
    tail -20 "$tmp/stderr" >&2
    # A client that died without saying which step failed.
    grep -q '^FAIL ' "$tmp/lines" || echo "FAIL $client: ended with status $code" | tee -a "$tmp/results"
  fi
}

[[ -n $bootstrap ]] || { start_cluster && write_restart; }
: >"$tmp/results"
for client in "${clients[@]}"; do
  run_client "$client"
done

count() { grep -c "^$1 " "$tmp/results"; }
passed=$(count PASS) failed=$(count FAIL) skipped=$(count SKIP)
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0 && (strict == 0 || skipped == 0)))
