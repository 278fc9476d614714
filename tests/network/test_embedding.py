"""The doors for C and Cython: extensions built against the installed crnn step trained networks."""

import ctypes
import itertools
import platform
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest

import crnn

SOURCES = Path(__file__).parent / "embedding"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]

BUILD = """
import setuptools
from Cython.Build import cythonize
import crnn

def stepper(name, header):
    return setuptools.Extension(name, [name.replace(".", "/") + ".c"], include_dirs=[header],
                                extra_compile_args=["-O2", "-Wall", "-Wextra", "-Werror"])

setuptools.setup(
    name="steppers",
    packages=[],
    ext_modules=[
        stepper("stepper", crnn.get_include()),
        stepper("newer.stepper", "newer"),
        # -O1 takes two thirds of the time to compile; what is timed are calls.
        *cythonize(setuptools.Extension("cython_stepper", ["cython_stepper.pyx"],
                                        extra_compile_args=["-O1"]), quiet=True),
    ],
    script_args=["-q", "build_ext", "--inplace"],
)
"""


@pytest.fixture(scope="module")
def steppers(both_kernels, tmp_path_factory):
    """(C extension, Cython extension), built in a folder of their own.

    In its folder `newer` stands the C extension again, built with the header of a later crnn.
    """
    folder = tmp_path_factory.mktemp("embedding")
    newer = folder / "newer"
    newer.mkdir()
    for name in ("stepper.c", "cython_stepper.pyx"):
        shutil.copy(SOURCES / name, folder)
    shutil.copy(SOURCES / "stepper.c", newer)
    header = (Path(crnn.get_include()) / "crnn.h").read_text()
    later = header.replace("#define CRNN_API_VERSION 1\n", "#define CRNN_API_VERSION 2\n")
    assert later != header
    (newer / "crnn.h").write_text(later)
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

    def build(I, H, O, dtype="float32", family=crnn.RNN):
        net = family(I, H, O, dtype=dtype, seed=0, implementation="native")
        rng = np.random.default_rng(1)
        x, y = rng.standard_normal((4, 20, I)), rng.standard_normal((4, 20, O))
        net.fit(x, y, epochs=3, optimizer=crnn.SGD(0.1))
        return net

    return build


def test_include_folder():
    header = Path(crnn.get_include()) / "crnn.h"
    assert "CRNN_API_VERSION 1" in header.read_text()


CASES = [
    (8, 32, 4, None),
    (8, 8, 4, None),
    (1, 8, 1, None),
    (1, 32, 1, None),
    (3, 13, 5, None),
    (8, 32, 4, 1),
    (6, 20, 3, 7),
    (9, 70, 33, 16),
]


families = pytest.mark.parametrize("family", [crnn.RNN, crnn.GRU, crnn.LSTM])


@families
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("I", "H", "O", "batch"), CASES)
def test_numbers_are_those_of_predict(steppers, trained, family, dtype, I, H, O, batch):
    c, cython = steppers
    net = trained(I, H, O, dtype, family)
    T, B = 40, batch or 1
    x = np.random.default_rng(2).standard_normal((B, T, I)).astype(dtype)
    expected, h_n = net.predict(x, return_state=True)
    by_step = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(T, B * I)
    y = np.full((T, B * O), np.nan, dtype)
    stream = net.stream(batch)
    assert c.run(stream, by_step, y, T) == 0
    assert np.array_equal(y.reshape(T, B, O).swapaxes(0, 1), expected)
    # Of an LSTM both are pairs.
    assert np.array_equal(np.reshape(stream.state, np.shape(h_n)), h_n)
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
    scratch = np.ones(20)
    assert steppers[0].codes(stream, True, scratch) == (-2, -2, -2, 4, 3, 5, 2, 5, itemsize)
    assert np.array_equal(stream.state, before)
    assert np.array_equal(scratch, np.ones(20))
    assert steppers[0].codes(stream, False, scratch) == (0, 0, 0, 4, 3, 5, 2, 5, itemsize)
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


@pytest.mark.parametrize("batch", [None, 2])
def test_state_of_an_lstm_is_h_and_then_c(steppers, trained, batch):
    c, _ = steppers
    stream = trained(3, 5, 2, "float64", crnn.LSTM).stream(batch)
    stream.step(np.random.default_rng(0).standard_normal((3,) if batch is None else (batch, 3)))
    assert c.codes(stream, False, np.ones(20))[3:] == (batch or 1, 3, 5, 2, 10, 8)
    stream.step(np.ones(3) if batch is None else np.ones((batch, 3)))
    state = np.full((batch or 1, 10), np.nan)
    assert c.state(stream, state, False) == 0
    h, cells = (np.reshape(part, (-1, 5)) for part in stream.state)
    assert np.array_equal(state, np.concatenate([h, cells], axis=1))
    assert c.state(stream, 2 * state, True) == 0
    assert np.array_equal(np.reshape(stream.state[1], (-1, 5)), 2 * cells)


def test_no_stream(steppers, trained):
    python = crnn.RNN(3, 5, 2, implementation="python").stream()
    for thing in (None, trained(3, 5, 2), python):
        with pytest.raises(TypeError, match=r"^stream: expected what stream\(\) of a network with"):
            steppers[0].codes(thing, False, np.ones(20))
    with pytest.raises(TypeError):
        steppers[1].run_float(python, np.ones((1, 3), "f"), np.ones((1, 2), "f"))
    assert steppers[0].version == 1


def test_a_stream_without_init_is_of_neither_dtype(steppers, both_kernels):
    native, _ = both_kernels
    empty = native.Stream.__new__(native.Stream)
    for other in (False, True):
        assert steppers[0].codes(empty, other, np.ones(4))[:6] == (-2, -2, -2, 0, 0, 0)
    one, two = (np.ones((1, 2), dtype) for dtype in (np.float32, np.float64))
    assert steppers[1].run_float(empty, one, one.copy()) == -2
    assert steppers[1].run_double(empty, two, two.copy()) == -2


@pytest.mark.parametrize(("I", "O", "batch"), [(3, 3, None), (6, 2, 3), (2, 6, 5)])
def test_outputs_in_place_of_inputs(steppers, trained, I, O, batch):
    net, B = trained(I, 20, O), batch or 1
    x = np.random.default_rng(2).standard_normal((B, 10, I)).astype(np.float32)
    expected = net.predict(x)
    stream = net.stream(batch)
    for t in range(10):
        both = np.zeros(B * max(I, O), np.float32)
        both[: B * I] = x[:, t].ravel()
        assert steppers[0].run(stream, both, both, 1) == 0
        assert np.array_equal(both[: B * O].reshape(B, O), expected[:, t])


def test_a_copy_is_another_stream_to_c(steppers, trained):
    c, _ = steppers
    stream = trained(3, 5, 2).stream()
    x, y = np.ones((4, 3), np.float32), np.empty((4, 2), np.float32)
    assert c.run(stream, x, y, 4) == 0
    twin, before = stream.copy(), stream.state
    assert np.array_equal(twin.state, before)
    first = y.copy()
    assert c.run(twin, x, y, 4) == 0
    assert np.array_equal(stream.state, before)
    assert not np.array_equal(twin.state, before)
    assert c.state(stream, None, True) == 0
    assert c.run(stream, x, y, 4) == 0
    assert np.array_equal(y, first)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_busy_while_another_thread_runs_a_block(steppers, trained, dtype):
    c, cython = steppers
    net = trained(16, 128, 4, dtype)
    steps, all_came = 4000, False
    while not all_came:
        stream = net.stream()
        x = np.random.default_rng(2).standard_normal((steps, 16)).astype(dtype)
        result = []
        thread = threading.Thread(target=lambda s=stream, x=x, r=result: r.append(s.run(x)))
        thread.start()
        seen = False
        while thread.is_alive() and not seen:
            try:
                _ = stream.state  # disturbs nothing if the thread is not in there yet
            except RuntimeError:
                seen = True
        scratch, y = np.full(128, 7.0), np.full((1, 4), 7, dtype)
        said = c.codes(stream, False, scratch)[:3]
        run = cython.run_float if dtype == "float32" else cython.run_double
        said += (run(stream, x[:1], y),)
        all_came = thread.is_alive()
        thread.join()
        steps *= 2
        assert steps < 1 << 20, f"no thread in the stream for long enough: {said}"
    assert said == (-1, -1, -1, -1)
    assert (scratch == 7).all()
    assert (y == 7).all()
    assert np.array_equal(result[0], net.predict(x))
    stream.reset()
    assert c.codes(stream, False, np.zeros(128))[:3] == (0, 0, 0)


def test_streams_side_by_side_without_the_gil(steppers, run_python):
    """Six threads of C while a seventh sits on the GIL; in a process that may hang."""
    code = f"""
import sys
import numpy as np, crnn
sys.path.insert(0, {str(Path(steppers[0].__file__).parent)!r})
import stepper
T, nets = 3000, [crnn.RNN(5, 24, 3, seed=seed) for seed in range(6)]
xs = [np.random.default_rng(n).standard_normal((T, 5)).astype(np.float32) for n in range(6)]
ys = [np.full((T, 3), np.nan, np.float32) for n in range(6)]
print("refused:", stepper.side_by_side([net.stream() for net in nets], xs, ys, T))
print([np.array_equal(y, net.predict(x)) for net, x, y in zip(nets, xs, ys)] == [True] * 6)
"""
    done = run_python(code, timeout=60)
    assert done.stdout == "refused: 0\nTrue\n", done.stderr


# A sequence alone by rows and by panels, and a batch
CONFINED = [(8, 32, 4, None), (70, 70, 3, None), (8, 32, 4, 5)]


@pytest.fixture(scope="module")
def counting(both_kernels, tmp_path_factory):
    """A library that counts allocations and locks, to be loaded before all others."""
    if platform.libc_ver()[0] != "glibc" or shutil.which("cc") is None:
        pytest.skip("counts the calls of glibc, by a library that cc builds")
    library = tmp_path_factory.mktemp("counting") / "counting.so"
    source = SOURCES / "counting.c"
    command = ["cc", "-O1", "-Wall", "-shared", "-fPIC", source, "-o", library, "-ldl"]
    subprocess.run(command, check=True)
    return library


def test_a_step_neither_allocates_nor_locks(steppers, counting, run_python):
    code = f"""
import ctypes, itertools, sys
import numpy as np, crnn
sys.path.insert(0, {str(Path(steppers[0].__file__).parent)!r})
import stepper
counter = ctypes.CDLL(None).calls_counted
counter.restype = ctypes.c_ulong
address = ctypes.cast(counter, ctypes.c_void_p).value
before = counter()
made = np.empty(100_000)
print("counts:", counter() > before)
for I, H, O, batch in {CONFINED!r}:
    stream = crnn.RNN(I, H, O, seed=0).stream(batch)
    x = np.ones((I,) if batch is None else (batch, I), np.float32)
    y = stream.step(x)
    print(stepper.calls_in(stream, x, y, 1000, address))
    stream.step(x, out=y)
    before = counter()
    for _ in itertools.repeat(None, 1000):
        stream.step(x, out=y)
    print(counter() - before < 10)  # ctypes itself may need a few
"""
    done = run_python(code, LD_PRELOAD=str(counting), CRNN_NUM_THREADS="1")
    assert done.stdout == "counts: True\n" + "0\nTrue\n" * len(CONFINED), done.stderr


def test_a_step_calls_no_operating_system(steppers, run_python):
    code = f"""
import sys
import numpy as np, crnn
sys.path.insert(0, {str(Path(steppers[0].__file__).parent)!r})
import stepper
for I, H, O, batch in {CONFINED!r}:
    stream = crnn.RNN(I, H, O, seed=0).stream(batch)
    x = np.ones((batch or 1, I), np.float32)
    y = np.ones((batch or 1, O), np.float32)
    print(*(stepper.steps_confined(stream, x, y, 1000, trespass) for trespass in (True, False)))
"""
    done = run_python(code)
    if "None" in done.stdout:
        pytest.skip("nothing here confines a process to a few system calls")
    assert done.stdout == "False True\n" * len(CONFINED), done.stderr


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
    sizes = ((1, 8, 1), (8, 8, 4), (1, 32, 1), (8, 32, 4), (8, 64, 4))
    for family, (I, H, O) in itertools.product((crnn.RNN, crnn.GRU, crnn.LSTM), sizes):
        stream = trained(I, H, O, family=family).stream()
        x, y = np.ones(I, np.float32), np.empty(O, np.float32)
        samples = np.empty(20_000)
        c.nanoseconds(stream, x, y, samples)
        median, high, tail = np.percentile(samples, [50, 99, 99.9])
        from_cython = cython.nanoseconds(stream, x, y, 1_000_000)
        with capsys.disabled():
            print(
                f"\na step of {family.__name__} with output from C, I = {I}, H = {H}, O = {O}: "
                f"median {median:.0f} ns, "
                f"p99 {high:.0f} ns, p99.9 {tail:.0f} ns (of means of 100 steps); "
                f"from Cython {from_cython:.0f} ns on average"
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


def test_later_header(steppers, run_python):
    """A table older than the header that the extension was compiled with is not used."""
    folder = Path(steppers[0].__file__).parent / "newer"
    done = run_python(f"import sys; sys.path.insert(0, {str(folder)!r})\nimport stepper")
    last = done.stderr.splitlines()[-1]
    assert last == "ImportError: crnn.h: expected version 2 or later, got version 1"


def test_capsule(both_kernels):
    """Its name and the version in front are what any later header will rely on."""
    native, _ = both_kernels
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = get(native.c_api, b"crnn.kernels.native.c_api")
    assert ctypes.cast(table, ctypes.POINTER(ctypes.c_int))[0] == 1
    addresses = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[1:9]
    assert len(set(addresses)) == 8
    assert all(addresses)
