"""The extension modules of crnn and their compiler flags; everything else is in pyproject.toml."""

import os
import re
import sys
import sysconfig
from pathlib import Path

import numpy as np
from setuptools import Extension, setup


def switched_on(name):
    return os.environ.get(name, "").strip().lower() not in {"", "0", "no", "false", "off"}


DEBUG = switched_on("CRNN_DEBUG")
# Sanitizers of GCC or Clang, such as "address,undefined" (tests/proofs/proofs.mk)
SANITIZERS = os.environ.get("CRNN_SANITIZE", "")
# On a 64-bit system `get_platform` says so of a 32-bit Python too.
X86 = sysconfig.get_platform().endswith(("x86_64", "amd64", "86"))
X86_64 = X86 and sys.maxsize > 2**32
COMPILER = os.environ.get("CC", "")

LINK_FLAGS = []
if sys.platform == "win32":  # MSVC
    FLAGS = ["/Od", "/Zi"] if DEBUG else ["/O2"]
    VARIANTS = {"_avx2": ["/arch:AVX2"], "_avx512": ["/arch:AVX512"]}
    INLINE = "__forceinline"
    SMALL = []
else:  # GCC or Clang
    FLAGS = ["-O0", "-g3"] if DEBUG else ["-O3", "-g0"]
    FLAGS += ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
    if sys.platform != "darwin" and "clang" not in COMPILER:  # flags of GCC alone
        # A tile stays a function of its own: inlined, it is several times as slow to start.
        FLAGS.append("-fno-inline-functions-called-once")
        # Copies of functions for the constants of some calls make a wheel 40 kB larger, and no
        # faster.
        FLAGS.append("-fno-ipa-cp-clone")
        # From 14 on, GCC leaves some sums of products without FMA for its generic processor, which
        # differ then between tiles.
        FLAGS.append("--param=avoid-fma-max-bits=0")
    if X86 and not X86_64:
        # The x87 rounds to 64 bits of mantissa, and the exponential takes it that sums round to 53.
        FLAGS += ["-msse2", "-mfpmath=sse"]
    if SANITIZERS:
        FLAGS += ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
        LINK_FLAGS.append(f"-fsanitize={SANITIZERS}")
        FLAGS += LINK_FLAGS
    AVX512 = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
    VARIANTS = {"_avx2": ["-march=x86-64-v3"], "_avx512": AVX512}
    INLINE = "inline __attribute__((always_inline))"
    SMALL = [] if DEBUG or SANITIZERS else ["-O2"]

FOLDER = Path("crnn/kernels")
INCLUDED = [str(p) for p in sorted(FOLDER.rglob("*")) if p.suffix in {".h", ".in", ".pxd", ".pxi"}]
MODULES = {"native": SMALL, "_baseline": []} | (VARIANTS if X86_64 else {})
# For work on the loops: CRNN_INSTRUCTION_SETS=avx2 builds these loops alone, in half the time.
# Modules of other instruction sets that an earlier build left in the sources have to be deleted.
if os.environ.get("CRNN_INSTRUCTION_SETS"):
    chosen = {"native", *(f"_{name}" for name in os.environ["CRNN_INSTRUCTION_SETS"].split(","))}
    if not chosen <= MODULES.keys():
        known = ", ".join(name[1:] for name in MODULES if name != "native")
        sys.exit(f"CRNN_INSTRUCTION_SETS: expected some of {known}, separated by commas")
    MODULES = {module: flags for module, flags in MODULES.items() if module in chosen}
DIRECTIVES = {"language_level": 3, "boundscheck": DEBUG, "initializedcheck": DEBUG}
DIRECTIVES |= {"wraparound": False, "cdivision": True}
# Without it, importing crnn would turn the GIL on in a free-threaded Python.
DIRECTIVES["freethreading_compatible"] = True

extensions = []
for module, own_flags in MODULES.items():
    # What the loops call inline is inlined, whatever the compiler thinks of the size. The module
    # that checks arguments has no loops, and is half as large again that way for nothing.
    own_macros = [] if module == "native" else [("CYTHON_INLINE", INLINE)]
    extension = Extension(
        f"crnn.kernels.{module}",
        [f"{FOLDER}/{module}.pyx"],
        include_dirs=[f"{FOLDER}/headers", "crnn/include", np.get_include()],
        depends=["setup.py", "crnn/include/crnn.h", *INCLUDED],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), *own_macros],
        extra_compile_args=FLAGS + own_flags,
        extra_link_args=LINK_FLAGS,
    )
    extension.cython_directives = DIRECTIVES
    extension.required = switched_on("CRNN_REQUIRE_NATIVE") or switched_on("CIBUILDWHEEL")
    extensions.append(extension)

NO_EXTENSIONS = switched_on("CRNN_NO_EXTENSIONS") or os.environ.get("CRNN_PURE_WHEEL") == "1"
# What was compiled with other flags, or by another compiler, is not used.
KIND = SANITIZERS.replace(",", "-") or ("debug" if DEBUG else "release")
KIND = "-".join([KIND, *re.findall(r"\w+", COMPILER)])
setup(
    ext_modules=[] if NO_EXTENSIONS else extensions,
    options={"build": {"build_base": f"build/{KIND}"}},
)
