# Needs make and Python 3.11 or newer. The first target sets up the rest in .comfy/ (see dev/setup_host.py).
#   make demo    guarded and unguarded pictures side by side, in output/demo/
#   make test    style, then every test
#   make browser  a Chromium for the tests of the editor, where the machine has none (make test tries that itself)
#   make matrix  the guard's tests with other versions of Python, torch and transformers, each in its own environment
#   make bench   the guard's figures, in output/bench/ (BENCH=overhead, BENCH="prompts own.csv", BENCH=language, ... for others)
#   make mutate  do the tests notice a fault? One token changed at a time (MUTATE="--count 50 --only safree" for some)
#   make cluster [HEAD=<address> [TOKEN=<token>]]  this machine in a Ray cluster, for bench --ray (see docs/cluster.md)
# COMFYUI_PATH=<checkout> [COMFYUI_PYTHON=<its interpreter>] use an existing ComfyUI instead of the pinned one.

PYTHON ?= python3
HOST_PYTHON = $(or $(COMFYUI_PYTHON),.comfy/venv/bin/python)
TESTS ?= tests
# A process for each core, at most four, with one thread each; a file's tests run in one of them.
WORKERS ?= logical

BENCH ?= concept-removal

# What bench needs beside the interpreter; a folder that is not there does no harm.
beside = $(CURDIR)/.comfy/plotting:$(CURDIR)/.comfy/ray:$(CURDIR)/.comfy/judges$(if $(PYTHONPATH),:$(PYTHONPATH))
RAY = $(HOST_PYTHON) -m ray.scripts.scripts

.PHONY: demo test browser lint bench cluster matrix mutate setup clean

demo:
	@$(PYTHON) -m dev.setup_host
	@$(HOST_PYTHON) -m bench.pictures.demo

test: lint
	@$(MAKE) --no-print-directory .comfy/ray || echo "Ray could not be installed: its tests are skipped"
	@$(MAKE) --no-print-directory .comfy/judges || echo "NudeNet could not be installed: its tests are skipped"
	@$(HOST_PYTHON) -m dev.browser
	@OMP_NUM_THREADS=1 $(HOST_PYTHON) -m pytest -n $(WORKERS) --maxprocesses=4 --dist loadfile --no-loadscope-reorder $(TESTS)

# A Chromium for the tests of the editor, where the machine has none.
browser: setup
	@$(HOST_PYTHON) -m dev.browser

lint: setup
	@$(HOST_PYTHON) -m ruff check .
	@$(HOST_PYTHON) -m ruff format --check .

bench: export PYTHONPATH := $(beside)
bench: setup .comfy/plotting $(if $(findstring --ray,$(BENCH)),.comfy/ray)
	@$(HOST_PYTHON) -m bench $(BENCH)

# Ray's token keeps others in the network out: it is in ~/.ray, and on machines with another home it is TOKEN.
cluster: export PYTHONPATH := $(beside)
cluster: export RAY_USAGE_STATS_ENABLED := 0
cluster: setup .comfy/ray
ifdef HEAD
	@$(if $(TOKEN),RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(TOKEN)) $(RAY) start --block --address=$(HEAD)
else
	@echo "On each of the other machines: make cluster HEAD=<this machine>:6379 TOKEN=$$($(RAY) get-auth-token --generate)"
	@RAY_AUTH_MODE=token $(RAY) start --block --head --include-dashboard=false
endif

# Beside the interpreter and without dependencies, so that a user's own ComfyUI environment stays as it is.
.comfy/plotting: bench/requirements.txt | setup
.comfy/ray: bench/requirements-ray.txt | setup
.comfy/judges: bench/requirements-judges.txt | setup
.comfy/mutation: dev/mutate/requirements.txt | setup
.comfy/plotting .comfy/ray .comfy/judges .comfy/mutation:
	@$(HOST_PYTHON) -m pip install -q --no-deps --upgrade --target $@ -r $<
	@touch $@

matrix:
	@$(PYTHON) -m dev.matrix

mutate: export PYTHONPATH := $(CURDIR)/.comfy/tools:$(CURDIR)/.comfy/mutation$(if $(PYTHONPATH),:$(PYTHONPATH))
mutate: setup .comfy/mutation
	@$(HOST_PYTHON) -m dev.mutate $(MUTATE)

setup:
	@$(PYTHON) -m dev.setup_host --tools

clean:
	rm -rf .comfy output

test lint browser: export PYTHONPATH := $(CURDIR)/.comfy/tools$(if $(PYTHONPATH),:$(PYTHONPATH))
