#!/usr/bin/env bash
# Sees to it that a Docker engine answers: installs and starts Debian's where it may, says so, else says what to do.
set -euo pipefail
fail() { printf 'error: %s\n' "$*" >&2; exit 69; }
socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
answers() {
  case "$socket" in
    unix://*) "${PYTHON:-.venv/bin/python}" - "${socket#unix://}" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(5)
try:
    s.connect(sys.argv[1]); s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n"); ok = b"200" in s.recv(64)
except OSError:
    ok = False
sys.exit(not ok)
PY
    ;;
    *) return 0 ;;  # a remote engine: the orchestrator itself reports when it cannot be reached
  esac
}
cd "$(dirname "$0")/.."
answers && exit 0

[ "$(id -u)" = 0 ] || fail "no Docker engine answers at $socket. Start it, or add yourself to the group 'docker', or run this command as root on Debian or Ubuntu to have it installed."
[ -z "${DOCKER_HOST:-}" ] || fail "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST"
if ! command -v dockerd >/dev/null; then
  command -v apt-get >/dev/null || fail "no Docker engine, and this is neither Debian nor Ubuntu: install Docker and try again."
  echo "• no Docker engine here: installing docker.io from the distribution's packages"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables >/dev/null
fi
command -v iptables >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends iptables >/dev/null; }
echo "• starting the Docker engine (log: /var/log/dockerd.log)"
if [ -d /run/systemd/system ]; then
  systemctl start docker
else
  rm -f /var/run/docker.pid
  setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &
fi
for _ in $(seq 150); do answers && exit 0; sleep 0.2; done
tail -n 5 /var/log/dockerd.log >&2 || true
fail "the Docker engine did not answer within 30 s"
