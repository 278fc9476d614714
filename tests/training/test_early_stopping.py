"""Validation by a share of the data, early stopping, callbacks and learning rates of fit."""

import itertools

import numpy as np
import pytest

import crnn

N, T, I, O = 10, 5, 3, 2


def data(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, T, I)), rng.standard_normal((n, T, O))


@pytest.mark.parametrize(
    ("fraction", "count"), [(0.3, 3), (0.25, 2), (0.01, 1), (0.99, 9), (np.float32(0.5), 5)]
)
def test_the_last_share_validates(build_network, fraction, count):
    x, y = data()
    runs = []
    for sets, options in (
        ((x, y), {"validation_fraction": fraction}),
        ((x[:-count], y[:-count]), {"validation_data": (x[-count:], y[-count:])}),
    ):
        net = build_network()
        history = net.fit(*sets, epochs=3, batch_size=2, seed=5, **options)
        runs.append((history.loss, history.val_loss, net.flat_params.tobytes()))
    assert runs[0] == runs[1]


def test_the_share_of_lists_lengths_and_masks(build_network):
    x, y = data()
    lengths = np.arange(N) % T + 1
    mask = np.random.default_rng(1).random((N, T))
    ragged = [[a[:n] for a, n in zip(values, lengths, strict=True)] for values in (x, y, mask)]
    runs = []
    for inputs, options in (
        ((x, y), {"lengths": lengths, "mask": mask}),
        (ragged[:2], {"mask": ragged[2]}),
    ):
        net = build_network()
        history = net.fit(*inputs, epochs=2, seed=5, validation_fraction=0.4, **options)
        runs.append([*history.loss, *history.val_loss])
    assert runs[0] == pytest.approx(runs[1], rel=1e-12)
    # The second epoch's steps are the last ones: what validates was seen by none.
    expected = net.loss(x[6:], y[6:], lengths=lengths[6:], mask=mask[6:])
    assert runs[1][-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["lengths", "mask", "both", "list", "list with a mask"])
def test_what_validates_has_lengths_and_masks_of_its_own(build_network, form):
    """The padding of the validation data counts nothing, whatever the training data have."""
    (x, y), (held_x, held_y) = data(), data(n=4, seed=1)
    lengths, mask = np.array([5, 1, 3, 2]), np.random.default_rng(2).random((4, T))
    mask[1, 0] = mask[3, 1] = 0
    held_y[1, 0] = np.nan if "mask" in form or form == "both" else 3.0
    inside = np.arange(T) < lengths[:, None]
    weights = {"lengths": inside, "list": inside, "mask": mask}.get(form, mask * inside)
    parts = {"x": held_x, "y": held_y, "lengths": lengths, "mask": mask}
    if form.startswith("list"):
        parts = {k: [a[:n] for a, n in zip(v, lengths, strict=True)] for k, v in parts.items()
                 if k != "lengths"}  # fmt: skip
    if form in ("lengths", "list"):
        del parts["mask"]
    if form == "mask":
        del parts["lengths"]
    given = (parts["x"], parts["y"]) if form == "list" else parts
    net = build_network()
    history = net.fit(
        x, y, epochs=1, lengths=np.full(N, 4), optimizer=crnn.SGD(0.01), validation_data=given,
        patience=2, metrics=["mae"],
    )  # fmt: skip
    errors = net.predict(held_x) - np.nan_to_num(held_y)
    expected = (weights * (errors**2).mean(axis=-1)).sum() / weights.sum()
    assert history.val_loss == pytest.approx([expected], rel=1e-9)
    counted = np.abs(errors[weights > 0]).mean()
    assert history.metrics["val_mae"] == pytest.approx([counted], rel=1e-9)
    assert net.loss(**parts) == pytest.approx(expected, rel=1e-9)


def keeping(kept):
    """A callback that keeps the parameters after each epoch."""
    return lambda net, _: kept.append(net.flat_params.copy())


def noisy(net, **options):
    """A run that overfits ten random sequences and gets worse on others."""
    x, y = data()
    optimizer = crnn.Adam(0.05)
    return net.fit(
        x, y, epochs=60, optimizer=optimizer, seed=0, validation_data=data(seed=1), **options
    )


def test_early_stopping_gives_back_the_best_epoch(build_network):
    net, free = build_network(), build_network()
    kept = []
    history = noisy(net, patience=4, callbacks=[keeping(kept)])
    epochs = len(history.loss)
    assert history.best_epoch == 1 + int(np.argmin(history.val_loss))
    assert epochs == history.best_epoch + 4 < 60
    assert np.array_equal(net.flat_params, kept[history.best_epoch - 1])
    assert not np.array_equal(net.flat_params, kept[-1])
    assert net.loss(*data(seed=1)) == min(history.val_loss)
    # Until then it is the run that it would have been.
    unstopped = noisy(free)
    assert unstopped.val_loss[:epochs] == history.val_loss
    assert unstopped.best_epoch == 1 + int(np.argmin(unstopped.val_loss))


def test_patience_counts_epochs_in_a_row(build_network):
    """With losses made up by a loss that reads them from a list."""
    made_up = [5.0, 4.0, 4.0, 3.5, 3.6, np.nan, 3.5, 1.0]

    class Listed:
        def __init__(self):
            self.values = iter(made_up)

        def value(self, y_hat, y):
            return 1.0 if len(y) == N else next(self.values)

        def gradient(self, y_hat, y):
            return np.ones_like(y_hat)

    for patience, epochs, best in ((1, 3, 2), (2, 6, 4), (3, 7, 4), (4, 8, 8)):
        kept = []
        net = build_network()
        history = net.fit(
            *data(), epochs=8, loss=Listed(), patience=patience, optimizer=crnn.SGD(0.01),
            validation_data=data(n=3), callbacks=[keeping(kept)],
        )  # fmt: skip
        assert len(history.val_loss) == epochs
        assert history.best_epoch == best
        assert np.array_equal(net.flat_params, kept[best - 1])


MADE_UP = {
    # What the metric says after each epoch, the settings, and by hand the best epoch and the last
    "highest": ([1, 3, 2, 4, 4, 3, 9], {"monitor": ("val_listed", "max"), "patience": 2}, 4, 6),
    "lowest": ([5, 6, 4, 4, 4, 1], {"monitor": ("val_listed", "min"), "patience": 2}, 3, 5),
    "a pair in a list": ([1, 2, 1, 1], {"monitor": ["val_listed", "max"], "patience": 2}, 2, 4),
    # 4.5 is not more than 0.5 below 5, but 4.25 is; then 3.75 is not.
    "min_delta": (
        [5, 4.5, 4.75, 4.25, 4, 3.75, 3.75, 0],
        {"monitor": ("val_listed", "min"), "patience": 3, "min_delta": 0.5}, 4, 7,
    ),
    "min_delta of the highest": (
        [1, 1.5, 1.25, 2, 2.5, 2.25, 3],
        {"monitor": ("val_listed", "max"), "patience": 3, "min_delta": 0.5}, 7, 7,
    ),
    "not a number": (
        [np.nan, np.nan, 3, np.nan, 2], {"monitor": ("val_listed", "min"), "patience": 3}, 5, 5,
    ),
    "only numbers that are none": (
        [np.nan] * 5, {"monitor": ("val_listed", "max"), "patience": 3}, 1, 4,
    ),
    "infinite": ([np.inf, 3, 2, 2], {"monitor": ("val_listed", "min"), "patience": 2}, 3, 4),
    "without patience": ([1, 3, 2], {"monitor": ("val_listed", "max")}, 2, 3),
}  # fmt: skip


@pytest.mark.parametrize("case", MADE_UP)
def test_a_metric_decides(build_network, case):
    values, settings, best, last = MADE_UP[case]
    made_up, kept, net = iter(values), [], build_network()

    def listed(y_hat, y):
        return next(made_up)

    history = net.fit(
        *data(), epochs=len(values), metrics=[listed], validation_data=data(n=3),
        callbacks=[keeping(kept)], optimizer=crnn.SGD(0.01), **settings,
    )  # fmt: skip
    assert history.best_epoch == best
    assert len(history.loss) == last
    expected = kept[best - 1] if "patience" in settings else kept[-1]
    assert np.array_equal(net.flat_params, expected)


@pytest.mark.parametrize(
    ("monitor", "validates", "find"),
    [
        ("accuracy", False, np.argmax),
        ("val_accuracy", True, np.argmax),
        ("loss", True, np.argmin),
        ("val_loss", True, np.argmin),
        (("val_accuracy", "min"), True, np.argmin),
    ],
)
def test_known_metrics_know_what_is_better(build_network, monitor, validates, find):
    x, y = data(n=40)
    history = build_network().fit(
        x, (y[..., 0] > 0).astype(int), epochs=12, loss="cross_entropy", metrics=["accuracy"],
        optimizer=crnn.SGD(2.0), validation_fraction=0.5 if validates else None, monitor=monitor,
        seed=0,
    )  # fmt: skip
    name = monitor if isinstance(monitor, str) else monitor[0]
    values = vars(history).get(name) or history.metrics[name]
    assert history.best_epoch == 1 + find(values)
    assert len(set(values)) > 1


def test_the_lowest_mae_is_the_best(build_network):
    history = build_network().fit(
        *data(), epochs=9, optimizer=crnn.SGD(lambda step: 0.05 if step < 4 else 4.0), clip_norm=1,
        metrics=["mae"], monitor="mae",
    )  # fmt: skip
    assert history.best_epoch == 1 + np.argmin(history.metrics["mae"]) < 9


def test_patience_without_validation_watches_the_training(build_network):
    net = build_network()
    kept = []
    # Too large a rate: the loss goes down, then up.
    history = net.fit(
        *data(), epochs=100, optimizer=crnn.SGD(lambda step: 0.05 * 1.2**step), clip_norm=1.0,
        patience=3, callbacks=[keeping(kept)],
    )  # fmt: skip
    assert history.best_epoch == 1 + int(np.argmin(history.loss))
    assert len(history.loss) == history.best_epoch + 3 < 100
    assert np.array_equal(net.flat_params, kept[history.best_epoch - 1])


@pytest.mark.parametrize("stops", [False, True], ids=["epochs end", "callback stops"])
def test_the_best_parameters_come_back_though_patience_has_not_run_out(build_network, stops):
    net, kept = build_network(), []
    history = net.fit(
        *data(), epochs=9 if stops else 6, patience=50,
        # The loss goes down for two steps, then up.
        optimizer=crnn.SGD(lambda step: 0.05 if step < 2 else 1.5),
        callbacks=[keeping(kept), lambda _, history: stops and len(history.loss) == 6],
    )  # fmt: skip
    assert len(history.loss) == 6
    assert history.best_epoch == 1 + int(np.argmin(history.loss)) < 6
    assert np.array_equal(net.flat_params, kept[history.best_epoch - 1])
    assert not np.array_equal(net.flat_params, kept[-1])


def test_best_epoch_of_a_run_that_ends_by_itself(build_network):
    net = build_network()
    history = net.fit(*data(), epochs=4, patience=50, optimizer=crnn.SGD(0.01))
    assert history.best_epoch == 4
    assert crnn.History().best_epoch is None


def test_callbacks_follow_each_epoch_and_may_stop(build_network):
    net = build_network()
    calls = []

    def first(given, history):
        assert given is net
        calls.append(("first", len(history.loss), len(history.lr)))
        return len(history.loss)  # a number is no answer

    def second(_, history):
        calls.append(("second", len(history.loss), len(history.lr)))
        return np.bool_(len(history.loss) == 3)

    def third(_, history):
        calls.append(("third", len(history.loss), len(history.lr)))

    history = net.fit(*data(), epochs=10, callbacks=(first, second, third))
    assert len(history.loss) == 3
    names = ("first", "second", "third")
    assert calls == [(name, epoch, epoch) for epoch in (1, 2, 3) for name in names]


def test_an_error_in_a_callback_comes_through(build_network):
    def fail(net, history):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        build_network().fit(*data(), epochs=2, callbacks=[fail])


def test_learning_rates_are_those_of_the_last_steps(build_network):
    rate = crnn.schedules.exponential(0.1, factor=0.5, every=1)
    history = build_network().fit(*data(), epochs=3, batch_size=4, optimizer=crnn.SGD(rate))
    # Three steps an epoch, counted from 0
    assert history.lr == [rate(2), rate(5), rate(8)]
    optimizer = crnn.SGD(0.1)

    def halve(net, history):
        optimizer.lr /= 2

    history = build_network().fit(*data(), epochs=3, optimizer=optimizer, callbacks=[halve])
    assert history.lr == [0.1, 0.05, 0.025]
    assert optimizer.last_lr == 0.025


def test_all_of_it_together_on_a_task(implementation):
    """A delay of one step, learnt to the point where early stopping finds nothing more."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (60, 12, 1)).astype("float32")
    y = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    net = crnn.RNN(1, 8, 1, seed=3, implementation=implementation)
    history = net.fit(
        x, y, epochs=60, batch_size=8, loss=crnn.losses.Huber(0.5),
        optimizer=crnn.Adam(crnn.schedules.cosine(0.02, steps=360)), validation_fraction=0.2,
        patience=20, metrics=["mae"], seed=1,
    )  # fmt: skip
    # Without memory the best answer is zero, whose mean error is about 0.46.
    assert history.metrics["val_mae"][history.best_epoch - 1] < 0.05
    assert all(b < a for a, b in itertools.pairwise(history.lr))
