#!/usr/bin/env bash
# Makes what the virtual machine starts from, out of the distribution's packages and the lock file's:
#   OUT/vmlinuz, OUT/initrd.img, OUT/root.ext4
# Packages are unpacked, not installed: no script of theirs runs, and this needs no root.
#   tests/vm/root.sh OUT
set -euo pipefail
umask 022
export LC_ALL=C
out=$1
cd "$(dirname "$0")/../.."
fail() { printf 'error: %s\n' "$*" >&2; exit 69; }
keys=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null && [ -e "$keys" ] || fail "the machine is made of Debian's packages, so this needs a Debian host"

work=$(mktemp -d "${TMPDIR:-/tmp}/orchestrator-vm.XXXXXX"); trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$out" "$work"/{lists,archives}/partial "$work/sources" "$root"/usr/{bin,sbin,lib,lib64}

# --- packages -----------------------------------------------------------------------------------
# An apt of its own: the host's sources, lists and cache stay as they are.
: >"$work/status"
cat >"$work/sources/debian.sources" <<SOURCES
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: $keys

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
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
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
# The engine and its kernel; what the orchestrator and its tests call; a shell and its tools.
packages="linux-image-cloud-amd64 docker.io iptables xfsprogs e2fsprogs kmod iproute2
mount util-linux procps gcc libc6-dev make python3-minimal libpython3.11-stdlib ca-certificates
base-files base-passwd bash busybox-static coreutils dash findutils grep sed"
echo "• fetching Debian's packages for the virtual machine"
apt-get -c "$work/apt.conf" -qq update
# shellcheck disable=SC2086 # a list of names
apt-get -c "$work/apt.conf" -qq --yes --download-only install $packages >/dev/null

echo "• unpacking them"
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
for deb in "$work"/archives/*.deb; do
  # Not dpkg-deb -x: it puts a folder where the merged /lib must stay a link.
  dpkg-deb --fsys-tarfile "$deb" |
    tar -x --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc/*' \
      --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' -C "$root" -f -
done

# --- what scripts of the packages would have done -------------------------------------------------
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
echo 'tester:x:1000:1000::/home/tester:/bin/sh' >>"$root/etc/passwd"
printf 'tester:x:1000:\ndocker:x:999:tester\n' >>"$root/etc/group"
printf '127.0.0.1 localhost vm\n' >"$root/etc/hosts"
echo vm >"$root/etc/hostname"
for name in iptables ip6tables; do ln -sf "$name-nft" "$root/usr/sbin/$name"; done
ln -sf gcc "$root/usr/bin/cc"
mkdir -p "$root"/{proc,sys,dev,run,tmp,work,root,home/tester,var/lib/docker,var/log}
rm -rf "$root/var/run"; ln -s /run "$root/var/run"

# By the programs just unpacked, through their own loader, whatever this host has.
inside() { "$root"/lib64/ld-linux-x86-64.so.2 --argv0 "$1" --library-path "$root/usr/lib/x86_64-linux-gnu" "$root$2" "${@:3}"; }
kernel=$(basename "$root"/lib/modules/*)
inside depmod /usr/bin/kmod -b "$root" "$kernel"

echo "• adding the packages of requirements-dev.lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile \
  --implementation cp --python-version 3.11 --only-binary :all: \
  --target "$root/usr/local/lib/python3.11/dist-packages" -r requirements-dev.lock
PYTHONHOME=$root/usr inside python3 /usr/bin/python3.11 -B -S -m compileall -q -j 0 -s "$root" -p / \
  --invalidation-mode unchecked-hash "$root/usr/lib/python3.11" "$root/usr/local/lib/python3.11"

# --- the three files ------------------------------------------------------------------------------
# The kernel has its disks as modules, so something must load them before there is a root.
early=$work/early
mkdir -p "$early"/{bin,dev,proc,root,"lib/modules/$kernel"}
cp "$root/bin/busybox" "$early/bin/busybox"
cp "$root/lib/modules/$kernel"/modules.{dep,alias,builtin} "$early/lib/modules/$kernel"
sed -n 's/^[^:]*\/virtio_\(pci\|blk\)\.ko:.*/&/p' "$root/lib/modules/$kernel/modules.dep" | tr -d : | tr ' ' '\n' |
  sort -u | (cd "$root/lib/modules/$kernel" && xargs cp --parents -t "$early/lib/modules/$kernel")
cat >"$early/init" <<'INIT'
#!/bin/busybox sh
busybox mount -t proc none /proc
busybox mount -t devtmpfs none /dev
busybox modprobe -a virtio_pci virtio_blk
busybox mount /dev/vda /root
busybox mount /dev/vdb /root/work
exec busybox switch_root /root /work/tests/vm/init.sh
INIT
chmod +x "$early/init"
(cd "$early" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$out/initrd.img"
cp "$root/boot/vmlinuz-$kernel" "$out/vmlinuz"
echo "• making the root disk ($(du -sm "$root" | cut -f 1) MB)"
rm -f "$out/root.ext4.part"
truncate -s 4G "$out/root.ext4.part"
mkfs.ext4 -q -F -O ^has_journal -d "$root" "$out/root.ext4.part"
mv "$out/root.ext4.part" "$out/root.ext4"
