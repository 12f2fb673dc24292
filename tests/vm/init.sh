#!/bin/bash
# The first and only process of the virtual machine: brings the engine up, runs the tests, ends it.
# What it prints on the first serial line is the log; pytest's lines and the result go to the second.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin PYTHONPATH=/work/site HOME=/root LANG=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1 TESTS_PATIENCE=10 TESTS_IN_VM=1 NO_COLOR=1 CI=1
result=/dev/ttyS1
finish() { echo "vm: $*" >"$result"; sync; busybox poweroff -f; }
say() { echo "vm: $(cut -d. -f1 /proc/uptime) s: $*"; }
trap 'finish "init.sh failed in line $LINENO"' ERR
set -E

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sys /sys
mount -t devtmpfs dev /dev 2>/dev/null || true # the kernel may have done it
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o nosuid,nodev shm /dev/shm
mount -t tmpfs -o nosuid,nodev,mode=755 run /run
mount -t tmpfs -o nosuid,nodev,mode=1777 tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
stty -F "$result" raw
echo vm >/proc/sys/kernel/hostname
ip link set lo up
modprobe -a overlay br_netfilter loop xfs
chown -R tester: /home/tester
install -d -o tester /work/.hypothesis

# The engine's folder lies on a file system that counts bytes by project.
mkfs.xfs -q /dev/vdc
mount -o pquota /dev/vdc /var/lib/docker
say "starting the engine"
# In a group of its own, as a service is: the root group has no files of limits to be looked at.
mkdir -p /sys/fs/cgroup/services/docker
echo '+cpu +memory +pids +io +cpuset' >/sys/fs/cgroup/cgroup.subtree_control
echo '+cpu +memory +pids' >/sys/fs/cgroup/services/cgroup.subtree_control
engine() {
  echo "$BASHPID" >/sys/fs/cgroup/services/docker/cgroup.procs
  while :; do dockerd || true; done # tests end it, and count on its coming back
}
engine >/var/log/dockerd.log 2>&1 &
for _ in $(seq 600); do [ ! -S /run/docker.sock ] || break; sleep 0.2; done
docker info
for image in /work/images/*.tar; do docker load --quiet --input "$image"; done
say "the engine runs and has the base images"

failed=0
run() {
  local user=$1 status=0; shift
  say "as $user: pytest $*"
  (cd /work && HOME=$(eval echo "~$user") setpriv --reuid "$user" --regid "$user" --init-groups -- \
    python3 -m pytest -p no:cacheprovider "$@") >"$result" 2>&1 || status=$?
  say "pytest ended with $status"
  [ "$status" = 0 ] || failed=1
}
. /work/plan
say "done"
[ "$failed" = 0 ] || { tail -n 40 /var/log/dockerd.log; finish failed; }
finish passed
