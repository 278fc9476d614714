"""Streams: the bits of predict, one step or block at a time; state, copies, threads, errors."""

import copy
import gc
import inspect
import itertools
import pickle
import threading
import time
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

import crnn
import crnn._implementation

DTYPES = ["float32", "float64"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)

# (I, H, O): every kind of remainder around vectors of 2 to 16 lanes, the constant sizes 8 to 64,
# weights that are and are not small enough to be packed by rows, and no output layer (O = 0).
SIZES = [
    (1, 8, 1),
    (3, 5, 2),
    (8, 32, 4),
    (2, 16, 17),
    (7, 33, 9),
    (16, 64, 8),
    (70, 70, 3),
    (300, 20, 300),
    (4, 11, 0),
]


@pytest.fixture
def net_of(implementation, build_network):
    def build(I, H, O, dtype="float32", seed=0):
        return build_network(
            input_size=I, hidden_size=H, output_size=O or None, dtype=dtype, seed=seed
        )

    return build


@pytest.fixture
def native_net(both_kernels):
    """Build networks for what concerns the compiled kernels alone."""

    def build(I, H, O):
        return crnn.RNN(I, H, O, seed=0, implementation="native")

    return build


def inputs(net, *, batch, steps, seed=1):
    shape = (steps, net.input_size) if batch is None else (batch, steps, net.input_size)
    return np.random.default_rng(seed).standard_normal(shape).astype(net.dtype)


def in_steps(stream, x):
    axis = x.ndim - 2
    steps = [stream.step(np.ascontiguousarray(x.take(t, axis))) for t in range(x.shape[axis])]
    return np.stack(steps, axis)


def in_blocks(stream, x, seed):
    """Run in random blocks, some of which are single steps."""
    rng = np.random.default_rng(seed)
    axis, T, start, parts = x.ndim - 2, x.shape[-2], 0, []
    while start < T:
        end = min(T, start + int(rng.integers(1, 6)))
        block = np.ascontiguousarray(x.take(range(start, end), axis))
        if end - start == 1:
            parts.append(in_steps(stream, block))
        else:
            parts.append(stream.run(block))
        start = end
    return np.concatenate(parts, axis)


@dtypes
@pytest.mark.parametrize("batch", [None, 1, 2, 5, 16])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_bits_of_predict(net_of, dtype, batch, sizes):
    net = net_of(*sizes, dtype)
    x = inputs(net, batch=batch, steps=23)
    expected, h_n = net.predict(x, return_state=True)
    assert np.abs(expected).max() > 0.1
    for run in (in_steps, lambda stream, x: stream.run(x), lambda s, x: in_blocks(s, x, seed=7)):
        stream = net.stream(batch)
        y = run(stream, x)
        assert y.dtype == net.dtype
        assert np.array_equal(y, expected)
        assert np.array_equal(stream.state, h_n)


def test_blocks_longer_than_what_predict_keeps_at_a_time(net_of):
    net = net_of(2, 64, 3)
    # Native keeps 2^18 bytes of states: 1024 steps of 64 float32.
    x = inputs(net, batch=None, steps=2500)
    expected = net.predict(x)
    stream = net.stream()
    y = np.concatenate([stream.run(x[:1100]), stream.run(x[1100:])])
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("sizes", [(3, 40, 5), (64, 640, 64)], ids=str)
def test_same_bits_for_every_number_of_threads(native_net, sizes):
    net = native_net(*sizes)
    x = inputs(net, batch=13, steps=6)
    before = crnn.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            crnn.set_num_threads(threads)
            stream = net.stream(13)
            found.append((in_steps(stream, x), net.stream(13).run(x), net.predict(x)))
    finally:
        crnn.set_num_threads(before)
    for results in found:
        for y in results:
            assert np.array_equal(y, found[0][0])


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(both_kernels, run_python, name):
    code = """
import numpy as np, crnn
for I, H, O in [(1, 8, 1), (8, 32, 4), (7, 33, 9), (4, 11, None)]:
    for dtype in ("float32", "float64"):
        for batch in (None, 6):
            net = crnn.RNN(I, H, O, dtype=dtype, seed=0)
            shape = (20, I) if batch is None else (batch, 20, I)
            x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
            stream = net.stream(batch)
            y = np.stack([stream.step(x[..., t, :].copy()) for t in range(20)], -2)
            assert np.array_equal(y, net.predict(x)), (I, H, O, dtype, batch)
print("equal")
"""
    done = run_python(code, CRNN_CPU=name, CRNN_IMPLEMENTATION="native")
    if "CRNN_CPU: expected" in done.stderr:
        pytest.skip(f"this processor does not run {name}")
    assert done.stdout == "equal\n", done.stderr


def test_attributes(net_of):
    net = net_of(3, 5, 2, "float64")
    stream = net.stream(4)
    assert (stream.input_size, stream.hidden_size, stream.output_size) == (3, 5, 2)
    assert (stream.batch_size, stream.dtype) == (4, np.float64)
    assert net.stream().batch_size is None
    assert net_of(3, 5, 0).stream().output_size == 5
    assert repr(stream) == (
        "Stream(input_size=3, hidden_size=5, output_size=2, batch_size=4, dtype='float64')"
    )


def test_training_does_not_change_a_stream(net_of):
    net = net_of(3, 5, 2)
    x = inputs(net, batch=None, steps=6)
    expected = net.predict(x)
    stream = net.stream()
    net.flat_params[...] = 0
    assert np.array_equal(stream.run(x), expected)
    assert not np.array_equal(net.stream().run(x), expected)


@pytest.mark.parametrize("batch", [None, 3])
def test_state(net_of, batch):
    net = net_of(3, 5, 2)
    x = inputs(net, batch=batch, steps=8)
    stream = net.stream(batch)
    shape = (5,) if batch is None else (3, 5)
    assert stream.state.shape == shape
    assert not stream.state.any()
    stream.run(x)
    kept = stream.state
    second = stream.run(x)
    stream.state = kept
    assert np.array_equal(stream.run(x), second)
    expected = net.predict(x, h0=kept)
    assert np.array_equal(second, expected)
    stream.reset()
    assert not stream.state.any()
    kept[...] = 9  # a copy: nobody else's
    assert not stream.state.any()
    stream.state = np.full(shape, 0.5, np.float64)  # of another dtype
    assert np.array_equal(stream.state, np.full(shape, 0.5, np.float32))


@pytest.mark.parametrize("copier", [lambda s: s.copy(), copy.copy, copy.deepcopy])
def test_copies_go_their_own_way(net_of, copier):
    net = net_of(3, 5, 2)
    x = inputs(net, batch=2, steps=9)
    stream = net.stream(2)
    stream.run(x[:, :4].copy())
    twin = copier(stream)
    assert np.array_equal(twin.state, stream.state)
    rest = stream.run(x[:, 4:].copy())
    assert not np.array_equal(twin.state, stream.state)
    del stream
    gc.collect()
    assert np.array_equal(twin.run(x[:, 4:].copy()), rest)
    assert np.array_equal(twin.copy().copy().state, twin.state)


def test_out(net_of):
    net = net_of(3, 5, 3)
    x = inputs(net, batch=None, steps=2)
    expected = net.predict(x)
    stream = net.stream()
    out = np.full(3, np.nan, np.float32)
    assert stream.step(x[0], out=out) is out
    assert np.array_equal(out, expected[0])
    x_t = x[1].copy()
    assert stream.step(x_t, x_t) is x_t
    assert np.array_equal(x_t, expected[1])


def test_results_are_new_arrays(net_of):
    net = net_of(3, 5, 2)
    stream = net.stream()
    first, second = stream.step(np.ones(3)), stream.step(np.ones(3))
    assert not np.shares_memory(first, second)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("out", "kind"),
    [
        (np.empty(3, np.float32), ValueError),
        (np.empty((1, 2), np.float32), ValueError),
        (np.empty(2, np.float64), TypeError),
        (np.empty(4, np.float32)[::2], ValueError),
        ([0.0, 0.0], TypeError),
        ("y", TypeError),
    ],
    ids=["size", "axes", "dtype", "strides", "list", "string"],
)
def test_unsuitable_out(net_of, out, kind):
    check_unsuitable_out(net_of, out, kind)


def test_read_only_out(net_of):
    out = np.zeros(2, np.float32)
    out.flags.writeable = False
    check_unsuitable_out(net_of, out, ValueError)


def check_unsuitable_out(net_of, out, kind):
    net = net_of(3, 5, 2)
    stream = net.stream()
    stream.step(np.ones(3))
    before, kept = stream.state, copy.deepcopy(out)
    with pytest.raises(
        kind, match=r"^out: expected a writable C-contiguous float32 array of shape"
    ):
        stream.step(np.ones(3), out=out)
    assert np.array_equal(stream.state, before)
    assert np.array_equal(out, kept)


BAD_INPUTS = {
    "size": ([1.0, 2.0], ValueError, r"^x: expected shape \(inputs=3,\), got \(2,\)"),
    "axes": (np.ones((1, 3)), ValueError, r"^x: expected shape"),
    "nan": (
        [1.0, np.nan, 2.0],
        ValueError,
        r"^x: expected finite numbers, got nan at index \(1,\)",
    ),
    "nan in place": (np.array([1, 2, np.inf], np.float32), ValueError, r"^x: expected finite"),
    "too large": ([1.0, 1e300, 2.0], ValueError, r"^x: expected numbers that float32 can hold"),
    "string": ("abc", TypeError, r"^x: expected numbers"),
    "none": (None, TypeError, r"^x: expected an array, got None"),
    "complex": (np.ones(3, complex), TypeError, r"^x: expected numbers"),
}


@pytest.mark.parametrize(("x", "kind", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_inputs(net_of, x, kind, message):
    stream = net_of(3, 5, 2).stream()
    stream.step(np.ones(3))
    before = stream.state
    with pytest.raises(kind, match=message):
        stream.step(x)
    assert np.array_equal(stream.state, before)


def test_bad_blocks_and_states(net_of):
    stream = net_of(3, 5, 2).stream(2)
    with pytest.raises(ValueError, match=r"^x: expected shape \(batch=2, time, inputs=3\), got"):
        stream.run(np.ones((3, 4, 3)))
    with pytest.raises(ValueError, match=r"^x: expected at least one time step"):
        stream.run(np.ones((2, 0, 3)))
    with pytest.raises(ValueError, match=r"^x: expected finite numbers, got nan"):
        stream.run(np.full((2, 4, 3), np.nan))
    with pytest.raises(ValueError, match=r"^state: expected shape \(batch=2, hidden=5\), got"):
        stream.state = np.ones(5)
    assert not stream.state.any()


@pytest.mark.parametrize(
    "x",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3]),
        np.array([1.0, 2.0, 3.0]),
        np.array([1.0, 9, 2.0, 9, 3.0], np.float32)[::2],
        np.array([1.0, 2.0, 3.0], ">f4"),
        np.array([1.0, 2.0, 3.0], np.float16),
    ],
    ids=["ints", "tuple", "int array", "float64", "strided", "big-endian", "float16"],
)
def test_inputs_that_are_converted(net_of, x):
    net = net_of(3, 5, 2)
    expected = net.stream().step(np.array([1, 2, 3], np.float32))
    assert np.array_equal(net.stream().step(x), expected)


def test_read_only_inputs(net_of):
    net = net_of(3, 5, 2)
    x = np.ones(3, np.float32)
    x.flags.writeable = False
    assert np.array_equal(net.stream().step(x), net.stream().step([1, 1, 1]))


@pytest.mark.parametrize(
    ("batch_size", "kind"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_bad_batch_size(net_of, batch_size, kind):
    with pytest.raises(kind, match=r"^batch_size: expected"):
        net_of(3, 5, 2).stream(batch_size)


def test_pickle_is_refused(net_of):
    with pytest.raises(TypeError, match=r"^stream: expected to stay in its process"):
        pickle.dumps(net_of(3, 5, 2).stream())


def test_weak_references(net_of):
    stream = net_of(3, 5, 2).stream()
    reference = weakref.ref(stream)
    assert reference() is stream
    del stream
    gc.collect()
    assert reference() is None


def test_second_thread_is_refused(net_of):
    """While one thread is in a stream, with a block that keeps it there for long enough."""
    net = net_of(64, 256, 8)
    stream = net.stream()
    x = inputs(net, batch=None, steps=20_000)
    result = []
    thread = threading.Thread(target=lambda: result.append(stream.run(x)))
    calls = {
        "step": lambda: stream.step(x[0]),
        "run": lambda: stream.run(x[:2]),
        "state": lambda: stream.state,
        "assign": lambda: setattr(stream, "state", np.zeros(256)),
        "reset": stream.reset,
        "copy": stream.copy,
    }
    thread.start()
    time.sleep(0.05)
    for call in calls.values():
        with pytest.raises(RuntimeError, match=r"^stream: expected one thread at a time"):
            call()
    assert thread.is_alive()
    thread.join()
    assert np.array_equal(result[0], net.predict(x))
    stream.reset()
    assert np.array_equal(stream.run(x[:50].copy()), net.predict(x[:50]))


def test_streams_of_several_threads(net_of):
    net = net_of(3, 24, 2)
    x = inputs(net, batch=None, steps=400)
    expected = net.predict(x)
    results = {}

    def work(number):
        results[number] = in_steps(net.stream(), x)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for y in results.values():
        assert np.array_equal(y, expected)


def test_a_step_allocates_nothing(native_net):
    net = native_net(8, 32, 4)
    stream, x, out = net.stream(), np.ones(8, np.float32), np.empty(4, np.float32)
    stream.step(x, out=out)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[1]
        for _ in itertools.repeat(None, 1000):
            stream.step(x, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The iterator's 48 bytes are less than any array would take.
    assert peak - before < 96


def test_memory_stays_flat(native_net):
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("reads the resident memory from /proc")
    net = native_net(8, 32, 4)
    stream, x = net.stream(), np.ones(8, np.float32)

    def resident():
        gc.collect()
        return int(status.read_text().split()[1]) * 4096

    for _ in range(10_000):
        stream.step(x)
    before = resident()
    for _ in range(300_000):
        stream.step(x)
    for _ in range(2_000):
        stream.copy().run(np.ones((3, 8), np.float32))
        net.stream()
    assert resident() - before < 2 << 20


def test_time_of_a_step(native_net, capsys):
    """Print it; the bound is ten times what it takes, for machines that are busy."""
    net = native_net(8, 32, 4)
    stream, x, out = net.stream(), np.ones(8, np.float32), np.empty(4, np.float32)
    nanoseconds = np.empty(100_000)
    clock = time.perf_counter_ns
    for i in range(len(nanoseconds)):
        start = clock()
        stream.step(x, out=out)
        nanoseconds[i] = clock() - start
    median, tail = np.percentile(nanoseconds, [50, 99.9])
    with capsys.disabled():
        print(f"\nstep(x, out=y), H = 32: median {median:.0f} ns, p99.9 {tail:.0f} ns (with clock)")
    assert median < 3000


def test_objects_without_init_do_not_crash(both_kernels):
    native, _ = both_kernels
    empty = native.Stream.__new__(native.Stream)
    for use in (
        lambda: empty.step(np.ones(3)),
        lambda: empty.step(np.ones(3, np.float32), np.ones(3, np.float32)),
        lambda: empty.run(np.ones((2, 3))),
        lambda: empty.state,
        lambda: setattr(empty, "state", np.ones(3)),
        lambda: empty.copy(),
        lambda: empty.dtype,
        lambda: repr(empty),
    ):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            use()
    empty.reset()


def test_native_refuses_what_would_crash_it(both_kernels):
    native, _ = both_kernels
    theta = np.zeros(3 * 5 + 5 * 5 + 5 + 2 * 5 + 2, np.float32)
    stream = native.Stream(theta, 3, 5, 2, None, None)
    with pytest.raises(RuntimeError, match="second __init__"):
        stream.__init__(theta, 3, 5, 2, None, None)
    for sizes in ((3, 5, 1), (0, 5, 2), (3, -5, 2)):
        with pytest.raises(ValueError, match="expected"):
            native.Stream(theta, *sizes, None, None)
    with pytest.raises(ValueError, match="theta"):
        native.Stream(theta.astype(int), 3, 5, 2, None, None)
    # A converter that returns nonsense
    for nonsense in (None, np.ones(2, np.float32), np.ones(3, np.float64), "x"):
        bad = native.Stream(theta, 3, 5, 2, None, lambda *_, value=nonsense: value)
        with pytest.raises((TypeError, ValueError)):
            bad.step([1.0])
        with pytest.raises((TypeError, ValueError)):
            bad.run([1.0])
        with pytest.raises((TypeError, ValueError)):
            bad.state = [1.0]


def test_twins_agree(both_kernels):
    native, reference = both_kernels
    names = {name for name in vars(reference.Stream) if not name.startswith("_")}
    names |= {"__copy__", "__deepcopy__", "__reduce__", "__repr__"}
    for name in names:
        ours, theirs = (getattr(module.Stream, name) for module in (native, reference))
        if isinstance(theirs, property):
            assert ours.__doc__ == theirs.__doc__, name
            continue
        parameters = [list(inspect.signature(f).parameters) for f in (ours, theirs)]
        assert parameters[0] == parameters[1], name
        if not name.startswith("_"):
            assert inspect.cleandoc(ours.__doc__) == inspect.cleandoc(theirs.__doc__), name
    assert inspect.cleandoc(native.Stream.__doc__) == inspect.cleandoc(reference.Stream.__doc__)
    arguments = {
        "theta": np.zeros(3 * 5 + 5 * 5 + 5 + 2 * 5 + 2),
        "input_size": 3,
        "hidden_size": 5,
        "output_size": 2,
        "batch_size": None,
        "convert": None,
    }
    assert list(inspect.signature(reference.Stream).parameters) == list(arguments)
    assert repr(native.Stream(**arguments)) == repr(reference.Stream(**arguments))


def test_twins_compute_the_same(both_kernels, assert_close):
    rng = np.random.default_rng(3)
    nets = [crnn.RNN(3, 7, 2, dtype="float64", implementation=i) for i in ("native", "python")]
    nets[0].flat_params[...] = rng.standard_normal(nets[0].flat_params.shape) / 3
    nets[1].flat_params[...] = nets[0].flat_params
    x = rng.standard_normal((5, 11, 3))
    ours, theirs = (net.stream(5) for net in nets)
    assert_close(ours.run(x), theirs.run(x), dtype="float64")
    assert_close(ours.step(x[:, 0]), theirs.step(x[:, 0]), dtype="float64")
    assert_close(ours.state, theirs.state, dtype="float64")
