# `make demo` and `make test` start from nothing, in either order; a step that is done already takes a moment.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Looked up when a recipe runs: `env` may just have installed it.
UV = $(or $(shell command -v uv 2>/dev/null),.make/uv/bin/uv)
RUN = $(UV) run --locked

.PHONY: help env engine base-image images demo test test-fast check schemas format bench clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## Install the locked Python environment (and uv, where it is missing)
	@.ci/env.sh

engine: ## Find a container engine, or install and start one (Debian, as root)
	@.ci/engine.sh

base-image: engine ## Choose or make the image that the model images are built on
	@model_images/_base/ensure-base.sh

images: env base-image ## Build the model images
	@$(RUN) python model_images/build.py

demo: env engine base-image images ## Evaluate a model image on the bundled cells
	@$(RUN) czrun evaluate --image czrun/logistic-regression:latest

test: env engine base-image images ## Run all tests
	@$(RUN) pytest -m "not engine" --numprocesses auto
	@$(RUN) pytest -m engine

test-fast: env ## Run the tests that need no container engine, the slowest left out
	@$(RUN) pytest -m "not engine and not slow" --numprocesses auto

check: env ## Lint, formatting, types, import layers, schemas
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports
	@$(RUN) czrun schema --check schemas

schemas: env ## Write schemas/ anew from the contract's models
	@$(RUN) czrun schema --write schemas

format: env ## Format the code, and mend what ruff can mend
	@$(RUN) ruff check --fix-only .
	@$(RUN) ruff format .

bench: env engine base-image images ## Run the benchmarks
	@$(RUN) python benchmarks/overhead.py
	@$(RUN) python benchmarks/prepare.py
	@$(RUN) python benchmarks/scoring_kernels.py
	@$(RUN) python benchmarks/scoring.py --cells 5000
	@$(RUN) python benchmarks/tasks.py

clean: ## Remove caches and build output (not .venv, runs or images)
	@rm -rf .make dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find runner model_images tests -name __pycache__ -type d -prune -exec rm -rf {} +
