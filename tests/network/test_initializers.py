"""Initial parameters: their distributions, their defaults, and the seed."""

import numpy as np
import pytest
from network_problems import CELLS, DTYPES, FAMILIES, H, I, O, inputs, targets

import crnn

dtypes = pytest.mark.parametrize("dtype", DTYPES)


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


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_each_gate_by_itself(implementation, cell):
    settings = dict(cell)
    family = getattr(crnn, settings.pop("family"))
    net = family(
        5, 6, num_layers=2, seed=3, dtype="float64", implementation=implementation, **settings
    )
    for suffix in ("", "_l1"):
        W_hh = net.params["W_hh" + suffix].reshape(-1, 6, 6)
        for gate in W_hh:
            np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-12)
        limit = np.sqrt(6 / (6 + net.params["W_xh" + suffix].shape[1]))
        largest = np.abs(net.params["W_xh" + suffix]).max()
        assert 0.8 * limit < largest <= limit
        biases = net.params["b_h" + suffix].reshape(-1, 6)
        expected = np.zeros_like(biases)
        if isinstance(net, crnn.LSTM):
            expected[1] = 1
        assert np.array_equal(biases, expected)
    uniform = family(5, 6, seed=3, init="uniform", implementation=implementation, **settings)
    assert 0.8 / np.sqrt(6) < np.abs(uniform.W_hh).max() <= np.float32(1 / np.sqrt(6))


def test_forget_bias(implementation):
    net = crnn.LSTM(3, 4, bidirectional=True, forget_bias=-0.5, implementation=implementation)
    for suffix in ("", "_reverse"):
        assert np.array_equal(net.params["b_h" + suffix].reshape(4, 4)[:, 0], [0, -0.5, 0, 0])


def test_default_is_float32_and_orthogonal(implementation):
    net = crnn.RNN(input_size=I, hidden_size=H, seed=3, implementation=implementation)
    same = crnn.RNN(
        input_size=I, hidden_size=H, output_size=None, dtype="float32", seed=3, init="orthogonal",
        implementation=implementation,
    )  # fmt: skip
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


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("family", FAMILIES)
def test_both_implementations_start_alike(family):
    nets = [getattr(crnn, family)(I, H, O, seed=5, implementation=i) for i in ("native", "python")]
    assert nets[0].flat_params.tobytes() == nets[1].flat_params.tobytes()


def test_global_random_state_is_left_alone(implementation):
    np.random.seed(0)  # noqa: NPY002 - the legacy state is what must stay as it is
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    net = crnn.RNN(I, H, O, implementation=implementation)
    net.fit(inputs(net), targets(net), epochs=1)
    assert np.array_equal(np.random.random(3), expected)  # noqa: NPY002
