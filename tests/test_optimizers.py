"""SGD with momentum and Nesterov momentum: values computed by hand, and clipping before the step.

PyTorch's formulas, with the velocity zero at first::

    v = momentum v + g
    theta = theta - lr (g + momentum v)   with Nesterov
    theta = theta - lr v                  without
"""

import numpy as np
import pytest

import crnn

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

# By hand for lr = 0.1, momentum = 0.9, theta = (1, -2) and the gradients g = (0.5, 1), then
# (0.25, -1), then (-1, 0):
#   v:  (0.5, 1)  (0.7, -0.1)  (-0.37, -0.09)
# plain, theta - 0.1 v:
#       (0.95, -2.1)  (0.88, -2.09)  (0.917, -2.081)
# Nesterov, g + 0.9 v:  (0.95, 1.9)  (0.88, -1.09)  (-1.333, -0.081)
#       (0.905, -2.19)  (0.817, -2.081)  (0.9503, -2.0729)
GRADIENTS = [[0.5, 1.0], [0.25, -1.0], [-1.0, 0.0]]
VELOCITIES = [[0.5, 1.0], [0.7, -0.1], [-0.37, -0.09]]
PLAIN = [[0.95, -2.1], [0.88, -2.09], [0.917, -2.081]]
NESTEROV = [[0.905, -2.19], [0.817, -2.081], [0.9503, -2.0729]]


@dtypes
@pytest.mark.parametrize(
    ("nesterov", "expected"),
    [pytest.param(False, PLAIN, id="plain"), pytest.param(True, NESTEROV, id="nesterov")],
)
def test_momentum_by_hand(kernels, assert_close, dtype, nesterov, expected):
    theta, velocity = np.array([1.0, -2.0], dtype), np.zeros(2, dtype)
    for g, v, after in zip(GRADIENTS, VELOCITIES, expected, strict=True):
        dtheta = np.array(g, dtype)
        result = kernels.sgd_step(
            theta=theta,
            dtheta=dtheta,
            velocity=velocity,
            lr=0.1,
            momentum=0.9,
            nesterov=nesterov,
        )
        assert result is True
        assert_close(theta, after, dtype=dtype)
        assert_close(velocity, v, dtype=dtype)
        assert np.array_equal(dtheta, np.array(g, dtype))


@dtypes
def test_plain_step_by_hand(kernels, dtype):
    theta = np.array([1.0, -2.0, 0.5], dtype)
    kernels.sgd_step(
        theta=theta,
        dtheta=np.array([0.5, 4.0, -8.0], dtype),
        velocity=None,
        # An eighth is exact in binary, so the result is too.
        lr=0.125,
        momentum=0.0,
        nesterov=False,
    )
    assert theta.dtype == dtype
    assert np.array_equal(theta, np.array([0.9375, -2.5, 1.5], dtype))


def problem(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((4, 6, 3)), rng.standard_normal((4, 6, 2))


def gradient(net, x, y):
    tape = net.forward(x=x)
    return net.backward(tape=tape, dy=tape.y - y).flat.copy()


@pytest.mark.parametrize(
    ("momentum", "nesterov"),
    [
        pytest.param(0.0, False, id="plain"),
        pytest.param(0.75, False, id="momentum"),
        pytest.param(0.75, True, id="nesterov"),
    ],
)
def test_training_steps_follow_the_formulas(build_network, assert_close, momentum, nesterov):
    net = build_network(seed=1)
    optimizer = crnn.SGD(lr=0.03, momentum=momentum, nesterov=nesterov)
    theta, v = net.flat_params.copy(), np.zeros(net.flat_params.size)
    for step in range(4):
        x, y = problem(seed=step)
        g = gradient(net, x, y)
        v = momentum * v + g
        theta = theta - 0.03 * (g + momentum * v if nesterov else v)
        net.train_step(x=x, y=y, optimizer=optimizer, loss="sse")
        assert_close(net.flat_params, theta, dtype="float64", label=f"step {step}")


def test_velocity_goes_on_from_one_fit_to_the_next(build_network):
    x, y = problem(seed=2)
    results = []
    for epochs in ([3], [1, 2]):
        net, optimizer = build_network(seed=1), crnn.SGD(lr=0.02, momentum=0.9)
        for count in epochs:
            net.fit(x, y, epochs=count, batch_size=3, optimizer=optimizer, shuffle=False)
        results.append(net.flat_params.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "max_norm", [pytest.param(0.5, id="clipped"), pytest.param(1e6, id="within")]
)
def test_clip_norm_scales_the_whole_gradient(build_network, assert_close, max_norm):
    net = build_network(seed=3)
    x, y = problem(seed=4)
    theta, g = net.flat_params.copy(), gradient(net, x, y)
    norm = np.sqrt(np.sum(g**2))
    # So that one case clips and the other does not.
    assert 0.5 < norm < 1e6
    net.train_step(x=x, y=y, optimizer=crnn.SGD(lr=0.25), loss="sse", clip_norm=max_norm)
    scale = min(1.0, max_norm / norm)
    assert_close(net.flat_params, theta - 0.25 * scale * g, dtype="float64")


def test_clip_value_limits_each_element(build_network, assert_close):
    net = build_network(seed=3)
    x, y = problem(seed=4)
    theta, g = net.flat_params.copy(), gradient(net, x, y)
    limit = float(np.median(np.abs(g)))
    net.train_step(x=x, y=y, optimizer=crnn.SGD(lr=0.25), loss="sse", clip_value=limit)
    limited = np.array([max(-limit, min(limit, value)) for value in g])
    assert_close(net.flat_params, theta - 0.25 * limited, dtype="float64")


def test_clipping_comes_before_momentum(build_network, assert_close):
    net = build_network(seed=3)
    optimizer = crnn.SGD(lr=0.25, momentum=0.5)
    theta, v = net.flat_params.copy(), np.zeros(net.flat_params.size)
    for step in range(3):
        x, y = problem(seed=step)
        g = gradient(net, x, y)
        v = 0.5 * v + g * min(1.0, 0.1 / np.sqrt(np.sum(g**2)))
        theta = theta - 0.25 * v
        net.train_step(x=x, y=y, optimizer=optimizer, loss="sse", clip_norm=0.1)
    assert_close(net.flat_params, theta, dtype="float64")


def test_learning_rate_of_zero_changes_nothing(build_network):
    net = build_network(seed=3)
    x, y = problem(seed=4)
    before = net.flat_params.tobytes()
    net.train_step(x=x, y=y, optimizer=crnn.SGD(lr=0.0, momentum=0.9))
    assert net.flat_params.tobytes() == before


def test_float32_network_steps_in_float32(build_network, assert_close):
    net = build_network(dtype="float32", seed=3)
    x, y = (values.astype("float32") for values in problem(seed=4))
    theta, g = net.flat_params.copy(), gradient(net, x, y)
    assert g.dtype == np.float32
    net.train_step(x=x, y=y, optimizer=crnn.SGD(lr=0.25), loss="sse")
    expected = theta.astype(np.float64) - 0.25 * g.astype(np.float64)
    assert_close(net.flat_params, expected, dtype="float32")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_first_step_that_fails_leaves_the_optimizer_new(build_network, momentum):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 6, 2)), rng.standard_normal((4, 6, 3))
    net, other = (build_network(input_size=2, hidden_size=5, output_size=3) for _ in range(2))
    optimizer = crnn.SGD(1e300, momentum=momentum)
    with pytest.raises(crnn.DivergenceError):
        # Targets so large that a step of this rate leaves float64.
        net.train_step(x, 1e300 * y, optimizer, clip_norm=1e300)
    assert optimizer.steps == 0
    optimizer.lr = 0.01
    before = other.loss(x, y)
    for _ in range(5):
        other.train_step(x, y, optimizer)
    assert other.loss(x, y) < before
