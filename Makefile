# The only two commands a fresh machine needs: make demo, make test (Python 3.10+ and make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# SynthSeg label maps, from which benchmarks make some of their heads; none by default.
LABEL_MAPS ?=

# A checkout of Slicer 5.12 or newer, whose own Python layer test-slicer uses.
SLICER_SOURCE ?= ../Slicer

.PHONY: demo test test-slow test-slicer lint docs bench pictures clean

demo: $(STAMP)
	$(BIN)/qsmsep demo demo --overwrite --open

# A process a core, one thread each: as fast as it gets, and fixtures of a file are made once.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" -n auto --dist loadfile

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow"

test-slicer: $(STAMP)
	test -d "$(SLICER_SOURCE)/Base/Python/slicer"
	SLICER_SOURCE="$(SLICER_SOURCE)" $(BIN)/python -m pytest -m "not slow and not gpu" \
	  Testing/host_tests Testing/module Testing/mrml

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright --level error --pythonpath $(BIN)/python
	$(BIN)/codespell .
	$(BIN)/codespell --builtin en-GB_to_en-US --ignore-words-list catalogue,grey,regularisation *.md docs/*.md examples/*.md

# Hours. Heads from label maps are made where LABEL_MAPS names their folder.
bench: $(STAMP)
	$(BIN)/python Testing/benchmarks/bench_dipole.py
	$(BIN)/python Testing/benchmarks/bench.py --label-maps "$(LABEL_MAPS)"
	$(BIN)/python Testing/benchmarks/bench_lesions.py

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pictures: $(STAMP)
	$(BIN)/python Testing/module/make_pictures.py docs

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build dist site *.egg-info
