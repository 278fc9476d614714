"""L-BFGS: its direction, its line search, and its place in `fit`."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import crnn
from crnn._training.line_search import CURVATURE, SUFFICIENT_DECREASE, Point, search
from crnn.quasi_newton import _inverse_hessian_times

X, Y = np.random.default_rng(0).standard_normal((2, 7, 11, 3))
Y = np.cumsum(Y[..., :2], axis=1) / 4


def network(family=crnn.GRU, **settings):
    return family(3, 4, 2, **{"dtype": "float64", "seed": 1, **settings})


def loss_and_gradient(net, x, y, decay=0.0):
    tape = net.forward(x)
    difference = tape.y - y
    theta = net.flat_params
    gradient = net.backward(tape, 2 * difference / difference.size).flat
    return np.mean(difference**2) + decay / 2 * theta @ theta, gradient + decay * theta


def test_direction_is_that_of_the_bfgs_matrix():
    """H = (I - s y' / y's) H (I - y s' / y's) + s s' / y's, from the oldest pair to the newest."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5, 5))
    A = A @ A.T + np.eye(5)
    pairs = np.array([(step, A @ step) for step in rng.standard_normal((3, 5))])
    step, change = pairs[0]
    H = np.eye(5) * (step @ change) / (change @ change)
    for step, change in pairs[::-1]:
        left = np.eye(5) - np.outer(step, change) / (step @ change)
        H = left @ H @ left.T + np.outer(step, step) / (step @ change)
    gradient = rng.standard_normal(5)
    assert np.allclose(_inverse_hessian_times(gradient, pairs), H @ gradient, rtol=1e-12, atol=0)
    assert np.array_equal(_inverse_hessian_times(gradient, pairs[:0]), gradient)


def two_loops(gradient, pairs):
    """Algorithm 7.4 of Nocedal and Wright."""
    q, factors = gradient.copy(), []
    for step, change in pairs:
        factors.append(step @ q / (step @ change))
        q -= factors[-1] * change
    step, change = pairs[0]
    q *= step @ change / (change @ change)
    for (step, change), factor in zip(pairs[::-1], factors[::-1], strict=True):
        q += (factor - change @ q / (step @ change)) * step
    return q


@pytest.mark.parametrize("curvature", [1.0, 1e-2, 1e-6])
@pytest.mark.parametrize("seed", range(20))
def test_direction_of_many_pairs_of_little_curvature(curvature, seed):
    """More pairs than parameters, whose products are small beside the lengths of both."""
    rng = np.random.default_rng(seed)
    pairs = rng.standard_normal((12, 2, 6))
    for step, change in pairs:
        change += (curvature - step @ change / (step @ step)) * step
    gradient = rng.standard_normal(6)
    expected = two_loops(gradient, pairs)
    error = np.abs(_inverse_hessian_times(gradient, pairs) - expected).max()
    assert error < 1e-10 * np.abs(expected).max()


LINES = {
    # Moré and Thuente 1994, functions (5.1) and (5.2)
    "more 1": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "more 2": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "square": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    # Not finite from t = 2 on
    "wall": (
        lambda t: -t - np.log(2 - t) if t < 2 else np.nan,
        lambda t: -1 + 1 / (2 - t) if t < 2 else np.nan,
    ),
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1e3])
def test_search_meets_the_strong_wolfe_conditions(line, first):
    loss, slope = LINES[line]
    tried = []

    def evaluate(t):
        tried.append(t)
        return Point(t, float(loss(t)), float(slope(t)), np.empty(0), t * float(slope(0.0)))

    start = Point(0.0, float(loss(0.0)), float(slope(0.0)), np.empty(0))
    found = search(evaluate, start, first, 30)
    assert found.t in tried
    assert found.loss <= start.loss + SUFFICIENT_DECREASE * found.t * start.slope
    assert abs(found.slope) <= -CURVATURE * start.slope
    assert len(tried) <= 15


def test_search_of_few_points_returns_one_that_it_saw():
    loss, slope = LINES["square"]

    def evaluate(t):
        return Point(t, loss(t), slope(t), np.empty(0), t * slope(0.0))

    start = evaluate(0.0)
    assert search(evaluate, start, 100.0, 1) is start
    assert search(evaluate, start, 1e-3, 1).t == 1e-3


@pytest.mark.parametrize("family", [crnn.RNN, crnn.GRU, crnn.LSTM])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_each_step_meets_the_conditions(implementation, family, decay):
    net = network(family, implementation=implementation)
    optimizer, places = crnn.LBFGS(weight_decay=decay), [net.flat_params.copy()]
    history = net.fit(
        X, Y, epochs=12, optimizer=optimizer,
        callbacks=[lambda net, _: places.append(net.flat_params.copy())],
    )  # fmt: skip
    assert optimizer.steps == 12
    for number, (before, after) in enumerate(itertools.pairwise(places)):
        net.flat_params[...] = before
        first, first_gradient = loss_and_gradient(net, X, Y, decay)
        penalty = decay / 2 * before @ before
        assert history.loss[number] == pytest.approx(first - penalty, rel=1e-12)
        net.flat_params[...] = after
        last, last_gradient = loss_and_gradient(net, X, Y, decay)
        slope = first_gradient @ (after - before)
        assert slope < 0
        assert last <= first + SUFFICIENT_DECREASE * slope
        assert abs(last_gradient @ (after - before)) <= -CURVATURE * slope
    assert history.loss[-1] < 0.7 * history.loss[0]
    assert all(length > 0 for length in history.lr)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_finds_the_outputs_of_another_network_to_rounding(seed):
    targets = crnn.RNN(3, 2, 2, dtype="float64", seed=9).predict(X)
    net = crnn.RNN(3, 2, 2, dtype="float64", seed=seed)
    net.fit(X, targets, epochs=150, optimizer=crnn.LBFGS())
    assert net.loss(X, targets) < 1e-20


@pytest.mark.parametrize("settings", [{}, {"lengths": [3, 11, 5, 7, 2, 11, 4]}, {"mask": None}])
def test_batch_size_and_order_do_not_matter(settings):
    if "mask" in settings:
        settings = {"mask": np.random.default_rng(1).random((7, 11)) < 0.7}
    results = []
    for others in ({}, {"batch_size": 2}, {"shuffle": False, "seed": 5}):
        net = network()
        net.fit(X, Y, epochs=5, optimizer=crnn.LBFGS(), **settings, **others)
        results.append(net.flat_params.tobytes())
    assert len(set(results)) == 1
    assert net.loss(X, Y, **settings) < 0.9 * network().loss(X, Y, **settings)


def test_parameters_that_others_change_between_steps():
    def halve(net, history):
        if len(history.loss) == 3:
            net.flat_params[...] /= 2

    net = network()
    history = net.fit(X, Y, epochs=5, optimizer=crnn.LBFGS(), callbacks=[halve])
    twin = network()
    twin.fit(X, Y, epochs=3, optimizer=crnn.LBFGS())
    twin.flat_params[...] /= 2
    assert history.loss[3] == pytest.approx(twin.loss(X, Y), rel=1e-14)


def test_where_the_loss_is_lowest_it_stays():
    net = network()
    before = net.flat_params.copy()
    history = net.fit(X, net.predict(X), epochs=2, optimizer=crnn.LBFGS())
    assert history.loss == [0.0, 0.0]
    assert history.lr == [0.0, 0.0]
    assert np.array_equal(net.flat_params, before)


def test_rate_of_zero_changes_nothing():
    net = network()
    before = net.flat_params.copy()
    net.fit(X, Y, epochs=2, optimizer=crnn.LBFGS(0.0))
    assert np.array_equal(net.flat_params, before)


def test_float32_ends_where_rounding_hides_the_decrease():
    net = network(crnn.RNN, dtype="float32")
    history = net.fit(X, Y, epochs=150, optimizer=crnn.LBFGS())
    assert (np.diff(history.loss) <= 0).all()
    assert np.isfinite(net.flat_params).all()
    assert history.loss[-1] < 0.5 * history.loss[0]


def test_resumed_run_has_the_bits_of_one_that_was_not_interrupted(tmp_path):
    whole = network()
    whole.fit(X, Y, epochs=9, optimizer=crnn.LBFGS(history_size=3))
    path = tmp_path / "run"
    for epochs in (4, 9):
        part = network()
        part.fit(
            X, Y, epochs=epochs, optimizer=crnn.LBFGS(history_size=3), checkpoint=path, resume=True
        )
    assert part.flat_params.tobytes() == whole.flat_params.tobytes()
    with pytest.raises(crnn.ModelFileError, match=r"history_size: expected 4, as in this run"):
        network().fit(
            X, Y, epochs=9, optimizer=crnn.LBFGS(history_size=4), checkpoint=path, resume=True
        )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_go_on_alike(copied):
    net, optimizer = network(), crnn.LBFGS()
    net.fit(X, Y, epochs=4, optimizer=optimizer)
    twin, of_twin = copied((net, optimizer))
    for each, its in ((net, optimizer), (twin, of_twin)):
        each.fit(X, Y, epochs=3, optimizer=its)
    assert net.flat_params.tobytes() == twin.flat_params.tobytes()


def test_an_exception_in_the_search_leaves_everything_as_before():
    class Failing(crnn.losses.MSE):
        calls = 0

        def compute(self, *arguments):
            Failing.calls += 1
            if Failing.calls == 9:
                raise KeyboardInterrupt
            return super().compute(*arguments)

    net, optimizer, places = network(), crnn.LBFGS(), []
    places.append(net.flat_params.copy())
    with pytest.raises(KeyboardInterrupt):
        net.fit(
            X, Y, epochs=50, optimizer=optimizer, loss=Failing(),
            callbacks=[lambda net, _: places.append(net.flat_params.copy())],
        )  # fmt: skip
    assert optimizer.steps == len(places) - 1
    assert np.array_equal(net.flat_params, places[-1])


@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e100])
def test_products_that_underflow_or_overflow(scale):
    net = network(crnn.RNN)
    net.W_hy[...] *= scale
    history = net.fit(X, scale * Y, epochs=40, optimizer=crnn.LBFGS())
    assert (np.diff(history.loss) <= 0).all()
    assert np.isfinite(net.flat_params).all()
    assert scale > 1 or history.loss[-1] < 0.9 * history.loss[0]


def test_pairs_that_barely_have_curvature():
    rng = np.random.default_rng(24)
    x = rng.standard_normal((4, 8, 1)).astype("f")
    y = np.cumsum(x, 1) * np.float32(1e-35)
    history = crnn.GRU(1, 1, 1, seed=24).fit(x, y, epochs=80, optimizer=crnn.LBFGS())
    assert history.loss[-1] < 1e-60 < history.loss[0]


@pytest.mark.parametrize("factor", [0.0, 1e-162, 1e200, -1.0])
def test_restored_pairs_without_curvature_are_left_out(factor):
    nets, optimizers = [network(), network()], [crnn.LBFGS(), crnn.LBFGS()]
    for net, optimizer in zip(nets, optimizers, strict=True):
        net.fit(X, Y, epochs=6, optimizer=optimizer)
    memory = {name: vector.copy() for name, vector in optimizers[0].memory.items()}
    memory["step_1"] *= factor
    memory["change_1"] *= abs(factor)
    optimizers[0].restore(nets[0].flat_params, memory, 6, 1.0)
    kept = {name: vector.copy() for name, vector in memory.items()}
    for part in ("step", "change"):
        for age in range(1, 6):
            kept[f"{part}_{age}"][...] = memory[f"{part}_{age + 1}"]
    for name, vector in optimizers[0].memory.items():
        np.testing.assert_array_equal(vector, kept[name])
    history = nets[0].fit(X, Y, epochs=3, optimizer=optimizers[0])
    assert history.loss[2] < history.loss[0]


def test_a_function_of_the_rate_has_the_settings_of_its_caller():
    found = []

    def rate(step):
        found.append(np.geterr())
        return 1.0

    with np.errstate(divide="raise", over="warn"):
        expected = np.geterr()
        network().fit(X, Y, epochs=2, optimizer=crnn.LBFGS(rate))
        assert found == [expected, expected]
        assert np.geterr() == expected


def test_a_loss_that_is_not_finite_is_a_divergence():
    net = network()
    before = net.flat_params.copy()
    with pytest.raises(crnn.DivergenceError, match=r"^the loss is inf at epoch 1, step 1;"):
        net.fit(X, np.full_like(Y, 1e200), epochs=2, optimizer=crnn.LBFGS())
    assert np.array_equal(net.flat_params, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_norm": 1.0}, r"^clip_norm: expected none with LBFGS, .* got 1.0$"),
        ({"clip_value": 1.0}, r"^clip_value: expected none with LBFGS, .* got 1.0$"),
        ({"bptt": 3}, r"^bptt: expected none with LBFGS, .* got 3$"),
    ],
)
def test_what_it_does_not_go_with(settings, message):
    net, optimizer = network(), crnn.LBFGS()
    with pytest.raises(ValueError, match=message):
        net.fit(X, Y, epochs=1, optimizer=optimizer, **settings)
    assert optimizer.steps == 0


def test_who_refuses_it():
    net, optimizer = network(), crnn.LBFGS()
    message = r"^optimizer: expected one that takes a step for a gradient, .* got LBFGS"
    with pytest.raises(TypeError, match=message):
        net.train_step(X, Y, optimizer)
    with pytest.raises(TypeError, match=message):
        net.trainer(optimizer, time=11)
    with pytest.raises(TypeError, match=message):
        net.learner(optimizer)
    with pytest.raises(TypeError, match=r"^optimizer: expected SGD, .* got LBFGS"):
        crnn.Fleet(net, 2).train_step(X, Y, optimizer)
    with pytest.raises(ValueError, match=r"^dropout: expected none with LBFGS, .* got 0.5$"):
        network(num_layers=2, dropout=0.5).fit(X, Y, epochs=1, optimizer=optimizer)
    net.fit(X, Y, epochs=1, optimizer=optimizer)
    with pytest.raises(ValueError, match=r"belongs to another network"):
        network().fit(X, Y, epochs=1, optimizer=optimizer)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"lr": -1.0}, ValueError),
        ({"history_size": 0}, ValueError),
        ({"history_size": 1.5}, TypeError),
        ({"max_evaluations": 0}, ValueError),
        ({"weight_decay": -1.0}, ValueError),
    ],
)
def test_settings_out_of_range(settings, error):
    with pytest.raises(error, match=f"^{next(iter(settings))}: expected"):
        crnn.LBFGS(**settings)


def test_repr():
    assert repr(crnn.LBFGS()) == "LBFGS(lr=1, history_size=25, max_evaluations=25)"
