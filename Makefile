# Nightshelf: `make help` lists the commands. Each does its own set-up below this folder.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

UV ?= .tools/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --no-emit-find-links --no-annotate --no-header pyproject.toml

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: lock
lock: ## resolve pyproject.toml into deploy/requirements/*.txt (pinned, hashed)
	$(COMPILE) --extra serving -o deploy/requirements/serving.txt
	$(COMPILE) --extra jobs -o deploy/requirements/jobs.txt
	$(COMPILE) --extra jobs --extra serving --group local -o deploy/requirements/local.txt
	$(COMPILE) --extra jobs --extra serving --group local --group test -o deploy/requirements/dev.txt
