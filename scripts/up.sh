#!/usr/bin/env bash
# `make up`, once Python and an engine are there: the plugins of a folder of manifests, and one call.
set -euo pipefail
cd "$(dirname "$0")/.."
orchestrator=.venv/bin/orchestrator
manifests=$1
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n$ %s\n' "$*"; }

say orchestrator up --detach --wait "$manifests"
"$orchestrator" up --detach --wait "$manifests"

say orchestrator ps
"$orchestrator" ps

[ -e "$manifests/data-pipeline.yaml" ] || exit 0
input='{"sql": "SELECT region, sum(quantity * unit_price)::INT AS revenue FROM sales GROUP BY region ORDER BY revenue DESC", "inputs": {"sales": {"share": "datasets", "path": "sales.csv"}}}'
say "orchestrator call data-pipeline --tool query '$input'"
"$orchestrator" call data-pipeline --tool query "$input"
