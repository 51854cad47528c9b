# `make` alone lists what there is to make.

# Set PYTHON to choose the interpreter; otherwise the first of these that is 3.11 or newer is taken.
PYTHON ?=
PYTHONS = python3 python3.13 python3.12 python3.11 python3.14 python

# Options handed on: make lab LAB_ARGS='--no-browser --port 9999', make test TEST_ARGS='-k layout',
# make app APP_ARGS='--port 9998'.
LAB_ARGS ?=
TEST_ARGS ?=
APP_ARGS ?=
# make lock LOCK_ARGS=--upgrade moves every locked version forward.
LOCK_ARGS ?=

BIN = .venv/bin
PY = $(BIN)/python
READY = .venv/.ready

SHELL = bash

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps build on each other and share one environment, so -j must not overlap them.
.NOTPARALLEL:
.PHONY: help lab app test soak lint bench fuzz docs pictures notebooks samples lock wheel clean

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

lab: $(READY) ## set up .venv and open JupyterLab on the first notebook (LAB_ARGS: its options)
	$(BIN)/sevlab lab notebooks -- $(LAB_ARGS)

# Voila reads notebooks/voila.json where it is started: this machine alone, a token, no other name of it.
app: $(READY) ## show the debugger as an application, without code (APP_ARGS: Voila's options)
	cd notebooks && ../$(BIN)/voila debugger.ipynb $(APP_ARGS)

# Every step runs even when an earlier one failed: one run shows all there is to mend.
# $(1) is what to call the step, $(2) the command.
define step
echo "== $(1)"; $(2) || failed="$$failed, $(1)";
endef

define lint_steps
$(call step,ruff check,$(BIN)/ruff check) \
$(call step,ruff format,$(BIN)/ruff format --check) \
$(call step,mypy,$(BIN)/mypy) \
$(call step,lint-imports,$(BIN)/lint-imports --no-logo)
endef

# A worker for each processor. tests/conftest.py says which tests stay together; the cells of a notebook do.
WORKERS = -n logical --maxprocesses 8

define test_steps
$(call step,pytest,$(PY) -m pytest -p no:nbval $(WORKERS) $(TEST_ARGS)) \
$(call step,notebooks,$(PY) -m pytest --nbval --nbval-current-env $(WORKERS) --dist loadfile notebooks/)
endef

define verdict
if [ -n "$$failed" ]; then echo "Failed: $${failed#, }" >&2; exit 1; fi
endef

test: $(READY) ## run every test: style, types, layers, unit and browser tests, notebooks (TEST_ARGS: pytest's options)
	@failed=; \
	$(lint_steps) \
	$(test_steps) \
	$(verdict)

soak: $(READY) ## run every test with all its cases and draws: about half an hour (TEST_ARGS: pytest's options)
	@failed=; \
	export SEVLAB_SOAK=1; \
	$(lint_steps) \
	$(test_steps) \
	$(verdict)

lint: $(READY) ## run only the checks of style, types and layers
	@failed=; $(lint_steps) $(verdict)

bench: $(READY) ## measure speed, as ratios to a yardstick in the same run
	$(PY) -m tests.bench

# atheris goes beside the environment, which holds what the lock says and nothing else.
fuzz: $(READY) ## feed every parser with atheris, a minute each (FUZZ_ARGS='--seconds 600 report')
	@[ -d build/fuzz/atheris ] || $(PY) -m pip install --disable-pip-version-check -q --target build/fuzz \
	    "$$($(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["fuzz"])')"
	PYTHONPATH=build/fuzz $(PY) -m tests.fuzz $(FUZZ_ARGS)

docs: $(READY) ## write what is generated again: docs/layouts.md, the map of the notebooks, stored screens, completions
	$(PY) -m tests.make_docs
	$(PY) -m tests.make_completions
	$(PY) -m tests.make_screens
	$(PY) -m tests.course

pictures: $(READY) ## draw the pictures of README again, with Chromium
	$(PY) -m tests.make_pictures

notebooks: samples ## write the samples again, then run every notebook and store its outputs
	$(PY) -m tests.run_notebooks
	$(PY) -m tests.course

samples: $(READY) ## write notebooks/samples/ and the cases of notebooks/incidents/ again, byte for byte
	$(PY) -m sevlab.labs.sample_files notebooks/samples
	$(PY) -c "from sevlab.labs.incidents import write_replays; write_replays('notebooks/incidents/cases')"

wheel: $(READY) ## build the wheel and the source archive into dist/
	$(PY) -m hatchling build

# --python-version makes the lock good for 3.11 and everything newer, whichever Python runs this.
# Only names, versions, hashes and markers go in, so that the lock works with any package index.
lock: ## choose exact versions again: requirements.lock from pyproject.toml (LOCK_ARGS=--upgrade: newer ones)
	@$(find_python); \
	uv=$$(command -v uv) || { \
	    uv=build/uv/bin/uv; \
	    [ -x "$$uv" ] || { "$$python" -m venv --clear build/uv && build/uv/bin/python -m pip install -q uv; }; \
	} && \
	"$$uv" pip compile -q --universal --python-version 3.11 --python "$$(command -v "$$python")" --no-python-downloads \
	    --generate-hashes --no-annotate --no-header $(LOCK_ARGS) pyproject.toml --extra test -o requirements.lock

clean: ## remove everything that make made, .venv too
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name .git -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# Sets $$python to a Python that is new enough and can make a virtual environment, or says what is missing.
define find_python
python=; old=; \
for candidate in $(or $(PYTHON),$(PYTHONS)); do \
    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
    if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then python=$$candidate; break; fi; \
    old=$${old:-$$candidate}; \
done; \
if [ -z "$$python" ] && [ -n "$$old" ]; then \
    echo "$$old ($$("$$old" -V)) cannot make a virtual environment: its venv or ensurepip module is missing." >&2; \
    echo "On Debian and Ubuntu: apt-get install python3-venv. Or name another one: make PYTHON=/path/to/python3." >&2; \
    exit 1; \
elif [ -z "$$python" ]; then \
    echo "No Python 3.11 or newer among: $(or $(PYTHON),$(PYTHONS))." >&2; \
    echo "Install one, or name it: make PYTHON=/path/to/python3." >&2; \
    exit 1; \
fi
endef

# pip says a line for each package; on a terminal they are shown as one line that counts.
# --clear, so that a package that left the lock leaves the environment too.
.venv/.locked: requirements.lock
	@$(find_python); set -o pipefail; \
	total=$$(grep -c '==' requirements.lock); \
	echo "Making .venv with $$("$$python" -V): up to $$total packages, a minute or so."; \
	"$$python" -m venv --clear .venv && \
	$(PY) -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements.lock | \
	    { [ -t 1 ] && show=1 || show=0; awk -v show=$$show -v total=$$total \
	    '/^Collecting / { n++; if (show) { printf "\r%3d/%d %-50.50s", n, total, $$2; fflush() } } \
	     /^Installing / { if (show) { printf "\r%-58s", "installing"; fflush() } } \
	     END { if (show) printf "\r%58s\r", "" }'; } && \
	touch $@

# Without build isolation nothing is fetched here: hatchling is in the lock.
$(READY): .venv/.locked pyproject.toml
	@$(PY) -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e . && touch $@
