# What a person or a CI machine types. Everything else is `tidegate` (see `.venv/bin/tidegate --help`).
PYTHON := .venv/bin/python
FILES ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check faults lock generate

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## Install whatever is missing; nothing to do takes no time
	@infra/local/bootstrap.sh

demo: setup ## Real files through the real stack: make demo [FILES="a.pdf b.pdf"]
	@$(PYTHON) -m bench.demo $(FILES)

test: check ## Lint, types and all tests, against real servers on free ports: make test [ARGS="tests/infra -x"]
	@infra/local/bootstrap.sh compose_parser
	$(PYTHON) -m pytest $(ARGS)

check: setup ## Lint and types alone
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m pyright

faults: setup ## The minute-long faults
	$(PYTHON) -m pytest -m slow_faults $(ARGS)

lock: setup ## Pin the dependencies of pyproject.toml anew
	@export PATH="$$PATH:$${XDG_CACHE_HOME:-$$HOME/.cache}/tidegate/uv/bin"; \
	compile="uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet"; \
	$$compile --all-extras --output-file requirements.lock && \
	$$compile --no-annotate --constraint requirements.lock --output-file infra/deploy/requirements.lock

generate: setup ## Write what is generated anew: JSON Schemas, OpenAPI, AsyncAPI
	$(PYTHON) -m schemas.generate
	$(PYTHON) -m gateway.openapi
	$(PYTHON) -m cli.asyncapi
