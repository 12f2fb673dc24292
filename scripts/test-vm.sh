#!/usr/bin/env bash
# Runs the tests that need a kernel with project quotas and version 2 of cgroups, in a virtual machine.
#   scripts/test-vm.sh [PYTEST ARGUMENTS, run as root, in place of the usual ones]
# VM_CACHE: where the machine's disks are kept. VM_SECONDS: its deadline. VM_ACCEL: `kvm` if it works.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orchestrator-vm}
seconds=${VM_SECONDS:-2400}
export PATH=$PATH:/usr/sbin:/sbin # mkfs
accelerator=${VM_ACCEL:-tcg,thread=multi,tb-size=1024}
log=$cache/console.log
fail() { printf 'error: %s\n' "$*" >&2; exit 69; }
command -v qemu-system-x86_64 >/dev/null || {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "no qemu-system-x86_64 (Debian: apt-get install qemu-system-x86)"
  echo "• installing qemu from the distribution's packages"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-system-x86 >/dev/null
}

# The machine itself changes seldom; what is tested is laid on a disk of its own each time.
parts=$cache/$(cat tests/vm/root.sh requirements-dev.lock | sha256sum | cut -c 1-16)
[ -e "$parts/root.ext4" ] || tests/vm/root.sh "$parts"

# --- what is tested, on a disk of its own each time -----------------------------------------------
work=$(mktemp -d "${TMPDIR:-/tmp}/orchestrator-test-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
disk=$work/disk
mkdir -p "$disk/images" "$disk/dist"
echo "• laying out the wheel, the tests and the base images"
.venv/bin/python -m tests.support.images "$disk/images"
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip wheel --no-deps --no-build-isolation -w "$disk/dist" .
pip install --no-deps --target "$disk/site" "$disk"/dist/*.whl
# No folder `orchestrator`: it is the wheel that the tests meet.
git ls-files -coz --exclude-standard pyproject.toml tests plugin_images manifests |
  xargs -0 cp --parents -t "$disk"
if [ $# -gt 0 ]; then printf 'run root'; printf ' %q' "$@"; else cat tests/vm/plan; fi >"$disk/plan"
truncate -s 512M "$work/work.ext4"
mkfs.ext4 -q -F -O ^has_journal -d "$disk" "$work/work.ext4"
truncate -s 6G "$work/engine.xfs"

# --- the machine --------------------------------------------------------------------------------
# An old processor: what newer ones compute in wide registers is slow to emulate.
echo "• starting the virtual machine ($accelerator, at most $seconds s; log: $log)"
disk() { printf -- '-drive file=%s,if=none,id=%s,format=raw,%s -device virtio-blk-pci,drive=%s' "$2" "$1" "$3" "$1"; }
status=0
# shellcheck disable=SC2046 # several words each
timeout --foreground --kill-after 10 "$seconds" qemu-system-x86_64 -nodefaults -display none \
  -no-reboot -machine q35 -accel "$accelerator" -cpu Nehalem -smp 2 -m 3072 \
  -kernel "$parts/vmlinuz" -initrd "$parts/initrd.img" \
  -append "console=ttyS0 panic=-1 quiet mitigations=off" \
  $(disk root "$parts/root.ext4" snapshot=on) $(disk work "$work/work.ext4" snapshot=on) \
  $(disk engine "$work/engine.xfs" cache=unsafe) \
  -serial "file:$log" -serial stdio </dev/null | tee "$work/said" || status=$?
[ "$status" = 124 ] && fail "the virtual machine did not end within $seconds s; $log"
[ "$(tail -n 1 "$work/said" | tr -d '\r')" = "vm: passed" ] || fail "see $log"
