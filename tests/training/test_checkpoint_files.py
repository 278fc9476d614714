"""Files of checkpoints: killed writes, damage, other runs, and what is left in the folder."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import crnn
from crnn._training import checkpoints

N, T, I, O = 12, 6, 3, 2


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, T, I))
    return x, rng.standard_normal((N, T, O))


KILLED = """
import os, signal, sys
import numpy as np
import crnn
from crnn._training import checkpoints

checkpoint, kill_at, out, implementation = sys.argv[1:]
kill_at = int(kill_at)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((40, 10, 3)), rng.standard_normal((40, 10, 2))
net = crnn.RNN(3, 12, 2, num_layers=2, dropout=0.2, seed=4, implementation=implementation)
calls = 0

def kill(event, arguments):
    global calls
    if event not in ("open", "os.rename", "os.remove"):
        return
    if event == "open" and not (arguments[2] & os.O_CREAT or arguments[0] == checkpoint):
        return  # to look for what killed writers have left
    if checkpoint and checkpoint in str(arguments):
        calls += 1
        if calls == kill_at:
            if event == "os.rename":
                os.truncate(arguments[0], os.path.getsize(arguments[0]) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
where = {"checkpoint": checkpoint, "resume": True} if checkpoint else {}
history = net.fit(
    x, y, epochs=12, batch_size=8, optimizer=crnn.Adam(crnn.schedules.cosine(0.02, steps=48)),
    clip_norm=1.0, validation_fraction=0.25, patience=12, metrics=["mae"], **where,
)
lists = [history.loss, history.val_loss, history.grad_norm, history.lr, history.metrics["val_mae"]]
trained = net.flat_params.copy()
# What the generator does next
net.fit(x, y, epochs=1)
np.savez(out, history=lists, best=history.best_epoch, trained=trained, after=net.flat_params)
"""


def epochs_in(path):
    if not path.exists():
        return 0
    with np.load(path) as archive:
        return json.loads(archive["crnn"].tobytes())["epochs"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_that_is_killed_ends_with_the_same_bits(implementations, tmp_path):
    """Killed before a file is opened, and when half of it is written."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    path = folder / "run.npz"

    def run(checkpoint, kill_at, out):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CRNN_")}
        arguments = map(str, (checkpoint, kill_at, tmp_path / out, implementations[0]))
        command = [sys.executable, "-P", "-c", KILLED, *arguments]
        process = subprocess.run(command, env=environment, capture_output=True)
        if kill_at:
            assert process.returncode == -signal.SIGKILL, process.stderr
        else:
            assert process.returncode == 0, process.stderr

    run("", 0, "whole.npz")
    kills = []
    for kill_at in (1, 2, 6, 9, 8):
        run(path, kill_at, "resumed.npz")
        kills.append(epochs_in(path))
    assert kills == sorted(kills)
    assert 0 in kills
    assert 0 < kills[-1] < 12
    assert any(leftover.suffix == ".tmp" for leftover in folder.iterdir())
    run(path, 0, "resumed.npz")
    assert [leftover.name for leftover in folder.iterdir()] == ["run.npz"]
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "resumed.npz") as resumed:
        assert whole["history"].shape == (5, 12)
        for name in whole.files:
            assert whole[name].tobytes() == resumed[name].tobytes(), name


OTHERS = {
    "hidden_size: expected 5, as in this run, got 4": ({"hidden_size": 5}, {}),
    "categorical: expected True, as in this run, got False": ({"categorical": True}, {}),
    "num_layers: expected 2, as in this run, got 1": ({"num_layers": 2}, {}),
    "dtype: expected 'float64', as in this run, got 'float32'": ({"dtype": "float64"}, {}),
    "optimizer: expected 'Adam', as in this run, got 'SGD'": ({}, {"optimizer": crnn.Adam(0.1)}),
    "lr: expected 0.2, as in this run, got 0.1": ({}, {"optimizer": crnn.SGD(0.2, momentum=0.5)}),
    "lr: expected 'a function', as": (
        {}, {"optimizer": crnn.SGD(crnn.schedules.cosine(0.1, 9), momentum=0.5)},
    ),
    "momentum: expected 0.50000001, as in this run, got 0.5": (
        {}, {"optimizer": crnn.SGD(0.1, momentum=0.50000001)},
    ),
    "nesterov: expected True": ({}, {"optimizer": crnn.SGD(0.1, momentum=0.5, nesterov=True)}),
    "weight_decay: expected 0.1": (
        {}, {"optimizer": crnn.SGD(0.1, momentum=0.5, weight_decay=0.1)},
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
    r"monitor: expected \['loss', 'max'\], as in this run, got \['loss', 'min'\]": (
        {}, {"monitor": ("loss", "max")},
    ),
    "min_delta: expected 0.1, as in this run, got 0.0": ({}, {"min_delta": 0.1}),
    "state of a generator": ({}, {"seed": np.random.Generator(np.random.MT19937(0))}),
}  # fmt: skip


@pytest.mark.parametrize("message", OTHERS)
def test_checkpoints_of_other_runs(implementation, tmp_path, message):
    path = tmp_path / "run"

    def train(settings, options):
        settings = {"input_size": I, "hidden_size": 4, "output_size": O, **settings}
        net = crnn.RNN(**settings, seed=3, implementation=implementation)
        before = net.flat_params.copy()
        options = {"optimizer": crnn.SGD(0.1, momentum=0.5), **options}
        where = {"checkpoint": path, "resume": True}
        x, y = data()
        x = np.zeros(x.shape[:2], int) if net.categorical else x
        return net, before, lambda: net.fit(x, y, epochs=2, **where, **options)

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

    def run():
        net = crnn.RNN(I, 4, O, seed=3)
        history = net.fit(*data(), epochs=3, checkpoint=path, resume=True, patience=9)
        return net.flat_params.tobytes(), vars(history)

    trained = run()
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
            assert run() == trained
        except crnn.ModelFileError:
            refused += 1
    assert refused > 200


def test_what_killed_writes_left_is_removed_and_nothing_else(tmp_path):
    others = ["run.tmp", "run.crnn-0.tmp2", "run2.crnn-0.tmp", "run.crnn-z.tmp", "rum.npz"]
    for name in ["run.crnn-0.tmp", "run.crnn-5.tmp", *others]:
        (tmp_path / name).write_bytes(b"half")
    crnn.RNN(I, 4, O, seed=3).fit(*data(), epochs=1, checkpoint=tmp_path / "run", resume=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run", *others}


def test_a_folder_that_is_missing(tmp_path):
    net = crnn.RNN(I, 4, O, seed=3)
    before = net.flat_params.copy()
    with pytest.raises(FileNotFoundError, match="checkpoint: expected a path in a folder that"):
        net.fit(*data(), epochs=1, checkpoint=tmp_path / "missing" / "run")
    assert np.array_equal(net.flat_params, before)


def test_the_working_folder_may_change(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    net, (x, y) = crnn.RNN(I, 4, O, seed=0), data()

    def change(net, history):
        monkeypatch.chdir(tmp_path / "other")

    net.fit(x, y, epochs=3, checkpoint="run.npz", callbacks=[change])
    assert not list((tmp_path / "other").iterdir())
    monkeypatch.chdir(tmp_path)
    history = crnn.RNN(I, 4, O, seed=0).fit(x, y, epochs=3, checkpoint="run.npz", resume=True)
    assert len(history.loss) == 3


def test_a_folder_is_no_place_for_it(tmp_path):
    net = crnn.RNN(I, 4, O, seed=3)
    before = net.flat_params.copy()
    with pytest.raises(IsADirectoryError, match="checkpoint: expected a file, got the folder"):
        net.fit(*data(), epochs=1, checkpoint=tmp_path)
    assert np.array_equal(net.flat_params, before)


def test_many_class_weights_fit_into_a_description(tmp_path):
    """Their numbers would take more room than it may."""
    classes = 5000
    net = crnn.RNN(I, 4, classes, seed=3)
    loss = crnn.losses.CrossEntropy(class_weight=np.linspace(0.1, 1, classes))
    x, _ = data()
    y = np.arange(N * T).reshape(N, T)
    options = {"loss": loss, "checkpoint": tmp_path / "run", "resume": True}
    for epochs in (1, 2):
        assert len(net.fit(x, y, epochs=epochs, **options).loss) == epochs


@pytest.mark.parametrize("validates", [False, True])
def test_files_from_before_monitor_and_min_delta(tmp_path, monkeypatch, validates):
    """They mean the defaults of today, and only those."""
    settings = checkpoints.settings

    def without(*args):
        kept = settings(*args)
        return {key: kept[key] for key in kept if key not in ("monitor", "min_delta")}

    def train(epochs, path, **options):
        net = crnn.RNN(I, 4, O, seed=3)
        history = net.fit(
            *data(), epochs=epochs, checkpoint=path, resume=True, patience=9,
            validation_fraction=0.5 if validates else None, **options,
        )  # fmt: skip
        return vars(history), net.flat_params.tobytes()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "settings", without)
        train(2, tmp_path / "cut")
    default = "val_loss" if validates else "loss"
    for options in ({"monitor": (default, "max")}, {"min_delta": 0.1}):
        with pytest.raises(crnn.ModelFileError, match=f"{next(iter(options))}: expected"):
            train(4, tmp_path / "cut", **options)
    whole = train(4, tmp_path / "whole")
    assert train(4, tmp_path / "cut", monitor=default) == whole
