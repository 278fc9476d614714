"""The doors for C and Cython: extensions built against the installed crnn step trained networks."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import crnn

SOURCES = Path(__file__).parent / "embedding"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]

BUILD = """
import sys
import sysconfig
from pathlib import Path
import setuptools
from Cython.Build import cythonize
import crnn

c, cython = Path("stepper.c"), Path("cython_stepper.pyx")
setuptools.setup(
    name="steppers",
    ext_modules=[
        setuptools.Extension("stepper", [str(c)], include_dirs=[crnn.get_include()],
                             extra_compile_args=["-O2", "-Wall", "-Wextra", "-Werror"]),
        *cythonize(setuptools.Extension("cython_stepper", [str(cython)]), quiet=True),
    ],
    script_args=["-q", "build_ext", "--inplace"],
)
"""


@pytest.fixture(scope="module")
def steppers(both_kernels, tmp_path_factory):
    """(C extension, Cython extension), built in a folder of their own."""
    folder = tmp_path_factory.mktemp("embedding")
    for name in ("stepper.c", "cython_stepper.pyx"):
        shutil.copy(SOURCES / name, folder)
    done = subprocess.run(
        [sys.executable, "-P", "-c", BUILD],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        import cython_stepper
        import stepper
    finally:
        sys.path.remove(str(folder))
    return stepper, cython_stepper


@pytest.fixture(scope="module")
def trained(both_kernels):
    """Build a network that a few steps of training have moved away from where it started."""

    def build(I, H, O, dtype="float32"):
        net = crnn.RNN(I, H, O, dtype=dtype, seed=0, implementation="native")
        rng = np.random.default_rng(1)
        x, y = rng.standard_normal((4, 20, I)), rng.standard_normal((4, 20, O))
        net.fit(x, y, epochs=3, optimizer=crnn.SGD(0.1))
        return net

    return build


def test_include_folder():
    header = Path(crnn.get_include()) / "crnn.h"
    assert "CRNN_API_VERSION 1" in header.read_text()


CASES = [(8, 32, 4, None), (1, 8, 1, None), (3, 13, 5, None), (6, 20, 3, 7)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("I", "H", "O", "batch"), CASES)
def test_numbers_are_those_of_predict(steppers, trained, dtype, I, H, O, batch):
    c, cython = steppers
    net = trained(I, H, O, dtype)
    T, B = 40, batch or 1
    x = np.random.default_rng(2).standard_normal((B, T, I)).astype(dtype)
    expected, h_n = net.predict(x, return_state=True)
    by_step = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(T, B * I)
    y = np.full((T, B * O), np.nan, dtype)
    stream = net.stream(batch)
    assert c.run(stream, by_step, y, T) == 0
    assert np.array_equal(y.reshape(T, B, O).swapaxes(0, 1), expected)
    assert np.array_equal(stream.state.reshape(B, H), h_n)
    stream.reset()
    y[...] = np.nan
    run = cython.run_float if dtype == "float32" else cython.run_double
    assert run(stream, by_step, y) == 0
    assert np.array_equal(y.reshape(T, B, O).swapaxes(0, 1), expected)
    # Python goes on where C stopped.
    more, _ = net.predict(x, h0=h_n, return_state=True)
    block = x if batch else x[0]
    assert np.array_equal(stream.run(block), more if batch else more[0])


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float64", 8)])
def test_sizes_and_the_wrong_dtype(steppers, trained, dtype, itemsize):
    stream = trained(3, 5, 2, dtype).stream(4)
    stream.step(np.ones((4, 3)))
    before = stream.state
    assert steppers[0].codes(stream) == (-2, -2, -2, 4, 3, 5, 2, itemsize)
    assert np.array_equal(stream.state, before)
    cython_run = steppers[1].run_double if dtype == "float32" else steppers[1].run_float
    other = np.float64 if dtype == "float32" else np.float32
    assert cython_run(stream, np.ones((1, 12), other), np.ones((1, 8), other)) == -2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state(steppers, trained, dtype):
    c, _ = steppers
    stream = trained(3, 5, 2, dtype).stream(2)
    stream.step(np.ones((2, 3)))
    h = np.full((2, 5), np.nan, dtype)
    assert c.state(stream, h, False) == 0
    assert np.array_equal(h, stream.state)
    assert h.any()
    assert c.state(stream, h[::-1].copy(), True) == 0
    assert np.array_equal(stream.state, h[::-1])
    assert c.state(stream, None, True) == 0
    assert not stream.state.any()


def test_no_stream(steppers, trained):
    python = crnn.RNN(3, 5, 2, implementation="python").stream()
    for thing in (None, trained(3, 5, 2), python):
        with pytest.raises(TypeError, match=r"^stream: expected what stream\(\) of a network with"):
            steppers[0].codes(thing)
    with pytest.raises(TypeError):
        steppers[1].run_float(python, np.ones((1, 3), "f"), np.ones((1, 2), "f"))
    assert steppers[0].version == 1


def test_two_threads_in_one_stream_are_told(steppers, trained):
    stream = trained(8, 32, 4).stream()
    refused = steppers[0].collide(stream, np.ones(8, np.float32), 300_000)
    assert sum(refused) > 0
    assert sum(refused) < 600_000
    stream.reset()
    assert np.isfinite(stream.step(np.ones(8))).all()


def test_time_of_a_step(steppers, trained, capsys):
    """Print it; the bound is ten times what it takes, for machines that are busy."""
    c, cython = steppers
    for I, H, O in ((1, 8, 1), (8, 32, 4)):
        stream = trained(I, H, O).stream()
        x, y = np.ones(I, np.float32), np.empty(O, np.float32)
        samples = np.empty(20_000)
        c.nanoseconds(stream, x, y, samples)
        median, tail = np.percentile(samples, [50, 99.9])
        from_cython = cython.nanoseconds(stream, x, y, 1_000_000)
        with capsys.disabled():
            print(
                f"\na step with output from C, I = {I}, H = {H}, O = {O}: median {median:.0f} ns, "
                f"p99.9 {tail:.0f} ns (of means of 100 steps); from Cython {from_cython:.0f} ns"
            )
        assert median < 1000


@pytest.mark.parametrize(
    ("compiler", "flags"), [("cc", ["-xc", "-std=c99"]), ("c++", ["-xc++", "-std=c++11"])]
)
@pytest.mark.parametrize("with_python", [True, False])
def test_header_compiles(tmp_path, compiler, flags, with_python):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    source = tmp_path / "use.c"
    first = "#include <Python.h>\n" if with_python else ""
    source.write_text(
        f"{first}#include <crnn.h>\nint version(void) {{ return CRNN_API_VERSION; }}\n"
    )
    includes = [f"-I{crnn.get_include()}", "-isystem", sysconfig.get_path("include")]
    unused = ["-Wno-unused-function"]
    subprocess.run(
        [compiler, *flags, *WARNINGS, *unused, *includes, "-fsyntax-only", source], check=True
    )


def test_import_from_c(steppers, run_python):
    """Whatever the default implementation is; without the compiled kernels, an ImportError."""
    folder = Path(steppers[0].__file__).parent
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    done = run_python(code + "import stepper; print(stepper.version)", CRNN_IMPLEMENTATION="python")
    assert done.stdout == "1\n", done.stderr
    code += """
sys.modules["crnn.kernels.native"] = None
import warnings
warnings.simplefilter("ignore")
try:
    import stepper
except ImportError as error:
    print(error.name)
"""
    assert run_python(code).stdout == "crnn.kernels.native\n"
