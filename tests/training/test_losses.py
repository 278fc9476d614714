"""Losses by themselves: numbers of PyTorch, formulas written out, finite differences, weights."""

import copy
import math
import pickle

import numpy as np
import pytest
from differences import assert_elements
from loss_problems import CLASS_WEIGHTS_OF, FORMULAS, example
from network_problems import DTYPES

import crnn
from crnn.losses import MSE, SSE, BinaryCrossEntropy, CrossEntropy, Huber

dtypes = pytest.mark.parametrize("dtype", DTYPES)


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
        CrossEntropy(class_weight=CLASS_WEIGHTS), CLASSES, None, 1.8909487124047428, [
        0.038439170023357457, 0.006679726157920963, -0.04511889618127842,
        -0.07921762320372835, 0.034683336982566745, 0.044534286221161616,
        0.2987006020744228, -0.3445078230021061, 0.04580722092768329,
        0.007906315562851096, -0.011640994590157699, 0.0037346790273066074]),
    "CrossEntropyLoss(weight), weighted": (
        CrossEntropy(class_weight=CLASS_WEIGHTS), CLASSES, WEIGHTS, 0.18758683684609032, [
        0.04018640502441916, 0.006983350074190099, -0.04716975509860926,
        -0.04140921212922164, 0.018129926149978073, 0.023279285979243575,
        0, 0, 0,
        0.016531387085961382, -0.02434026141578428, 0.007808874329822906]),
    "CrossEntropyLoss(label_smoothing)": (
        CrossEntropy(label_smoothing=0.1), CLASSES, None, 1.856393111874032, [
        0.03587171219352774, -0.0006516482517242251, -0.03522006394180352,
        -0.21108400004405237, 0.09138126049154606, 0.11970273955250632,
        0.20635772440765804, -0.23094833111609708, 0.02459060670843903,
        -0.002650669022534108, 0.008299701804990817, -0.005649032782456709]),
    "CrossEntropyLoss(weight, label_smoothing)": (
        CrossEntropy(CLASS_WEIGHTS, 0.25), CLASSES, None, 1.8754437325370423, [
        0.031192793211763253, -0.022305781088455844, -0.008887012123307409,
        -0.06182278262976418, 0.018704081104652468, 0.04311870152511172,
        0.2634510438183514, -0.28684789575507896, 0.02339685193672747,
        -8.127833276039722e-05, 0.014812667493249243, -0.014731389160488892]),
    "CrossEntropyLoss(weight, label_smoothing), weighted": (
        CrossEntropy(CLASS_WEIGHTS, 0.25), CLASSES, WEIGHTS, 0.5243233401056638, [
        0.03261064744866158, -0.023319680228840206, -0.009290967219821382,
        -0.03231645455646763, 0.009777133304704692, 0.022539321251762938,
        0, 0, 0,
        -0.00016994560486265192, 0.030971941122248485, -0.030801995517385872]),
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
        if case in CLASS_WEIGHTS_OF:
            w *= CLASS_WEIGHTS_OF[case][y[step]]
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
    assert_elements(
        loss.gradient(y_hat, y, weights), lambda: loss.value(y_hat, y, weights), y_hat, case
    )


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


@pytest.mark.parametrize("case", FORMULAS)
def test_copies_and_names(case):
    loss, _ = FORMULAS[case]
    y_hat, y, weights = example(case, (3, 5, 4))
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.value(y_hat, y, weights) == loss.value(y_hat, y, weights)
    namespace = {name: getattr(crnn.losses, name) for name in crnn.losses.__all__}
    assert repr(eval(repr(loss), namespace)) == repr(loss)
