"""The network: parameters and their views, initial values, forward, backward, predict, forecast."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import crnn

T, B, I, H, O = 6, 4, 3, 5, 2
SHAPES = {"W_xh": (H, I), "W_hh": (H, H), "b_h": (H,), "W_hy": (O, H), "b_y": (O,)}

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def inputs(dtype="float64", features=I, seed=0):
    return np.random.default_rng(seed).standard_normal((B, T, features)).astype(dtype)


def initial_state(dtype="float64", seed=1):
    return np.tanh(np.random.default_rng(seed).standard_normal((B, H))).astype(dtype)


@dtypes
def test_parameters_have_the_shapes_of_the_formulas(build_network, dtype):
    net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype)
    assert list(net.params) == list(SHAPES)
    assert {name: values.shape for name, values in net.params.items()} == SHAPES
    assert {values.dtype for values in net.params.values()} == {np.dtype(dtype)}
    assert net.flat_params.shape == (sum(int(np.prod(shape)) for shape in SHAPES.values()),)
    assert net.flat_params.dtype == dtype
    assert (net.input_size, net.hidden_size, net.output_size) == (I, H, O)
    assert net.dtype == np.dtype(dtype)


def test_flat_vector_is_under_the_views_in_order(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    net.flat_params[...] = np.arange(net.flat_params.size)
    expected = np.concatenate([net.params[name].ravel() for name in SHAPES])
    assert np.array_equal(expected, np.arange(expected.size))
    for name, values in net.params.items():
        assert np.shares_memory(values, net.flat_params), name
        assert np.shares_memory(getattr(net, name), values), name
        assert getattr(net, name).shape == SHAPES[name]


def test_assigning_into_a_view_changes_the_network(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    x = inputs()
    before = net.predict(x)
    net.b_y[...] += 0.5
    np.testing.assert_allclose(net.predict(x), before + 0.5, rtol=1e-14)
    net.params["b_y"][1] -= 0.5
    np.testing.assert_allclose(net.predict(x), before + np.array([0.5, 0.0]), rtol=1e-14)
    net.flat_params[...] = 0.0
    assert np.array_equal(net.predict(x), np.zeros((B, T, O)))


@pytest.mark.parametrize("name", SHAPES)
def test_a_parameter_cannot_be_replaced(build_network, name):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    before = net.flat_params.tobytes()
    with pytest.raises(AttributeError) as caught:
        setattr(net, name, np.zeros(SHAPES[name]))
    assert f"{name}[...]" in str(caught.value)
    assert net.flat_params.tobytes() == before
    assert np.shares_memory(getattr(net, name), net.flat_params)


def test_flat_parameters_cannot_be_replaced(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    before = net.flat_params
    with pytest.raises(AttributeError):
        net.flat_params = np.zeros(before.size)
    assert np.shares_memory(net.flat_params, before)
    with pytest.raises((AttributeError, TypeError)):
        net.params["W_xh"] = np.zeros((H, I))
    assert np.shares_memory(net.params["W_xh"], before)


def test_without_output_layer_the_outputs_are_the_hidden_states(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=None)
    assert list(net.params) == ["W_xh", "W_hh", "b_h"]
    assert net.flat_params.shape == (H * I + H * H + H,)
    assert not hasattr(net, "W_hy")
    tape = net.forward(x=inputs(), h0=initial_state())
    assert np.array_equal(tape.y, tape.h[:, 1:])
    assert np.array_equal(net.predict(x=inputs(), h0=initial_state()), tape.y)
    assert list(net.backward(tape=tape, dy=np.ones((B, T, H)))) == ["W_xh", "W_hh", "b_h"]


# Sizes large enough for the statistics below.
WIDE = {"input_size": 60, "hidden_size": 50, "output_size": 40}


@dtypes
def test_orthogonal_init(implementation, dtype):
    net = crnn.RNN(**WIDE, dtype=dtype, seed=0, implementation=implementation)
    identity = net.W_hh.astype(np.float64) @ net.W_hh.T.astype(np.float64)
    # An orthogonal matrix rounded to the dtype: errors of 50 products of its roundoff.
    np.testing.assert_allclose(identity, np.eye(50), atol=1e-6 if dtype == "float32" else 1e-14)
    for weights, fan_in, fan_out in ((net.W_xh, 60, 50), (net.W_hy, 50, 40)):
        check_uniform(weights, bound=np.sqrt(6 / (fan_in + fan_out)))
    assert np.array_equal(net.b_h, np.zeros(50))
    assert np.array_equal(net.b_y, np.zeros(40))


@dtypes
def test_uniform_init(implementation, dtype):
    net = crnn.RNN(**WIDE, dtype=dtype, seed=0, init="uniform", implementation=implementation)
    for weights in (net.W_xh, net.W_hh, net.W_hy):
        check_uniform(weights, bound=1 / np.sqrt(50))
    assert np.array_equal(net.b_h, np.zeros(50))
    assert np.array_equal(net.b_y, np.zeros(40))


def check_uniform(weights, *, bound):
    """Check that weights look uniform in +-bound; there are at least 2000 of them."""
    # Rounding to float32 may carry a number to just above the bound.
    assert np.abs(weights).max() <= bound * (1 + 1e-7)
    # The largest of 2000 falls below 0.98 of the bound once in 1e17 draws.
    assert np.abs(weights).max() > 0.98 * bound
    standard_deviation = bound / np.sqrt(3)
    # Six standard errors of the mean, and of the standard deviation (kurtosis of uniform: 1.8).
    assert abs(weights.mean()) < 6 * standard_deviation / np.sqrt(weights.size)
    error = standard_deviation * np.sqrt(0.8 / (4 * weights.size))
    assert abs(weights.std() - standard_deviation) < 6 * error
    # Neighbours along either axis are independent: correlations below six standard errors.
    for axis in (0, 1):
        first = np.take(weights, range(weights.shape[axis] - 1), axis=axis).ravel()
        second = np.take(weights, range(1, weights.shape[axis]), axis=axis).ravel()
        assert abs(np.corrcoef(first, second)[0, 1]) < 6 / np.sqrt(first.size)


def test_orthogonal_init_covers_both_signs(implementation):
    # The orthogonal matrices of one unit are 1 and -1; QR without a sign correction gives one of
    # them only. Thirty draws are all alike once in 5e8 cases.
    drawn = {
        float(crnn.RNN(1, 1, 1, seed=seed, implementation=implementation).W_hh[0, 0])
        for seed in range(30)
    }
    assert drawn == {1.0, -1.0}


def test_default_is_float32_and_orthogonal(implementation):
    net = crnn.RNN(input_size=I, hidden_size=H, seed=3, implementation=implementation)
    same = crnn.RNN(
        input_size=I,
        hidden_size=H,
        output_size=None,
        dtype="float32",
        seed=3,
        init="orthogonal",
        implementation=implementation,
    )
    assert net.dtype == np.float32
    assert net.output_size is None
    assert net.flat_params.tobytes() == same.flat_params.tobytes()


@pytest.mark.parametrize("init", ["orthogonal", "uniform"])
def test_seed_decides_the_parameters(implementation, init):
    def parameters(seed, implementation=implementation):
        net = crnn.RNN(I, H, O, seed=seed, init=init, implementation=implementation)
        return net.flat_params.tobytes()

    assert parameters(5) == parameters(5)
    assert parameters(5) != parameters(6)
    assert parameters(None) != parameters(None)
    # Both implementations can start from the same network.
    assert parameters(5) == parameters(5, implementation="python")


def test_global_random_state_is_left_alone(implementation):
    np.random.seed(0)  # noqa: NPY002 - the legacy state is what must stay as it is
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    net = crnn.RNN(I, H, O, implementation=implementation)
    net.fit(inputs(), inputs(features=O), epochs=1)
    assert np.array_equal(np.random.random(3), expected)  # noqa: NPY002


@pytest.mark.parametrize("dtype", [np.float64, np.dtype("float64"), "float64", "f8", float])
def test_dtype_in_any_spelling(implementation, dtype):
    net = crnn.RNN(I, H, O, dtype=dtype, implementation=implementation)
    assert net.flat_params.dtype == np.float64


def test_sizes_may_be_numpy_integers(implementation):
    net = crnn.RNN(np.int64(I), np.int32(H), np.uint8(O), implementation=implementation)
    assert net.W_hy.shape == (O, H)


@dtypes
def test_forward_has_the_shapes_and_dtype_of_the_network(build_network, dtype):
    net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype)
    tape = net.forward(x=inputs(dtype), h0=initial_state(dtype))
    assert (tape.y.shape, tape.y.dtype) == ((B, T, O), dtype)
    assert (tape.h.shape, tape.h.dtype) == ((B, T + 1, H), dtype)
    assert (tape.h_n.shape, tape.h_n.dtype) == ((B, H), dtype)
    assert np.array_equal(tape.h[:, 0], initial_state(dtype))
    assert np.array_equal(tape.h_n, tape.h[:, -1])


@dtypes
def test_one_sequence_comes_back_as_one(build_network, assert_close, dtype):
    net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype)
    x, h0 = inputs(dtype), initial_state(dtype)
    batch = net.forward(x=x, h0=h0)
    alone = net.forward(x=x[2], h0=h0[2])
    assert_close(alone.y, batch.y[2], dtype=dtype)
    assert_close(alone.h, batch.h[2], dtype=dtype)
    assert_close(alone.h_n, batch.h_n[2], dtype=dtype)
    y, h_n = net.predict(x=x[2], h0=h0[2], return_state=True)
    assert_close(y, batch.y[2], dtype=dtype)
    assert_close(h_n, batch.h_n[2], dtype=dtype)
    grads = net.backward(tape=alone, dy=np.ones((T, O), dtype), dh_n=np.ones(H, dtype))
    assert grads.x.shape == (T, I)
    assert grads.h0.shape == (H,)
    # A batch of one stays a batch.
    assert net.predict(x=x[2:3]).shape == (1, T, O)


def test_missing_initial_state_is_zero(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    zero = net.forward(x=inputs(), h0=np.zeros((B, H)))
    missing = net.forward(x=inputs())
    assert np.array_equal(missing.h, zero.h)
    assert np.array_equal(missing.h[:, 0], np.zeros((B, H)))
    assert not np.array_equal(net.predict(x=inputs(), h0=initial_state()), zero.y)


@dtypes
@pytest.mark.parametrize("output_size", [O, None], ids=["outputs", "hidden states"])
def test_predict_is_forward_without_a_tape(build_network, assert_close, dtype, output_size):
    net = build_network(input_size=I, hidden_size=H, output_size=output_size, dtype=dtype)
    tape = net.forward(x=inputs(dtype), h0=initial_state(dtype))
    y = net.predict(x=inputs(dtype), h0=initial_state(dtype))
    assert_close(y, tape.y, dtype=dtype)
    y, h_n = net.predict(x=inputs(dtype), h0=initial_state(dtype), return_state=True)
    assert_close(y, tape.y, dtype=dtype)
    assert_close(h_n, tape.h_n, dtype=dtype)


@pytest.mark.parametrize("output_size", [1, None], ids=["outputs", "hidden states"])
def test_predict_of_a_long_sequence(build_network, assert_close, output_size):
    # Its states take 5 MB, which a call that keeps no tape has no need to hold at once; wherever
    # it goes on from one part to the next, the state must come along.
    net = build_network(input_size=1, hidden_size=64, output_size=output_size)
    x = np.random.default_rng(2).standard_normal((1, 10_000, 1))
    tape = net.forward(x=x)
    y, h_n = net.predict(x=x, return_state=True)
    assert_close(y, tape.y, dtype="float64")
    assert_close(h_n, tape.h_n, dtype="float64")


def test_results_of_earlier_calls_stay(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    tape = net.forward(x=inputs(seed=1), h0=initial_state())
    y, h_n = net.predict(x=inputs(seed=1), h0=initial_state(), return_state=True)
    grads = net.backward(tape=tape, dy=np.ones((B, T, O)))
    kept = [tape.y, tape.h, tape.h_n, y, h_n, grads.flat, grads.x, grads.h0]
    before = [values.copy() for values in kept]
    other = net.forward(x=inputs(seed=2))
    net.predict(x=inputs(seed=2))
    net.backward(tape=other, dy=-np.ones((B, T, O)))
    net.train_step(x=inputs(seed=2), y=np.ones((B, T, O)), optimizer=crnn.SGD(0.1))
    for values, kept_values in zip(kept, before, strict=True):
        assert np.array_equal(values, kept_values)


def test_threads_may_share_a_network(build_network):
    # Kernels run without the interpreter's lock, so scratch memory must not be shared.
    net = build_network(input_size=I, hidden_size=40, output_size=O)
    batches = [np.random.default_rng(seed).standard_normal((8, 30, I)) for seed in range(16)]

    def outputs(x):
        tape = net.forward(x=x)
        return net.backward(tape=tape, dy=tape.y).flat, net.predict(x=x)

    expected = [outputs(x) for x in batches]
    with ThreadPoolExecutor(max_workers=4) as threads:
        for _ in range(5):
            for actual, alone in zip(threads.map(outputs, batches), expected, strict=True):
                assert np.array_equal(actual[0], alone[0])
                assert np.array_equal(actual[1], alone[1])


@pytest.mark.parametrize("output_size", [O, None], ids=["outputs", "hidden states"])
def test_arguments_are_not_changed(build_network, output_size):
    net = build_network(input_size=I, hidden_size=H, output_size=output_size)
    outputs = output_size or H
    x, h0 = inputs(), initial_state()
    dy, dh_n = np.ones((B, T, outputs)), np.ones((B, H))
    y = inputs(features=outputs, seed=3)
    before = [values.copy() for values in (x, h0, dy, dh_n, y)]
    net.backward(tape=net.forward(x=x, h0=h0), dy=dy, dh_n=dh_n)
    net.predict(x=x, h0=h0)
    net.train_step(x=x, y=y, optimizer=crnn.SGD(0.1), clip_norm=0.1)
    net.fit(x, y, epochs=2, batch_size=2, seed=0)
    for values, kept_values in zip((x, h0, dy, dh_n, y), before, strict=True):
        assert np.array_equal(values, kept_values)


def test_changing_the_input_afterwards_does_not_change_the_tape(build_network):
    # Backward needs x again; a reused buffer must not corrupt a gradient unnoticed.
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    x, h0 = inputs(), initial_state()
    expected = net.backward(tape=net.forward(x=x, h0=h0), dy=np.ones((B, T, O)))
    tape = net.forward(x=x, h0=h0)
    x[...] = 100.0
    h0[...] = -1.0
    actual = net.backward(tape=tape, dy=np.ones((B, T, O)))
    assert np.array_equal(actual.flat, expected.flat)


@dtypes
def test_gradients_are_a_mapping_like_the_parameters(build_network, dtype):
    net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype)
    tape = net.forward(x=inputs(dtype), h0=initial_state(dtype))
    grads = net.backward(tape=tape, dy=np.ones((B, T, O), dtype))
    assert list(grads) == list(net.params)
    assert len(grads) == len(SHAPES)
    assert {name: values.shape for name, values in grads.items()} == SHAPES
    assert {values.dtype for values in grads.values()} == {np.dtype(dtype)}
    assert (grads.flat.shape, grads.flat.dtype) == (net.flat_params.shape, dtype)
    assert np.array_equal(grads.flat, np.concatenate([grads[name].ravel() for name in SHAPES]))
    assert all(np.shares_memory(values, grads.flat) for values in grads.values())
    assert (grads.x.shape, grads.x.dtype) == ((B, T, I), dtype)
    assert (grads.h0.shape, grads.h0.dtype) == ((B, H), dtype)
    with pytest.raises(KeyError):
        grads["W"]


def test_backward_changes_neither_network_nor_tape(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    tape = net.forward(x=inputs(), h0=initial_state())
    parameters = net.flat_params.tobytes()
    y, h = tape.y.copy(), tape.h.copy()
    first = net.backward(tape=tape, dy=np.ones((B, T, O)), dh_n=np.ones((B, H)))
    assert net.flat_params.tobytes() == parameters
    assert np.array_equal(tape.y, y)
    assert np.array_equal(tape.h, h)
    # So a second call gives the same, and does not add to the first.
    second = net.backward(tape=tape, dy=np.ones((B, T, O)), dh_n=np.ones((B, H)))
    assert first.flat.tobytes() == second.flat.tobytes()
    assert not np.shares_memory(first.flat, second.flat)
    assert not np.shares_memory(first.flat, net.flat_params)


def test_gradient_of_the_carried_state_alone(build_network, assert_close):
    # With dy = 0 only dh_n is left, which a single step sends through one tanh.
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    tape = net.forward(x=inputs()[:, :1], h0=initial_state())
    dh_n = np.random.default_rng(2).standard_normal((B, H))
    grads = net.backward(tape=tape, dy=np.zeros((B, 1, O)), dh_n=dh_n)
    da = dh_n * (1 - tape.h[:, 1] ** 2)
    assert_close(grads["b_h"], da.sum(axis=0), dtype="float64")
    assert_close(grads.h0, da @ net.W_hh, dtype="float64")
    assert_close(grads.x[:, 0], da @ net.W_xh, dtype="float64")
    assert np.array_equal(grads["W_hy"], np.zeros((O, H)))


@pytest.fixture
def forecaster(build_network):
    return build_network(input_size=2, hidden_size=H, output_size=2, seed=8)


@dtypes
def test_forecast_feeds_the_outputs_back(build_network, assert_close, dtype):
    net = build_network(input_size=2, hidden_size=H, output_size=2, dtype=dtype, seed=8)
    x = inputs(dtype, features=2)
    forecast = net.forecast(x, steps=5)
    y, h = net.predict(x=x, return_state=True)
    expected = [y[:, -1]]
    for _ in range(4):
        y_t, h = net.predict(x=expected[-1][:, np.newaxis], h0=h, return_state=True)
        expected.append(y_t[:, 0])
    assert_close(forecast, np.stack(expected, axis=1), dtype=dtype)


def test_forecast_of_one_sequence(forecaster, assert_close):
    x = inputs(features=2)
    alone = forecaster.forecast(x[1], steps=4)
    assert_close(alone, forecaster.forecast(x, steps=4)[1], dtype="float64")


def test_forecast_of_one_step_is_the_last_output(forecaster, assert_close):
    x = inputs(features=2)
    one = forecaster.forecast(x, steps=1)
    assert_close(one, forecaster.predict(x=x)[:, -1:], dtype="float64")
    # A longer forecast begins like a shorter one.
    assert_close(forecaster.forecast(x, steps=7)[:, :1], one, dtype="float64")


def test_forecast_without_output_layer(build_network, assert_close):
    net = build_network(input_size=4, hidden_size=4, output_size=None)
    x = inputs(features=4)
    y = net.predict(x)
    second = net.predict(x=y[:, -1:], h0=y[:, -1])
    expected = np.concatenate([y[:, -1:], second], axis=1)
    assert_close(net.forecast(x, steps=2), expected, dtype="float64")


@dtypes
def test_training_step_gives_the_loss_before_it(build_network, dtype):
    net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype)
    x, y = inputs(dtype), inputs(dtype, features=O, seed=3)
    optimizer = crnn.SGD(lr=0.01)
    before = net.loss(x=x, y=y)
    value = net.train_step(x=x, y=y, optimizer=optimizer)
    assert type(value) is float
    assert value == pytest.approx(before, rel=1e-6 if dtype == "float32" else 1e-14)
    assert net.loss(x=x, y=y) < before
    assert net.flat_params.dtype == dtype


def test_training_step_of_one_sequence(build_network):
    one, batch = build_network(seed=1), build_network(seed=1)
    x, y = inputs()[0], inputs(features=2)[0]
    value = one.train_step(x=x, y=y, optimizer=crnn.SGD(lr=0.1))
    assert value == batch.train_step(x=x[np.newaxis], y=y[np.newaxis], optimizer=crnn.SGD(lr=0.1))
    assert one.flat_params.tobytes() == batch.flat_params.tobytes()


def test_loss_and_predict_leave_the_network_alone(build_network):
    net = build_network(input_size=2, hidden_size=H, output_size=2)
    before = net.flat_params.tobytes()
    x = inputs(features=2)
    net.forward(x=x)
    net.predict(x=x)
    net.loss(x=x, y=x)
    net.forecast(x, steps=3)
    assert net.flat_params.tobytes() == before


def test_views_stay_views_after_training(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    W_hh, flat = net.W_hh, net.flat_params
    before = W_hh.copy()
    net.fit(inputs(), inputs(features=O), epochs=2)
    assert np.shares_memory(net.W_hh, W_hh)
    assert np.shares_memory(net.flat_params, flat)
    assert not np.array_equal(W_hh, before)


def test_augmented_assignment_changes_the_parameters_and_raises_nothing(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    before = net.flat_params.copy()
    net.W_hh *= 2
    net.params["W_hh"] *= 2
    net.flat_params *= 2
    net.flat_params /= 2
    expected = before.copy()
    expected[H * I : H * I + H * H] *= 4
    assert np.array_equal(net.flat_params, expected)
    with pytest.raises(TypeError, match="W_hh"):
        net.params["W_hh"] = np.zeros((H, H))


def test_states_of_a_tape_are_read_only_and_its_outputs_its_own(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=None)
    x = inputs()
    tape = net.forward(x=x)
    expected = net.backward(tape=tape, dy=tape.y - 1.0)
    with pytest.raises(ValueError, match="read-only"):
        tape.h[...] = 0
    with pytest.raises(ValueError, match="read-only"):
        tape.h_n[...] = 0
    dy = tape.y
    dy -= 1.0
    assert np.array_equal(net.backward(tape=tape, dy=dy).flat, expected.flat)


def test_copies_and_pickles_are_whole_and_apart(build_network):
    net = build_network(input_size=I, hidden_size=H, output_size=O)
    x = inputs()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert np.array_equal(twin.predict(x), net.predict(x))
        assert np.shares_memory(twin.W_hh, twin.flat_params)
        assert not np.shares_memory(twin.flat_params, net.flat_params)
        assert twin.implementation == net.implementation
