#!/bin/sh
# A browser for the tests of pages, from Debian; quiet where there is one already.
set -eu
command -v chromium >/dev/null && exit 0
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null
