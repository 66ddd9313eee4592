# One node of Elasticsearch or OpenSearch. Settings: heap. No security, no ILM: see README.md.

nodes() { echo 0; }

prepare() {
  mkdir "$dir/config" "$dir/tmp"
  cat >"$dir/config/$name.yml" <<P
cluster.name: $name
node.name: node
path.data: $dir/data
path.logs: $dir/logs
path.repo: [ "$dir/repo" ]
network.host: 127.0.0.1
http.port: $base
transport.port: $((base + 1))
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: false
P
  cp "$here/search-log4j2.properties" "$dir/config/log4j2.properties"
  echo "address=127.0.0.1:$base"
}

launch() { # NODE
  local size=${heap:-192m}
  spawn "$1" java -Xms"$size" -Xmx"$size" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError \
    -Djava.awt.headless=true -Dfile.encoding=UTF-8 -Djava.io.tmpdir="$dir/tmp" -Djna.nosys=true \
    -Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0 \
    -Dio.netty.allocator.numDirectArenas=0 -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true \
    -Des.distribution.flavor=oss -Des.distribution.type=tar -Dopensearch.distribution.type=tar \
    -cp "$(class_path "$name")" Launcher "$dir"
}

ready() { curl -sf -m 2 "127.0.0.1:$base/_cluster/health?wait_for_status=yellow&timeout=1s" >/dev/null; }
