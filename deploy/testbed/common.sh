# Settings and helpers of the testbed scripts; sourced, never run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$here/.cache
run=$cache/run
kafka_port=${CPIS_TESTBED_KAFKA_PORT:-19092}       # broker N listens on this + 10*(N-1)
redis_port=${CPIS_TESTBED_REDIS_PORT:-16379}

say() { echo "testbed: $*" >&2; }
skip() { echo "SKIPPED: $*" >&2; exit 3; }

alive() { [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

# stop PIDFILE [SIGNAL]: ends a process and waits until it is gone, ten seconds
# at most before it is killed.
stop() {
  local file=$1 signal=${2:-TERM} pid
  alive "$file" || { rm -f "$file"; return 0; }
  pid=$(cat "$file")
  kill "-$signal" "$pid" 2>/dev/null || true
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$file"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

await_port() {
  for _ in $(seq 300); do port_open "$1" && return 0; sleep 0.1; done
  say "nothing listens on port $1 after 30 s"; return 1
}

start_kafka() { # N
  local n=$1
  alive "$run/kafka-$n.pid" && return 0
  (cd "$run/kafka-$n" && exec setsid java -Xms256m -Xmx512m -cp "$cache/lib/*" kafka.Kafka server.properties) >"$run/kafka-$n.log" 2>&1 </dev/null &
  echo $! >"$run/kafka-$n.pid"
}

start_redis() {
  alive "$run/redis.pid" && return 0
  (cd "$run/redis" && exec setsid redis-server --port "$redis_port" --bind 127.0.0.1 --save 3600 1 --dir "$run/redis" --maxmemory-policy noeviction) >"$run/redis.log" 2>&1 </dev/null &
  echo $! >"$run/redis.pid"
}

brokers() { ls -d "$run"/kafka-*/ 2>/dev/null | wc -l; }

bootstrap() { # N
  local list="" n
  for n in $(seq "$1"); do list="$list,127.0.0.1:$((kafka_port + 10 * (n - 1)))"; done
  echo "${list#,}"
}

# ready N: the brokers answer an admin client, so that topics can be made.
ready() {
  local n
  for n in $(seq "$1"); do await_port $((kafka_port + 10 * (n - 1))); done
  java -cp "$cache/lib/*" org.apache.kafka.tools.TopicCommand --bootstrap-server "$(bootstrap "$1")" --list >/dev/null 2>"$run/ready.log"
}
