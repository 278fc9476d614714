"""The optimizers: values computed by hand and by PyTorch, schedules, and clipping before the step.

PyTorch's formulas, with the velocity zero at first::

    v = momentum v + g
    theta = theta - lr (g + momentum v)   with Nesterov
    theta = theta - lr v                  without
"""

import copy
import pickle

import numpy as np
import pytest
from network_problems import DTYPES

import crnn

dtypes = pytest.mark.parametrize("dtype", DTYPES)


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
            theta=theta, dtheta=dtheta, velocity=velocity, lr=0.1, momentum=0.9, nesterov=nesterov,
            weight_decay=0.0, steps=None, constraints=None,
        )  # fmt: skip
        assert result is True
        assert_close(theta, after, dtype=dtype)
        assert_close(velocity, v, dtype=dtype)
        assert np.array_equal(dtheta, np.array(g, dtype))


@dtypes
def test_plain_step_by_hand(kernels, dtype):
    theta = np.array([1.0, -2.0, 0.5], dtype)
    kernels.sgd_step(
        theta=theta, dtheta=np.array([0.5, 4.0, -8.0], dtype), velocity=None,
        # An eighth is exact in binary, so the result is too.
        lr=0.125, momentum=0.0, nesterov=False, weight_decay=0.0, steps=None, constraints=None,
    )  # fmt: skip
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


# What PyTorch 2.13 makes of theta = (1, -2, 0.5, 3) in 50 steps, in float64, where the gradient of
# step t is sin(1 + 0.7 (4 t + i)) for the parameter i, counted from 0.
FIFTY_STEPS = {
    "sgd": (
        lambda: crnn.SGD(0.05),
        [0.9816952596388009, -2.0363792184804925, 0.4626560182925593, 2.9792547131784266],
    ),
    "sgd momentum": (
        lambda: crnn.SGD(0.05, momentum=0.9, weight_decay=0.03),
        [0.368773010834632, -1.1526895893651554, 0.15854372539560926, 1.5133516975812802],
    ),
    "sgd nesterov": (
        lambda: crnn.SGD(0.05, momentum=0.8, nesterov=True, weight_decay=0.02),
        [0.7034543432877387, -1.6900807925876853, 0.30556420027059267, 2.342880645546835],
    ),
    "rmsprop": (
        lambda: crnn.RMSprop(0.02, alpha=0.95, eps=1e-6, weight_decay=0.01),
        [0.9297042086969483, -2.025433473050246, 0.4286542091181037, 2.8931840192319886],
    ),
    "rmsprop momentum": (
        lambda: crnn.RMSprop(0.02, alpha=0.9, momentum=0.7),
        [0.8723160392833522, -2.12815005588436, 0.37447830509711855, 2.891736794763435],
    ),
    "adam": (
        lambda: crnn.Adam(0.03),
        [0.9323181109908673, -2.0589032511179712, 0.4558949859134382, 2.987665846604182],
    ),
    "adam decay": (
        lambda: crnn.Adam(0.03, beta1=0.8, beta2=0.95, eps=1e-5, weight_decay=0.05),
        [0.850702970582265, -1.8494157514709766, 0.4177226488279104, 2.6833175068716177],
    ),
    "adamw": (
        lambda: crnn.AdamW(0.03, beta1=0.85, beta2=0.98, weight_decay=0.1),
        [0.8092994525924859, -1.7659267336812254, 0.395204516364316, 2.5694976015744437],
    ),
}


def fifty_steps(kernels, optimizer, dtype):
    theta = np.array([1, -2, 0.5, 3], dtype)
    gradients = np.sin(1 + 0.7 * np.arange(200).reshape(50, 4)).astype(dtype)
    for gradient in gradients:
        assert optimizer.step(kernels, theta, gradient)
    return theta


@pytest.mark.parametrize(("make", "expected"), FIFTY_STEPS.values(), ids=FIFTY_STEPS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("float64", 1e-12)])
def test_fifty_steps_are_pytorchs(kernels, make, expected, dtype, tolerance):
    optimizer = make()
    theta = fifty_steps(kernels, optimizer, dtype)
    assert theta.dtype == dtype
    np.testing.assert_allclose(theta, expected, rtol=0, atol=tolerance)
    assert optimizer.steps == 50


@dtypes
@pytest.mark.parametrize("make", [make for make, _ in FIFTY_STEPS.values()], ids=FIFTY_STEPS)
def test_twins_take_the_same_steps_at_every_size(both_kernels, assert_close, dtype, make):
    for size in range(1, 71):
        rng = np.random.default_rng(size)
        start, *gradients = rng.standard_normal((5, size)).astype(dtype)
        results = []
        for kernels in both_kernels:
            theta, optimizer = start.copy(), make()
            for gradient in gradients:
                assert optimizer.step(kernels, theta, gradient)
            results.append(theta)
        assert_close(*results, dtype=dtype, label=str(size))
        assert not np.array_equal(results[0], start)


@dtypes
@pytest.mark.parametrize("make", [make for make, _ in FIFTY_STEPS.values()], ids=FIFTY_STEPS)
@pytest.mark.parametrize("culprit", ["nan", "infinity"])
def test_step_that_would_not_stay_finite_changes_nothing(kernels, dtype, make, culprit):
    rng = np.random.default_rng(0)
    theta, first, second = rng.standard_normal((3, 37)).astype(dtype)
    optimizer = make()
    assert optimizer.step(kernels, theta, first)
    kept = theta.tobytes(), {k: v.tobytes() for k, v in optimizer.memory.items()}
    second[29] = np.nan if culprit == "nan" else -np.inf
    assert not optimizer.step(kernels, theta, second)
    assert (theta.tobytes(), {k: v.tobytes() for k, v in optimizer.memory.items()}) == kept
    assert optimizer.steps == 1


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: crnn.SGD(0.1), "SGD(lr=0.1, momentum=0, nesterov=False)"),
        (
            lambda: crnn.RMSprop(weight_decay=0.5),
            "RMSprop(lr=0.01, alpha=0.99, eps=1e-08, momentum=0, weight_decay=0.5)",
        ),
        (lambda: crnn.Adam(), "Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-08)"),
        (
            lambda: crnn.AdamW(lambda step: 0.1),
            "AdamW(lr=a function, beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0.01)",
        ),
    ],
)
def test_repr(make, shown):
    assert repr(make()) == shown


def test_schedule_is_asked_with_the_steps_taken(build_network, assert_close):
    net = build_network(seed=1)
    asked = []

    def rate(step):
        asked.append(step)
        return 0.1 / (1 + step)

    sgd = crnn.SGD(rate)
    theta = net.flat_params.copy()
    for step in range(3):
        x, y = problem(seed=step)
        theta -= 0.1 / (1 + step) * gradient(net, x, y)
        net.train_step(x, y, sgd, loss="sse")
    assert asked == [0, 1, 2]
    assert_close(net.flat_params, theta, dtype="float64")
    assert sgd.current_lr == 0.025


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # By hand
        (crnn.schedules.exponential(0.8, 0.25, every=2), {0: 0.8, 1: 0.4, 2: 0.2, 4: 0.05}),
        (crnn.schedules.steps(0.8, 0.5, every=3), {0: 0.8, 2: 0.8, 3: 0.4, 5: 0.4, 6: 0.2}),
        (
            crnn.schedules.cosine(1.0, steps=4, final=0.2),
            {0: 1.0, 1: 0.6 + 0.4 * 0.5**0.5, 2: 0.6, 4: 0.2, 9: 0.2},
        ),
        (crnn.schedules.warmup(0.4, steps=4), {0: 0.1, 1: 0.2, 3: 0.4, 4: 0.4, 99: 0.4}),
        (
            crnn.schedules.warmup(crnn.schedules.steps(0.4, 0.5, every=3), steps=2),
            {0: 0.2, 1: 0.4, 2: 0.4, 3: 0.2},
        ),
    ],
    ids=["exponential", "steps", "cosine", "warmup", "warmup of steps"],
)
def test_schedules(schedule, expected):
    for step, rate in expected.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-14), step


@pytest.mark.parametrize("make", [make for make, _ in FIFTY_STEPS.values()], ids=FIFTY_STEPS)
def test_fit_gets_better_with_each(build_network, make):
    net = build_network(dtype="float32")
    x, y = problem(seed=4)
    history = net.fit(x, y, epochs=30, optimizer=make(), clip_norm=1.0)
    assert history.loss[-1] < history.loss[0]


def test_optimizer_of_another_network_is_refused(build_network):
    x, y = problem(seed=0)
    first, second = build_network(seed=0), build_network(seed=1)
    optimizer = crnn.SGD(0.1, momentum=0.9)
    first.fit(x, y, epochs=1, optimizer=optimizer)
    before = first.flat_params.tobytes(), second.flat_params.tobytes()
    with pytest.raises(ValueError, match="optimizer"):
        second.fit(x, y, epochs=1, optimizer=optimizer)
    with pytest.raises(ValueError, match="optimizer"):
        second.train_step(x=x, y=y, optimizer=optimizer)
    assert (first.flat_params.tobytes(), second.flat_params.tobytes()) == before
    # It still serves its own.
    first.fit(x, y, epochs=1, optimizer=optimizer)


def learn_online(net, x, y, optimizer):
    net.learner(optimizer).step(x[0, 0], y[0, 0])


@pytest.mark.parametrize(
    ("train", "within"),
    [
        (lambda net, x, y, optimizer: net.train_step(x, y, optimizer), 1),
        (lambda net, x, y, optimizer: net.fit(x, y, epochs=1, optimizer=optimizer), 1),
        (learn_online, 2),  # A learner asks for the rate when it is made, too.
    ],
    ids=["train_step", "fit", "learner"],
)
def test_learning_rate_whose_function_takes_a_step(build_network, train, within):
    """Steps within a step count for the optimizer, too: they come before it."""
    x, y = problem(seed=0)
    net, twin = build_network(seed=0), build_network(seed=0)
    is_within = False

    def rate(step):
        nonlocal is_within
        if not is_within:
            is_within = True
            net.train_step(x, y, optimizer)
            is_within = False
        return 0.0

    optimizer, other = crnn.Adam(rate), crnn.Adam(0.0)
    for round_ in (1, 2):
        train(net, x, y, optimizer)
        for _ in range(within):
            twin.train_step(x, y, other)
        train(twin, x, y, other)
        assert (optimizer.steps, optimizer.last_lr) == (round_ * (within + 1), 0.0)
        for name, vector in other.memory.items():
            np.testing.assert_allclose(optimizer.memory[name], vector, rtol=1e-6, atol=1e-12)


def test_optimizer_without_momentum_serves_one_network_too(build_network):
    x, y = problem(seed=0)
    optimizer = crnn.SGD(0.1)
    build_network(seed=0).train_step(x=x, y=y, optimizer=optimizer)
    with pytest.raises(ValueError, match="optimizer"):
        # The first network is gone by now; a new one must not pass for it by its address.
        build_network(seed=1).train_step(x=x, y=y, optimizer=optimizer)


def test_each_fit_without_optimizer_has_its_own(build_network):
    x, y = problem(seed=0)
    for seed in range(2):
        net = build_network(seed=seed)
        net.fit(x, y, epochs=1)
        net.fit(x, y, epochs=1)


def test_copies_of_an_optimizer_count_their_own_steps(build_network):
    net, (x, y) = build_network(seed=0), problem(seed=0)
    optimizer = crnn.Adam(0.1)
    net.train_step(x, y, optimizer)
    optimizer.lr = 0.05
    copies = [copy.copy(optimizer), copy.deepcopy(optimizer)]
    twin, of_twin = pickle.loads(pickle.dumps((net, optimizer)))
    for _ in range(3):
        net.train_step(x, y, optimizer)
    assert [(made.steps, made.last_lr) for made in copies] == [(1, 0.1), (1, 0.1)]
    # Both together go on as the first ones did.
    for _ in range(3):
        twin.train_step(x, y, of_twin)
    assert (of_twin.steps, of_twin.last_lr) == (optimizer.steps, optimizer.last_lr)
    assert np.array_equal(twin.flat_params, net.flat_params)


def test_all_steps_before_a_learning_rate_that_cannot_be_had(build_network):
    """As many and the same, whether `fit` takes several in a kernel call or not."""

    def rate(step):
        if step == 7:
            raise LookupError("no rate")
        return 0.1 / (step + 1)

    x, y = problem(seed=0)
    x, y = np.concatenate([x] * 3), np.concatenate([y] * 3)
    net, optimizer = build_network(seed=0), crnn.SGD(rate, momentum=0.9)
    with pytest.raises(LookupError, match="no rate"):
        net.fit(x, y, epochs=9, batch_size=len(x) // 3, optimizer=optimizer, shuffle=False)
    assert (optimizer.steps, optimizer.last_lr) == (7, rate(6))
    twin, of_twin = build_network(seed=0), crnn.SGD(rate, momentum=0.9)
    for _ in range(7):
        twin.train_step(x[: len(x) // 3], y[: len(x) // 3], of_twin)
    assert np.array_equal(net.flat_params, twin.flat_params)
