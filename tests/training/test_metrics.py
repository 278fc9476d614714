"""Metrics of fit: of training and validation data, of steps that count, and users' own."""

import numpy as np
import pytest

import crnn

N, T, I, O = 10, 5, 3, 2


def data(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, T, I)), rng.standard_normal((n, T, O))


def class_data(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, T, I)), rng.integers(O, size=(n, T))


def spread(y_hat, y):
    """A metric that no mean over batches could give."""
    return np.float32(np.std(y_hat - y))


def test_metrics_of_numbers(build_network):
    net = build_network()
    x, y = data(n=300)  # more than are predicted at a time
    history = net.fit(x, y, epochs=2, metrics=("mae", spread))
    error = net.predict(x) - y
    assert list(history.metrics) == ["mae", "spread"]
    assert all(len(values) == 2 for values in history.metrics.values())
    assert all(type(value) is float for values in history.metrics.values() for value in values)
    assert history.metrics["mae"][-1] == pytest.approx(np.abs(error).mean(), rel=1e-13)
    assert history.metrics["spread"][-1] == pytest.approx(error.std(), rel=1e-6)


def test_metrics_of_validation_data_have_its_name(build_network):
    net = build_network()
    history = net.fit(*data(), epochs=2, metrics=["mae"], validation_fraction=0.2)
    x, y = (values[-2:] for values in data())
    assert list(history.metrics) == ["val_mae"]
    expected = np.abs(net.predict(x) - y).mean()
    assert history.metrics["val_mae"][-1] == pytest.approx(expected, rel=1e-13)


def test_accuracy_of_classes_and_of_logits(build_network):
    net = build_network()
    x, y = class_data()
    history = net.fit(x, y, epochs=2, loss="cross_entropy", metrics=["accuracy"])
    expected = (net.predict(x).argmax(axis=-1) == y).mean()
    assert history.metrics["accuracy"][-1] == pytest.approx(expected, rel=1e-14)
    assert 0 < expected < 1
    net = build_network()
    y = np.random.default_rng(0).integers(2, size=(N, T, O)).astype(float)
    history = net.fit(x, y, epochs=2, loss="binary_cross_entropy", metrics=["accuracy"])
    expected = ((net.predict(x) > 0) == y).mean()
    assert history.metrics["accuracy"][-1] == pytest.approx(expected, rel=1e-14)
    assert 0 < expected < 1


def test_metrics_see_the_steps_that_count(build_network):
    net = build_network()
    x, y = data()
    lengths = np.arange(N) % T + 1
    mask = np.random.default_rng(1).integers(3, size=(N, T))
    seen = []

    def shapes(y_hat, y):
        seen.append((y_hat.shape, y.shape))
        return 0

    history = net.fit(x, y, epochs=1, lengths=lengths, mask=mask, metrics=["mae", shapes])
    counts = (mask > 0) & (np.arange(T) < lengths[:, None])
    expected = np.abs(net.predict(x) - y)[counts].mean()
    assert history.metrics["mae"] == pytest.approx([expected], rel=1e-13)
    assert seen == [((counts.sum(), O), (counts.sum(), O))]


def test_classes_of_weight_0_are_measured(implementation):
    """Whether or not they fill one of the batches that predictions are made in."""
    net = crnn.RNN(I, 4, O, seed=0, implementation=implementation)
    x, y = class_data(400)
    y[:300] = 0
    loss = crnn.losses.CrossEntropy(class_weight=[0, 1])
    history = net.fit(x, y, epochs=1, loss=loss, metrics=["accuracy"])
    assert history.metrics["accuracy"] == [(net.predict(x).argmax(axis=-1) == y).mean()]


def test_metrics_of_sequences(implementation):
    net = crnn.RNN(I, 4, O, return_sequences=False, seed=0, implementation=implementation)
    x, _ = data()
    y = np.arange(N) % O
    mask = [1.0, 0.0] * 5
    history = net.fit(x, y, epochs=1, loss="cross_entropy", mask=mask, metrics=["accuracy"])
    hits = (net.predict(x).argmax(axis=-1) == y)[::2]
    assert history.metrics["accuracy"] == [hits.mean()]


def test_metrics_change_nothing(build_network):
    runs = []
    for options in ({}, {"metrics": ["mae", spread]}, {"callbacks": [lambda *_: None]}):
        net = build_network()
        net.fit(*data(), epochs=3, batch_size=3, seed=0, **options)
        runs.append(net.flat_params.tobytes())
    assert runs[0] == runs[1] == runs[2]


def test_a_metric_that_gives_no_number(build_network):
    def high(y_hat, y):
        return "high"

    with pytest.raises(TypeError, match=r"^metrics: expected a number from high, got 'high'"):
        build_network().fit(*data(), epochs=1, metrics=[high])
