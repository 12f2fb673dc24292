#!/bin/sh
# Compose for the test of grafana/compose.yaml, from Debian; quiet where there is one already.
set -eu
command -v docker-compose >/dev/null && exit 0
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker-compose >/dev/null
