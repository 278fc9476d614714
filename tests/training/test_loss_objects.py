"""Losses as objects: numbers of PyTorch's, formulas written out, weights, and users' own."""

import copy
import math
import pickle

import numpy as np
import pytest

import crnn
from crnn.losses import MSE, SSE, BinaryCrossEntropy, CrossEntropy, Huber

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Two sequences, two steps, three outputs, all dyadic.
Y_HAT = [[[1.5, -0.25, 3.0], [-1.0, 0.5, 0.75]], [[2.0, -2.5, 0.125], [0.25, 4.0, -0.5]]]
Y = [[[0.5, 0.25, 1.0], [1.0, 0.0, 0.5]], [[0.75, 0.25, 0.0], [1.0, 0.875, 0.25]]]
CLASSES = [[2, 0], [1, 1]]
WEIGHTS = [[1.0, 0.5], [0.0, 2.0]]
CLASS_WEIGHTS = [0.5, 2.0, 1.25]

# Value and gradient by PyTorch 2.13 in float64, with autograd; weighted means are
# (loss(reduction="none") averaged over the outputs * w).sum() / w.sum(), and those of classes are
# divided by the sum of w times the class weights. A row is a step.
# fmt: off
TORCH = {
    "BCEWithLogitsLoss": (BinaryCrossEntropy(), Y, None, 0.7057694033231682, [
        0.02646453968280364, 0.01565195825951683, -0.003952156098130553,
        -0.06092154821916707, 0.05187161093348788, 0.014931558264616082,
        0.01089975649815686, -0.014511818331563037, 0.04426744778114636,
        -0.03648529159285016, 0.008917815836492371, 0.010628389066512117]),
    "BCEWithLogitsLoss, weighted": (BinaryCrossEntropy(), Y, WEIGHTS, 0.6237502430757592, [
        0.03024518820891844, 0.01788795229659066, -0.0045167498264349175,
        -0.03481231326809547, 0.029640920533421645, 0.008532319008352046,
        0, 0, 0,
        -0.08339495221222894, 0.020383579054839705, 0.024293460723456266]),
    "HuberLoss": (Huber(), Y, None, 0.8313802083333334, [
        0.08333333333333333, -0.041666666666666664, 0.08333333333333333,
        -0.08333333333333333, 0.041666666666666664, 0.020833333333333332,
        0.08333333333333333, -0.08333333333333333, 0.010416666666666666,
        -0.0625, 0.08333333333333333, -0.0625]),
    "HuberLoss(delta=0.75), weighted": (Huber(delta=0.75), Y, WEIGHTS, 0.738095238095238, [
        0.07142857142857142, -0.047619047619047616, 0.07142857142857142,
        -0.03571428571428571, 0.023809523809523808, 0.011904761904761904,
        0, 0, 0,
        -0.14285714285714285, 0.14285714285714285, -0.14285714285714285]),
    "MSELoss": (MSE(), Y, None, 2.4661458333333335, [
        0.16666666666666666, -0.08333333333333333, 0.3333333333333333,
        -0.3333333333333333, 0.08333333333333333, 0.041666666666666664,
        0.20833333333333331, -0.4583333333333333, 0.020833333333333332,
        -0.125, 0.5208333333333333, -0.125]),
    "MSELoss, weighted": (MSE(), Y, WEIGHTS, 2.779761904761905, [
        0.19047619047619047, -0.09523809523809523, 0.38095238095238093,
        -0.19047619047619047, 0.047619047619047616, 0.023809523809523808,
        0, 0, 0,
        -0.2857142857142857, 1.1904761904761905, -0.2857142857142857]),
    "CrossEntropyLoss": (CrossEntropy(), CLASSES, None, 1.834518111874032, [
        0.044205045526861074, 0.007681685081609108, -0.05188673060847018,
        -0.22775066671071903, 0.09971459382487939, 0.12803607288583965,
        0.21469105774099137, -0.24761499778276375, 0.03292394004177236,
        0.005682664310799225, -0.008366964861675846, 0.002684300550876624]),
    "CrossEntropyLoss(weight)": (
        CrossEntropy(class_weights=CLASS_WEIGHTS), CLASSES, None, 1.8909487124047428, [
        0.038439170023357457, 0.006679726157920963, -0.04511889618127842,
        -0.07921762320372835, 0.034683336982566745, 0.044534286221161616,
        0.2987006020744228, -0.3445078230021061, 0.04580722092768329,
        0.007906315562851096, -0.011640994590157699, 0.0037346790273066074]),
    "CrossEntropyLoss(weight), weighted": (
        CrossEntropy(class_weights=CLASS_WEIGHTS), CLASSES, WEIGHTS, 0.18758683684609032, [
        0.04018640502441916, 0.006983350074190099, -0.04716975509860926,
        -0.04140921212922164, 0.018129926149978073, 0.023279285979243575,
        0, 0, 0,
        0.016531387085961382, -0.02434026141578428, 0.007808874329822906]),
}
# fmt: on


@dtypes
@pytest.mark.parametrize("case", TORCH)
def test_numbers_of_torch(assert_close, tolerances, case, dtype):
    loss, y, weights, value, gradient = TORCH[case]
    y_hat = np.array(Y_HAT, dtype)
    got = loss.value(y_hat, y, weights)
    assert type(got) is float
    assert got == pytest.approx(value, rel=tolerances[dtype])
    expected = np.reshape(gradient, y_hat.shape)
    assert_close(loss.gradient(y_hat, y, weights), expected, dtype=dtype)
    # Steps side by side or one after another, an output for each: the same mean
    flat = (y_hat.reshape(4, 3), np.reshape(y, (4, *np.shape(y)[2:])))
    of_steps = None if weights is None else np.reshape(weights, 4)
    assert loss.value(*flat, of_steps) == pytest.approx(value, rel=tolerances[dtype])
    assert_close(loss.gradient(*flat, of_steps), expected.reshape(4, 3), dtype=dtype)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def of_outputs(function):
    """The loss of a step as the mean of those of its outputs."""
    return lambda y_hat, y: sum(map(function, y_hat, y)) / len(y_hat)


def huber(delta):
    def of_output(y_hat, y):
        error = abs(y_hat - y)
        return error**2 / 2 if error <= delta else delta * (error - delta / 2)

    return of_outputs(of_output)


# Each loss with the loss of a step written out.
FORMULAS = {
    "mse": (MSE(), of_outputs(lambda p, q: (p - q) ** 2)),
    "sse": (SSE(), lambda p, q: sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / 2),
    "cross_entropy": (
        CrossEntropy(),
        lambda p, c: -math.log(math.exp(p[c]) / sum(map(math.exp, p))),
    ),
    "binary_cross_entropy": (
        BinaryCrossEntropy(),
        of_outputs(lambda z, q: -q * math.log(sigmoid(z)) - (1 - q) * math.log(1 - sigmoid(z))),
    ),
    "huber": (Huber(), huber(1.0)),
    "huber of delta": (Huber(delta=0.3), huber(0.3)),
    "class weights": (
        CrossEntropy(class_weights=[0.2, 3, 1, 0.7]),
        lambda p, c: -math.log(math.exp(p[c]) / sum(map(math.exp, p))),
    ),
}


def example(case, shape, dtype="float64"):
    """Outputs, targets and weights of which one is 0, for outputs of this shape."""
    rng = np.random.default_rng(len(case))
    y_hat = 1.5 * rng.standard_normal(shape)
    if FORMULAS[case][0].of_classes:
        y = rng.integers(shape[-1], size=shape[:-1])
    else:
        y = rng.random(shape).astype(dtype)
    weights = rng.uniform(0.1, 3, shape[:-1])
    weights[-1] = 0
    return y_hat.astype(dtype), y, weights


@dtypes
@pytest.mark.parametrize("shape", [(3, 5, 4), (6, 4)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", FORMULAS)
def test_values_are_their_formulas(tolerances, case, weighted, shape, dtype):
    loss, formula = FORMULAS[case]
    y_hat, y, weights = example(case, shape, dtype)
    total = size = 0.0
    for step in np.ndindex(shape[:-1]):
        w = weights[step] if weighted else 1
        if case == "class weights":
            w *= loss.class_weights[y[step]]
        total += w * formula(y_hat[step].tolist(), y[step].tolist())
        size += w
    expected = total if case == "sse" else total / size
    got = loss.value(y_hat, y, weights=weights if weighted else None)
    assert got == pytest.approx(expected, rel=tolerances[dtype])


@pytest.mark.parametrize("shape", [(3, 5, 4), (6, 4)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", FORMULAS)
def test_gradients_are_finite_differences(case, weighted, shape):
    loss, _ = FORMULAS[case]
    y_hat, y, weights = example(case, shape)
    if not weighted:
        weights = None
    gradient = loss.gradient(y_hat, y, weights)
    step = 1e-6
    for index in np.ndindex(shape):
        there, back = y_hat.copy(), y_hat.copy()
        there[index] += step
        back[index] -= step
        slope = (loss.value(there, y, weights) - loss.value(back, y, weights)) / (2 * step)
        # Rounding of the values, 1e-16 of up to 100, over 2e-6
        assert gradient[index] == pytest.approx(slope, abs=2e-8)


@pytest.mark.parametrize("case", FORMULAS)
def test_arguments_are_left_alone(case):
    loss, _ = FORMULAS[case]
    arguments = example(case, (3, 5, 4))
    before = copy.deepcopy(arguments)
    loss.gradient(*arguments)
    loss.value(*arguments)
    for array, kept in zip(arguments, before, strict=True):
        assert np.array_equal(array, kept)


@dtypes
def test_binary_cross_entropy_of_large_logits(dtype):
    loss, one = BinaryCrossEntropy(), np.ones((1, 1))
    for logit in (1e4, 1e30, 88.0, 800.0):
        z = np.array([[logit]], dtype)
        assert loss.value(z, one) == pytest.approx(math.exp(-logit), rel=1e-6, abs=0)
        assert loss.value(-z, one) == float(z[0, 0])
        assert loss.value(z, 0 * one) == float(z[0, 0])
        assert loss.gradient(-z, one) == -1
        assert loss.gradient(z, 0 * one) == 1
    # exp(-60) is far below the spacing of numbers near 1.
    z = np.array([[60.0]], dtype)
    tiny = pytest.approx(math.exp(-60), rel=1e-6, abs=0)
    assert loss.gradient(-z, 0 * one).item() == tiny
    assert -loss.gradient(z, one).item() == tiny


def test_values_are_summed_in_float64():
    # One float32 accumulator over 600 000 equal terms would be off by more than a per cent.
    y_hat, y = np.full((20, 3000, 10), 0.1, "float32"), np.zeros((20, 3000, 10), "float32")
    weights = np.ones((20, 3000))
    square = float(y_hat[0, 0, 0]) ** 2
    assert MSE().value(y_hat, y, weights) == pytest.approx(square, rel=1e-12)
    assert SSE().value(y_hat, y, weights) == pytest.approx(300_000 * square, rel=1e-12)
    assert Huber().value(y_hat, y) == pytest.approx(square / 2, rel=1e-12)


@pytest.mark.parametrize("case", FORMULAS)
def test_weights_of_one_change_nothing(case):
    loss, _ = FORMULAS[case]
    y_hat, y, weights = example(case, (3, 5, 4))
    ones = np.ones_like(weights)
    assert loss.value(y_hat, y, ones) == pytest.approx(loss.value(y_hat, y), rel=1e-14)
    np.testing.assert_allclose(loss.gradient(y_hat, y, ones), loss.gradient(y_hat, y), rtol=1e-13)


NETWORKS = {
    "simple": {},
    "layers": {"num_layers": 2, "bidirectional": True},
    "last": {"return_sequences": False},
}


def problem(implementation, case, settings, dtype="float64"):
    net = crnn.RNN(3, 5, 4, dtype=dtype, seed=1, implementation=implementation, **settings)
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
    before = net.flat_params.copy()
    value = net.train_step(x, y, crnn.SGD(1.0), **options)
    gradient = before - net.flat_params
    net.flat_params[...] = before
    assert value == pytest.approx(net.loss(x, y, **options), rel=1e-12)
    step = 1e-6
    # Every seventh parameter, which is some of each
    for index in range(0, before.size, 7):
        losses = []
        for sign in (1, -1):
            net.flat_params[...] = before
            net.flat_params[index] += sign * step
            losses.append(net.loss(x, y, **options))
        slope = (losses[0] - losses[1]) / (2 * step)
        # Rounding of a loss of up to 60, over 2e-6
        assert gradient[index] == pytest.approx(slope, rel=1e-6, abs=5e-8)


@dtypes
@pytest.mark.parametrize("case", ["mse", "sse", "cross_entropy", "binary_cross_entropy", "huber"])
def test_names_are_the_objects(implementation, case, dtype):
    loss, _ = FORMULAS[case]
    results = []
    for given in (case, loss, type(loss)()):
        net, x, y, _ = problem(implementation, case, {}, dtype)
        history = net.fit(x, y, epochs=2, batch_size=4, loss=given, seed=0)
        results.append((history.loss, net.flat_params.tobytes(), net.loss(x, y, loss=given)))
    assert results[0] == results[1] == results[2]
    assert results[0][2] == pytest.approx(loss.value(net.predict(x), y), rel=1e-6)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("case", FORMULAS)
def test_loss_of_an_epoch_is_that_of_all_its_steps(implementation, case, settings):
    """However unequal the weights of its batches, one of which has none."""
    net, x, y, weights = problem(implementation, case, settings)
    weights[:2] = 0
    options = {"loss": FORMULAS[case][0], "mask": weights}
    history = net.fit(
        x,
        y,
        epochs=1,
        batch_size=2,
        shuffle=False,
        optimizer=crnn.SGD(0.0),
        validation_data=(x, y),
        **options,
    )
    assert history.loss == pytest.approx([net.loss(x, y, **options)], rel=1e-12)
    assert history.loss == pytest.approx(
        [options["loss"].value(net.predict(x), y, weights)], rel=1e-12
    )
    assert history.val_loss == pytest.approx([net.loss(x, y, loss=options["loss"])], rel=1e-12)


def test_class_weights_and_truncated_bptt(implementation):
    loss = CrossEntropy(class_weights=[0, 3, 1, 0.7])
    net, x, y, _ = problem(implementation, "class weights", {})
    y[:, 2:4] = 0  # a chunk that counts nothing
    history = net.fit(x, y, epochs=1, bptt=2, optimizer=crnn.SGD(0.0), loss=loss)
    assert history.loss == pytest.approx([net.loss(x, y, loss=loss)], rel=1e-12)


class Cauchy:
    """A user's loss, sum of log(1 + e^2): robust, and of no base class."""

    def __init__(self):
        self.weighted = []

    def value(self, y_hat, y, weights=None):
        self.weighted.append(weights is not None)
        of_steps = np.log1p((y_hat - y) ** 2).sum(axis=-1)
        return np.average(of_steps, weights=weights)

    def gradient(self, y_hat, y, weights=None):
        self.weighted.append(weights is not None)
        w = np.ones(y_hat.shape[:-1]) if weights is None else weights
        e = y_hat - y
        return 2 * e / (1 + e**2) * (w / w.sum())[..., None]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_losses_of_users(implementation, settings, weighted):
    net, x, y, weights = problem(implementation, "mse", settings)
    loss = Cauchy()
    options = {"loss": loss, "mask": weights if weighted else None}
    before = net.flat_params.copy()
    value = net.train_step(x, y, crnn.SGD(1.0), **options)
    gradient = before - net.flat_params
    net.flat_params[...] = before
    assert value == pytest.approx(
        loss.value(net.predict(x), y, *([weights] if weighted else [])), rel=1e-12
    )
    index, step = 3, 1e-6
    net.flat_params[index] += step
    slope = (net.loss(x, y, **options) - value) / step
    assert gradient[index] == pytest.approx(slope, rel=1e-3)
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
    assert net.flat_params.tobytes() == before


def test_a_subclass_is_a_users_loss(implementation):
    class Double(MSE):
        def value(self, y_hat, y, weights=None):
            return 2 * super().value(y_hat, y, weights)

    net, x, y, _ = problem(implementation, "mse", {})
    assert net.loss(x, y, loss=Double()) == pytest.approx(2 * net.loss(x, y), rel=1e-14)


A, B = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
BAD_ARGUMENTS = {
    "negative weight": (MSE(), A, B, [[1, -1, 1], [1, 1, 1]], "weights: .*at least 0"),
    "NaN weight": (Huber(), A, B, np.full((2, 3), np.nan), "weights: expected finite"),
    "weights of zero": (MSE(), A, B, np.zeros((2, 3)), "weights: expected a number above 0"),
    "weights of outputs": (SSE(), A, B, np.ones((2, 3, 4)), r"weights: expected shape \(batch=2"),
    "weights of classes of zero": (
        CrossEntropy(class_weights=[1, 0, 0, 0]),
        A,
        np.ones((2, 3), int),
        None,
        r"weights: expected a sum above 0, got 0 with CrossEntropy\(class_weights=",
    ),
    "class weights of others": (
        CrossEntropy(class_weights=[1, 2]),
        A,
        np.ones((2, 3), int),
        None,
        r"class_weights: expected shape \(outputs=4,\), got \(2,\)",
    ),
    "shapes": (MSE(), A, B[:, :2], None, r"y: expected shape \(batch=2, time=3, outputs=4\)"),
    "axes": (MSE(), A[0, 0], B[0, 0], None, "y_hat: expected shape"),
    "NaN": (MSE(), A + np.nan, B, None, "y_hat: expected finite"),
    "probability": (BinaryCrossEntropy(), A, B + 2, None, "y: expected numbers from 0 to 1, got 2"),
    "class": (CrossEntropy(), A, np.full((2, 3), 4), None, "y: expected"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
@pytest.mark.parametrize("method", ["value", "gradient"])
def test_bad_arguments(case, method):
    loss, y_hat, y, weights, message = BAD_ARGUMENTS[case]
    with pytest.raises(ValueError, match=message):
        getattr(loss, method)(y_hat, y, weights)


@pytest.mark.parametrize("delta", [0, -1, math.inf, math.nan, "1", None])
def test_bad_delta(delta):
    with pytest.raises((TypeError, ValueError), match="delta: expected"):
        Huber(delta)


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [1, math.nan], [[1, 2]], [], ["a"], "ab"])
def test_bad_class_weights(weights):
    with pytest.raises((TypeError, ValueError), match="class_weights: expected"):
        CrossEntropy(class_weights=weights)


@pytest.mark.parametrize("loss", ["mae", None, 3, Huber, object(), MSE().value])
def test_what_is_no_loss(implementation, loss):
    net, x, y, _ = problem(implementation, "mse", {})
    for use in (net.loss, lambda x, y, loss: net.fit(x, y, epochs=1, loss=loss)):
        with pytest.raises(ValueError, match=r"loss: expected 'mse', 'sse', .* value and gradient"):
            use(x, y, loss=loss)


def test_nothing_that_counts(implementation):
    net, x, y, _ = problem(implementation, "class weights", {})
    before = net.flat_params.tobytes()
    y[...] = 2
    loss = CrossEntropy(class_weights=[1, 1, 0, 1])
    for use in (net.loss, lambda x, y, loss: net.fit(x, y, epochs=1, loss=loss)):
        with pytest.raises(ValueError, match="y: expected a step that counts"):
            use(x, y, loss=loss)
    with pytest.raises(ValueError, match="validation data: y: expected a step that counts"):
        net.fit(x, y - 1, epochs=1, loss=loss, validation_data=(x, y))
    assert net.flat_params.tobytes() == before


@pytest.mark.parametrize("case", FORMULAS)
def test_copies_and_names(case):
    loss, _ = FORMULAS[case]
    y_hat, y, weights = example(case, (3, 5, 4))
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.value(y_hat, y, weights) == loss.value(y_hat, y, weights)
    namespace = {name: getattr(crnn.losses, name) for name in crnn.losses.__all__}
    assert repr(eval(repr(loss), namespace)) == repr(loss)
