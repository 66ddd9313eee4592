# Fetches what the servers are made of into $cache; sourced by `services`.
#
# Versions stand in */pom.xml and victorialogs/go.mod, and the sum of every file that these lead to in
# */jars.sha256, victorialogs/go.sum and filebeat/module: another content is refused. A fetch is done when the file
# `complete` of the service names these inputs; until then it is begun again, and only one process
# fetches at a time.

all='kafka kafka-4 elasticsearch opensearch victorialogs redis filebeat'
jars=$cache/maven
go_least=1.24.4

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Prints the Debian packages of the commands that are not there.
missing() {
  local pair
  for pair in java:openjdk-17-jdk-headless javac:openjdk-17-jdk-headless mvn:maven go:golang-go cc:gcc pip3:python3-pip npm:npm redis-server:redis-server \
    kcat:kcat openssl:openssl curl:curl flock:util-linux sha256sum:coreutils; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair#*:}"
  done | sort -u
}

fetch_all() {
  local absent name jvm=() go=() job=''
  absent=$(missing | tr '\n' ' ')
  [ -z "$absent" ] || die "missing: $absent(install with your package manager, then run this again)"
  [ $# -gt 0 ] || set -- $all
  for name; do
    case $name in
      victorialogs | filebeat) go+=("$name") ;;
      redis) ;; # Debian's own
      kafka | kafka-4 | elasticsearch | opensearch) jvm+=("$name") ;;
      *) die "there is no service $name (there are $all)" ;;
    esac
  done
  # Go beside Maven: one computes while the other waits for the network.
  [ ${#go[@]} = 0 ] || { (failed=0; for name in "${go[@]}"; do fetch "$name" || failed=1; done; exit $failed) & job=$!; }
  local failed=0
  for name in ${jvm[@]+"${jvm[@]}"}; do fetch "$name" || failed=1; done
  [ -z "$job" ] || wait "$job" || failed=1
  [ $failed = 0 ] || die "not everything could be fetched (is the network there?); what is there stays"
}

# In a subshell of its own, so that the lock goes with it whatever happens.
fetch() ( # NAME
  name=$1 home=$cache/$1 t0=$SECONDS
  mkdir -p "$home"
  inputs=$(find "$here/$name" -type f | sort | xargs cat | sha256sum)
  [ "$(cat "$home/complete" 2>/dev/null)" = "$inputs" ] && whole && exit 0
  # All of Maven's share one repository, which only one process may write.
  case $name in victorialogs | filebeat) lock=$home/lock ;; *) lock=$cache/maven.lock ;; esac
  exec 9>"$lock"
  flock -n 9 || { say "$name: waiting for another fetch to end"; flock 9; }
  [ "$(cat "$home/complete" 2>/dev/null)" = "$inputs" ] && whole && exit 0
  rm -f "$home/complete"
  say "fetching $name"
  case $name in
    victorialogs) build_victorialogs >"$home/fetch.log" 2>&1 ;;
    filebeat) build_filebeat >"$home/fetch.log" 2>&1 ;;
    *) { fetch_jars && compile; } >"$home/fetch.log" 2>&1 ;;
  esac || { tail -15 "$home/fetch.log" >&2; die "$name could not be fetched: $home/fetch.log"; }
  printf '%s\n' "$inputs" >"$home/complete"
  say "$name is there after $((SECONDS - t0)) s"
)

# Is everything still there that `complete` speaks of?
whole() {
  local sum path
  case $name in
    victorialogs) [ -x "$home/victoria-logs" ] ;;
    filebeat) [ -x "$home/filebeat" ] ;;
    *) while read -r sum path; do [ -e "$jars/$path" ] || return 1; done <"$here/$name/jars.sha256" ;;
  esac
}

# Jars by Maven, each compared with its sum. A second and third try get only what is missing or wrong.
fetch_jars() {
  local try wrong
  java_version
  for try in 1 2 3; do
    nice mvn -B -ntp -U -Dmaven.repo.local="$jars" -Dmaven.wagon.http.retryHandler.count=3 -f "$here/$name/pom.xml" \
      org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath \
      -DincludeScope=runtime -Dmdep.outputFile="$home/classpath" || { sleep $((try * 3)); continue; }
    wrong=$(cd "$jars" && sha256sum -c --quiet "$here/$name/jars.sha256" 2>&1 | sed -n 's/: FAILED.*//p')
    [ -n "$wrong" ] || return 0
    echo "another content than in jars.sha256: $wrong"
    (cd "$jars" && rm -f $wrong)
  done
  return 1
}

# Writes the sums anew after a change of a pom.xml; the difference is then reviewed like code.
lock() { # NAME
  local name=$1 home=$cache/$1
  mkdir -p "$home"
  : >"$here/$name/jars.sha256"
  fetch_jars >&2 || die "Maven failed"
  (cd "$jars" && tr ':' '\n' <"$home/classpath" | sed "s|^$jars/||" | xargs sha256sum) >"$here/$name/jars.sha256"
}

# The class path of a service: its jars in Maven's order, behind its own classes.
class_path() { # NAME
  printf '%s/%s/classes' "$cache" "$1"
  sed "s|^[^ ]* *|:$jars/|" "$here/$1/jars.sha256" | tr -d '\n'
}

# The launchers of the search nodes.
compile() {
  [ -n "$(find "$here/$name" -name '*.java')" ] || return 0
  rm -rf "$home/classes"
  mkdir -p "$home/classes"
  nice javac -nowarn -proc:none -cp "$(class_path "$name")" -d "$home/classes" "$here/$name"/*.java
}

java_version() {
  local major
  major=$(java -version 2>&1 | sed -n '1s/.*"\([0-9]*\)[.0-9]*.*".*/\1/p')
  [ "${major:-0}" -ge 17 ] || die "Java 17 or newer is needed, here is ${major:-none}"
}

build_victorialogs() {
  local try go
  for try in 1 2 3; do
    go=$(go_command) &&
      (cd "$here/victorialogs" && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local nice "$go" build -buildvcs=false \
        -trimpath -ldflags='-s -w' -o "$home/victoria-logs.new" github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs) &&
      mv "$home/victoria-logs.new" "$home/victoria-logs" && return 0
    sleep $((try * 3))
  done
  return 1
}

# Its module replaces others, which only a main module may: so it is built where it lies, as a copy.
build_filebeat() (
  read -r module sum <"$here/filebeat/module"
  go=$(go_command) && work=$(mktemp -d) || exit 1
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  for try in 1 2 3; do
    said=$(cd "$work" && GO111MODULE=on GOFLAGS=-mod=mod GOTOOLCHAIN=local "$go" mod download -json "$module") &&
      { grep -qF "\"$sum\"" <<<"$said" || { echo "another content than in filebeat/module: $said"; exit 1; }; } &&
      rm -rf "$work/beats" && cp -r "$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$said")" "$work/beats" && chmod -R u+w "$work/beats" &&
      (cd "$work/beats/filebeat" && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local nice "$go" build -buildvcs=false \
        -trimpath -ldflags='-s -w' -o "$home/filebeat.new" .) &&
      mv "$home/filebeat.new" "$home/filebeat" && exit 0
    sleep $((try * 3))
  done
  exit 1
)

# A Go that is new enough. Distributions have old ones; every Go since 1.11 can fetch a newer one as a module
# (https://go.dev/ref/mod#toolchains), checked against Go's own checksum database.
go_command() {
  local least=$go_least have module dir
  have=$(go env GOVERSION | sed 's/^go//')
  if [ "$(printf '%s\n' "$least" "$have" | sort -V | head -1)" = "$least" ]; then command -v go; return; fi
  module=golang.org/toolchain@v0.0.1-go$least.$(go env GOOS)-$(go env GOARCH)
  dir=$(cd / && GO111MODULE=on GOFLAGS=-mod=mod go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  [ -n "$dir" ] || { echo "Go $least or newer is needed, here is $have" >&2; return 1; }
  # Modules carry no permissions.
  chmod -R u+w "$dir" && chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
  echo "$dir/bin/go"
}
