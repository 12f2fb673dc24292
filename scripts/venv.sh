#!/usr/bin/env bash
# Makes .venv with the project in it, from a lock file with hashes. Quick when nothing changed.
#   scripts/venv.sh requirements.lock|requirements-dev.lock
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1
fail() { printf 'error: %s\n' "$*" >&2; exit 69; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "no $python on the PATH; install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "$("$python" -V) is too old; Python 3.11 or newer is needed (set PYTHON=/path/to/python3.11)"

# The development lock holds all of the other one: a tree set up for tests needs nothing more.
want=$(cat "$lock" pyproject.toml | sha256sum | cut -d' ' -f1)
dev=$(cat requirements-dev.lock pyproject.toml | sha256sum | cut -d' ' -f1)
have=$(cat .venv/.installed 2>/dev/null || true)
[ "$have" = "$want" ] || [ "$have" = "$dev" ] && exit 0

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
    || fail "$python has no venv module (Debian: apt-get install python3-venv)"
  echo "• installing python3-venv from Debian's packages"
  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi
echo "• setting up .venv from $lock"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
printf '%s' "$want" > .venv/.installed
