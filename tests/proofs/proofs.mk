# The long proofs: targets of their own, because each takes minutes or tools that few machines have.
# docs/evidence.rst has what they showed. They use the environment of `make test` unless they say so.

.PHONY: numbers neon msvc pure-wheel emulated pyodide

# tanh and the sigmoid at every float32 and FLOAT64 float64, on each of INSTRUCTION_SETS, such
# as "baseline avx2". NUMBERS_RUN goes before the command of each of the 8 parts.
INSTRUCTION_SETS ?= baseline
FLOAT64 ?= 100000000
numbers: $(VENV)/test
	rm -rf build/numbers
	set -e; for set in $(INSTRUCTION_SETS); do for part in 0 1 2 3 4 5 6 7; do \
	    CRNN_CPU=$$set PYTHONSAFEPATH=1 $(NUMBERS_RUN) $(VENV)/bin/python \
	        tests/proofs/numbers/evaluate.py build/numbers --part $$part/8 --float64 $(FLOAT64); \
	done; done
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/numbers/evaluate.py build/numbers

# The vectors of MODULE, a _baseline module built for AArch64, are multiplied and added in one
# instruction: at least 1000 times in each dtype.
OBJDUMP ?= aarch64-linux-gnu-objdump
neon:
	$(OBJDUMP) -d $(MODULE) | awk '/fmla.*\.4s/ {s++} /fmla.*\.2d/ {d++} \
	    END {print "fmla: " s+0 " of float32, " d+0 " of float64"; exit s < 1000 || d < 1000}'

# MSVC's branches of the headers, parsed by Clang's front end for MSVC without the Windows SDK.
# Clang's immintrin.h leaves out mm_malloc.h with this macro; some functions are not called.
CLANG ?= clang
msvc:
	set -e; for arch in /arch:SSE2 /arch:AVX2 /arch:AVX512; do $(CLANG) --driver-mode=cl \
	    --target=x86_64-pc-windows-msvc /W4 /WX -Wno-unused-function -Wno-unused-command-line-argument \
	    /D__MM_MALLOC_H $$arch -fsyntax-only /X -imsvc tests/proofs/msvc \
	    -imsvc $$($(CLANG) -print-resource-dir)/include -I crnn/kernels/headers \
	    tests/proofs/msvc/headers.c; done

# The wheel for systems that no other wheel serves, into dist/
pure-wheel: $(VENV)/bin/python
	$(VENV)/bin/python -m pip --disable-pip-version-check --quiet install build
	rm -f dist/crnn-*-py3-none-any.whl
	CRNN_PURE_WHEEL=1 $(VENV)/bin/pyproject-build --wheel --outdir dist

# That wheel in Pyodide. `npm install pyodide` in the present folder comes first; NumPy is loaded
# from Pyodide's server.
pyodide: pure-wheel
	node tests/proofs/pyodide.mjs dist/crnn-*-py3-none-any.whl

# The suite in ROOT, a folder with a Debian for another processor that has Python and what the tests
# need, and in which chroot can run programs (binfmt_misc and qemu-user-static). TESTS are its
# arguments. NumPy kernels alone: TESTS='--implementations=python -m "not native"'; what
# was built for the processor comes from MODULES.
emulated:
	rm -rf $(ROOT)/crnn && mkdir -p $(ROOT)/crnn/site
	git ls-files -z crnn tests pyproject.toml docs README.md | tar -c --null -T - | tar -x -C $(ROOT)/crnn
	mv $(ROOT)/crnn/crnn $(ROOT)/crnn/site # tests and the package apart, as where it is installed
	rm $(ROOT)/crnn/site/crnn/kernels/native.pyx # else it would be taken for a source folder
	if [ -n "$(MODULES)" ]; then cp $(MODULES) $(ROOT)/crnn/site/crnn/kernels; fi
	chroot $(ROOT) env -C /crnn $(ROOT_ENV) PYTHONPATH=/crnn/site:$(ROOT_PATH) python3 -m pytest \
	    -p no:cacheprovider $(TESTS)

.PHONY: fuzz soak

# Coverage-guided fuzzing of readers of files: `make fuzz READER=onnx RUNS=1000`, by default of all.
# build/fuzz keeps the corpora, which later calls go on from, and a file that failed.
READER ?= network checkpoint text-model text onnx forecaster panel csv commands
RUNS ?= 1000000
fuzz: $(VENV)-fuzz/fuzz
	for reader in $(READER); do PYTHONSAFEPATH=1 $(VENV)-fuzz/bin/python tests/proofs/fuzz.py \
	    "$$reader" $(RUNS) build/fuzz || exit 1; done

# Long runs over all cells: steps of a stream, training steps, cycles of saving and loading.
STREAM_STEPS ?= 100000000
TRAINING_STEPS ?= 1000000
FILE_CYCLES ?= 100000
soak: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/soak.py stream $(STREAM_STEPS)
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/soak.py train $(TRAINING_STEPS)
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/soak.py files $(FILE_CYCLES)

# atheris has wheels for Linux and CPython up to 3.13.
$(VENV)-fuzz/bin/python:
	$(PYTHON) -m venv $(VENV)-fuzz
$(VENV)-fuzz/fuzz: EXTRAS = cli,onnx
$(VENV)-fuzz/fuzz: $(VENV)-fuzz/bin/python $(SOURCES)
	$(INSTALL) && $(PIP) install atheris==3.0.0 pytest
	@$(RECORD) $@

# Every allocation of a call fails in turn, and every system call of saving. MEMORY_FAULTS_ARGS and
# FILE_FAULTS_ARGS choose a part, such as `--cells lstm` or `--saves network`.
.PHONY: memory-faults file-faults
memory-faults: $(VENV)/test
	$(VENV)/bin/python -P tests/proofs/memory_faults.py libc $(MEMORY_FAULTS_ARGS)
	$(VENV)/bin/python -P tests/proofs/memory_faults.py python $(MEMORY_FAULTS_ARGS)

file-faults: $(VENV)/test
	$(VENV)/bin/python -P tests/proofs/file_faults.py $(FILE_FAULTS_ARGS)
	$(VENV)/bin/python -P tests/proofs/file_faults.py --together 30

.PHONY: proof-threads

# Threads side by side; best with a free-threaded Python: `make proof-threads PYTHON=python3.14t`.
proof-threads: $(VENV)/test
	$(VENV)/bin/python -P tests/proofs/threads.py --rounds $(or $(ROUNDS),20)
