"""The native kernels on several threads: the same bits however many, in any thread, after fork."""

import ctypes.util
import importlib.util
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import CELLS, DTYPES, Problem

import crnn

pytestmark = pytest.mark.native

dtypes = pytest.mark.parametrize("dtype", DTYPES)
cells = pytest.mark.parametrize("cell", CELLS)

# More than the processors of some machines, and numbers that deal no size evenly.
TEAMS = [2, 3, 7]

# A call takes a thread for each 2^20 multiply-adds of its forward pass, T B H (I + H + O) of a cell
# without gates, and for every two sequences, or where members share the units of few sequences for
# every 64 units. All of these are worth 7, and worth_threads checks it.
LARGE = {
    # One panel and a piece; the hidden units are shared by rows.
    "narrow": {"T": 151, "B": 17, "I": 3, "H": 53, "O": 5},
    # Several chunks of 15 (float32) and 9 (float64) steps of rnn_gradient, 24 of rnn_predict.
    "chunks": {"T": 50, "B": 70, "I": 19, "H": 65, "O": 34},
    # Enough panels that members share the columns of a weight gradient.
    "wide": {"T": 8, "B": 13, "I": 5, "H": 257, "O": 33},
    # Most members have two sequences, the first one.
    "few sequences": {"T": 221, "B": 13, "I": 2, "H": 48, "O": 6},
    # Members share the units of every step.
    "units": {"T": 9, "B": 3, "I": 5, "H": 521, "O": 6},
    "units of one sequence": {"T": 37, "B": 1, "I": 4, "H": 470, "O": 0},
}
large = pytest.mark.parametrize("sizes", LARGE.values(), ids=LARGE)


def worth_threads(p):
    most = p.H // 64 if p.B <= 8 and p.H >= 256 else (p.B + 1) // 2
    return min(most, p.T * p.B * p.H * (p.I + p.H + p.O) // 2**20)


def bits(results):
    results = list(results.values() if isinstance(results, dict) else results)
    assert all(np.isfinite(result).all() for result in results)
    return [r.tobytes() if isinstance(r, np.ndarray) else r for r in results]


def predictions_with_lengths(native, p):
    lengths = np.arange(p.B) * 7 % (p.T + 1)
    lengths[0] = p.T
    y, h_n = problems.predict(native, p, h0=p.h0, lengths=lengths, reverse=True)
    return np.concatenate([y_b[:length] for y_b, length in zip(y, lengths, strict=True)]), h_n


def with_resets(native, p):
    rng = np.random.default_rng(1)
    options = {"resets": rng.random((p.B, p.T)) < 0.2, "start": p.h0[0] / 2}
    # All sequences at a time, too
    options["resets"][:, p.T // 2] = True
    h, gates = problems.layer_forward(native, p, **options)
    written = problems.layer_backward(native, p, h, gates, **options)
    kept = [h] if gates is None else [h, gates]
    return [*kept, *written.values(), *problems.predict(native, p, h0=p.h0, **options)]


def calls_on(native, sizes, dtype, cell="tanh"):
    """By name, calls that return the bits of all that kernels write."""

    def bits_of(call, **changes):
        p = Problem(cell, dtype, **(sizes | changes))
        return lambda: bits(call(native, p))

    calls = {
        "layers": bits_of(problems.layers),
        "gradient": bits_of(problems.gradient),
        "predictions": bits_of(problems.predict),
        "predictions with lengths": bits_of(predictions_with_lengths),
        "resets": bits_of(with_resets),
    }
    # What follows the recurrence is the same code for all gated cells.
    if cell in ("tanh", "lstm"):
        calls |= {
            "gradient of classes": bits_of(problems.gradient, loss="cross_entropy"),
            "gradient of states": bits_of(problems.gradient, O=0, loss="sse"),
            "predicted states": bits_of(problems.predict, O=0),
        }
    return calls


def results_of(calls):
    return {name: call() for name, call in calls.items()}


@large
@dtypes
@cells
def test_same_bits_for_every_number_of_threads(native, set_num_threads, dtype, cell, sizes):
    assert worth_threads(Problem(**sizes)) >= max(TEAMS)
    calls = calls_on(native, sizes, dtype, cell)
    set_num_threads(1)
    alone = results_of(calls)
    for threads in TEAMS:
        set_num_threads(threads)
        assert native.get_num_threads() == threads
        for name, call in calls.items():
            assert call() == alone[name], f"{name} on {threads} threads"


def test_more_threads_than_steps(native, set_num_threads):
    # Each member packs steps for a weight gradient, and here is one step for all of them.
    p = Problem("tanh", "float32", T=1, B=1, I=40, H=1800, O=0)
    assert worth_threads(p) >= 3
    found = []
    for threads in (1, 3):
        set_num_threads(threads)
        found.append(bits(problems.layers(native, p)))
    assert found[0] == found[1]


@dtypes
def test_sizes_that_are_worth_few_threads(native, set_num_threads, dtype):
    # From none to three, at sizes around which a team gains a member.
    for B in range(1, 9):
        calls = calls_on(native, {"T": 160, "B": B, "I": 3, "H": 60, "O": 2}, dtype)
        set_num_threads(1)
        alone = results_of(calls)
        set_num_threads(7)
        assert results_of(calls) == alone, B


def test_more_threads_than_any_pool_has(native, set_num_threads):
    # 64 are the most. The sizes are worth 65 and the batch is.
    p = Problem(dtype="float32", T=120, B=130, I=3, H=65, O=5)
    assert worth_threads(p) >= 65
    set_num_threads(1)
    alone = bits(problems.gradient(native, p)), bits(problems.predict(native, p))
    set_num_threads(1000)
    assert (bits(problems.gradient(native, p)), bits(problems.predict(native, p))) == alone


@dtypes
@cells
@pytest.mark.parametrize(
    "sizes",
    [{"B": 24, "I": 256, "H": 256, "O": 64}, {"B": 1, "I": 600, "H": 1030, "O": 500}],
    ids=["sequences", "units"],
)
def test_a_step_of_a_stream_by_a_team(native, set_num_threads, dtype, cell, sizes):
    p = Problem(cell, dtype, T=3, **sizes)
    assert worth_threads(p) // p.T >= 2
    found = []
    for threads in (1, 3):
        set_num_threads(threads)
        found += [bits(problems.stream(native, p)), bits(problems.predict(native, p, h0=p.h0))]
    assert found.count(found[0]) == 4


@pytest.fixture
def busy_cores():
    """Processes that take half of every core."""
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@dtypes
@pytest.mark.parametrize("cell", ["tanh", "lstm"])
def test_same_bits_where_members_wait_for_one_another(
    native, set_num_threads, busy_cores, dtype, cell
):
    # Members that are late give sequences away, and after a long wait meet less often.
    calls = calls_on(native, LARGE["chunks"], dtype, cell)
    set_num_threads(1)
    alone = results_of(calls)
    for threads in TEAMS:
        set_num_threads(threads)
        for _ in range(2):
            assert results_of(calls) == alone


@dtypes
def test_calls_of_several_python_threads_at_once(native, set_num_threads, dtype):
    # One call has the pool and the others run alone; each has its own sizes.
    found = [
        calls_on(native, {"T": 200 + i, "B": 10 + i, "I": 3, "H": 40 + 3 * i, "O": 5}, dtype)
        for i in range(4)
    ]
    set_num_threads(1)
    alone = [results_of(calls) for calls in found]
    set_num_threads(3)
    start = threading.Barrier(len(found))

    def repeat(calls):
        start.wait(timeout=60)
        return [results_of(calls) for _ in range(5)]

    with ThreadPoolExecutor(len(found)) as executor:
        for expected, results in zip(alone, executor.map(repeat, found), strict=True):
            assert results == [expected] * 5


def test_call_of_another_thread_than_the_main(native, set_num_threads):
    calls = calls_on(native, LARGE["narrow"], "float64")
    set_num_threads(1)
    alone = results_of(calls)
    set_num_threads(3)
    results = []

    def call_all():
        results.append(results_of(calls))
        # The calling thread's register, which flushes denormals during a call, is as it was.
        smallest = np.full(9, np.finfo("float64").tiny)
        results.append(np.all(smallest / 4 > 0))

    for _ in range(2):
        results.clear()
        thread = threading.Thread(target=call_all)
        thread.start()
        thread.join()
        assert results == [alone, True]
    assert results_of(calls) == alone


@dtypes
def test_denormals_survive_a_call_of_a_team(native, set_num_threads, dtype):
    calls = calls_on(native, LARGE["narrow"], dtype)
    smallest = np.full(33, np.finfo(dtype).tiny, dtype)
    set_num_threads(4)
    for call in calls.values():
        call()
        assert np.array_equal(smallest / 4 * 4, smallest)
        assert np.all(smallest / 4 > 0)


# What the processes below have in common; `sizes` are worth 3 threads.
PREAMBLE = """
import os, signal, sys, threading, time, warnings
import numpy as np
from crnn.kernels import native

def gradient(T=151, B=17, I=3, H=53, O=5):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((B, T, I)), rng.standard_normal((B, T, O))
    theta = 0.1 * rng.standard_normal(H * (I + H + 1) + O * (H + 1))
    dtheta = np.full_like(theta, np.nan)
    size = native.gradient_workspace_size("tanh", T, B, I, H, O, "float64")
    workspace = np.full(size, np.nan)
    result = native.rnn_gradient("tanh", x, y, theta, dtheta, H, O, "mse", None, None, workspace)
    return result, dtheta.tobytes()

def tasks():
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else None

def check_in_child(expected, threads):
    with warnings.catch_warnings():
        # Python warns, rightly, of forks in a process with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # A child that hangs is killed.
        signal.alarm(20)
        status = 1
        try:
            before = tasks()
            if gradient() != expected or gradient() != expected:
                status = 2
            elif before is not None and tasks() - before != threads - 1:
                status = 3
            else:
                status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0, status

# Alone, so that the pool is not there yet.
native.set_num_threads(1)
expected = gradient()
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def assert_silent_success(result):
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@forks
def test_child_of_a_fork_has_threads_of_its_own(native, run_python):
    code = """
native.set_num_threads(3)
assert gradient() == expected
for _ in range(3):
    check_in_child(expected, 3)
    assert gradient() == expected
"""
    assert_silent_success(run_python(PREAMBLE + code))


@forks
def test_fork_in_the_middle_of_a_call(native, run_python):
    code = """
native.set_num_threads(3)
done = threading.Event()
wrong = []

def work():
    while not done.is_set():
        if gradient() != expected:
            wrong.append(True)

thread = threading.Thread(target=work)
thread.start()
try:
    for _ in range(5):
        check_in_child(expected, 3)
finally:
    done.set()
    thread.join()
assert not wrong
"""
    assert_silent_success(run_python(PREAMBLE + code))


OPENMP = ctypes.util.find_library("gomp")
openmp = pytest.mark.skipif(OPENMP is None, reason="no libgomp here")


@openmp
@forks
def test_threads_of_openmp(native, run_python):
    code = f"""
import crnn
native.set_num_threads(3)
own = tasks()
crnn.use_openmp({OPENMP!r})
assert gradient() == expected
assert own is None or tasks() == own + 2  # OpenMP's, and none of crnn's
check_in_child(expected, 3)
assert gradient() == expected
thread = threading.Thread(target=gradient)
thread.start()
assert gradient() == expected
thread.join()
crnn.use_openmp(None)
assert gradient() == expected
"""
    assert_silent_success(run_python(PREAMBLE + code))


@openmp
def test_change_of_threads_in_the_middle_of_calls(native, run_python):
    code = f"""
import crnn
done, wrong = threading.Event(), []

def work():
    while not done.is_set():
        if gradient(T=40, B=40) != expected:
            wrong.append(True)

native.set_num_threads(1)
expected = gradient(T=40, B=40)
native.set_num_threads(5)
thread = threading.Thread(target=work)
thread.start()
end = time.monotonic() + 8  # where other processes hold the cores, each change waits long
for _ in range(300):
    if time.monotonic() > end:
        break
    crnn.use_openmp({OPENMP!r})
    time.sleep(0.0003)
    crnn.use_openmp(None)
    time.sleep(0.0003)
done.set()
thread.join()
assert not wrong
"""
    assert_silent_success(run_python(PREAMBLE + code))


def test_library_without_openmp():
    with pytest.raises(OSError, match="no such library"):
        crnn.use_openmp("no such library")
    with pytest.raises(ValueError, match="library: expected an OpenMP library"):
        crnn.use_openmp(importlib.util.find_spec("_ctypes").origin)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads as Linux does")
def test_pool_has_as_many_threads_as_were_asked_for(native, run_python):
    code = """
before = tasks()
native.set_num_threads(4)
assert tasks() == before
# Too small to be worth a thread, and then too few sequences.
gradient(T=3, B=17)
gradient(T=999, B=2)
assert tasks() == before
# The pool outlives the thread that was the first to need it.
thread = threading.Thread(target=gradient)
thread.start()
thread.join()
# Python is done with a thread a moment before the system is.
for _ in range(1000):
    if tasks() == before + 3:
        break
    time.sleep(0.01)
assert tasks() == before + 3
assert gradient() == expected
native.set_num_threads(2)
assert gradient() == expected
assert tasks() == before + 3
"""
    assert_silent_success(run_python(PREAMBLE + code))


def test_number_of_threads_by_call_and_by_environment(native, run_python):
    code = "import crnn; print(crnn.get_num_threads()); crnn.set_num_threads(2)"
    code += "; print(crnn.get_num_threads())"
    result = run_python(code, CRNN_IMPLEMENTATION="native", CRNN_NUM_THREADS="3")
    assert result.stdout.split() == ["3", "2"], result.stderr
    processors = run_python(
        "import crnn, os; print(crnn.get_num_threads() == len(os.sched_getaffinity(0)))"
        if hasattr(os, "sched_getaffinity")
        else "import crnn, os; print(crnn.get_num_threads() == os.cpu_count())",
        CRNN_IMPLEMENTATION="native",
        OMP_NUM_THREADS="",
    )
    assert processors.stdout.strip() == "True", processors.stderr


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many"])
def test_bad_number_of_threads_in_the_environment(native, run_python, value):
    result = run_python("import crnn", CRNN_IMPLEMENTATION="native", CRNN_NUM_THREADS=value)
    assert result.returncode != 0
    assert "CRNN_NUM_THREADS: expected a whole number of at least 1" in result.stderr
    assert repr(value) in result.stderr


@pytest.mark.parametrize(
    ("n", "kind"), [(0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_number_of_threads(native, n, kind):
    before = crnn.get_num_threads()
    with pytest.raises(kind, match="n: expected"):
        crnn.set_num_threads(n)
    assert crnn.get_num_threads() == before
