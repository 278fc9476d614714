"""Checkpoints: a run that is killed and resumed ends with the bits of one that is not."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import crnn

N, T, I, O = 12, 6, 3, 2
EPOCHS = 7


class CutError(Exception):
    """What ends a run in the middle."""


def data(classes=False):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, T, I))
    return x, rng.integers(O, size=(N, T)) if classes else rng.standard_normal((N, T, O))


RAGGED = [[array[: 2 + row % 5] for row, array in enumerate(values)] for values in data()]

# What a network is made with, and what a run of it: together all that a run's bits depend on.
RUNS = {
    "plain": ({}, {}),
    "momentum": ({"dtype": "float64"}, {"optimizer": lambda: crnn.SGD(0.05, momentum=0.9)}),
    "rmsprop": ({}, {"optimizer": lambda: crnn.RMSprop(0.01, momentum=0.5), "clip_value": 0.01}),
    "adam": ({}, {"optimizer": lambda: crnn.Adam(0.02), "clip_norm": 0.1}),
    "schedule": (
        {},
        {"optimizer": lambda: crnn.AdamW(crnn.schedules.cosine(0.05, steps=30))},
    ),
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
    "patience of training": ({}, {"patience": 3, "metrics": ["mae"]}),
    "classes": (
        {},
        {
            "data": data(classes=True),
            "loss": crnn.losses.CrossEntropy(class_weights=[1, 3]),
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


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("case", RUNS)
def test_a_run_that_was_cut_ends_with_the_same_bits(implementation, tmp_path, case, every):
    settings, options = RUNS[case]
    whole = run(implementation, settings, options)
    epochs = len(whole[1]["loss"])
    where = {"checkpoint": tmp_path / "run", "checkpoint_every": every, "resume": True}
    # Cut twice, the second time after it was resumed
    for epoch in (2, 5):
        if epoch < epochs:
            with pytest.raises(CutError):
                run(implementation, settings, options, callbacks=[cut_after(epoch)], **where)
    assert run(implementation, settings, options, **where) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    # Now it is over, and resuming it gives what came of it.
    before = (tmp_path / "run").read_bytes()
    assert run(implementation, settings, options, **where) == whole
    assert (tmp_path / "run").read_bytes() == before


def test_the_cases_stop_early_where_they_should(implementation):
    _, history, *_ = run(implementation, *RUNS["patience"])
    assert 2 < len(history["loss"]) < EPOCHS


KILLED = """
import sys, time
import numpy as np
import crnn

checkpoint, implementation, out = sys.argv[1:]
rng = np.random.default_rng(0)
x, y = rng.standard_normal((40, 10, 3)), rng.standard_normal((40, 10, 2))
net = crnn.RNN(3, 12, 2, num_layers=2, dropout=0.2, seed=4, implementation=implementation)
where = {"checkpoint": checkpoint, "resume": True} if checkpoint else {}
print("ready", flush=True)
# Some sleep, so that no computer is done before it can be killed
history = net.fit(
    x, y, epochs=300, batch_size=8, optimizer=crnn.Adam(crnn.schedules.cosine(0.02, steps=1200)),
    clip_norm=1.0, validation_fraction=0.25, patience=300, metrics=["mae"],
    callbacks=[lambda *_: time.sleep(0.001)], **where,
)
lists = [history.loss, history.val_loss, history.grad_norm, history.lr, history.metrics["val_mae"]]
trained = net.flat_params.copy()
# What the generator does next
net.fit(x, y, epochs=1)
np.savez(out, history=lists, best=history.best_epoch, trained=trained, after=net.flat_params)
"""


def start(*arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CRNN_")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", KILLED, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout.readline() == b"ready\n", process.stderr.read()
    return process


def epochs_in(path):
    if not path.exists():
        return 0
    with np.load(path) as archive:
        return json.loads(archive["crnn"].tobytes())["epochs"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_that_is_killed_anywhere_ends_with_the_same_bits(implementation, tmp_path):
    path = tmp_path / "run.npz"
    with start("", implementation, tmp_path / "whole.npz") as process:
        assert process.communicate()[1] == b""
    rng = np.random.default_rng()
    kills, halves = [], 0
    while len(kills) < 5:
        with start(path, implementation, tmp_path / "resumed.npz") as process:
            time.sleep(rng.uniform(0.0, 0.25))
            if process.poll() is not None:
                break
            process.kill()
            process.communicate()
        kills.append(epochs_in(path))
        halves += any(path.suffix == ".tmp" for path in tmp_path.iterdir())
    with start(path, implementation, tmp_path / "resumed.npz") as process:
        assert process.communicate()[1] == b""
    print(
        f"killed with {kills} of 300 epochs in the checkpoint, {halves} times while it was written",
        file=sys.stderr,
    )
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
    assert kills == sorted(kills)
    assert any(0 < epochs < 300 for epochs in kills)
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "resumed.npz") as resumed:
        for name in whole.files:
            assert whole[name].tobytes() == resumed[name].tobytes(), name
        assert whole["history"].shape == (5, 300)
        print(
            f"the same bits: {whole['trained'].size} parameters, {whole['history'].size} numbers "
            f"of the history, loss {whole['history'][0, 0]:.4f} to {whole['history'][0, -1]:.4f}",
            file=sys.stderr,
        )


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
    with pytest.raises(crnn.ModelFileError, match=r"run: epochs: expected at most 5.* got 7"):
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


OTHERS = {
    "hidden_size: expected 5, as in this run, got 4": ({"hidden_size": 5}, {}),
    "num_layers: expected 2, as in this run, got 1": ({"num_layers": 2}, {}),
    "dtype: expected 'float64', as in this run, got 'float32'": ({"dtype": "float64"}, {}),
    "optimizer: expected 'Adam', as in this run, got 'SGD'": ({}, {"optimizer": crnn.Adam(0.1)}),
    "lr: expected 0.2, as in this run, got 0.1": ({}, {"optimizer": crnn.SGD(0.2, momentum=0.5)}),
    "lr: expected 'a function', as": (
        {},
        {"optimizer": crnn.SGD(crnn.schedules.cosine(0.1, 9), momentum=0.5)},
    ),
    "momentum: expected 0.50000001, as in this run, got 0.5": (
        {},
        {"optimizer": crnn.SGD(0.1, momentum=0.50000001)},
    ),
    "nesterov: expected True": ({}, {"optimizer": crnn.SGD(0.1, momentum=0.5, nesterov=True)}),
    "weight_decay: expected 0.1": (
        {},
        {"optimizer": crnn.SGD(0.1, momentum=0.5, weight_decay=0.1)},
    ),
    "batch_size: expected 4, as in this run, got 32": ({}, {"batch_size": 4}),
    r"loss: expected 'Huber\(delta=1.0\)', as in this run, got 'MSE\(\)'": ({}, {"loss": "huber"}),
    "clip_norm: expected 1.0, as in this run, got None": ({}, {"clip_norm": 1}),
    "bptt: expected 2, as in this run, got None": ({}, {"bptt": 2}),
    "shuffle: expected False, as in this run, got True": ({}, {"shuffle": False}),
    "sequences: expected 10, as in this run, got 12": ({}, {"validation_fraction": 0.2}),
    "validation: expected 12, as in this run, got None": ({}, {"validation_data": data()}),
    r"metrics: expected \['mae'\], as in this run, got \[\]": ({}, {"metrics": ["mae"]}),
    "patience: expected 3, as in this run, got None": ({}, {"patience": 3}),
    "state of a generator": ({}, {"seed": np.random.Generator(np.random.MT19937(0))}),
}


@pytest.mark.parametrize("message", OTHERS)
def test_checkpoints_of_other_runs(implementation, tmp_path, message):
    path = tmp_path / "run"

    def train(settings, options):
        settings = {"input_size": I, "hidden_size": 4, "output_size": O, **settings}
        net = crnn.RNN(**settings, seed=3, implementation=implementation)
        before = net.flat_params.copy()
        options = {"optimizer": crnn.SGD(0.1, momentum=0.5), **options}
        where = {"checkpoint": path, "resume": True}
        return net, before, lambda: net.fit(*data(), epochs=2, **where, **options)

    train({}, {})[2]()
    kept = path.read_bytes()
    net, before, fit = train(*OTHERS[message])
    with pytest.raises(crnn.ModelFileError, match=message) as caught:
        fit()
    assert str(caught.value).startswith(str(path))
    assert np.array_equal(net.flat_params, before)
    assert path.read_bytes() == kept


def test_files_of_something_else(tmp_path):
    net = crnn.RNN(I, 4, O, seed=3)
    before = net.flat_params.copy()
    path = tmp_path / "run"
    options = {"epochs": 1, "checkpoint": path, "resume": True}
    net.save(path)
    with pytest.raises(crnn.ModelFileError, match="expected a checkpoint of crnn, got a network"):
        net.fit(*data(), **options)
    path.write_bytes(b"text")
    with pytest.raises(crnn.ModelFileError, match="damaged or no such file"):
        net.fit(*data(), **options)
    assert np.array_equal(net.flat_params, before)
    path.unlink()
    net.fit(*data(), **options)
    with pytest.raises(crnn.ModelFileError, match="expected a network of crnn, got a checkpoint"):
        crnn.load(path)


def test_damaged_checkpoints(tmp_path):
    """Each is refused, or no byte with a meaning was changed."""
    path = tmp_path / "run"
    options = {"checkpoint": path, "resume": True, "patience": 9}
    trained = run(None, {}, options)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        bad = bytearray(good)
        at = int(rng.integers(len(bad)))
        if rng.random() < 0.3:
            del bad[at : at + int(rng.integers(1, 40))]
        else:
            bad[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        try:
            assert run(None, {}, options) == trained
        except crnn.ModelFileError:
            refused += 1
    assert refused > 200


def test_what_killed_writes_left_is_removed_and_nothing_else(tmp_path):
    others = ["run.tmp", "run.0123abcd.tmp2", "run2.0123abcd.tmp", "run.0123abcg.tmp", "rum.npz"]
    for name in ["run.0123abcd.tmp", "run.ffffffff.tmp", *others]:
        (tmp_path / name).write_bytes(b"half")
    run(None, {}, {}, checkpoint=tmp_path / "run", resume=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run", *others}


def test_a_folder_that_is_missing(tmp_path):
    net = crnn.RNN(I, 4, O, seed=3)
    before = net.flat_params.copy()
    with pytest.raises(FileNotFoundError, match="checkpoint: expected a path in a folder that"):
        net.fit(*data(), epochs=1, checkpoint=tmp_path / "missing" / "run")
    assert np.array_equal(net.flat_params, before)


def test_many_class_weights_fit_into_a_description(tmp_path):
    """Their numbers would take more room than it may."""
    classes = 5000
    net = crnn.RNN(I, 4, classes, seed=3)
    loss = crnn.losses.CrossEntropy(class_weights=np.linspace(0.1, 1, classes))
    x, _ = data()
    y = np.arange(N * T).reshape(N, T)
    options = {"loss": loss, "checkpoint": tmp_path / "run", "resume": True}
    for epochs in (1, 2):
        assert len(net.fit(x, y, epochs=epochs, **options).loss) == epochs


def test_no_files_without_a_checkpoint(run_python):
    code = """
import sys, numpy as np, crnn
x = np.zeros((3, 4, 2))
crnn.RNN(2, 3, 2).fit(x, x, epochs=1, patience=3, metrics=["mae"])
print("crnn.archive" in sys.modules, "crnn._training.checkpoints" in sys.modules)
"""
    assert run_python(code).stdout.split() == ["False", "False"]
