# The long proofs: targets of their own, because each takes minutes or tools that few machines have.
# docs/evidence.rst has what they showed. They use the environment of `make test` unless they say so.

.PHONY: numbers neon msvc clang pure-wheel emulated pyodide

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
MODULE ?= $(error MODULE: expected the path of a module)
OBJDUMP ?= aarch64-linux-gnu-objdump
neon:
	$(OBJDUMP) -d $(MODULE) | awk '/fmla.*\.4s/ {s++} /fmla.*\.2d/ {d++} \
	    END {print "fmla: " s+0 " of float32, " d+0 " of float64"; exit s < 1000 || d < 1000}'

# MSVC's branches of the headers, parsed by Clang's front end for MSVC without the Windows SDK.
# Clang's immintrin.h leaves out mm_malloc.h with this macro; some functions are not called.
CLANG ?= clang
MSVC_TARGETS = x86_64/arch:SSE2 x86_64/arch:AVX2 x86_64/arch:AVX512 aarch64
msvc:
	set -e; for target in $(MSVC_TARGETS); do $(CLANG) --driver-mode=cl \
	    --target=$${target%%/*}-pc-windows-msvc $${target#$${target%%/*}} /W4 /WX \
	    -Wno-unused-function -Wno-unused-command-line-argument /D__MM_MALLOC_H -fsyntax-only \
	    /X -imsvc tests/proofs/msvc -imsvc $$($(CLANG) -print-resource-dir)/include \
	    -I crnn/kernels/headers tests/proofs/msvc/headers.c; done

# The kernels of CLANG, built without a warning in an environment of their own, and CLANG_TESTS.
# Cython writes functions that some modules do not call. Each module names its compiler.
CLANG_TESTS ?= tests/kernels tests/network tests/embedding
clang: export CC = $(CLANG)
clang:
	CFLAGS='-Werror -Wno-unused-function' CRNN_REQUIRE_NATIVE=1 \
	    $(MAKE) $(VENV)-clang/test VENV=$(VENV)-clang
	set -e; for module in $(VENV)-clang/lib/python*/site-packages/crnn/kernels/*.so; do \
	    grep -q 'clang version' $$module; done
	$(MAKE) test VENV=$(VENV)-clang PYTEST_ARGS='--implementations=native $(CLANG_TESTS)'

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
# was built for the processor comes from MODULES. ROOT_ENV sets variables there, and ROOT_PATH is a
# folder there with further packages. For AArch64 ROOT_ENV=QEMU_CPU=cortex-a57: of a processor with
# SVE and SME, QEMU 7.2 gets the products of NumPy's OpenBLAS wrong. For test_implementation.py
# NumPy has to be in site-packages there; tests/training/test_memory.py measures QEMU's memory too.
ROOT ?= $(error ROOT: expected the path of a folder)
emulated:
	rm -rf $(ROOT)/crnn && mkdir -p $(ROOT)/crnn/site
	git ls-files -z crnn tests examples pyproject.toml docs README.md | tar -c --null -T - | tar -x -C $(ROOT)/crnn
	mv $(ROOT)/crnn/crnn $(ROOT)/crnn/site # tests and the package apart, as where it is installed
	rm $(ROOT)/crnn/site/crnn/kernels/native.pyx # else it would be taken for a source folder
	if [ -n "$(MODULES)" ]; then cp $(MODULES) $(ROOT)/crnn/site/crnn/kernels; fi
	chroot $(ROOT) env -C /crnn $(ROOT_ENV) PYTHONPATH=/crnn/site:$(ROOT_PATH) python3 -m pytest \
	    -p no:cacheprovider $(TESTS)

.PHONY: fuzz soak

# Coverage-guided fuzzing of readers of files: `make fuzz READER=onnx RUNS=1000`, by default of all.
# build/fuzz keeps the corpora, which later calls go on from, and a file that failed.
READER ?= network chain fleet checkpoint text-model text onnx audio keras forecaster panel csv \
          commands
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
# FILE_FAULTS_ARGS choose a part, such as `--cells lstm --every 10` or `--saves network`. Several
# processes save to one path for SECONDS_TOGETHER.
.PHONY: memory-faults file-faults
memory-faults: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/memory_faults.py libc $(MEMORY_FAULTS_ARGS)
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/memory_faults.py python $(MEMORY_FAULTS_ARGS)

file-faults: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/file_faults.py $(FILE_FAULTS_ARGS)
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/file_faults.py --together $(or $(SECONDS_TOGETHER),30)

.PHONY: threads

# Threads side by side; best with a free-threaded Python: `make threads PYTHON=python3.14t`.
threads: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/threads.py $(THREADS_ARGS)

.PHONY: sanitize sanitize-pool sanitize-threads valgrind realtime interrupts

# Sanitizers. Each has a build of its own (CRNN_SANITIZE in setup.py) in an environment of its own.
# A report ends the run; pytest's other way to capture would keep it. The runtime has to be there
# before Python. Leaks are not looked for: Python itself leaks at exit. Freed memory is kept, so
# tests that memory stays flat and that pages are touched once are left out. The tests marked
# `loops` sweep over sizes and take much longer: name them in SANITIZE_ARGS.
SANITIZE_ARGS ?= -m 'not loops and not slow' -k 'not stays_flat and not page_faults' \
    tests/kernels tests/network tests/embedding tests/applications/test_archive.py \
    tests/applications/test_model_files.py
SANITIZE_SETS ?= avx512 avx2 baseline
# Confined to few system calls, the thread sanitizer does not end within the time of that test.
THREAD_TESTS ?= -k 'not calls_no_operating_system' \
    tests/kernels/test_threads.py tests/kernels/test_interrupts.py \
    tests/network/test_stream_threads.py tests/embedding/test_threads.py
ASAN = LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONSAFEPATH=1
TSAN = LD_PRELOAD="$$($(CC) -print-file-name=libtsan.so)" PYTHONSAFEPATH=1 \
    TSAN_OPTIONS="halt_on_error=1 suppressions=$(abspath tests/proofs/sanitizers/threads.supp)"

# Each of these sets that the processor runs: CRNN_CPU is an error for another. One has to.
sanitize: $(VENV)-address-undefined/test
	ran=; for set in $(SANITIZE_SETS); do \
	    CRNN_CPU=$$set $(ASAN) $(VENV)-address-undefined/bin/python -P -c 'import crnn' || continue; \
	    CRNN_CPU=$$set $(ASAN) $(VENV)-address-undefined/bin/pytest --implementations=native \
	        --capture=sys -p no:cacheprovider $(SANITIZE_ARGS) || exit 1; \
	    ran=$$set; \
	done; test -n "$$ran"

# The pool of threads alone, in C: without Python, and in seconds.
POOL_CALLS ?= 3000
sanitize-pool:
	mkdir -p build
	for sanitizers in thread address,undefined; do \
	    $(CC) -O1 -g -fsanitize=$$sanitizers -fno-sanitize-recover=all -Icrnn/kernels/headers \
	        tests/proofs/sanitizers/pool.c -o build/pool -lpthread && \
	    TSAN_OPTIONS=halt_on_error=1 build/pool $(POOL_CALLS) || exit 1; \
	done

# The pool, and then the tests about threads.
sanitize-threads: sanitize-pool $(VENV)-thread/test
	$(TSAN) $(VENV)-thread/bin/pytest --implementations=native --capture=sys \
	    -p no:cacheprovider $(THREAD_TESTS)

# What is read before it is written, which the address sanitizer does not see. Valgrind knows no
# AVX-512.
VALGRIND_ARGS ?= -m 'not loops and not slow' -k 'not too_long_to_be_padded' \
    tests/kernels/test_predict.py tests/kernels/test_gradient.py \
    tests/network/test_compiled_stream.py
valgrind: $(VENV)/test
	PYTHONSAFEPATH=1 PYTHONMALLOC=malloc CRNN_CPU=avx2 valgrind --error-exitcode=1 --quiet \
	    --leak-check=no --suppressions=tests/proofs/sanitizers/valgrind.supp \
	    $(VENV)/bin/python -m pytest --implementations=native -p no:cacheprovider $(VALGRIND_ARGS)

# Streams and trainers call no allocator, take no lock and make no system call.
# REALTIME_ARGS="--sanitizer clang": under RealtimeSanitizer, which Clang has from version 20 on.
realtime: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/realtime.py $(REALTIME_ARGS)

# Ctrl-C is answered within 0.2 s, and leaves a network at its last whole step.
interrupts: $(VENV)/test
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/interrupts.py $(INTERRUPTS_ARGS)

$(VENV)-address-undefined/bin/python $(VENV)-thread/bin/python:
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

$(VENV)-address-undefined/test: EXTRAS = test
$(VENV)-address-undefined/test: $(VENV)-address-undefined/bin/python $(SOURCES)
	CRNN_SANITIZE=address,undefined CRNN_REQUIRE_NATIVE=1 $(INSTALL)
	@$(RECORD) $@
$(VENV)-thread/test: EXTRAS = test
$(VENV)-thread/test: $(VENV)-thread/bin/python $(SOURCES)
	CRNN_SANITIZE=thread CRNN_REQUIRE_NATIVE=1 $(INSTALL)
	@$(RECORD) $@

# Headers of export_c on x86-64, AArch64, s390x, a Cortex-M4F and WebAssembly: the same bits, and no
# warning. Needs GCC for each, Clang, QEMU (user mode and qemu-system-arm), Node.js, and ziglang,
# which the environment gets. EXPORTED_ARGS chooses a part: `--targets s390x WebAssembly`, or plants a fault:
# `--plant`.
.PHONY: exported-bits exported-numbers
exported-bits: $(VENV)/test
	$(VENV)/bin/python -m pip --disable-pip-version-check --quiet install ziglang
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/exported/bits.py build/exported $(EXPORTED_ARGS)

# tanh and the sigmoid of these headers, as `numbers` does. Parts of EXPORTED_PARTS; all are 64.
EXPORTED_PARTS ?= $(shell seq 0 63)
exported-numbers: $(VENV)/test
	rm -rf build/exported-numbers
	set -e; for part in $(EXPORTED_PARTS); do PYTHONSAFEPATH=1 $(VENV)/bin/python \
	    tests/proofs/numbers/evaluate.py build/exported-numbers --exported --part $$part/64 \
	        --float64 $(FLOAT64); \
	done
	PYTHONSAFEPATH=1 $(VENV)/bin/python tests/proofs/numbers/evaluate.py build/exported-numbers
