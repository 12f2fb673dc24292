# The two commands are `make up` and `make test`; each does all of its own set-up.
SHELL := /bin/bash
MANIFESTS ?= manifests/
VOLUMES ?= 0
BIN := .venv/bin
# One process for each core; idle ones take tests over from busy ones.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal
# With an engine they wait more than they compute: tests/support/groups.py says what goes together.
DOCKER_PARALLEL := -n 2 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help up down test test-vm check mutate dashboards test-dashboards daemon-image lock venv venv-dev tools engine gvisor

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

up: venv engine ## Set up everything, start the example plugins, call one
	@scripts/up.sh "$(MANIFESTS)"

down: venv ## Remove everything that `make up` started (VOLUMES=1: the plugins' data too)
	@$(BIN)/orchestrator down $(if $(filter 1,$(VOLUMES)),--volumes)

test: venv-dev tools engine gvisor ## Every check, and the tests against a real Docker engine
	@scripts/docker-tests.sh >.venv/docker-tests.log 2>&1 & prepared=$$!; \
	$(MAKE) --no-print-directory check || { wait $$prepared; exit 1; }; \
	wait $$prepared || cat .venv/docker-tests.log >&2
	@$(BIN)/pytest -q -m docker $(DOCKER_PARALLEL)

test-vm: venv-dev engine ## Project quotas and cgroup v2, in a virtual machine of Debian's packages
	@scripts/test-vm.sh

check: venv-dev tools ## Every check that needs no Docker
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
	@$(BIN)/pytest -q -m 'not docker' $(PARALLEL)

mutate: venv-dev tools engine ## Switch each security rule off and see its test fail (ONLY=words)
	@$(BIN)/python -m tests.mutation.run --write $(ONLY)

test-dashboards: venv-dev tools engine ## Render the dashboards with Grafana's own panels, into docs/images/
	@$(BIN)/python -m tests.dashboards.run

dashboards: venv-dev ## Write grafana/dashboards/ from the code in grafana/boards/
	@$(BIN)/python -m grafana.build

daemon-image: venv engine ## Build the daemon's own image; prints its tag
	@$(BIN)/python packaging/image/build.py

lock: ## Renew the lock files (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --group build pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --group build --group dev pyproject.toml -o requirements-dev.lock

venv:
	@scripts/venv.sh requirements.lock

venv-dev:
	@scripts/venv.sh requirements-dev.lock

tools:
	@scripts/tools.sh

engine: venv
	@scripts/engine.sh

gvisor: venv-dev engine
	@scripts/runsc.sh
