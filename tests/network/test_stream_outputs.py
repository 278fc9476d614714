"""Outputs of streams: the bits of predict, one step or block at a time."""

import numpy as np
import pytest
from network_problems import DTYPES, I, inputs
from stream_problems import SIZES, assert_outputs_of_predict, in_blocks, in_steps

import crnn

dtypes = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.loops
@dtypes
@pytest.mark.parametrize("batch", [None, 5])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_bits_of_predict(network_of_family, dtype, batch, sizes):
    assert_outputs_of_predict(network_of_family(*sizes, dtype=dtype), batch)


@pytest.mark.loops
@dtypes
@pytest.mark.parametrize("batch", [1, 2, 16])
@pytest.mark.parametrize("sizes", [(8, 32, 4), (7, 33, 9)], ids=str)
def test_batches_of_other_sizes(network_of_family, dtype, batch, sizes):
    assert_outputs_of_predict(network_of_family(*sizes, dtype=dtype), batch)


@pytest.mark.parametrize(
    "settings",
    [{"num_layers": 3}, {"trainable_h0": True}, {"num_layers": 2, "trainable_h0": True}],
    ids=str,
)
@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("hidden", [5, 40])
def test_bits_of_predict_of_layers_and_trained_states(network_of, settings, batch, hidden):
    net = network_of(hidden_size=hidden, dtype="float32", **settings)
    assert_outputs_of_predict(net, batch)


@pytest.mark.loops
@dtypes
def test_every_remainder_of_hidden_units(native_family, dtype):
    rng = np.random.default_rng(11)
    for H in range(1, 71):
        I, O = (int(size) for size in rng.integers([1, 0], 36))
        net = native_family(I, H, O or None, dtype=dtype)
        for batch in (None, int(rng.integers(1, 18))):
            x = inputs(net, batch, 15)
            expected, h_n = net.predict(x, return_state=True)
            stream = net.stream(batch)
            y = in_blocks(stream, x, seed=H)
            assert np.array_equal(y, expected), (I, H, O, batch)
            assert np.array_equal(stream.state, h_n), (I, H, O, batch)


@pytest.mark.loops
@dtypes
@pytest.mark.parametrize(
    ("sizes", "batch", "steps"),
    # predict keeps 2^18 bytes of states: 1024 steps of 64 float32, or the fewest it ever does, 24.
    [((2, 64, 3), None, 2500), ((3, 64, None), 5, 500), ((2, 70, 3), 40, 70)],
    ids=str,
)
def test_blocks_longer_than_what_predict_keeps_at_a_time(native_family, dtype, sizes, batch, steps):
    net = native_family(*sizes, dtype=dtype)
    x = inputs(net, batch, steps)
    stream = net.stream(batch)
    cut = steps // 2 - 7
    blocks = (np.ascontiguousarray(x[..., part, :]) for part in (slice(cut), slice(cut, None)))
    y = np.concatenate([stream.run(block) for block in blocks], -2)
    assert np.array_equal(y, net.predict(x))


@dtypes
@pytest.mark.parametrize("sizes", [(3, 40, 5), (64, 300, 64)], ids=str)
def test_same_bits_for_every_number_of_threads(native_family, sizes, dtype):
    net = native_family(*sizes, dtype=dtype)
    x = inputs(net, 13, 6)
    before = crnn.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            crnn.set_num_threads(threads)
            results += [in_steps(net.stream(13), x), net.stream(13).run(x), net.predict(x)]
            results.append(in_blocks(net.stream(13), x, seed=threads))
    finally:
        crnn.set_num_threads(before)
    for y in results:
        assert np.array_equal(y, results[0])


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
    process = run_python(code, CRNN_CPU=name, CRNN_IMPLEMENTATION="native")
    if "CRNN_CPU: expected" in process.stderr:
        pytest.skip(f"this processor does not run {name}")
    assert process.stdout == "equal\n", process.stderr


def test_out(network_of_family):
    net = network_of_family(3, 5, 3, dtype="float32")
    x = inputs(net, None, 2)
    expected = net.predict(x)
    stream = net.stream()
    out = np.full(3, np.nan, np.float32)
    assert stream.step(x[0], out=out) is out
    assert np.array_equal(out, expected[0])
    x_t = x[1].copy()
    assert stream.step(x_t, x_t) is x_t
    assert np.array_equal(x_t, expected[1])


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("batch", [None, 1, 4])
def test_out_may_be_the_inputs(network_of_family, batch, num_layers):
    assert_inputs_may_be_overwritten(
        network_of_family(16, 16, 16, dtype="float32", num_layers=num_layers), batch
    )


def test_out_may_be_the_inputs_of_two_threads(native_family):
    # A step of 48 sequences is work for two threads.
    assert_inputs_may_be_overwritten(native_family(128, 128, 128, dtype="float32"), 48)


def assert_inputs_may_be_overwritten(net, batch):
    x = inputs(net, batch, 3)
    expected = net.predict(x)
    stream = net.stream(batch)
    for t in range(3):
        x_t = np.ascontiguousarray(x[..., t, :])
        assert stream.step(x_t, out=x_t) is x_t
        assert np.array_equal(x_t, expected[..., t, :])


def test_results_are_new_arrays(network_of_family):
    stream = network_of_family().stream()
    first = stream.step(np.ones(I))
    kept = first.copy()
    second = stream.step(np.ones(I))
    assert not np.shares_memory(first, second)
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
