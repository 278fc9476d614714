"""Checkpoints: a run that was cut and resumed ends with the bits of one that was not."""

import json
from pathlib import Path

import numpy as np
import pytest

import crnn

N, T, I, O = 12, 6, 3, 2
EPOCHS = 7
DATA = Path(__file__).parent / "data"


class CutError(Exception):
    """What ends a run in the middle."""


def data(classes=False):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, T, I))
    return x, rng.integers(O, size=(N, T)) if classes else rng.standard_normal((N, T, O))


def spread(y_hat, y):
    return y_hat.std()


RAGGED = [[array[: 2 + row % 5] for row, array in enumerate(values)] for values in data()]


# What a network is made with, and what a run of it: together all that a run's bits depend on.
RUNS = {
    "plain": ({}, {}),
    "momentum": ({"dtype": "float64"}, {"optimizer": lambda: crnn.SGD(0.05, momentum=0.9)}),
    "rmsprop": ({}, {"optimizer": lambda: crnn.RMSprop(0.01, momentum=0.5), "clip_value": 0.01}),
    "adam": ({}, {"optimizer": lambda: crnn.Adam(0.02), "clip_norm": 0.1}),
    "schedule": ({}, {"optimizer": lambda: crnn.AdamW(crnn.schedules.cosine(0.05, steps=30))}),
    "without shuffling": ({}, {"shuffle": False}),
    "dropout": ({"num_layers": 2, "dropout": 0.3}, {}),
    "directions": ({"bidirectional": True, "trainable_h0": True}, {}),
    "ragged": ({"dtype": "float64"}, {"data": RAGGED}),
    "bptt": ({}, {"bptt": 2}),
    "mask": ({}, {"mask": np.random.default_rng(1).random((N, T)), "loss": "sse"}),
    "lstm": (
        {"family": crnn.LSTM, "trainable_h0": True, "num_layers": 2},
        {"bptt": 2, "optimizer": lambda: crnn.Adam(0.02)},
    ),
    "gru": ({"family": crnn.GRU, "reset_after": False, "bidirectional": True}, {"data": RAGGED}),
    "categories": (
        {"categorical": True, "return_sequences": False},
        {"data": (np.arange(N * T).reshape(N, T) % I, data()[1][:, 0])},
    ),
    "validation": ({}, {"validation_fraction": 0.4, "metrics": ["mae"]}),
    "patience": (
        {},
        {
            "validation_fraction": 0.5,
            "patience": 2,
            "optimizer": lambda: crnn.SGD(0.3, momentum=0.9),
            "clip_norm": 0.5,
        },
    ),
    "monitor": (
        {},
        {
            "validation_fraction": 0.5,
            "patience": 3,
            "metrics": ["mae", spread],
            "monitor": ("val_spread", "max"),
            "min_delta": 1e-3,
            "optimizer": lambda: crnn.SGD(0.3, momentum=0.9),
            "clip_norm": 0.5,
        },
    ),
    "patience of training": ({}, {"patience": 3, "metrics": ["mae"]}),
    "classes": (
        {},
        {
            "data": data(classes=True),
            "loss": crnn.losses.CrossEntropy(class_weight=[1, 3]),
            "metrics": ["accuracy"],
        },
    ),
    **{
        name: ({}, {"seed": lambda name=name: np.random.Generator(getattr(np.random, name)(5))})
        for name in ("MT19937", "Philox", "SFC64", "PCG64DXSM")
    },
}


def run(implementation, settings, options, **more):
    """Train, a little more with the network's own generator, and return all that came of it."""
    options = {"epochs": EPOCHS, "batch_size": 5, "data": data(), **options, **more}
    x, y = options.pop("data")
    for name in ("optimizer", "seed"):
        if name in options:
            options[name] = options[name]()
    settings = {"family": crnn.RNN, **settings}
    family = settings.pop("family")
    net = family(I, 4, O, **{"seed": 3, "implementation": implementation, **settings})
    history = net.fit(x, y, **options)
    trained, loss = net.flat_params.tobytes(), options.get("loss", "mse")
    # An optimizer's memory decides the next step, and the generator the order.
    optimizer = options.get("optimizer", crnn.SGD(0.1))
    again = net.fit(x, y, epochs=1, batch_size=2, loss=loss, optimizer=optimizer)
    rates = (optimizer.steps, optimizer.last_lr, optimizer.current_lr)
    return trained, vars(history), vars(again), rates, net.flat_params.tobytes()


def cut_after(epoch):
    def callback(net, history):
        if len(history.loss) == epoch:
            raise CutError

    return callback


@pytest.mark.parametrize("case", RUNS)
def test_a_run_that_was_cut_ends_with_the_same_bits(implementation, tmp_path, case):
    settings, options = RUNS[case]
    whole = run(implementation, settings, options)
    epochs = len(whole[1]["loss"])
    for every in (1, 3):
        folder = tmp_path / str(every)
        folder.mkdir()
        where = {"checkpoint": folder / "run", "checkpoint_every": every, "resume": True}
        # Cut twice, the second time after it was resumed
        for epoch in (2, 5):
            if epoch < epochs:
                with pytest.raises(CutError):
                    run(implementation, settings, options, callbacks=[cut_after(epoch)], **where)
        assert run(implementation, settings, options, **where) == whole
        assert [path.name for path in folder.iterdir()] == ["run"]
        # Now it is over, and resuming it gives what came of it.
        before = (folder / "run").read_bytes()
        assert run(implementation, settings, options, **where) == whole
        assert (folder / "run").read_bytes() == before


def test_the_cases_stop_early_where_they_should(implementation):
    _, history, *_ = run(implementation, *RUNS["patience"])
    assert 2 < len(history["loss"]) < EPOCHS


def epochs_in(path):
    if not path.exists():
        return 0
    with np.load(path) as archive:
        return json.loads(archive["crnn"].tobytes())["epochs"]


def test_without_resume_a_run_begins_anew(implementation, tmp_path):
    whole = run(implementation, {}, {})
    path = tmp_path / "run"
    for _ in range(2):
        assert run(implementation, {}, {}, checkpoint=path) == whole
        assert epochs_in(path) == EPOCHS


def test_when_it_is_written(implementation, tmp_path):
    path, written = tmp_path / "run", []
    callbacks = [lambda *_: written.append(epochs_in(path))]
    run(implementation, {}, {}, checkpoint=str(path), checkpoint_every=3, callbacks=callbacks)
    assert written == [0, 0, 3, 3, 3, 6, 7]


def test_more_epochs(implementation, tmp_path):
    where = {"checkpoint": tmp_path / "run", "resume": True}
    run(implementation, {}, {}, epochs=3, **where)
    assert run(implementation, {}, {}, **where) == run(implementation, {}, {})
    with pytest.raises(crnn.ModelFileError, match=r"run: epochs: expected .*5, got 7"):
        run(implementation, {}, {}, epochs=5, **where)


def test_rates_that_callbacks_assign_go_on(implementation, tmp_path):
    def train(epochs_before_the_cut=None, **where):
        x, y = data()
        net = crnn.RNN(I, 4, O, seed=3, implementation=implementation)
        optimizer = crnn.SGD(0.1)

        def halve(net, history):
            optimizer.lr /= 2

        callbacks = [halve, cut_after(epochs_before_the_cut)]
        history = net.fit(x, y, epochs=5, optimizer=optimizer, callbacks=callbacks, **where)
        return vars(history), net.flat_params.tobytes(), optimizer.lr

    where = {"checkpoint": tmp_path / "run", "resume": True}
    with pytest.raises(CutError):
        train(3, **where)
    assert train(**where) == train()


def test_a_run_that_a_callback_stopped(implementation, tmp_path):
    """It is asked again, and either the run is over or it goes on."""
    where = {"checkpoint": tmp_path / "run", "resume": True}
    stop = {"callbacks": [lambda net, history: len(history.loss) >= 3]}
    stopped = run(implementation, {}, stop)
    assert len(stopped[1]["loss"]) == 3
    for _ in range(2):
        assert run(implementation, {}, stop, **where) == stopped
    assert run(implementation, {}, {}, **where) == run(implementation, {}, {})


def test_a_checkpoint_of_version_1(implementation, tmp_path):
    expected = json.loads((DATA / "version_1.json").read_text())
    path = tmp_path / "run"
    path.write_bytes((DATA / "version_1_checkpoint.npz").read_bytes())
    net = crnn.RNN(3, 4, 2, dtype="float64", seed=0, implementation=implementation)
    history = net.fit(
        expected["x"], expected["y"], epochs=4, batch_size=4, optimizer=crnn.Adam(0.02),
        validation_fraction=0.3, metrics=["mae"], checkpoint=path, resume=True,
    )  # fmt: skip
    np.testing.assert_allclose(net.flat_params, expected["parameters"], rtol=0, atol=1e-12)
    assert history.loss == pytest.approx(expected["loss"], rel=1e-12)
    assert history.val_loss == pytest.approx(expected["val_loss"], rel=1e-12)
