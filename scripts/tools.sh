#!/usr/bin/env bash
# What the tests call beside Python: a C compiler (a plugin without the SDK), curl, openssl,
# Node.js (its fetch through the egress broker), programs that make a network of the tests' own and
# look into a container's, systemd's own check of the units that are shipped, and Prometheus with
# promtool, which try the alert rules and the dashboards (without the service that its package starts).
set -euo pipefail
missing=()
for tool in gcc make curl openssl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v ip >/dev/null || missing+=(iproute2)
command -v nsenter >/dev/null || missing+=(util-linux)
command -v sysctl >/dev/null || missing+=(procps)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v promtool >/dev/null || missing+=(prometheus)
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  printf 'error: the tests need %s; install them and try again\n' "${missing[*]}" >&2
  exit 69
fi
echo "• installing ${missing[*]} for the tests"
apt-get update -qq
# A package's service is nobody's wish here: prometheus would listen for good.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
