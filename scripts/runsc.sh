#!/usr/bin/env bash
# gVisor for the tests: sees to it that the engine has the runtime `runsc`. Users need none of this.
# Debian's package of version 13 (trixie) or later: that of 12 is too old for the socket options below.
set -euo pipefail
program=/usr/local/lib/orchestrator-tests/runsc
configuration=${DOCKER_CONFIGURATION:-/etc/docker/daemon.json}
fail() { printf 'error: %s\n' "$*" >&2; exit 69; }
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
knows_runsc() {
  "$python" -c 'import docker, sys; sys.exit("runsc" not in docker.from_env().info()["Runtimes"])'
}
knows_runsc && exit 0

[ -z "${DOCKER_HOST:-}" ] || fail "the engine at DOCKER_HOST=$DOCKER_HOST has no runtime runsc; register gVisor there"
[ "$(id -u)" = 0 ] || fail "the engine has no runtime runsc; register gVisor, or run this command as root on Debian"
if [ ! -x "$program" ]; then
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  command -v apt-get >/dev/null && [ -e "$keys" ] \
    || fail "the engine has no runtime runsc, and this is no Debian: install gVisor and try again"
  echo "• fetching gVisor (runsc) from Debian trixie for the tests"
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/lists/partial "$work"/archives/partial "$work"/sources "$work"/debs
  : >"$work/status"
  # apt checks the archive's signature and the package's hash; the host's own sources stay as they are.
  cat >"$work/sources/trixie.sources" <<SOURCES
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Signed-By: $keys
SOURCES
  cat >"$work/apt.conf" <<CONF
Dir::State "$work";
Dir::State::status "$work/status";
Dir::Cache "$work";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
  apt-get -c "$work/apt.conf" -qq update
  (cd "$work/debs" && apt-get -c "$work/apt.conf" -qq download runsc)
  dpkg-deb -x "$work"/debs/runsc_*.deb "$work/root"
  install -D -m 0755 "$work/root/usr/bin/runsc" "$program"
fi

echo "• registering gVisor with the engine as runtime runsc"
mkdir -p "$(dirname "$configuration")"
"$python" - "$configuration" "$program" <<'PY'
import json, pathlib, sys
path, program = pathlib.Path(sys.argv[1]), sys.argv[2]
settings = json.loads(path.read_text()) if path.exists() and path.read_text().strip() else {}
settings.setdefault("runtimes", {})["runsc"] = {
    "path": program,
    # No network of its own but loopback; sockets of the host in mounted folders can be dialled.
    "runtimeArgs": ["--platform=systrap", "--network=none", "--host-uds=open", "--oci-seccomp"],
}
path.write_text(json.dumps(settings, indent=2) + "\n")
PY
# The engine takes new runtimes while it runs; containers are not touched.
if [ -d /run/systemd/system ]; then
  systemctl reload docker
else
  kill -HUP "$(cat /var/run/docker.pid)"
fi
for _ in $(seq 50); do knows_runsc && exit 0; sleep 0.2; done
fail "the engine did not take the runtime runsc from $configuration"
