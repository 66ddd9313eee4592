# Serves one server until the one who asked for it is gone; sourced by `services`.
#
# `run` speaks with its starter over stdin and stdout, in lines:
#
#   it says   KEY=VALUE …            addresses and files, then
#             ready                  or it says why not, and ends
#   it takes  stop|kill|start|launch|await|pause|resume N    for node N (0 where there is one only)
#   it says   ok                     after each, when it is done (`start`, which is `launch` and `await`: when the node answers)
#
# When stdin ends, because the starter closed it or because it died in whatever way, the servers are
# killed and their directory is removed. That is why this is a process of its own: a server cannot be
# told to look after its starter, and no exit handler runs after kill -9.

patience=${SERVICES_WAIT:-180}  # seconds that a start may take
block=32                        # ports that one run may use, see `take_ports`

declare -A pids=()

run() { # NAME [KEY=VALUE...]
  name=$1; shift
  brokers=1 client_auth=requested session_ms=9000 heap=''
  local setting node verb
  for setting; do
    case $setting in
      brokers=[1-9] | client_auth=requested | client_auth=required | session_ms=[1-9]* | heap=*) declare -g "$setting" ;;
      *) die "unknown setting $setting" ;;
    esac
  done
  (fetch_all "$name") || exit 1
  dir=$(mktemp -d "${TMPDIR:-/tmp}/logpond-$name.XXXXXX")
  trap 'end' EXIT
  trap 'exit 1' HUP INT TERM PIPE
  take_ports
  echo "dir=$dir"
  prepare
  for node in $(nodes); do launch_anew "$node"; done
  for node in $(nodes); do await "$node"; done
  echo ready
  while read -r verb node; do
    case $verb in
      stop)   kill -TERM "${pids[$node]}"; reap "$node" ;;
      kill)   kill -KILL "${pids[$node]}"; reap "$node" ;;
      pause)  kill -STOP "${pids[$node]}" ;;
      resume) kill -CONT "${pids[$node]}" ;;
      start)  launch_anew "$node"; await "$node" ;;
      launch) launch_anew "$node" ;;
      await)  await "$node" ;;
      quit)   break ;;
      *)      die "unknown request $verb" ;;
    esac
    echo ok
  done
}

# Nothing of it is wanted any more, so there is nothing to wait for.
end() {
  local pid
  trap '' HUP INT TERM PIPE
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}

reap() { wait "${pids[$1]}" 2>/dev/null || true; unset "pids[$1]"; }

launch_anew() { # NODE
  : >"$dir/log-$1"
  launch "$1"
}

# In the background, as a child: its pid stays its own until it is waited for.
spawn() { # NODE COMMAND...
  local node=$1; shift
  nice -n 5 "$@" >>"$dir/log-$node" 2>&1 </dev/null &
  pids[$node]=$!
}

# Waits until a node answers. Looks at stdin meanwhile: who asked may be gone already.
await() { # NODE
  local node=$1 until=$((SECONDS + patience)) rc
  until ready "$node"; do
    kill -0 "${pids[$node]}" 2>/dev/null || failed "$node" "ended"
    [ $SECONDS -lt $until ] || failed "$node" "does not answer after $patience s"
    rc=0; read -r -t 0.1 || rc=$?
    [ $rc -gt 128 ] || exit 1
  done
}

failed() { # NODE HOW
  tail -20 "$dir/log-$1"
  die "$name (node $1) $2; the last of its log is above"
}

# Sets `base` to the first of $block ports that are ours while this process or a server lives: their lock is
# inherited by the servers. They lie below the range that the system gives to outgoing connections, so that
# a server that is away for a while finds its port free again.
take_ports() {
  local slot port start=$RANDOM fd
  mkdir -p "$cache/ports"
  for ((slot = 0; slot < 384; slot++)); do
    base=$((20000 + (start + slot) % 384 * block))
    exec {fd}>"$cache/ports/$base"
    if flock -n "$fd"; then
      for ((port = base; port < base + block; port++)); do
        ! listens "$port" || continue 2
      done
      return 0
    fi
    exec {fd}>&-
  done
  die "no free ports between 20000 and 32287"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# By hand: a `run` whose stdin is a pipe with a name. It runs as long as its lock is held.

start() { # NAME [KEY=VALUE...]
  local at=$cache/hand/$1
  mkdir -p "$at"
  exec 8>"$at/lock"
  flock -n 8 || { say "$1 runs already"; cat "$at/said"; return; }
  [ -p "$at/requests" ] || mkfifo "$at/requests"
  : >"$at/said"
  setsid "$here/services" run "$@" <>"$at/requests" >"$at/said" 2>&1 &
  exec 8>&-
  while kill -0 $! 2>/dev/null && ! grep -qx ready "$at/said"; do sleep 0.2; done
  cat "$at/said"
  grep -qx ready "$at/said"
}

runs() { ! flock -n "$cache/hand/$1/lock" true; }

status() { # [NAME]
  local at name any=1
  for at in "$cache"/hand/${1:-*}/; do
    [ -d "$at" ] || continue
    name=$(basename "$at")
    if runs "$name"; then echo "$name runs"; cat "$at/said"; any=0; fi
  done
  [ $any = 0 ] || say "${1:+$1: }not running"
  return $any
}

stop() { # NAME
  [ -d "$cache/hand/$1" ] && runs "$1" || die "$1 was not started here"
  echo quit >"$cache/hand/$1/requests"
  flock -w 30 "$cache/hand/$1/lock" true || die "$1 does not end"
}
