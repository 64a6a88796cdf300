# Everything runs in a project-local environment made with uv from pinned versions; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

DETECTRON2_VENV := .venv-detectron2
DETECTRON2_STAMP := $(DETECTRON2_VENV)/.ready

FORMATS_VENV := .venv-formats
FORMATS_STAMP := $(FORMATS_VENV)/.ready

OPENVINO_VENV := .venv-openvino
OPENVINO_STAMP := $(OPENVINO_VENV)/.ready

.PHONY: setup test lint types docs package demo lock clean test-detectron2 setup-detectron2 test-formats setup-formats \
	test-openvino setup-openvino
setup: $(STAMP)

$(STAMP): pyproject.toml requirements/dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "risf needs Python 3.10 or newer; name one: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

test: lint types
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile

# Parity with upstream detectron2, in an environment of its own: the prebuilt wheel it tests against is for Python 3.10
# and torch 2.3, the oldest that risf works with, so re-scoring is tested there again.
OLDEST_TORCH := tests/risf_core/encoder tests/risf_core/rescore tests/risf_cli/test_rescore.py
test-detectron2: setup-detectron2
	$(DETECTRON2_VENV)/bin/python -m pytest tests/parity $(OLDEST_TORCH) --numprocesses=2 --dist=loadfile

setup-detectron2: $(DETECTRON2_STAMP)

$(DETECTRON2_STAMP): pyproject.toml requirements/detectron2.txt | setup
	@python="$${PYTHON310:-$$(.ci/find-python3.10)}"; \
	test -n "$$python" || { echo "test-detectron2 needs Python 3.10: install it, or name it: make test-detectron2 PYTHON310=/path/to/python3.10" >&2; exit 1; }; \
	test -x $(DETECTRON2_VENV)/bin/python || $(BIN)/uv venv --quiet --python "$$python" $(DETECTRON2_VENV)
	$(BIN)/uv pip install --quiet --python $(DETECTRON2_VENV)/bin/python --requirement requirements/detectron2.txt
	$(BIN)/uv pip install --quiet --python $(DETECTRON2_VENV)/bin/python --no-deps --editable .
	touch $@

# Files of detections that ultralytics, supervision and transformers write themselves, in an environment of their own.
test-formats: setup-formats
	YOLO_CONFIG_DIR=$(FORMATS_VENV) $(FORMATS_VENV)/bin/python -m pytest tests/formats_packages

setup-formats: $(FORMATS_STAMP)

$(FORMATS_STAMP): pyproject.toml requirements/formats.txt | setup
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "test-formats needs Python 3.11 or newer, as transformers does")'
	test -x $(FORMATS_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(FORMATS_VENV)
	$(BIN)/uv pip install --quiet --python $(FORMATS_VENV)/bin/python --requirement requirements/formats.txt
	$(BIN)/uv pip install --quiet --python $(FORMATS_VENV)/bin/python --no-deps --editable .
	touch $@

# The encoder in OpenVINO, in an environment of its own: nncf pins some of what the rest takes newer.
test-openvino: setup-openvino
	$(OPENVINO_VENV)/bin/python -m pytest tests/risf_core/encoder/test_openvino.py

setup-openvino: $(OPENVINO_STAMP)

$(OPENVINO_STAMP): pyproject.toml requirements/openvino.txt | setup
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "test-openvino needs Python 3.11 or newer")'
	test -x $(OPENVINO_VENV)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(OPENVINO_VENV)
	$(BIN)/uv pip install --quiet --python $(OPENVINO_VENV)/bin/python --requirement requirements/openvino.txt
	$(BIN)/uv pip install --quiet --python $(OPENVINO_VENV)/bin/python --no-deps --editable .
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --diff .

types: setup
	$(BIN)/mypy

demo: setup
	$(BIN)/risf demo

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The files for an index, checked; the wheel runs in an empty environment (PACKAGE_DEMO=1: with the demo, too).
PACKAGE_DEMO ?=
package: setup
	rm -rf dist build/package
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/uv venv --quiet --python $(BIN)/python build/package
	$(BIN)/uv pip install --quiet --python build/package/bin/python --constraint requirements/dev.txt dist/*.whl
	build/package/bin/risf --help > build/package/help.txt
	cd build/package && bin/risf doctor
	test -z "$(PACKAGE_DEMO)" || (cd build/package && bin/risf demo)

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate --no-emit-index-url \
		pyproject.toml requirements/dev.in --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --python-version 3.10 --python-platform linux --no-header --no-annotate --no-emit-index-url \
		requirements/detectron2.in --output-file requirements/detectron2.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		requirements/formats.in --output-file requirements/formats.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		pyproject.toml requirements/openvino.in --output-file requirements/openvino.txt

clean:
	rm -rf $(VENV) $(DETECTRON2_VENV) $(FORMATS_VENV) $(OPENVINO_VENV) build dist
