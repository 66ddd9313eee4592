# One VictoriaLogs. Settings: none.

nodes() { echo 0; }
prepare() { echo "address=127.0.0.1:$base"; }
launch() { spawn "$1" "$cache/victorialogs/victoria-logs" -httpListenAddr="127.0.0.1:$base" -storageDataPath="$dir/data"; }
ready() { curl -sf -m 2 "127.0.0.1:$base/health" >/dev/null; }
