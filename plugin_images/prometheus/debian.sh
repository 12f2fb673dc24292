#!/bin/sh
# Makes the monitoring stack's Prometheus, from this host's Debian (or Ubuntu) packages.
# Needs neither root nor Docker, and leaves the host's own apt state alone.
#
#   debian.sh OUT.tar
#
# Exit code 69 (EX_UNAVAILABLE): this host cannot make one; the last line says why.
set -eu
umask 022
export LC_ALL=C

unavailable() {
    echo "debian.sh: $*" >&2
    exit 69
}

say() { echo "debian.sh: $*" >&2; }

[ $# -eq 1 ] || { echo "usage: debian.sh OUT.tar" >&2; exit 64; }
out=$1
for tool in apt-get apt-cache dpkg dpkg-deb tar; do
    command -v "$tool" >/dev/null ||
        unavailable "$tool not found: Prometheus' image is made of Debian packages, so this needs" \
            "a Debian or Ubuntu host"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/orchestrator-prometheus.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs" \
    "$work/sources.d" "$root"

# --- packages -----------------------------------------------------------------------------------
# Only the distribution's own sources: what third parties add to a host has no place in a sandbox.
for file in debian.sources ubuntu.sources debian.list ubuntu.list; do
    [ ! -f "/etc/apt/sources.list.d/$file" ] ||
        cp "/etc/apt/sources.list.d/$file" "$work/sources.d/$file"
done
[ ! -s /etc/apt/sources.list ] || cp /etc/apt/sources.list "$work/sources.d/main.list"

: >"$work/state/status"
cat >"$work/apt.conf" <<CONF
Dir::State "$work/state";
Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources.d";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::Retries "2";
Debug::NoLocking "true";
CONF

say "reading the package lists"
apt-get -c "$work/apt.conf" -qq update >&2 || unavailable "apt-get update failed"

# The program, what it links, and what its pages load. The rest of what the package depends on makes
# a user and a service, of which an image has neither; gcc-*-base holds documents only.
packages=$(
    apt-cache -c "$work/apt.conf" depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances prometheus | grep '^[a-z0-9]' | sort -u |
        grep -x 'prometheus\|libc6\|libgcc-s1\|libcrypt1\|libjs-.*\|fonts-.*' |
        grep -v '^libjs-\(yui3\|dojo\)'
) || true
case "$packages" in
    *prometheus*) ;;
    *) unavailable "the package sources offer no prometheus" ;;
esac

say "fetching Prometheus and what it needs"
# shellcheck disable=SC2086 # a list of package names
(cd "$work/debs" && apt-get -c "$work/apt.conf" -qq download $packages >&2) ||
    unavailable "apt-get could not download the packages"

# --- root file system ---------------------------------------------------------------------------
for folder in bin sbin lib lib64; do
    mkdir -p "$root/usr/$folder"
    ln -s "usr/$folder" "$root/$folder"
done
mkdir -p "$root/var/lib/dpkg/status.d"
for deb in "$work"/debs/*.deb; do
    # Not dpkg-deb -x: it puts a folder where the merged /lib must stay a link.
    dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root" -f -
    # One file a package, as scanners of images without a package manager read it.
    dpkg-deb -f "$deb" >"$root/var/lib/dpkg/status.d/$(dpkg-deb -f "$deb" Package)"
done

rm -rf "$root/usr/share/man" "$root/usr/share/lintian" "$root/usr/share/locale" \
    "$root/usr/share/bug" "$root/lib/systemd" "$root/etc/default" "$root/etc/logrotate.d" \
    "$root/usr/bin/promtool" \
    "$root"/usr/lib/*-linux-gnu*/gconv "$root"/usr/lib/*-linux-gnu*/audit "$root/etc/init.d"
# Licences stay: they must travel with what they cover.
find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type l -delete
find "$root/usr/share/doc" -type d -empty -delete

mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/etc/orchestrator" \
    "$root/tmp" "$root/prometheus"
# Source maps are for who debugs the pages, and the files that they map stay behind.
find "$root/usr/share" -name '*.map' -delete
if [ -f /etc/os-release ]; then cp /etc/os-release "$root/etc/os-release"; fi

# --- archive ------------------------------------------------------------------------------------
# The same packages give the same bytes: sorted, owned by root, one date, no setuid.
chmod -R u+rwX,go+rX,go-w,ug-s "$root"
tar --sort=name --owner=0 --group=0 --numeric-owner --format=posix \
    --pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f \
    --mtime=1980-01-02T00:00:00Z -C "$root" -cf "$out.part" .
mv "$out.part" "$out"
say "$(du -sm "$root" | cut -f 1) MB"
dpkg-deb -f "$work"/debs/prometheus_*.deb Version
