# Needs make and Python 3.11 or newer. The first target sets up the rest in .comfy/ (see dev/setup_host.py).
#   make demo    guarded and unguarded pictures side by side, in output/demo/
#   make test    style, then every test
#   make matrix  the guard's tests with other versions of Python, torch and transformers, each in its own environment
#   make bench   the guard's figures, in output/bench/ (BENCH=overhead, BENCH="prompts own.csv", BENCH=language, ... for others)
# COMFYUI_PATH=<checkout> [COMFYUI_PYTHON=<its interpreter>] use an existing ComfyUI instead of the pinned one.

PYTHON ?= python3
HOST_PYTHON = $(or $(COMFYUI_PYTHON),.comfy/venv/bin/python)
TESTS ?= tests

BENCH ?= concept-removal

.PHONY: demo test lint bench matrix setup clean

demo:
	@$(PYTHON) -m dev.setup_host
	@$(HOST_PYTHON) -m bench.demo

test: lint
	@$(HOST_PYTHON) -m pytest $(TESTS)

lint: setup
	@$(HOST_PYTHON) -m ruff check .
	@$(HOST_PYTHON) -m ruff format --check .

bench: export PYTHONPATH := $(CURDIR)/.comfy/plotting$(if $(PYTHONPATH),:$(PYTHONPATH))
bench: setup .comfy/plotting
	@$(HOST_PYTHON) -m bench $(BENCH)

# Beside the interpreter and without dependencies, so that a user's own ComfyUI environment stays as it is.
.comfy/plotting: bench/requirements.txt | setup
	@$(HOST_PYTHON) -m pip install -q --no-deps --upgrade --target $@ -r $<
	@touch $@

matrix:
	@$(PYTHON) -m dev.matrix

setup:
	@$(PYTHON) -m dev.setup_host --tools

clean:
	rm -rf .comfy output

test lint: export PYTHONPATH := $(CURDIR)/.comfy/tools$(if $(PYTHONPATH),:$(PYTHONPATH))
