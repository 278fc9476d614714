"""One long sequence among short ones: its own memory, and the same numbers as side by side."""

import numpy as np
import pytest
from memory import peak_of

import crnn
from crnn._network import lengths as lengths_module
from crnn._network.lengths import PADDING, slices_of_similar_length

LONG = 30_000


def ragged(rng, n_long=1):
    lengths = [*rng.integers(5, 12, 40), *rng.integers(LONG - 9, LONG, n_long)]
    return [lengths[place] for place in rng.permutation(len(lengths))]


@pytest.mark.parametrize("length", ["short", "long"])
def test_slices(length):
    """Each sequence once, at most so many side by side, and much padding nowhere."""
    rng = np.random.default_rng(0)
    scale = 1 if length == "short" else 1000
    for ordered in (np.sort, np.asarray):
        lengths = ordered(scale * rng.lognormal(3, 2, 300).astype(int))
        slices = list(slices_of_similar_length(lengths, 64))
        assert np.array_equal(np.concatenate([lengths[part] for part in slices]), lengths)
        for part in slices:
            chosen = lengths[part]
            assert 1 <= len(chosen) <= 64
            padding = len(chosen) * chosen.max() - chosen.sum()
            assert padding <= max(chosen.sum(), PADDING)
    assert list(slices_of_similar_length(np.full(9, 5), 4)) == [
        slice(0, 4),
        slice(4, 8),
        slice(8, 9),
    ]


@pytest.mark.parametrize("family", ["RNN", "LSTM"])
def test_memory_is_that_of_the_steps(native, family):
    rng = np.random.default_rng(0)
    net = getattr(crnn, family)(2, 8, 1, bidirectional=True, seed=0)
    x = [rng.normal(size=(n, 2)) for n in ragged(rng)]
    y = [rng.normal(size=(len(sequence), 1)) for sequence in x]
    long = max(range(len(x)), key=lambda row: len(x[row]))
    settings = {"epochs": 1, "batch_size": 64, "patience": 1}
    pairs = [x[long]] * 2, [y[long]] * 2
    for call in (
        lambda x, y: net.predict(x),
        lambda x, y: net.fit(x, y, **settings),
        lambda x, y: net.train_step(x, y, crnn.SGD(1e-3)),
        lambda x, y: net.fit(x, y, validation_data=(x, y), shuffle=False, **settings),
    ):
        assert peak_of(call, x, y) < 2 * peak_of(call, *pairs)


@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy", "weighted", "custom"])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_parts_are_a_batch(implementation, monkeypatch, loss, return_sequences):
    """Loss, norm and parameters are those of all sequences side by side, to rounding."""
    rng = np.random.default_rng(1)
    monkeypatch.setattr(lengths_module, "PADDING", 10)
    x = [rng.normal(size=(n, 3)) for n in (2, 40, 3, 2, 41, 7)]
    classes = "cross" in loss or loss == "weighted"
    shapes = [(len(s),) if return_sequences else () for s in x]
    y = [rng.integers(0, 2, s) if classes else rng.normal(size=(*s, 2)) for s in shapes]
    mask = [rng.uniform(0.2, 3, s) for s in shapes]
    mask[3] = mask[3] * 0
    if return_sequences:
        mask[3][0] = 1e-9
    else:
        y, mask = np.array(y), np.array(mask)

    class Custom:
        is_mean = True
        of = crnn.losses.MSE()
        value, gradient = of.value, of.gradient

    losses = {
        "weighted": crnn.losses.CrossEntropy(class_weight=[0.3, 2.0]),
        "custom": Custom(),
    }
    runs = []
    for padding in (10, 10**6):
        monkeypatch.setattr(lengths_module, "PADDING", padding)
        net = crnn.GRU(
            3, 4, 2, dtype="float64", seed=0, return_sequences=return_sequences,
            implementation=implementation,
        )  # fmt: skip
        history = net.fit(
            x, y, epochs=3, batch_size=6, mask=mask, clip_norm=0.5, seed=0,
            loss=losses.get(loss, loss), optimizer=crnn.Adam(0.05),
        )  # fmt: skip
        after = net.flat_params.copy()
        value = net.train_step(
            x, y, crnn.SGD(0.1), losses.get(loss, loss), mask=mask, clip_value=0.01
        )
        runs.append((history.loss, history.grad_norm, after, value, net.flat_params))
        if return_sequences:
            nothing = [0 * weights for weights in mask]
            with pytest.raises(ValueError, match=r"^y: expected a step that counts in the loss"):
                net.train_step(x, y, crnn.SGD(0.1), losses.get(loss, loss), mask=nothing)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    assert not np.array_equal(runs[0][2], runs[1][2])


def test_a_loss_that_may_not_add_up_gets_whole_batches(monkeypatch):
    monkeypatch.setattr(lengths_module, "PADDING", 10)
    rng = np.random.default_rng(1)
    x = [rng.normal(size=(n, 3)) for n in (2, 40, 3)]
    y = [rng.normal(size=(len(s), 2)) for s in x]
    batches = []

    class Unknown:
        def value(self, y_hat, y, weights):
            batches.append(len(y))
            return 1.0

        def gradient(self, y_hat, y, weights):
            return 0 * y_hat

    crnn.RNN(3, 4, 2, seed=0).fit(x, y, epochs=1, batch_size=3, loss=Unknown())
    assert batches == [3]
    Unknown.is_mean = True
    crnn.RNN(3, 4, 2, seed=0).fit(x, y, epochs=1, batch_size=3, loss=Unknown())
    assert sorted(batches[1:]) == [1, 2]
    Unknown.is_mean = "yes"
    with pytest.raises(TypeError, match=r"^is_mean: expected True or False, got 'yes'$"):
        crnn.RNN(3, 4, 2).fit(x, y, epochs=1, loss=Unknown())
