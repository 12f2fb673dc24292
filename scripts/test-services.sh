#!/usr/bin/env bash
# Real servers for the tests, from Debian's packages: PostgreSQL and Redis in a folder of their own.
#   scripts/test-services.sh install       what is missing, and no more
#   scripts/test-services.sh install-sshd  the same, of what git over ssh is tried with
#   scripts/test-services.sh start         prints KEY=VALUE lines; `folder` is what stop takes
#   scripts/test-services.sh stop FOLDER
# They listen on 127.0.0.1 and on unix sockets below the folder. As root it installs what is missing,
# and runs the servers as `postgres`, since PostgreSQL refuses to run as root.
set -euo pipefail
fail() { printf 'error: %s\n' "$*" >&2; exit 69; }

as_owner() {
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

find_postgres() {
  for bin in /usr/lib/postgresql/*/bin; do
    [ -x "$bin/initdb" ] && postgres=$bin
  done
  [ -n "${postgres:-}" ]
}

# Without the servers that the packages would start, and without the cluster that they would make.
# One at a time: tests run in several processes.
install_quietly() {
  exec 9<"$0"; flock -w 500 9 || fail "another install takes too long"
  local quiet=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf made=()
  if [ ! -e "$quiet" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$quiet"; chmod +x "$quiet"; made+=("$quiet")
  fi
  if [ ! -e "$cluster" ]; then
    mkdir -p "$(dirname "$cluster")"
    echo 'create_main_cluster = false' >"$cluster"; made+=("$cluster")
  fi
  local failed=0
  apt-get update -qq >&2 || failed=1
  # --force-confold: dpkg must not ask about the file that was put there just now.
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confold "$@" >/dev/null || failed=1
  [ ${#made[@]} = 0 ] || rm -f "${made[@]}"
  return $failed
}

provide() {
  if find_postgres && command -v redis-server >/dev/null; then return; fi
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
    || fail "PostgreSQL or Redis is missing (Debian: apt-get install postgresql redis-server)"
  install_quietly postgresql redis-server || fail "apt-get could not install postgresql and redis-server"
  find_postgres || fail "no initdb in /usr/lib/postgresql/*/bin"
}

provide_sshd() {
  if [ -x /usr/sbin/sshd ] && command -v ssh-keygen >/dev/null; then return; fi
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
    || fail "sshd or ssh is missing (Debian: apt-get install openssh-server openssh-client)"
  install_quietly openssh-server openssh-client || fail "apt-get could not install openssh-server"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  provide
  folder=$(mktemp -d "${TMPDIR:-/tmp}/orchestrator-services.XXXXXX")
  trap 'stop "$folder"' ERR
  if [ "$(id -u)" = 0 ]; then chown postgres: "$folder"; fi
  chmod 0755 "$folder"
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  postgresql_port=$(free_port) redis_port=$(free_port)
  cd "$folder"
  as_owner mkdir sockets
  as_owner sh -c "umask 077; printf %s '$password' >password; cat >redis.conf" <<EOF
requirepass $password
port $redis_port
bind 127.0.0.1
unixsocket $folder/sockets/redis.sock
unixsocketperm 777
save ""
dir $folder
daemonize yes
pidfile $folder/redis.pid
logfile $folder/redis.log
EOF
  as_owner "$postgres/initdb" -D "$folder/data" -U tester --pwfile="$folder/password" \
    --auth=scram-sha-256 --locale=C --encoding=UTF8 --no-sync >postgres-init.log 2>&1
  as_owner "$postgres/pg_ctl" -D "$folder/data" -w -t 60 -l "$folder/postgres.log" \
    -o "-c port=$postgresql_port -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories=$folder/sockets" \
    start >/dev/null
  as_owner redis-server "$folder/redis.conf" >/dev/null
  for _ in $(seq 100); do [ -S sockets/redis.sock ] && break; sleep 0.05; done
  [ -S sockets/redis.sock ] || { cat redis.log >&2; false; }
  cat <<EOF
folder=$folder
password=$password
postgresql_port=$postgresql_port
postgresql_socket=$folder/sockets/.s.PGSQL.$postgresql_port
redis_port=$redis_port
redis_socket=$folder/sockets/redis.sock
EOF
}

stop() {
  local folder=$1
  case "$(basename "$folder")" in orchestrator-services.*) ;; *) fail "$folder is no folder of ours" ;; esac
  cd /
  for file in "$folder/data/postmaster.pid" "$folder/redis.pid"; do
    pid=$(head -n 1 "$file" 2>/dev/null || true)
    [ -n "$pid" ] || continue
    kill -INT "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null || true
  done
  rm -rf "$folder"
}

case "${1:-}" in
  install) provide ;;
  install-sshd) provide_sshd ;;
  start) start ;;
  stop) stop "${2:?usage: test-services.sh stop FOLDER}" ;;
  *) echo "usage: test-services.sh install | install-sshd | start | stop FOLDER" >&2; exit 64 ;;
esac
