"""Losses of networks, crnn's own and users': values, gradients, weights, epochs, names."""

import math

import numpy as np
import pytest
from differences import assert_gradient
from loss_problems import FORMULAS, Cauchy, example
from network_problems import DTYPES, network, step_gradient

import crnn
from crnn.losses import MSE, CrossEntropy

dtypes = pytest.mark.parametrize("dtype", DTYPES)


NETWORKS = {
    "simple": {},
    "layers": {"num_layers": 2, "bidirectional": True},
    "last": {"return_sequences": False},
}


def problem(implementation, case, settings, dtype="float64"):
    net = network(3, 5, 4, dtype=dtype, seed=1, implementation=implementation, **settings)
    shape = (6, 4) if settings == NETWORKS["last"] else (6, 5, 4)
    _, y, weights = example(case, shape, dtype)
    x = np.random.default_rng(2).standard_normal((6, 5, 3)).astype(dtype)
    return net, x, y, weights


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("case", FORMULAS)
def test_training_steps_follow_finite_differences(implementation, case, settings, weighted):
    net, x, y, weights = problem(implementation, case, settings)
    options = {"loss": FORMULAS[case][0], "mask": weights if weighted else None}
    value, gradient = step_gradient(net, x, y, **options)
    assert value == pytest.approx(net.loss(x, y, **options), rel=1e-12)
    for name, values in net.params.items():
        start = values.ravel()
        at = (start.__array_interface__["data"][0] - net.flat_params.ctypes.data) // 8
        part = gradient[at : at + values.size].reshape(values.shape)
        assert_gradient(part, lambda: net.loss(x, y, **options), values, name)


@dtypes
@pytest.mark.parametrize("case", crnn.losses.BY_NAME)
def test_loss_of_a_network_is_the_formula_of_its_predictions(
    implementation, case, dtype, tolerances
):
    net, x, y, _ = problem(implementation, case, {}, dtype)
    y_hat, formula = net.predict(x).tolist(), FORMULAS[case][1]
    losses = [formula(y_hat[b][t], y[b, t].tolist()) for b, t in np.ndindex(6, 5)]
    value = net.loss(x=x, y=y, loss=case)
    assert type(value) is float
    expected = sum(losses) / (1 if case == "sse" else 30)
    assert value == pytest.approx(expected, rel=tolerances[dtype])
    # One sequence is a batch of one.
    assert net.loss(x[0], y[0], case) == net.loss(x[:1], y[:1], case)


@pytest.mark.parametrize("integer", ["int8", "uint8", "int32", "int64", "uint64", ">i4"])
def test_class_numbers_of_any_integer_type(implementation, integer):
    net, x, y, _ = problem(implementation, "cross_entropy", {})
    expected = net.loss(x, y, "cross_entropy")
    assert net.loss(x, y.astype(integer), "cross_entropy") == expected
    assert net.loss(x, y.tolist(), "cross_entropy") == expected


@dtypes
@pytest.mark.parametrize("case", crnn.losses.BY_NAME)
def test_names_are_the_objects(implementation, case, dtype):
    loss, _ = FORMULAS[case]
    results = []
    for given in (case, loss, type(loss)()):
        net, x, y, _ = problem(implementation, case, {}, dtype)
        history = net.fit(x, y, epochs=2, batch_size=4, loss=given, seed=0)
        results.append((history.loss, net.flat_params.tobytes(), net.loss(x, y, loss=given)))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("case", FORMULAS)
def test_loss_of_an_epoch_is_that_of_all_its_steps(implementation, case, settings):
    """However unequal the weights of its batches, one of which has none."""
    net, x, y, weights = problem(implementation, case, settings)
    weights[:2] = 0
    options = {"loss": FORMULAS[case][0], "mask": weights}
    history = net.fit(
        x, y, epochs=1, batch_size=2, shuffle=False, optimizer=crnn.SGD(0.0),
        validation_data={"x": x, "y": y}, **options,
    )  # fmt: skip
    assert history.loss == pytest.approx([net.loss(x, y, **options)], rel=1e-12)
    assert history.loss == pytest.approx(
        [options["loss"].value(net.predict(x), y, weights)], rel=1e-12
    )
    assert history.val_loss == pytest.approx([net.loss(x, y, loss=options["loss"])], rel=1e-12)


def test_class_weights_and_truncated_bptt(implementation):
    loss = CrossEntropy(class_weight=[0, 3, 1, 0.7])
    net, x, y, _ = problem(implementation, "class weights", {})
    y[:, 2:4] = 0  # a chunk that counts nothing
    history = net.fit(x, y, epochs=1, bptt=2, optimizer=crnn.SGD(0.0), loss=loss)
    assert history.loss == pytest.approx([net.loss(x, y, loss=loss)], rel=1e-12)


@pytest.mark.parametrize("form", ["array", "list"])
@pytest.mark.parametrize("label_smoothing", [0, 0.2])
def test_balanced_classes_are_those_of_the_training_targets(implementation, label_smoothing, form):
    """n / (classes * count), by hand, of the steps that count; what validates has no part."""
    lengths, mask = np.array([5, 4, 2, 5, 5, 3]), np.ones((6, 5))
    y = np.array([[0, 1, 1, 0, 0], [1, 1, 3, 0, 0], [0, 1, 3, 3, 3]] + [[2, 3, 1, 0, 2]] * 3)
    mask[0, 3:], mask[1, 0] = 0, 0.5
    # Of the first three sequences 0 counts 3, 1 counts 4.5, 3 counts 1; 2 does not occur.
    weights = [8.5 / (3 * 3), 8.5 / (3 * 4.5), 1, 8.5 / (3 * 1)]
    results = []
    for given in ("balanced", weights):
        net, x, _, _ = problem(implementation, "class weights", {})
        options = {"lengths": lengths, "mask": mask}
        data = x, y
        if form == "list":
            data = [[a[:n] for a, n in zip(values, lengths, strict=True)] for values in data]
            options = {"mask": [a[:n] for a, n in zip(mask, lengths, strict=True)]}
        history = net.fit(
            *data, epochs=2, batch_size=2, validation_fraction=0.5, seed=3,
            loss=CrossEntropy(given, label_smoothing), **options,
        )  # fmt: skip
        results.append(history.loss + history.val_loss + net.flat_params.tolist())
    assert results[0] == pytest.approx(results[1], rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_losses_of_users(implementation, settings, weighted):
    net, x, y, weights = problem(implementation, "mse", settings)
    loss = Cauchy()
    options = {"loss": loss, "mask": weights if weighted else None}
    value, gradient = step_gradient(net, x, y, **options)
    of_weights = [weights] if weighted else []
    assert value == pytest.approx(loss.value(net.predict(x), y, *of_weights), rel=1e-12)
    assert_gradient(gradient, lambda: net.loss(x, y, **options), net.flat_params, "parameters")
    assert set(loss.weighted) == {weighted}
    history = net.fit(x, y, epochs=30, optimizer=crnn.Adam(0.02), **options)
    assert history.loss[-1] < 0.8 * history.loss[0]


def test_users_targets_are_whatever_their_loss_takes(implementation):
    """Here one number per sequence for a network with an output for each step."""

    class OfTheMean:
        def value(self, y_hat, y):
            assert isinstance(y, np.ndarray)
            assert y.dtype == np.int8
            return float(np.mean((y_hat.mean(axis=(1, 2)) - y) ** 2))

        def gradient(self, y_hat, y):
            e = y_hat.mean(axis=(1, 2)) - y
            n = y_hat.shape[1] * y_hat.shape[2]
            return np.broadcast_to((2 * e / len(e) / n)[:, None, None], y_hat.shape)

    net, x, _, _ = problem(implementation, "mse", {})
    y = np.array([0, 1, 0, 1, 1, 0], np.int8)
    history = net.fit(x, y, epochs=20, batch_size=4, loss=OfTheMean(), optimizer=crnn.Adam(0.02))
    assert history.loss[-1] < 0.8 * history.loss[0]
    with pytest.raises(ValueError, match=r"y: expected shape \(batch=6, ...\), got \(5,\)"):
        net.fit(x, y[1:], epochs=1, loss=OfTheMean())
    for options in ({"bptt": 2}, {"lengths": [5, 4, 3, 5, 4, 3]}):
        with pytest.raises(ValueError, match=r"y: expected shape \(batch=6, time=5, ...\)"):
            net.fit(x, y, epochs=1, loss=OfTheMean(), **options)


def test_losses_of_users_that_are_wrong(implementation):
    class Wrong(Cauchy):
        def gradient(self, y_hat, y):
            return np.zeros(3)

    class Diverged(Cauchy):
        def value(self, y_hat, y):
            return math.nan

    net, x, y, _ = problem(implementation, "mse", {})
    before = net.flat_params.tobytes()
    with pytest.raises(ValueError, match=r"loss: expected a gradient of shape \(6, 5, 4\) from"):
        net.train_step(x, y, crnn.SGD(0.1), loss=Wrong())
    with pytest.raises(crnn.DivergenceError):
        net.train_step(x, y, crnn.SGD(0.1), loss=Diverged())
    for value in (None, "1.5x", np.ones(2)):
        Diverged.value = lambda self, y_hat, y, value=value: value
        with pytest.raises(TypeError, match=r"^loss: expected a number from .*Diverged, got "):
            net.train_step(x, y, crnn.SGD(0.1), loss=Diverged())
    assert net.flat_params.tobytes() == before


def test_a_subclass_is_a_users_loss(implementation):
    class Double(MSE):
        def value(self, y_hat, y, weights=None):
            return 2 * super().value(y_hat, y, weights)

    net, x, y, _ = problem(implementation, "mse", {})
    assert net.loss(x, y, loss=Double()) == pytest.approx(2 * net.loss(x, y), rel=1e-14)


def test_validation_data_of_which_nothing_counts(implementation):
    net, x, y, _ = problem(implementation, "class weights", {})
    before = net.flat_params.tobytes()
    y[...] = 2
    loss = CrossEntropy(class_weight=[1, 1, 0, 1])
    with pytest.raises(ValueError, match=r"validation.data: y: expected a step that counts"):
        net.fit(x, y - 1, epochs=1, loss=loss, validation_data=(x, y))
    assert net.flat_params.tobytes() == before
