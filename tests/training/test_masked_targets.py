"""Targets of steps that a mask excludes: whatever they hold, results are those of valid numbers."""

import numpy as np
import pytest
from loss_problems import FORMULAS, TAKES_CLASSES, Cauchy, example
from network_problems import as_list, step_gradient

import crnn

B, T, O = 5, 7, 4
LENGTHS = np.array([7, 4, 6, 3, 7])
LOSSES = {case: loss for case, (loss, _) in FORMULAS.items() if " " not in case} | {
    "smoothed": crnn.losses.CrossEntropy([0.5, 2, 1, 3], label_smoothing=0.2),
    "balanced": crnn.losses.CrossEntropy("balanced"),
    "of a user": Cauchy(),
}
GARBAGE = {
    "numbers": [np.nan, np.inf, -np.inf, -100.0, 7.5],
    "classes": [-100, -1, O, 2**40],
    "classes of floats": [np.nan, -np.inf, -100.0, 0.5],
}


def of_classes(case):
    return case in TAKES_CLASSES or case in ("smoothed", "balanced")


CASES = [
    (case, kind)
    for case in LOSSES
    for kind in (["classes", "classes of floats"] if of_classes(case) else ["numbers"])
]
cases = pytest.mark.parametrize(("case", "kind"), CASES)


def problem(case, kind, shape):
    """Targets, the same with garbage where the weight is 0, and the weights."""
    rng = np.random.default_rng(3)
    y = rng.integers(O, size=shape) if of_classes(case) else rng.random((*shape, O))
    weights = rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.7)
    excluded = weights == 0
    assert excluded.any()
    garbage = y.astype(np.result_type(y, GARBAGE[kind][0]))
    garbage[excluded] = np.resize(GARBAGE[kind], garbage[excluded].shape)
    return y, garbage, weights


@cases
@pytest.mark.parametrize("form", ["array", "lengths", "list", "last", "last of a list"])
def test_loss_gradient_and_training(build_network, case, kind, form):
    loss, is_last = LOSSES[case], form.startswith("last")
    x = np.random.default_rng(4).standard_normal((B, T, 3))
    y, garbage, weights = problem(case, kind, (B,) if is_last else (B, T))
    lengths = None
    if form == "lengths":
        lengths = LENGTHS
        weights[0, 0], weights[1, 5] = 0.5, np.nan  # past the end of the second sequence
        garbage[0, 0] = y[0, 0]
    if "list" in form:
        x = as_list(x, LENGTHS)
    if form == "list":
        weights[3] = 0  # a sequence that counts nothing
        garbage[3] = GARBAGE[kind][0]
        y, garbage, weights = (as_list(values, LENGTHS) for values in (y, garbage, weights))
    before = [np.array(values) for values in garbage]
    results = []
    for targets in (y, garbage):
        net = build_network(3, 5, O, return_sequences=not is_last)
        options = {"loss": loss, "mask": weights, "lengths": lengths}
        found = []
        if case != "balanced":
            found += [net.loss(x, targets, **options)]
            found += [step_gradient(net, x, targets, **options)[1].tobytes()]
        metrics = ["accuracy"] if of_classes(case) else ["mae"]
        history = net.fit(
            x, targets, epochs=2, batch_size=2, validation_fraction=0.4, seed=0, metrics=metrics,
            **options,
        )  # fmt: skip
        results.append((found, vars(history), net.flat_params.tobytes()))
        assert np.isfinite(history.val_loss).all()
        net.fit(x, targets, epochs=1, metrics=metrics, **options)
        results[-1] += (net.flat_params.tobytes(),)
    assert results[0] == results[1]
    for values, kept in zip(garbage, before, strict=True):
        np.testing.assert_array_equal(values, kept)


@pytest.mark.parametrize(
    ("case", "kind"),
    [(case, kind) for case, kind in CASES if case not in ("balanced", "of a user")],
)
@pytest.mark.parametrize("shape", [(B, T), (B,)])
def test_losses_by_themselves(case, kind, shape):
    loss = LOSSES[case]
    y, garbage, weights = problem(case, kind, shape)
    y_hat, _, _ = example(case, (*shape, O))
    assert loss.value(y_hat, garbage, weights) == loss.value(y_hat, y, weights)
    gradients = [loss.gradient(y_hat, targets, weights) for targets in (y, garbage)]
    assert gradients[0].tobytes() == gradients[1].tobytes()


def test_a_users_loss_sees_zeros(build_network):
    """Of every kind of target that it may take."""

    class Seeing:
        def value(self, y_hat, y, weights):
            self.y = y
            return 1.0

        def gradient(self, y_hat, y, weights):
            return np.zeros_like(y_hat)

    loss, mask = Seeing(), np.ones((2, 3))
    mask[1, 2] = 0
    net = build_network(3, 5, O)
    x = np.ones((2, 3, 3))
    for y, seen in (
        (np.array([["a", "b", "c"], ["d", "e", "f"]]), ""),
        (np.full((2, 3, 2, 2), np.nan), 0.0),
    ):
        net.loss(x, y, loss, mask=mask)
        assert np.all(loss.y[1, 2] == seen)
        assert np.array_equal(loss.y[0], y[0], equal_nan=y.dtype.kind == "f")
    # Targets without the axes of the mask are the loss's own affair.
    y = np.array([[np.nan], [2.0]])
    net.loss(x, y, loss, mask=mask)
    assert np.array_equal(loss.y, y, equal_nan=True)


def test_classes_past_the_ends(build_network):
    """Padding by NaN, None or any number; and classes that other libraries' floats hold."""
    net = build_network(3, 5, O)
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((B, T, 3)), rng.integers(O, size=(B, T))
    past = np.arange(T) >= LENGTHS[:, None]
    expected = net.loss(x, y, "cross_entropy", lengths=LENGTHS)
    for padding, dtype in ((np.nan, float), (np.nan, np.float16), (None, object), (-100, int)):
        padded = np.where(past, padding, y.astype(dtype))
        assert net.loss(x, padded, "cross_entropy", lengths=LENGTHS) == expected
        assert net.loss(x, padded, "cross_entropy", mask=~past, lengths=LENGTHS) == expected
    floats = np.where(past, None, y.astype(float).astype(object))
    assert net.loss(x, floats, "cross_entropy", mask=~past) == pytest.approx(
        net.loss(x, y, "cross_entropy", mask=~past), rel=1e-14
    )
    with pytest.raises(TypeError, match=r"^y: expected integer class numbers, got float64$"):
        net.loss(x, np.where(past, np.nan, y + 0.5), "cross_entropy", lengths=LENGTHS)
