#!/bin/sh
# Makes a small root file system with Python from this host's Debian (or Ubuntu) packages, for
# machines whose engine cannot pull an image. Needs neither root nor Docker, and leaves the host's
# own apt state alone.
#
#   debian.sh OUT.tar
#
# Prints the Python version ("3.11") on stdout when it is done; everything else goes to stderr.
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
        unavailable "$tool not found: the base image is made of Debian packages, so this needs" \
            "a Debian or Ubuntu host; elsewhere let the engine pull python:3.11-slim"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/orchestrator-base.XXXXXX")
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

depends_of() {
    apt-cache -c "$work/apt.conf" depends --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances "$1" | sed -n 's/^ *|*\(Pre\)*Depends: \([^<>]*\)$/\2/p'
}

python=$(depends_of python3-minimal | grep -x 'python3\.[0-9]*-minimal' | head -n 1) || true
python=${python%-minimal}
[ -n "$python" ] || unavailable "the package sources offer no python3-minimal"
[ "${python#python3.}" -ge 11 ] ||
    unavailable "this distribution's Python is ${python#python}; plugins need 3.11 or newer"

# What the interpreter and its standard library link, by their own account, less what only the
# modules dropped below need (nis, readline, curses, dbm) and what only apt and dpkg need.
libraries=$(
    for package in "$python-minimal" "lib$python-minimal" "lib$python-stdlib" libc6; do
        depends_of "$package"
    done | grep '^\(lib\|zlib\)' | sort -u |
        grep -v '^lib\(python\|nsl\|tirpc\|readline\|ncursesw\|tinfo\|db5\)'
)
# libstdc++: binary wheels may count on it (manylinux does not bundle it). busybox: RUN needs a
# shell, and a plugin's own Dockerfile the usual file tools.
packages="$python-minimal lib$python-minimal lib$python-stdlib libc6 libstdc++6 busybox-static
ca-certificates $libraries"

say "fetching $python and what it needs"
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

stdlib=$root/usr/lib/$python
rm -rf "$root/usr/share/man" "$root/usr/share/lintian" "$root/usr/share/locale" \
    "$root/usr/share/info" "$root/usr/share/binfmts" "$root/usr/share/bug" \
    "$root/usr/share/applications" "$root/usr/share/pixmaps" "$root/usr/share/initramfs-tools" \
    "$root/usr/share/gcc" "$root/usr/share/gdb" "$root/usr/share/python3" "$root/usr/sbin" \
    "$root"/usr/lib/*-linux-gnu*/gconv "$root"/usr/lib/*-linux-gnu*/audit \
    "$root"/usr/lib/*-linux-gnu*/engines-3 "$root/etc/ca-certificates" \
    "$stdlib/test" "$stdlib/idlelib" "$stdlib/ensurepip" "$stdlib/lib2to3" "$stdlib/tkinter" \
    "$stdlib/turtledemo" "$stdlib/pydoc_data" "$stdlib/unittest/test" \
    "$stdlib"/config-* "$stdlib"/__pycache__
mkdir -p "$root/usr/sbin"
for module in _curses _curses_panel _dbm _gdbm nis readline _tkinter ossaudiodev '_test*' \
    '_ctypes_test' '_xxtest*' 'xxlimited*'; do
    find "$stdlib/lib-dynload" -name "$module.*.so" -delete
done
# Licences stay: they must travel with what they cover.
find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type l -delete
find "$root/usr/share/doc" -type d -empty -delete

ln -s "$python" "$root/usr/bin/python3"
for applet in sh ash basename cat chmod chown cp cut date diff dirname du echo env expr false \
    find grep gunzip gzip head hostname id install ln ls mkdir mktemp mv nproc od paste printf \
    pwd readlink realpath rm rmdir sed seq sha256sum sleep sort stat tail tar tee test touch tr \
    true uname uniq unxz unzip wc which xargs; do
    ln -s busybox "$root/usr/bin/$applet"
done

mkdir -p "$root/etc/ssl/certs" "$root/usr/lib/ssl" "$root/usr/lib/python3/dist-packages"
find "$root/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat \
    >"$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root/usr/share/ca-certificates"
ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"

mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run/orchestrator" "$root/run/secrets" \
    "$root/tmp" "$root/data" "$root/mnt" "$root/host" "$root/plugin" "$root/root" \
    "$root/var/tmp" "$root/var/log" "$root/usr/local/bin" "$root/usr/local/lib"
ln -s /run "$root/var/run"
cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
plugin:x:65532:65532:plugin:/plugin:/sbin/nologin
PASSWD
cat >"$root/etc/group" <<'GROUP'
root:x:0:
nogroup:x:65534:
plugin:x:65532:
GROUP
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
if [ -f /etc/os-release ]; then cp /etc/os-release "$root/etc/os-release"; fi

# --- bytecode -----------------------------------------------------------------------------------
# By the interpreter just unpacked, through its own loader, whatever Python this host has. On a
# read-only root nothing could be cached later. Unchecked: nobody edits the library in an image.
say "compiling the standard library"
loader=$(find "$root/usr/lib" "$root/usr/lib64" -name 'ld-linux*.so.*' | sort | head -n 1)
libdir=$(dirname "$(find "$root/usr/lib" -name 'libc.so.6' | head -n 1)")
PYTHONHOME=$root/usr PYTHONHASHSEED=0 "$loader" --library-path "$libdir" \
    "$root/usr/bin/$python" -B -S -m compileall -q -s "$root" -p / \
    --invalidation-mode unchecked-hash "$root/usr/lib/$python" >&2

# --- archive ------------------------------------------------------------------------------------
# The same packages give the same bytes: sorted, owned by root, one date, no setuid.
chmod -R u+rwX,go+rX,go-w,ug-s "$root"
chmod 1777 "$root/tmp" "$root/var/tmp"
chmod 0755 "$root/data"
tar --sort=name --owner=0 --group=0 --numeric-owner --format=posix \
    --pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f \
    --mtime=1980-01-02T00:00:00Z -C "$root" -cf "$out.part" .
mv "$out.part" "$out"
say "$(du -sm "$root" | cut -f 1) MB"
echo "${python#python}"
