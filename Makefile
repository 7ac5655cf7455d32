# make help lists the targets. Each does its own set-up: `make demo` in a fresh clone is enough.
PYTHON ?= python3
VENV ?= .venv
TESTS ?= tests

PY := $(VENV)/bin/python
PIP := $(PY) -m pip
INSTALLED := $(VENV)/.maskprop-installed
RUFF := $(shell sed -n "s/.*'\(ruff==[^']*\)'.*/\1/p" pyproject.toml)
MYPY := $(shell sed -n "s/.*'\(mypy==[^']*\)'.*/\1/p" pyproject.toml)

.PHONY: help setup demo demo-full demo-weights test test-slow test-all bench bench-results bench-files bench-gpu doctor docs docs-serve lint format types clean
.DEFAULT_GOAL := help

help:
	@echo 'make setup    install everything into the virtual environment $(VENV)'
	@echo 'make demo     see it work, in three minutes: track and train on synthetic video; table, pictures, mp4, report'
	@echo 'make demo-full  the long demo, 15 to 20 minutes: training from scratch, the numbers of README.md'
	@echo 'make test     run the fast tests, about 3 minutes on two cores; some of them with make test TESTS=tests/ops'
	@echo 'make test-all run all tests, the fast ones first; make test-slow runs the others'
	@echo 'make bench    measure speed and memory against named peers, and write the tables of docs/benchmarks.md and scaling.md'
	@echo 'make bench-gpu  the same on a GPU, for docs/benchmarks_gpu.md'
	@echo 'make docs     build the site of the documentation in work_dirs/site; make docs-serve shows it while you write'
	@echo 'make doctor   print versions, devices and kernels, and how to fix what is wrong'
	@echo 'make lint     check style (ruff), without changing files; make format changes them'
	@echo 'make types    check types (mypy)'
	@echo 'make clean    delete caches and build files; leaves $(VENV), data and work_dirs'
	@echo
	@echo 'Another Python: make setup PYTHON=python3.12. Another environment: make setup VENV=path.'

# environments of uv and some of conda are without pip
define need_pip
@$(PIP) --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null 2>&1 || { \
  echo 'The environment $(VENV) has no pip. Delete the folder $(VENV) and run make setup again.'; exit 1; }
endef

setup: $(INSTALLED)
	@echo 'The environment $(VENV) is ready. Use it with: source $(VENV)/bin/activate'

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo 'maskprop needs Python 3.10 to 3.13; "$(PYTHON)" is missing or another version.'; \
	  echo 'Name one that fits: make setup PYTHON=python3.11'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '"$(PYTHON)" cannot make virtual environments: its venv and ensurepip modules are missing.'; \
	  echo 'On Debian and Ubuntu: sudo apt install python3-venv. Or name another: make setup PYTHON=python3.11'; \
	  exit 1; }
	@echo 'Making the virtual environment $(VENV).'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements.txt setup.py pyproject.toml | $(PY)
	$(need_pip)
	@echo 'Installing the requirements into $(VENV). The first time, PyTorch makes this several GB and some minutes.'
	$(PIP) install -r requirements.txt
	@echo 'Installing maskprop itself, in place: changes to its files take effect at once.'
	$(PIP) install --no-deps -e .
	@echo 'Making sure that OpenCV imports on machines without a screen.'
	$(PY) tools/doctor.py --mend-opencv
	$(PY) -c 'import cv2'
	@touch $@

demo: setup
	@echo 'Running the demo: synthetic videos, tracking, video AP, pictures, a short training. Results go to work_dirs/demo.'
	$(PY) -m maskprop demo

demo-full: setup
	@echo 'Running the long demo: training from scratch, tracking, video AP. Results go to work_dirs/demo_full.'
	$(PY) -m maskprop demo-full

# the weights that the demo begins with; configs/demo/metafile.yml names the file, by its digest
demo-weights: setup
	$(PY) -m maskprop demo-full --config maskprop_mini_synthetic --out work_dirs/demo_weights
	$(PY) -m maskprop publish work_dirs/demo_weights/train/epoch_8.pth configs/demo/maskprop_mini_synthetic --half \
	  --config maskprop_mini_synthetic --metrics work_dirs/demo_weights/metrics.json --license Apache-2.0

# the reference of some tests and of a benchmark; what it depends on is there already, in other versions than it asks for
TRACKEVAL := trackeval==1.3.0
define get_trackeval
@$(PY) -c 'import trackeval' >/dev/null 2>&1 || $(PIP) install --no-deps '$(TRACKEVAL)' || \
  echo '$(TRACKEVAL) could not be installed: the comparisons with it are left out.'
endef

# what the tests need, then those that a marker picks
define run_tests
@$(PY) -c 'import huggingface_hub, hypothesis, pytest, xdist' 2>/dev/null || { \
  echo 'Installing what the tests need.'; $(PIP) install 'huggingface_hub>=0.25' 'hypothesis>=6' 'pytest>=8' 'pytest-xdist>=3'; }
$(get_trackeval)
@echo 'Running the $(1) tests, on as many cores as memory allows.'
$(PY) -m pytest -q -n auto --dist loadgroup -m '$(2)' $(TESTS) || { \
  code=$$?; [ $$code -eq 5 ] || exit $$code; echo 'None of these tests is $(1); make test-all runs both kinds.'; }
endef

test: setup
	$(call run_tests,fast,not slow)

test-slow: setup
	$(call run_tests,slow,slow)

test-all:
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-slow

# a benchmark, its further arguments, the page that its tables go to
define run_benchmark
@echo 'Running tools/benchmarks/$(1).py $(2)'
@$(PY) tools/benchmarks/$(1).py $(2) --json work_dirs/benchmarks/$(1).json --doc docs/$(or $(3),benchmarks).md

endef

bench: setup
	$(call run_benchmark,propagation,--runs 1 --instances 1 8 20)
	$(call run_benchmark,layout,--runs 3 --sizes 96x160 192x320 256x448 384x640)
	$(call run_benchmark,clip_inference,--runs 2)
	$(call run_benchmark,long_video,--threads 1 --at-once 2 --frames 100 1000 3000)
	$(call run_benchmark,training_step,--runs 2 --steps 10)
	$(call run_benchmark,data_pipeline,--runs 3)
	$(call run_benchmark,scale_out,--runs 1)
	$(call run_benchmark,inter_frame_attention,--runs 1)
	$(call run_benchmark,embedding_matching,--runs 1 --size 240 427)
	$(get_trackeval)
	@echo 'The others take one core each: two at a time.'
	@$(MAKE) --no-print-directory --jobs 2 bench-results bench-files

# what reads results, on one core
bench-results:
	$(call run_benchmark,video_ap,--runs 1 --threads 1)
	$(call run_benchmark,track_metrics,--threads 1)
	$(call run_benchmark,growth,--runs 2 --threads 1)

# what reads annotations, counts or clusters, on another
bench-files:
	$(call run_benchmark,data_loading,--runs 1 --threads 1)
	$(call run_benchmark,step_operators,--threads 1)
	$(call run_benchmark,cost_table,--threads 1,scaling)
	$(call run_benchmark,mask_assembly,--threads 1)
	$(call run_benchmark,tracklet_merging,--threads 1)
	$(call run_benchmark,clustering,--runs 3 --threads 1 --pixels 50000 300000)

# on a GPU, one after the other
bench-gpu: setup
	$(call run_benchmark,clip_inference,--device cuda --runs 15 --at-once 1 4 8 16,benchmarks_gpu)
	$(call run_benchmark,propagation,--device cuda --rounds-up-to 50 --backward-up-to 50 --compile,benchmarks_gpu)
	$(call run_benchmark,full_size_step,--device cuda,benchmarks_gpu)
	$(call run_benchmark,training_step,--device cuda --runs 5 --steps 0 --cases checkpointing accumulation bf16 compile,benchmarks_gpu)
	$(call run_benchmark,long_video,--device cuda --frames 100 1000,benchmarks_gpu)
	$(call run_benchmark,inter_frame_attention,--device cuda,benchmarks_gpu)
	$(call run_benchmark,embedding_matching,--device cuda,benchmarks_gpu)
	$(call run_benchmark,mask_assembly,--device cuda,benchmarks_gpu)
	$(call run_benchmark,clustering,--device cuda,benchmarks_gpu)

doctor:
	@$(if $(wildcard $(PY)),$(PY),$(PYTHON)) tools/doctor.py

# the pins are in the extra `docs`; the package itself is read, not imported
MKDOCS := NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs
define get_docs
@$(PIP) install --quiet $(shell sed -n "/^docs = \[/,/^\]/s/^ *'\([^']*\)'.*/'\1'/p" pyproject.toml)
endef

docs: | $(PY)
	$(get_docs)
	@echo 'Building the site; a link that leads nowhere or a page that the menu lacks is an error.'
	$(MKDOCS) build --strict
	@echo 'Open work_dirs/site/index.html'

docs-serve: | $(PY)
	$(get_docs)
	$(MKDOCS) serve

lint: | $(PY)
	$(need_pip)
	@$(PIP) install --quiet '$(RUFF)'
	@echo 'Checking style with $(RUFF); make format fixes what it can.'
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: | $(PY)
	$(need_pip)
	@$(PIP) install --quiet '$(MYPY)'
	@echo 'Checking types with $(MYPY).'
	$(PY) -m mypy

format: | $(PY)
	$(need_pip)
	@$(PIP) install --quiet '$(RUFF)'
	@echo 'Formatting with $(RUFF).'
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	@echo 'Deleting caches and build files; $(VENV), data and work_dirs stay.'
	rm -rf build dist maskprop.egg-info .pytest_cache .ruff_cache .mypy_cache
	find maskprop tests tools configs -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
