#!/bin/sh
# Unpacks what makes and attaches disks, from this host's Debian (or Ubuntu) packages, as a root file
# system to be laid over the daemon's image. Needs neither root nor Docker.
#
#   tools.sh OUT.tar
set -eu
umask 022
export LC_ALL=C
[ $# -eq 1 ] || { echo "usage: tools.sh OUT.tar" >&2; exit 64; }
out=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/orchestrator-tools.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/debs" "$work/root/usr"

# The interpreter's root has libc and the usual file tools; what these link comes beside it.
wanted="e2fsprogs mount libblkid1 libcom-err2 libext2fs2 libmount1 libpcre2-8-0 libselinux1 libss2
libsmartcols1 libuuid1 coreutils libacl1 libattr1 libgmp10"
# shellcheck disable=SC2086 # a list of package names
fetch() { (cd "$work/debs" && apt-get -qq "$@" download $wanted >&2); }
# Where the host has no package lists, we read them into a place of our own.
mkdir -p "$work/lists/partial" "$work/archives/partial"
own="-o Dir::State::Lists=$work/lists -o Dir::Cache::Archives=$work/archives
-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
-o Debug::NoLocking=true"
# shellcheck disable=SC2086 # options
fetch -o APT::Sandbox::User=root 2>/dev/null || { apt-get -qq $own update >&2 && fetch $own; } || {
    echo "tools.sh: the packages could not be fetched; expected a Debian or Ubuntu host" >&2
    exit 69
}
for folder in bin sbin lib; do
    mkdir -p "$work/root/usr/$folder"
    ln -s "usr/$folder" "$work/root/$folder"
done
# Of coreutils only cp: busybox's does not know sparse files.
dpkg-deb --fsys-tarfile "$work"/debs/coreutils_*.deb |
    tar -x --keep-directory-symlink -C "$work/root" -f - ./bin/cp
rm "$work"/debs/coreutils_*.deb
for deb in "$work"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$work/root" -f - \
        --exclude './usr/share/man*' --exclude './usr/share/locale*' --exclude './etc*' \
        --exclude './usr/share/bash-completion*'
done
# Whoever runs as root needs no setuid program, and nobody else should have one.
chmod -R u+rwX,go+rX,go-w,ug-s "$work/root/usr"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=1980-01-02T00:00:00Z \
    -C "$work/root" -cf "$out" usr
