# Kafka in KRaft mode: every node is broker and controller. Settings: brokers, client_auth, session_ms (without
# a heartbeat after which a broker counts as dead), heap.
#
# Each node has all listeners: plain text, TLS, SASL (SCRAM-SHA-512, SCRAM-SHA-256, PLAIN), SASL over TLS, and
# JMX over RMI. The user is `app` with the password `app-secret`. The certificates are named as in the secrets
# that Strimzi makes for a cluster: cluster-ca/ca.crt (what a client must trust), clients-ca/ca.crt,
# app/user.crt, app/user.key; `stranger` is a user of a CA that the brokers do not know.

user=app password=app-secret

# Of node $1, of the kind plain|controller|tls|sasl|sasl_tls|jmx.
port() {
  local offset
  case $2 in plain) offset=0 ;; controller) offset=1 ;; tls) offset=2 ;; sasl) offset=3 ;; sasl_tls) offset=4 ;; jmx) offset=5 ;; esac
  echo $((base + 10 * $1 + offset))
}

nodes() { seq 0 $((brokers - 1)); }

# "HOST:PORT,…" of all nodes.
addresses() { # HOST KIND
  local node list=''
  for node in $(nodes); do list+=,$1:$(port "$node" "$2"); done
  echo "${list#,}"
}

prepare() {
  local node jobs=()
  [ "$brokers" -le 3 ] || die "there are ports for 3 brokers"
  certificates >"$dir/openssl.log" 2>&1 || { cat "$dir/openssl.log"; die "openssl failed"; }
  # 16 random bytes in base64url; a letter first, since an id may not look like an option.
  cluster=K$(openssl rand -base64 32 | tr '+/' '-_' | cut -c1-20)Q
  for node in $(nodes); do format "$node" & jobs+=($!); done
  for node in "${jobs[@]}"; do wait "$node" || { cat "$dir"/format-*; die "the storage could not be formatted"; }; done
  echo "bootstrap=$(addresses 127.0.0.1 plain)"
  echo "tls=$(addresses localhost tls)"
  echo "sasl=$(addresses 127.0.0.1 sasl)"
  echo "sasl_tls=$(addresses localhost sasl_tls)"
  echo "jmx=$(addresses 127.0.0.1 jmx)"
}

# As the operators of Strimzi make them: RSA, two CAs, the user in CN.
certificates() (
  cd "$dir" && mkdir cluster-ca clients-ca stranger-ca broker "$user" stranger || exit 1
  for ca in cluster-ca clients-ca stranger-ca; do
    openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -keyout $ca/ca.key -out $ca/ca.crt \
      -subj "/O=io.strimzi/CN=$ca v0" -addext basicConstraints=critical,CA:true,pathlen:0 \
      -addext keyUsage=critical,keyCertSign,cRLSign || exit 1
  done
  sign() { # PATH SUBJECT CA EXTENSIONS
    openssl req -new -newkey rsa:2048 -nodes -sha256 -keyout "$1.key" -out "$1.csr" -subj "$2" &&
      openssl x509 -req -sha256 -days 3650 -in "$1.csr" -CA "$3/ca.crt" -CAkey "$3/ca.key" -CAcreateserial \
        -extfile <(printf '%s\n' "$4") -out "$1.crt"
  }
  sign broker/broker "/O=io.strimzi/CN=kafka" cluster-ca $'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth' &&
    sign "$user/user" "/CN=$user" clients-ca extendedKeyUsage=clientAuth &&
    sign stranger/user /CN=stranger stranger-ca extendedKeyUsage=clientAuth || exit 1
  # Kafka wants the key (PKCS#8) and the chain in one file.
  cat broker/broker.key broker/broker.crt cluster-ca/ca.crt >broker/broker.pem
)

properties() { # NODE
  local replicas=1 in_sync=1 listener voters='' node
  [ "$brokers" -lt 3 ] || { replicas=3; in_sync=2; }
  for node in $(nodes); do voters+=,$node@127.0.0.1:$(port "$node" controller); done
  cat <<P
process.roles=broker,controller
node.id=$1
controller.quorum.voters=${voters#,}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:$(port "$1" plain),CONTROLLER://127.0.0.1:$(port "$1" controller),TLS://127.0.0.1:$(port "$1" tls),SASL://127.0.0.1:$(port "$1" sasl),SASLTLS://127.0.0.1:$(port "$1" sasl_tls)
advertised.listeners=PLAIN://127.0.0.1:$(port "$1" plain),TLS://localhost:$(port "$1" tls),SASL://127.0.0.1:$(port "$1" sasl),SASLTLS://localhost:$(port "$1" sasl_tls)
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL
listener.name.tls.ssl.client.auth=$client_auth
log.dirs=$dir/data-$1
num.partitions=1
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=$session_ms
broker.heartbeat.interval.ms=$((session_ms / 4))
num.recovery.threads.per.data.dir=1
# The default alone takes 128 MiB of the heap.
log.cleaner.dedupe.buffer.size=4194304
P
  for listener in tls sasltls; do
    cat <<P
listener.name.$listener.ssl.keystore.type=PEM
listener.name.$listener.ssl.keystore.location=$dir/broker/broker.pem
listener.name.$listener.ssl.truststore.type=PEM
listener.name.$listener.ssl.truststore.location=$dir/clients-ca/ca.crt
P
  done
  for listener in sasl sasltls; do
    cat <<P
listener.name.$listener.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.$listener.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.$listener.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.$listener.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$user="$password";
P
  done
  if [ "$name" = kafka-4 ]; then
    cat <<P
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
share.coordinator.state.topic.num.partitions=4
P
  fi
}

# Prints the words of a JVM that is cheap to start, up to the main class.
java_for() { # LEVEL HEAP
  printf '%s\n' java "-Xms$2" "-Xmx$2" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true "-Dlogpond.level=$1" \
    "-Dlog4j.configuration=file:$here/$name/log4j.properties" "-Dlog4j2.configurationFile=$here/$name/log4j2.properties"
}

# The SCRAM users are written into the new storage.
format() { # NODE
  properties "$1" >"$dir/node-$1.properties"
  nice $(java_for INFO 64m) -cp "$(class_path "$name")" kafka.tools.StorageTool format \
    --cluster-id "$cluster" --config "$dir/node-$1.properties" \
    --add-scram "SCRAM-SHA-512=[name=$user,password=$password]" \
    --add-scram "SCRAM-SHA-256=[name=$user,password=$password]" >"$dir/format-$1" 2>&1
}

launch() { # NODE
  local jmx; jmx=$(port "$1" jmx)
  spawn "$1" $(java_for INFO "${heap:-96m}") -XX:+ExitOnOutOfMemoryError \
    -Djava.rmi.server.hostname=127.0.0.1 -Dcom.sun.management.jmxremote.host=127.0.0.1 \
    -Dcom.sun.management.jmxremote.port="$jmx" -Dcom.sun.management.jmxremote.rmi.port="$jmx" \
    -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false \
    -cp "$(class_path "$name")" kafka.Kafka "$dir/node-$1.properties"
}

# Said after the broker has been let into the cluster.
ready() { grep -q 'Kafka Server started' "$dir/log-$1"; }

tool() { # TOOL [ARGUMENT...]
  local class=$1; shift
  case $class in
    topics)  class=org.apache.kafka.tools.TopicCommand ;;
    groups)  class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    configs) class=kafka.admin.ConfigCommand ;;
    *.*) ;;
    *) die "there is no tool $class (there are topics, groups, configs, and the classes of Kafka)" ;;
  esac
  exec nice $(java_for ERROR 96m) -cp "$(class_path "$name")" "$class" "$@"
}
