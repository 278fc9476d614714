"""Streams: the bits of predict, one step or block at a time; state, copies, threads, errors."""

import contextlib
import copy
import gc
import inspect
import itertools
import mmap
import pickle
import sys
import threading
import time
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

import crnn
import crnn._backend

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


@pytest.fixture(params=["RNN", "GRU", "LSTM"])
def net_of(request, implementation, build_network):
    def build(I, H, O, dtype="float32", seed=0):
        return build_network(
            family=request.param,
            input_size=I,
            hidden_size=H,
            output_size=O or None,
            dtype=dtype,
            seed=seed,
        )

    return build


@pytest.fixture(params=[crnn.RNN, crnn.GRU, crnn.LSTM])
def native_net(request, both_kernels):
    """Build networks for what concerns the compiled kernels alone."""

    def build(I, H, O, dtype="float32"):
        return request.param(I, H, O, dtype=dtype, seed=0, implementation="native")

    return build


def inputs(net, *, batch, steps, seed=1):
    shape = (steps, net.input_size) if batch is None else (batch, steps, net.input_size)
    return np.random.default_rng(seed).standard_normal(shape).astype(net.dtype)


def parts_of(state):
    """h, or h and c of an LSTM."""
    return state if isinstance(state, tuple) else (state,)


def state_like(stream, values):
    """A state of that stream's kind, each part of which has these values."""
    pair = isinstance(stream.state, tuple)
    return (values.copy(), values.copy()) if pair else values.copy()


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
    assert np.abs(expected).max() > 0.05
    for run in (in_steps, lambda stream, x: stream.run(x), lambda s, x: in_blocks(s, x, seed=7)):
        stream = net.stream(batch)
        y = run(stream, x)
        assert y.dtype == net.dtype
        assert np.array_equal(y, expected)
        assert np.array_equal(stream.state, h_n)


@dtypes
def test_bits_of_predict_with_every_remainder_of_hidden_units(implementation, net_of, dtype):
    rng = np.random.default_rng(11)
    # NumPy has its own remainders; a few sizes see that nothing here depends on them.
    for H in range(1, 71) if implementation == "native" else (1, 9, 31, 70):
        I, O = (int(size) for size in rng.integers([1, 0], 36))
        net = net_of(I, H, O, dtype)
        for batch in (None, int(rng.integers(1, 18))):
            x = inputs(net, batch=batch, steps=15)
            expected, h_n = net.predict(x, return_state=True)
            stream = net.stream(batch)
            y = in_blocks(stream, x, seed=H)
            assert np.array_equal(y, expected), (I, H, O, batch)
            assert np.array_equal(stream.state, h_n), (I, H, O, batch)


@dtypes
@pytest.mark.parametrize(
    ("sizes", "batch", "steps"),
    # Native keeps 2^18 bytes of states: 1024 steps of 64 float32, or the fewest it ever does, 24.
    [((2, 64, 3), None, 2500), ((3, 64, 0), 5, 500), ((2, 70, 3), 40, 70)],
    ids=str,
)
def test_blocks_longer_than_what_predict_keeps_at_a_time(net_of, dtype, sizes, batch, steps):
    net = net_of(*sizes, dtype)
    x = inputs(net, batch=batch, steps=steps)
    expected = net.predict(x)
    stream = net.stream(batch)
    cut = steps // 2 - 7
    blocks = (np.ascontiguousarray(x[..., part, :]) for part in (slice(cut), slice(cut, None)))
    y = np.concatenate([stream.run(block) for block in blocks], -2)
    assert np.array_equal(y, expected)


@dtypes
@pytest.mark.parametrize("sizes", [(3, 40, 5), (64, 640, 64)], ids=str)
def test_same_bits_for_every_number_of_threads(native_net, sizes, dtype):
    net = native_net(*sizes, dtype)
    x = inputs(net, batch=13, steps=6)
    before = crnn.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            crnn.set_num_threads(threads)
            stream = net.stream(13)
            found.append((in_steps(stream, x), net.stream(13).run(x), net.predict(x)))
            found.append((in_blocks(net.stream(13), x, seed=threads),))
    finally:
        crnn.set_num_threads(before)
    for results in found:
        for y in results:
            assert np.array_equal(y, found[0][0])


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(both_kernels, run_python, name):
    code = """
import numpy as np, crnn
for I, H, O in [(1, 8, 1), (8, 32, 4), (7, 33, 9), (4, 11, None), (9, 64, 40), (3, 70, 5)]:
    for dtype in ("float32", "float64"):
        for batch in (None, 6):
            net = crnn.RNN(I, H, O, dtype=dtype, seed=0)
            shape = (20, I) if batch is None else (batch, 20, I)
            x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
            stream = net.stream(batch)
            y = np.stack([stream.step(x[..., t, :].copy()) for t in range(20)], -2)
            expected, h_n = net.predict(x, return_state=True)
            assert np.array_equal(y, expected), (I, H, O, dtype, batch)
            assert np.array_equal(stream.state, h_n), (I, H, O, dtype, batch)
            stream.reset()
            parts = [stream.run(x[..., t : t + 7, :].copy()) for t in (0, 7, 14)]
            assert np.array_equal(np.concatenate(parts, -2), expected), (I, H, O, dtype, batch)
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
    twin = stream.copy()
    net.fit(x[None], np.ones((1, 6, 2)), epochs=3, optimizer=crnn.SGD(0.5))
    assert np.array_equal(stream.run(x), expected)
    assert not np.array_equal(net.stream().run(x), expected)
    net.flat_params[...] = 0
    assert np.array_equal(twin.run(x), expected)


def test_a_stream_outlives_its_network_and_does_not_keep_it(net_of):
    net = net_of(3, 5, 2)
    x = inputs(net, batch=None, steps=6)
    expected = net.predict(x)
    stream, reference = net.stream(), weakref.ref(net)
    del net
    gc.collect()
    assert reference() is None
    assert np.array_equal(stream.run(x), expected)


def test_the_state_stays(net_of):
    stream = net_of(3, 5, 2).stream()
    with pytest.raises(AttributeError):
        del stream.state


@pytest.mark.parametrize("batch", [None, 3])
def test_state(net_of, batch):
    net = net_of(3, 5, 2)
    x = inputs(net, batch=batch, steps=8)
    stream = net.stream(batch)
    shape = (5,) if batch is None else (3, 5)
    assert all(part.shape == shape for part in parts_of(stream.state))
    assert not np.any(stream.state)
    stream.run(x)
    kept = stream.state
    second = stream.run(x)
    stream.state = kept
    assert np.array_equal(stream.run(x), second)
    expected = net.predict(x, h0=kept)
    assert np.array_equal(second, expected)
    stream.reset()
    assert not np.any(stream.state)
    for part in parts_of(stream.state):
        part[...] = 9  # a copy: nobody else's
    assert not np.any(stream.state)
    given = state_like(stream, np.full(shape, 0.25, net.dtype))
    stream.state = given
    for part in parts_of(given):
        part[...] = 9
    assert np.all(np.equal(stream.state, 0.25))
    stream.state = state_like(stream, np.full(shape, 0.5))  # of another dtype
    assert all(np.array_equal(p, np.full(shape, 0.5, "f")) for p in parts_of(stream.state))


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
        (np.zeros(3, np.float32), ValueError),
        (np.zeros((1, 2), np.float32), ValueError),
        (np.zeros(2, np.float64), TypeError),
        (np.zeros(4, np.float32)[::2], ValueError),
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
    for x in (np.ones(3), np.ones(3, np.float32)):  # to be converted, and as it is
        with pytest.raises(
            kind, match=r"^out: expected a writable C-contiguous float32 array of shape"
        ):
            stream.step(x, out=out)
        assert np.array_equal(stream.state, before)
        assert np.array_equal(out, kept)


@pytest.mark.parametrize("batch", [None, 1, 48])
def test_out_may_be_the_inputs(net_of, batch):
    # Of 48 sequences, a step is work for two threads.
    net = net_of(128, 128, 128)
    x = inputs(net, batch=batch, steps=3)
    expected = net.predict(x)
    stream = net.stream(batch)
    for t in range(3):
        x_t = np.ascontiguousarray(x[..., t, :])
        assert stream.step(x_t, out=x_t) is x_t
        assert np.array_equal(x_t, expected[..., t, :])


def test_out_of_a_batch(net_of):
    net = net_of(3, 5, 2)
    stream, x = net.stream(4), np.ones((4, 3), np.float32)
    expected = net.stream(4).step(x)
    out = np.full((4, 2), np.nan, np.float32)
    assert stream.step(x, out) is out
    assert np.array_equal(out, expected)
    before, kept = stream.state, out.copy()
    for unsuitable in (out[:3], out[0], out.T, np.zeros((4, 5), np.float32)[:, :2]):
        with pytest.raises(ValueError, match=r"^out: expected .* array of shape \(4, 2\), got"):
            stream.step(x, out=unsuitable)
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
    out = np.full(2, 7, np.float32)
    with pytest.raises(kind, match=message):
        stream.step(x)
    with pytest.raises(kind, match=message):
        stream.step(x, out=out)
    assert np.array_equal(stream.state, before)
    assert np.array_equal(out, [7, 7])


def test_bad_blocks_and_states(net_of):
    stream = net_of(3, 5, 2).stream(2)
    stream.step(np.ones((2, 3)))
    before = stream.state
    with pytest.raises(ValueError, match=r"^x: expected shape \(batch=2, time, inputs=3\), got"):
        stream.run(np.ones((3, 4, 3)))
    with pytest.raises(ValueError, match=r"^x: expected at least one time step"):
        stream.run(np.ones((2, 0, 3)))
    with pytest.raises(ValueError, match=r"^x: expected finite numbers, got nan"):
        stream.run(np.full((2, 4, 3), np.nan))
    name = r"state(\[0\])?"
    with pytest.raises(ValueError, match=rf"^{name}: expected shape \(batch=2, hidden=5\), got"):
        stream.state = state_like(stream, np.ones(5))
    with pytest.raises(ValueError, match=rf"^{name}: expected finite numbers, got nan at index"):
        stream.state = state_like(stream, np.full((2, 5), np.nan))
    with pytest.raises(TypeError, match=r"^state: expected (an array|a pair \(h, c\)), got None"):
        stream.state = None
    if isinstance(before, tuple):
        with pytest.raises(ValueError, match=r"^state\[1\]: expected shape \(batch=2, hidden=5\)"):
            stream.state = np.ones((2, 5)), np.ones((2, 4))
        with pytest.raises(ValueError, match=r"^state: expected a pair \(h, c\), got 3 of them"):
            stream.state = np.ones((2, 5)), np.ones((2, 5)), np.ones((2, 5))
        with pytest.raises(TypeError, match=r"^state: expected a pair \(h, c\), got ndarray"):
            stream.state = np.ones((2, 2, 5))
    assert np.array_equal(stream.state, before)
    # The last number of the last step is looked at too.
    x = np.ones((2, 4, 3), np.float32)
    x[1, 3, 2] = np.inf
    with pytest.raises(ValueError, match=r"^x: expected finite numbers, got inf at index"):
        stream.run(x)
    assert np.array_equal(stream.state, before)


def test_twins_refuse_alike(both_kernels):
    """The same kind of error, with the same words."""
    streams = [crnn.RNN(3, 5, 2, seed=0, implementation=i).stream() for i in ("native", "python")]
    good = np.ones(3, np.float32)
    off_by_a_byte = np.frombuffer(bytearray(9), np.uint8)[1:].view(np.float32)
    outs = [[0, 0], np.zeros(3, np.float32), np.zeros(2), np.zeros((1, 2), np.float32)]
    outs += [np.zeros(4, np.float32)[::2], np.zeros(2, ">f4"), off_by_a_byte, memoryview(good)]
    calls = {f"step {name}": lambda s, x=x: s.step(x) for name, (x, *_) in BAD_INPUTS.items()}
    calls |= {f"run {name}": lambda s, x=x: s.run([x]) for name, (x, *_) in BAD_INPUTS.items()}
    calls |= {
        f"state {name}": lambda s, x=x: setattr(s, "state", x)
        for name, (x, *_) in BAD_INPUTS.items()
    }
    calls |= {f"out {i}": lambda s, out=out: s.step(good, out) for i, out in enumerate(outs)}
    calls |= {"pickle": pickle.dumps, "no steps": lambda s: s.run(np.ones((0, 3), np.float32))}
    for name, call in calls.items():
        said = []
        for stream in streams:
            with pytest.raises((TypeError, ValueError)) as caught:
                call(stream)
            said.append((caught.type, str(caught.value)))
        assert said[0] == said[1], name


@pytest.mark.parametrize(
    "x",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3]),
        np.array([1.0, 2.0, 3.0]),
        np.array([1.0, 9, 2.0, 9, 3.0], np.float32)[::2],
        np.array([3.0, 2.0, 1.0], np.float32)[::-1],
        np.array([1.0, 2.0, 3.0], ">f4"),
        np.array([1.0, 2.0, 3.0], np.float16),
        np.frombuffer(b"-" + np.array([1, 2, 3], np.float32).tobytes(), np.uint8)[1:].view("f4"),
        np.ma.masked_array(np.array([1, 2, 3], np.float32)),
    ],
    ids=[
        "ints",
        "tuple",
        "int array",
        "float64",
        "strided",
        "reversed",
        "big-endian",
        "float16",
        "off by a byte",
        "masked array without gaps",
    ],
)
def test_inputs_that_are_converted(net_of, x):
    net = net_of(3, 5, 2)
    expected = net.stream().step(np.array([1, 2, 3], np.float32))
    assert np.array_equal(net.stream().step(x), expected)
    out = np.empty(2, np.float32)
    net.stream().step(x, out=out)
    assert np.array_equal(out, expected)


def test_blocks_that_are_converted(net_of):
    net = net_of(3, 5, 2)
    x = inputs(net, batch=4, steps=6)
    expected = net.predict(x)
    by_time = np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    for block in (by_time, x.astype(np.float64), x.tolist(), np.repeat(x, 2, 1)[:, ::2]):
        assert np.array_equal(net.stream(4).run(block), expected)


def test_read_only_inputs(net_of):
    net = net_of(3, 5, 2)
    x = np.ones(3, np.float32)
    x.flags.writeable = False
    assert np.array_equal(net.stream().step(x), net.stream().step([1, 1, 1]))
    block = inputs(net, batch=None, steps=4)
    expected = net.predict(block)
    block.flags.writeable = False
    assert np.array_equal(net.stream().run(block), expected)


@pytest.mark.parametrize(
    ("batch_size", "kind"),
    [
        (0, ValueError),
        (-1, ValueError),
        (1.5, TypeError),
        (True, TypeError),
        ("2", TypeError),
        ([2], TypeError),
    ],
)
def test_bad_batch_size(net_of, batch_size, kind):
    with pytest.raises(kind, match=r"^batch_size: expected"):
        net_of(3, 5, 2).stream(batch_size)


def test_batch_size_is_a_whole_number_of_any_type(net_of):
    stream = net_of(3, 5, 2).stream(np.int64(2))
    assert type(stream.batch_size) is int
    assert stream.step(np.ones((2, 3))).shape == (2, 2)


@pytest.mark.parametrize("batch_size", [2**60, 2**63], ids=["2^60", "2^63"])
def test_batches_larger_than_memory(implementation, run_python, batch_size):
    """2^60 times the bytes of a state is 0 modulo 2^64: no small buffer may come of it."""
    code = f"""
import crnn
try:
    stream = crnn.RNN(3, 5, 2, implementation={implementation!r}).stream({batch_size})
    stream.reset()
except (MemoryError, OverflowError, ValueError):
    print("refused")
"""
    done = run_python(code)
    assert done.stdout == "refused\n", done


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


def calls_of(stream, x, out):
    """Everything that uses a stream's state, by name."""
    given = state_like(stream, np.zeros(stream.hidden_size))
    return {
        "step": lambda: stream.step(x[0]),
        "step to out": lambda: stream.step(x[0], out=out),
        "run": lambda: stream.run(x[:2]),
        "state": lambda: stream.state,
        "assign": lambda: setattr(stream, "state", given),
        "reset": stream.reset,
        "copy": stream.copy,
        "copy.copy": lambda: copy.copy(stream),
    }


def run_unless_refused(stream, x, result):
    """What the other thread does: the looks of the main thread may come just when it enters."""
    end = time.monotonic() + 30  # or never, if the refusals have another reason
    while not result and time.monotonic() < end:
        with contextlib.suppress(RuntimeError):
            result.append(stream.run(x))


def test_second_thread_is_refused(net_of):
    """While one thread is in a stream; and what that thread computes does not suffer."""
    net = net_of(16, 128, 8)
    out = np.full(8, 7, np.float32)
    steps, all_came = 4000, False
    while not all_came:
        stream, x, result = net.stream(), inputs(net, batch=None, steps=steps), []
        twin = stream.copy()
        calls, said = calls_of(stream, x, out), {}
        thread = threading.Thread(target=run_unless_refused, args=(stream, x, result))
        thread.start()
        seen = False
        while thread.is_alive() and not seen:
            time.sleep(0.001)  # out of the stream, or the thread might never come in
            try:
                _ = stream.state  # disturbs nothing if the thread is not in there yet
            except RuntimeError:
                seen = True
        for name, call in calls.items():
            if thread.is_alive():
                try:
                    call()
                except RuntimeError as error:
                    said[name] = str(error)
                else:
                    # It may have left meanwhile, but not be in there still.
                    assert not thread.is_alive(), f"{name}: not refused"
        twin_y = twin.step(x[0])  # its own: nobody is in there
        all_came = thread.is_alive()
        thread.join()
        steps *= 2
        assert steps < 1 << 20, f"no thread in the stream for long enough: {said}"
    busy = "stream: expected one thread at a time, got a call while another thread is in it"
    assert said == dict.fromkeys(calls, busy)
    assert np.array_equal(out, np.full(8, 7))
    expected = net.predict(x)
    assert np.array_equal(result[0], expected)
    assert np.array_equal(twin_y, expected[0])
    stream.reset()
    assert np.array_equal(stream.run(x[:50]), net.predict(x[:50]))


def test_one_stream_of_several_threads_moves_once_a_step(net_of):
    """Each step is either refused or whole: the state is that of so many steps."""
    # Of 8 sequences, enough work that a step lets go of the GIL.
    net, x, counts = net_of(16, 128, 8), np.full((8, 16), 0.3, np.float32), []
    stream = net.stream(8)

    def work():
        made, end = 0, time.monotonic() + 30
        while made < 150 and time.monotonic() < end:
            try:
                stream.step(x)
                made += 1
            except RuntimeError:
                time.sleep(0.0001)
        counts.append(made)

    threads = [threading.Thread(target=work) for _ in itertools.repeat(None, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [150] * 4
    made = sum(counts)
    # So many steps that a state which does not settle tells them apart.
    _, h_n = net.predict(np.repeat(x[:, None], made, 1), return_state=True)
    assert np.array_equal(stream.state, h_n)


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
    stream, x, out = net.stream(), np.ones(8, np.float32), np.empty(4, np.float32)
    wrong = np.full(8, np.nan, np.float32)

    def resident():
        gc.collect()
        return int(status.read_text().split()[1]) * mmap.PAGESIZE

    def use(times):
        for _ in itertools.repeat(None, times):
            stream.step(x, out=out)
        for _ in itertools.repeat(None, times // 4):
            stream.step(x)
        for _ in itertools.repeat(None, times // 250):
            stream.copy().run(np.ones((3, 8), np.float32))
            net.stream().state = stream.state
            with pytest.raises(ValueError, match="finite"):
                stream.step(wrong)

    use(20_000)
    before = resident()
    use(1_000_000)
    assert resident() - before < 1 << 20


def test_references_are_given_back(net_of):
    stream = net_of(3, 5, 2).stream()
    x, block = np.ones(3, np.float32), np.ones((4, 3), np.float32)
    out, wrong = np.empty(2, np.float32), np.empty(5, np.float32)
    things = [stream, x, block, out, wrong]
    assert sys.getrefcount(stream.step(x)) == sys.getrefcount(np.empty(2))
    before = [sys.getrefcount(thing) for thing in things]
    for _ in itertools.repeat(None, 100):
        stream.step(x, out=out)
        stream.step(x)
        stream.run(block)
        stream.state = stream.state
        stream.copy()
        for call in (lambda: stream.step(x, out=wrong), lambda: stream.step(block)):
            with pytest.raises(ValueError, match="expected"):
                call()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in things] == before


def test_nothing_outside_the_arrays_is_touched(both_kernels, run_python):
    """Arrays stand right beside pages that may be neither read nor written."""
    if sys.platform == "win32":
        pytest.skip("protects pages as POSIX does")
    done = run_python(BESIDE_PROTECTED_PAGES)
    assert done.stdout == "equal\n", (done.returncode, done.stderr)


BESIDE_PROTECTED_PAGES = """
import ctypes, mmap
import numpy as np, crnn
from crnn.kernels.native import Stream

PAGE = mmap.PAGESIZE
protect = ctypes.CDLL(None).mprotect
protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

def beside(values, at_end):
    pages = -(-values.nbytes // PAGE)
    whole = np.frombuffer(mmap.mmap(-1, (pages + 2) * PAGE), np.uint8)
    first = whole.ctypes.data
    assert protect(first, PAGE, 0) == protect(first + (pages + 1) * PAGE, PAGE, 0) == 0
    start = PAGE + (pages * PAGE - values.nbytes) * at_end
    part = whole[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    part[...] = values
    return part

rng = np.random.default_rng(0)
for family, dtype in [(f, d) for f in (crnn.RNN, crnn.GRU, crnn.LSTM) for d in ("f4", "f8")]:
    for H in (*range(1, 35), 64, 70):
        I, O = (int(n) for n in rng.integers([1, 0], 36))
        net = family(I, H, O or None, dtype=dtype, seed=0, implementation="native")
        cell = {"RNN": "tanh", "GRU": "gru", "LSTM": "lstm"}[family.__name__]
        for batch in (None, 1, 3, 16):
            axes = () if batch is None else (batch,)
            x = rng.standard_normal((*axes, 4, I)).astype(dtype)
            expected = net.predict(x)
            for at_end in (False, True):
                stream = Stream(cell, beside(net.flat_params, at_end), I, H, O, batch, None)
                x_t = beside(x[..., 0, :], at_end)
                y_t = beside(expected[..., 0, :], at_end)
                for t in range(4):
                    x_t[...] = x[..., t, :]
                    stream.step(x_t, out=y_t)
                    assert np.array_equal(y_t, expected[..., t, :])
                stream.reset()
                assert np.array_equal(stream.run(beside(x, at_end)), expected)
print("equal")
"""


def test_time_of_a_step(native_net, capsys):
    """Print it; the bound is ten times what it takes, for machines that are busy."""
    net = native_net(8, 32, 4)
    stream, x, out = net.stream(), np.ones(8, np.float32), np.empty(4, np.float32)
    clock = time.perf_counter_ns
    nanoseconds = np.empty(1_000_000)
    for name, step, limit in (
        ("step(x, out=y)", lambda: stream.step(x, out=out), 3000),
        ("step(x)", lambda: stream.step(x), 5000),
    ):
        for i in range(len(nanoseconds)):
            start = clock()
            step()
            nanoseconds[i] = clock() - start
        median, tail = np.percentile(nanoseconds, [50, 99.9])
        with capsys.disabled():
            print(
                f"\n{name}, H = 32, I = 8: median {median:.0f} ns, p99.9 {tail:.0f} ns "
                f"= {tail / median:.1f} medians (a million steps, with lambda and clock)"
            )
        assert median < limit


def test_objects_without_init_do_not_crash(both_kernels):
    native, _ = both_kernels
    empty = native.Stream.__new__(native.Stream)
    for use in (
        lambda: empty.step(np.ones(3)),
        lambda: empty.step(np.ones(3, np.float32), np.ones(3, np.float32)),
        lambda: empty.run(np.ones((2, 3))),
        lambda: empty.state,
        lambda: setattr(empty, "state", np.ones(3)),
        lambda: empty.run(np.ones((2, 3), np.float32)),
        lambda: empty.run(np.ones((0, 0), np.float32)),
        lambda: empty.step(np.ones(0)),
        lambda: empty.copy(),
        lambda: copy.copy(empty),
        lambda: copy.deepcopy(empty),
        lambda: pickle.dumps(empty),
        lambda: empty.dtype,
        lambda: repr(empty),
        lambda: native.Stream(),
        lambda: native.Stream("tanh", np.zeros(9), 3, 5),
    ):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            use()
    empty.reset()
    assert (empty.input_size, empty.hidden_size, empty.output_size) == (0, 0, 0)
    assert empty.batch_size is None
    # A failed __init__ leaves as much, and the next one may succeed.
    with pytest.raises(ValueError, match="theta"):
        empty.__init__("tanh", np.zeros(9), 3, 5, 2, None, None)
    with pytest.raises((TypeError, AttributeError)):
        empty.step(np.ones(3))
    theta = np.ones(3 * 5 + 5 * 5 + 5 + 2 * 5 + 2)
    empty.__init__("tanh", theta, 3, 5, 2, None, None)
    assert np.array_equal(empty.step(np.zeros(3)), np.full(2, 1 + 5 * np.tanh(1)))


def test_native_refuses_what_would_crash_it(both_kernels):
    native, _ = both_kernels
    theta = np.zeros(3 * 5 + 5 * 5 + 5 + 2 * 5 + 2, np.float32)
    stream = native.Stream("tanh", theta, 3, 5, 2, None, None)
    with pytest.raises(RuntimeError, match="second __init__"):
        stream.__init__("tanh", theta, 3, 5, 2, None, None)
    for sizes in ((3, 5, 1), (0, 5, 2), (3, -5, 2)):
        with pytest.raises(ValueError, match="expected"):
            native.Stream("tanh", theta, *sizes, None, None)
    with pytest.raises(ValueError, match=r"^cell: expected one of tanh, "):
        native.Stream("LSTM", theta, 3, 5, 2, None, None)
    with pytest.raises(ValueError, match="theta"):
        native.Stream("tanh", theta.astype(int), 3, 5, 2, None, None)
    # A converter that returns nonsense
    for nonsense in (None, np.ones(2, np.float32), np.ones(3, np.float64), "x"):
        bad = native.Stream("tanh", theta, 3, 5, 2, None, lambda *_, value=nonsense: value)
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
        "cell": "tanh",
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
