"""The estimator for river: checks of river, features that come and go, the scale of the target."""

import copy
import math
import pickle

import numpy as np
import pytest

import crnn

pytest.importorskip("river")

from river import checks, datasets, evaluate, metrics, preprocessing

from crnn.river import Regressor

CELLS = ("rnn", "gru", "lstm")
CHECKED = {cell: Regressor(cell, hidden_size=5, seed=3) for cell in CELLS}
CHECKED |= {"defaults": Regressor(), "scaled": preprocessing.StandardScaler() | Regressor()}


def river_checks():
    # Some of them take their data from scikit-learn.
    pytest.importorskip("sklearn")
    return [
        pytest.param(model, check, id=f"{name}-{check.__name__}")
        for name, model in CHECKED.items()
        for check in checks.yield_checks(model)
    ]


@pytest.mark.parametrize(("model", "check"), river_checks())
def test_checks_of_river(model, check):
    check(model.clone())


def samples(count, seed=0):
    """Two features, and a target that depends on the samples before."""
    rng = np.random.default_rng(seed)
    a, b, y = rng.normal(size=count), rng.normal(size=count), np.zeros(count)
    for t in range(2, count):
        y[t] = 0.6 * y[t - 1] + a[t] - 0.7 * b[t - 2]
    return [({"a": x_a, "b": x_b}, number) for x_a, x_b, number in zip(a, b, y, strict=True)]


def learned(model, stream):
    """Return the predictions for samples, each before it is learned from."""
    predictions = []
    for x, y in stream:
        predictions.append(model.predict_one(x))
        model.learn_one(x, y)
    return predictions


@pytest.mark.parametrize("cell", CELLS)
def test_predictions_are_those_of_a_learner(cell):
    stream = samples(40)
    predictions = learned(
        Regressor(cell, 5, optimizer=crnn.Adam(0.02), clip_norm=0.5, seed=7), stream
    )
    net = crnn.networks.get_family(cell)(2, 5, 1, seed=7)
    learner = net.learner(crnn.Adam(0.02), clip_norm=0.5)
    expected = [0.0]
    for count, (x, y) in enumerate(stream, 1):
        targets = [target for _, target in stream[:count]]
        mean, deviation = np.mean(targets), np.std(targets)
        learner.step([x["a"], x["b"]], [(y - mean) / (deviation or 1)])
        if count < len(stream):
            after = stream[count][0]
            expected.append(mean + deviation * learner.predict([after["a"], after["b"]])[0])
    np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-6)


def test_it_learns_from_what_went_before():
    """The target's deviation is 1.5; without a state 1.0 of it could not be predicted."""
    stream = samples(3000)
    model = preprocessing.StandardScaler() | Regressor(seed=0)
    errors = np.subtract(learned(model, stream), [y for _, y in stream])
    assert np.sqrt(np.mean(errors[-500:] ** 2)) < 0.4


def test_scale_of_the_target():
    stream = samples(60)
    larger = [(x, 4000 + 250 * y) for x, y in stream]
    predictions = learned(Regressor(seed=2), stream)[1:]
    of_larger = learned(Regressor(seed=2), larger)[1:]
    np.testing.assert_allclose(of_larger, 4000 + 250 * np.array(predictions), rtol=1e-4)


@pytest.mark.parametrize("optimizer", [crnn.SGD(0.05), crnn.SGD(0.05, momentum=0.8), crnn.Adam()])
@pytest.mark.parametrize("cell", CELLS)
def test_an_emerging_feature_was_zero_before(cell, optimizer):
    stream = samples(60)
    model = Regressor(cell, 4, optimizer=optimizer, clip_norm=None, seed=5)
    for x, y in stream[:30]:
        model.learn_one({"b": x["b"]}, y)
    assert model.features == ("b",)
    predictions = learned(model, stream[30:])
    assert model.features == ("b", "a")

    family = crnn.networks.get_family(cell)
    net, narrow = family(2, 4, 1, seed=0), family(1, 4, 1, seed=5)
    for name, array in narrow.params.items():
        net.params[name][...] = np.pad(array, [(0, 0), (0, 1)]) if name == "W_xh" else array
    learner = net.learner(copy.deepcopy(optimizer))
    expected, targets = [], []
    for k, (x, y) in enumerate(stream):
        a = x["a"] if k >= 30 else 0.0
        if k >= 30:
            mean, deviation = np.mean(targets), np.std(targets)
            # At its first sample the feature has no weights yet.
            expected.append(mean + deviation * learner.predict([x["b"], a])[0])
        targets.append(y)
        learner.step([x["b"], a], [(y - np.mean(targets)) / (np.std(targets) or 1)])
    np.testing.assert_allclose(predictions, expected, rtol=2e-4, atol=1e-5)


def test_a_missing_feature_is_zero():
    stream = samples(20)
    absent = [({"a": x["a"]} if k % 3 else x, y) for k, (x, y) in enumerate(stream)]
    zero = [({"b": 0, **x}, y) for x, y in absent]
    assert learned(Regressor(seed=0), absent) == learned(Regressor(seed=0), zero)


def test_samples_without_features():
    model = Regressor(seed=0)
    assert model.predict_one({}) == 0
    model.learn_one({}, 3.0)
    model.learn_one({}, 5.0)
    assert (model.predict_one({"a": 1.0}), model.learner) == (4.0, None)
    model.learn_one({"a": 1.0}, 7.0)
    assert model.features == ("a",)
    model.learn_one({}, 7.0)
    assert math.isfinite(model.predict_one({}))


def test_names_of_several_types():
    first = {1: 0.5, "1": np.float32(2.0), ("a", 2): True, None: np.int8(3)}
    model, shuffled = Regressor(seed=0), Regressor(seed=0)
    model.learn_one(first, 1.0)
    shuffled.learn_one(dict(reversed(first.items())), 1.0)
    assert set(model.features) == set(first)
    assert model.features == shuffled.features
    assert model.predict_one(first) == shuffled.predict_one(first)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ({"a": math.nan, "c": 1.0}, 1.0, ValueError, "a: expected a finite number"),
        ({"a": -math.inf}, 1.0, ValueError, "a: expected a finite number"),
        ({"new": 1e39}, 1.0, ValueError, "new: expected a finite number that float32 can hold"),
        ({"a": None}, 1.0, TypeError, "a: expected a number, got None .* StatImputer"),
        ({"a": "3"}, 1.0, TypeError, "a: expected a number, got '3' .*OneHotEncoder"),
        ({"a": 1j}, 1.0, TypeError, "a: expected a number"),
        ({"a": 1.0}, math.nan, ValueError, "y: expected a finite number"),
        ({"a": 1.0}, "no", TypeError, "y: expected a number"),
    ],
)
def test_refusals_change_nothing(x, y, error, message):
    model = Regressor(seed=0)
    learned(model, samples(10))
    before = pickle.dumps(model)
    with pytest.raises(error, match=message):
        model.learn_one(x, y)
    if "y" not in message[:1]:
        with pytest.raises(error, match=message):
            model.predict_one(x)
    assert pickle.dumps(model) == before


def test_divergence_changes_nothing():
    model = Regressor(seed=0)
    learned(model, samples(10))
    model.learner.lr = 3e38
    model.learn_one({"a": 1.0, "b": 2.0}, -5.0)
    before = pickle.dumps(model)
    with pytest.raises(crnn.DivergenceError):
        model.learn_one({"a": 1.0, "b": 2.0, "new": 3.0}, 8.0)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"cell": "elman"}, "cell: expected"), ({"hidden_size": 65}, "hidden_size of at most 64")],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Regressor(**arguments).learn_one({"a": 1.0}, 1.0)


@pytest.mark.parametrize("optimizer", [None, crnn.Adam(0.02)])
def test_pickles_and_copies_go_on_alike(optimizer):
    stream = samples(40)
    model = Regressor("lstm", 3, optimizer=optimizer, seed=1)
    learned(model, stream[:20])
    twins = pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
    expected = learned(model, stream[20:])
    for twin in twins:
        assert learned(twin, stream[20:]) == expected


def test_a_clone_starts_anew():
    optimizer = crnn.SGD(0.05, momentum=0.9)
    model = Regressor(optimizer=optimizer, seed=1)
    expected = learned(model, samples(10))
    clone = model.clone()
    assert clone.learner is None
    assert learned(clone, samples(10)) == expected
    assert optimizer.steps == 0


def test_evaluation_of_river():
    model = preprocessing.StandardScaler() | Regressor(seed=0)
    mae = evaluate.progressive_val_score(datasets.TrumpApproval(), model, metrics.MAE())
    assert mae.get() < 0.5


def test_without_river(run_python):
    process = run_python("import sys; sys.modules['river'] = None; import crnn.river")
    assert process.stderr.splitlines()[-1] == (
        "ImportError: crnn.river needs river: pip install 'crnn[river]'"
    )
