# One Redis, with nothing on disk, which speaks TLS as well. Settings: none.

nodes() { echo 0; }
prepare() {
  redis_certificates >"$dir/openssl.log" 2>&1 || { cat "$dir/openssl.log"; die "openssl failed"; }
  echo "address=127.0.0.1:$base"
  echo "tls=127.0.0.1:$((base + 1))"
}
launch() {
  spawn "$1" redis-server --bind 127.0.0.1 --port "$base" --save '' --appendonly no --dir "$dir" \
    --tls-port "$((base + 1))" --tls-auth-clients optional \
    --tls-ca-cert-file "$dir/ca.crt" --tls-cert-file "$dir/redis.crt" --tls-key-file "$dir/redis.key"
}
ready() { [ "$(redis_ping 2>/dev/null)" = +PONG ]; }

redis_certificates() {
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  openssl req -x509 "${key[@]}" -days 3650 -keyout "$dir/ca.key" -out "$dir/ca.crt" -subj /CN=redis-ca &&
    openssl req -new "${key[@]}" -keyout "$dir/redis.key" -out "$dir/redis.csr" -subj /CN=redis &&
    openssl x509 -req -days 3650 -in "$dir/redis.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial \
      -out "$dir/redis.crt" -extfile <(echo 'subjectAltName=IP:127.0.0.1')
}

redis_ping() (
  exec 3<>"/dev/tcp/127.0.0.1/$base"
  printf 'PING\r\n' >&3
  read -r -t 2 answer <&3
  printf '%s' "${answer%$'\r'}"
)
