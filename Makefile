# PYTHON makes the environment, VENV is where: `make test PYTHON=python3.13 VENV=.venv313`.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
SOURCES = $(shell find setup.py build_kernels.py pyproject.toml crnn ! -path '*__pycache__*')

.PHONY: demo test bench wheel clean

demo: $(VENV)/demo
	$(VENV)/bin/crnn demo

# PYTHONSAFEPATH: the tests' own child processes shall not find the source folder either.
test: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/pytest $(PYTEST_ARGS)

bench: $(VENV)/test
	$(VENV)/bin/python -m benchmarks

wheel: $(VENV)/bin/python
	CRNN_REQUIRE_NATIVE=1 $(PIP) wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist crnn.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Each of these two records that the package of the present sources is installed, with its extras.
$(VENV)/demo: $(VENV)/bin/python $(SOURCES)
	$(PIP) install '.[cli,plot]'
	@touch $@

$(VENV)/test: $(VENV)/bin/python $(SOURCES)
	$(PIP) install '.[test]'
	@touch $@ $(VENV)/demo
