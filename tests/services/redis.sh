# One Redis, with nothing on disk. Settings: none.

nodes() { echo 0; }
prepare() { echo "address=127.0.0.1:$base"; }
launch() { spawn "$1" redis-server --bind 127.0.0.1 --port "$base" --save '' --appendonly no --dir "$dir"; }
ready() { [ "$(redis_ping 2>/dev/null)" = +PONG ]; }

redis_ping() (
  exec 3<>"/dev/tcp/127.0.0.1/$base"
  printf 'PING\r\n' >&3
  read -r -t 2 answer <&3
  printf '%s' "${answer%$'\r'}"
)
