# Nightshelf: `make help` lists the commands. Each does its own set-up below this folder.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
UV ?= .tools/bin/uv
# Nothing is taken from the machine's own uv settings, and no interpreter is downloaded.
export UV_NO_CONFIG := 1
export UV_PYTHON_DOWNLOADS := never
# Hundreds of processes import the same files: without it, each compiles them again.
unexport PYTHONDONTWRITEBYTECODE

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --no-emit-find-links --no-annotate --no-header pyproject.toml

# $(call environment,NAME): a virtual environment with exactly what NAME's lock lists. The one of the tests is
# compiled at once, for those who start pytest themselves where Python must not write bytecode.
define environment
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venvs/$(1)
	$(UV) pip sync --quiet $(if $(filter dev,$(1)),--compile-bytecode) --python .venvs/$(1) --require-hashes deploy/requirements/$(1).txt
	$(UV) pip install --quiet --python .venvs/$(1) --no-deps --no-build-isolation --editable .
	touch .venvs/$(1)/.complete
endef

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venvs/local/.complete ## real recommendations over HTTP, from nothing, on this machine
	.venvs/local/bin/python -m deploy.local.demo

.PHONY: monitoring
monitoring: packages .venvs/local/.complete ## start Prometheus, Alertmanager and exporters beside `make demo`
	.venvs/local/bin/python -m deploy.local.monitoring up

.PHONY: down
down: ## stop what `make demo` and `make monitoring` started
	if [ -x .venvs/local/bin/python ]; then .venvs/local/bin/python -m deploy.local.monitoring down; fi
	if [ -x .venvs/local/bin/python ]; then .venvs/local/bin/python -m deploy.local.stack down; fi

.PHONY: reload
reload: ## restart the edge replicas of `make demo` one after another, without a failed request
	.venvs/local/bin/python -m deploy.local.stack reload

.PHONY: backup
backup: ## Airflow's database and the artifacts of the deployed stack, into FOLDER=...
	deploy/containers/stack.sh backup "$(abspath $(or $(FOLDER),$(error name a folder: make backup FOLDER=...)))"

.PHONY: restore
restore: ## both from FOLDER=..., then Redis from the artifacts; what was there is replaced
	deploy/containers/stack.sh restore "$(abspath $(or $(FOLDER),$(error name a folder: make restore FOLDER=...)))"

.PHONY: packages
packages: ## install the Debian packages that tests and monitoring need and this machine lacks
	bash deploy/local/packages.sh

.PHONY: packages-slow
packages-slow: packages
	bash deploy/local/packages.sh /usr/lib/postgresql:postgresql

# Most tests wait for other programs. Files stay whole, so that what a file sets up is set up once; the order keeps the
# longest (tests/deploy) first.
TWO_AT_A_TIME = --durations 10 --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: packages .venvs/dev/.complete ## everything that proves it
	$(MAKE) --jobs 3 check test-main test-dags

.PHONY: test-main
test-main: packages .venvs/dev/.complete ## the tests of everything but the DAGs
	.venvs/dev/bin/pytest -m "not slow and not bench" $(TWO_AT_A_TIME)

.PHONY: release
release: ## cut VERSION=x.y.z: number, changelog section, commit and tag
	$(PYTHON) -m deploy.release $(or $(VERSION),$(error name a version: make release VERSION=x.y.z))

.PHONY: docs
docs: .venvs/dev/.complete ## build the documentation site into .run/site; a broken link fails
	.venvs/dev/bin/python -m deploy.site

.PHONY: test-all
test-all: packages-slow test ## and what is slow: long loads, long fault campaigns, containers
	.venvs/dev/bin/pytest -m "slow and not bench" --ignore tests/deploy/stack
	$(MAKE) test-dags-slow
	$(MAKE) test-deploy

.PHONY: packages-deploy
packages-deploy: packages
	bash deploy/local/packages.sh dockerd:docker.io docker:docker.io docker-compose:docker-compose debootstrap:debootstrap

.PHONY: test-deploy
test-deploy: packages-deploy .venvs/dev/.complete ## the whole stack from images: answers, ports, rights, losses under traffic
	.venvs/dev/bin/pytest -m slow -s tests/deploy/stack

.PHONY: cases
cases: packages .venvs/dev/.complete ## handed inputs in CASES=folder (files/, drops/) and situations of the store
	NIGHTSHELF_CASES="$(abspath $(or $(CASES),$(error name a folder: make cases CASES=...)))" \
	    .venvs/dev/bin/pytest tests/cases

.PHONY: check
check: .venvs/dev/.complete ## format, lint, types, order of packages, words
	.venvs/dev/bin/ruff format --check .
	.venvs/dev/bin/ruff check .
	.venvs/dev/bin/mypy
	.venvs/dev/bin/lint-imports
	.venvs/dev/bin/python -m tests.harness.prose

.PHONY: bench
bench: packages .venvs/dev/.complete ## measure everything that has a goal, as ratios in one run
	.venvs/dev/bin/pytest -m bench -s --timeout 3600 tests/benchmarks tests/research

.PHONY: chaos
chaos: packages .venvs/dev/.complete ## break everything under load for half an hour; writes monitoring/faults.md
	rm -rf .run/chaos
	.venvs/dev/bin/python -m tests.faults.campaign --seed 1 --minutes 30

.PHONY: backtest
backtest: .venvs/dev/.complete ## the goals of the model: it and every baseline at six past days of GOODBOOKS_DIR
	.venvs/dev/bin/python -m tests.research.goals
	.venvs/dev/bin/python -m tests.research.two_stages

# The audit's tools ask for it, and jsonschema imports it where it is installed: 22 % of what each import of
# Great Expectations takes in tests. Nobody here checks the format of an IRI.
SLOW_TO_IMPORT = --no-emit-package rfc3987-syntax

.PHONY: lock
lock: $(UV) lock-dags ## resolve pyproject.toml into deploy/requirements/*.txt (pinned, hashed)
	$(COMPILE) --extra serving -o deploy/requirements/serving.txt
	$(COMPILE) --extra serving --extra tracing -o deploy/requirements/serving-tracing.txt
	$(COMPILE) --extra jobs --extra tracing -o deploy/requirements/jobs-tracing.txt
	$(COMPILE) --group proxy -o deploy/requirements/proxy.txt
	$(COMPILE) --group build -o deploy/requirements/build.txt
	$(COMPILE) --group audit -o deploy/requirements/audit.txt
	$(COMPILE) --extra jobs -o deploy/requirements/jobs.txt
	$(COMPILE) --extra jobs --extra serving --group local -o deploy/requirements/local.txt
	$(COMPILE) --extra jobs --extra serving --extra tracing --group local --group test $(SLOW_TO_IMPORT) -o deploy/requirements/dev.txt

# What is in the images: the locks of deploy/containers/Dockerfile.
AUDITED = serving serving-tracing jobs jobs-tracing dags dags-kubernetes proxy

.PHONY: audit
audit: .venvs/audit/.complete ## list what the images hold (CycloneDX, below .run/sbom) and ask what is known against it
	.venvs/audit/bin/python -m deploy.audit .run/sbom $(AUDITED)

.PHONY: sbom
sbom: .venvs/audit/.complete ## only the list, which needs no network once its environment is there
	.venvs/audit/bin/python -m deploy.audit --list-only .run/sbom $(AUDITED)

.PHONY: clean
clean: down airflow-down ## remove environments and caches; artifacts and data stay
	rm -rf .venvs .tools .run .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.tools/bin/uv: deploy/requirements/uv.txt
	$(PYTHON) -m venv --clear .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	touch $@

# It reads locks and needs no code of ours installed.
.venvs/audit/.complete: deploy/requirements/audit.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venvs/audit
	$(UV) pip sync --quiet --python .venvs/audit --require-hashes $<
	touch $@

.venvs/%/.complete: deploy/requirements/%.txt pyproject.toml | $(UV)
	$(call environment,$*)

include deploy/airflow/airflow.mk
