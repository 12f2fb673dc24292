#!/usr/bin/env bash
# What the Docker tests need beside an engine: databases, a browser, images of the orchestrator's own.
# `make test` has it done while the tests without Docker run: it waits more than it computes.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test-services.sh install
tests/e2e/browser.sh
tests/e2e/compose.sh
"${PYTHON:-.venv/bin/python}" -m tests.support.images
