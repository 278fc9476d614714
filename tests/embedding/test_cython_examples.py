"""The examples in Cython, built by their own setup.py."""

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from network_problems import CELLS, network
from steppers import import_from

import crnn

pytestmark = pytest.mark.xdist_group("embedding")

EXAMPLES = Path(__file__).parents[2] / "examples" / "cython"


@pytest.fixture(scope="module")
def folder(native, tmp_path_factory):
    """The examples, built without optimization, which takes half of the time."""
    folder = tmp_path_factory.mktemp("examples") / "cython"
    shutil.copytree(EXAMPLES, folder)
    process = subprocess.run(
        [sys.executable, "-P", "setup.py", "-q", "build_ext", "--inplace"], cwd=folder,
        env=os.environ | {"CFLAGS": "-O0"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return folder


@pytest.fixture(scope="module")
def training(folder):
    return import_from(folder, "training")


def test_losses_before_and_after(training, capsys):
    training.main()
    lines = capsys.readouterr().out.splitlines()
    numbers = [
        [float(n) for n in re.findall(r"\d[-.e\d]*", line.partition(": ")[2])] for line in lines
    ]
    assert len(lines) == 3
    for before, after, by_fit, difference in numbers:
        assert after < 0.1 * before
        assert by_fit == pytest.approx(after, rel=1e-3)
        assert difference < 1e-5
    # The first of these is worked out by hand in tests/network/test_worked_example.py.
    assert numbers[0][0] == 0.566


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_is_that_of_fit(training, cell, dtype):
    """For several sequences, with clipping and momentum."""
    net = network(3, 7, 2, dtype=dtype, implementation="native", **cell)
    twin = copy.deepcopy(net)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((5, 9, n)).astype(dtype) for n in (3, 2))
    settings = {"epochs": 20, "lr": 0.2, "momentum": 0.5, "max_norm": 0.4}
    losses = training.train(net, x, y, **settings)
    close = {"rtol": 1e-4 if dtype == "float32" else 1e-11, "atol": 0}
    np.testing.assert_allclose(losses, training.fitted(twin, x, y, **settings), **close)
    assert losses[-1] < 0.95 * losses[0]
    close["atol"] = close["rtol"]
    np.testing.assert_allclose(net.flat_params, twin.flat_params, **close)


def test_what_is_refused(training):
    net, x, y, settings = training.one_unit()
    before = net.flat_params.tobytes()
    with pytest.raises(ValueError, match=r"^x, y: expected arrays that fit the network$"):
        training.train(net, x, y[:, :1].copy(), **settings)
    y[0, 1, 0] = np.nan
    with pytest.raises(FloatingPointError, match=r"^epoch 0: "):
        training.train(net, x, y, **settings)
    assert net.flat_params.tobytes() == before


@pytest.fixture(scope="module")
def control(folder):
    return import_from(folder, "control")


def rms_at_the_end(errors):
    return np.sqrt(np.mean(errors[-len(errors) // 3 :] ** 2))


def test_the_network_learns_to_control(control):
    """The error becomes small against that of the controller alone, while the motor changes."""
    alone, _, net = control.run(learns=False)
    assert not net.params["W_hy"].any()
    learned, times, net = control.run()
    assert len(times) == len(learned) == 30_000
    assert (times > 0).mean() > 0.9
    assert rms_at_the_end(learned) < 0.2 * rms_at_the_end(alone)
    # What it has learned is in the network: the voltage for a higher speed is higher.
    low, high = net.predict(np.float32([[[0.2, 0]] * 10, [[0.8, 0]] * 10]))[:, -1, 0]
    assert high > low + 0.5


def test_the_loop_of_control(control):
    """It predicts, acts and learns as the same loop in Python does."""
    steps, window = 60, 10
    errors, _, net = control.run(steps)
    twin = type(net)(2, 16, 1, seed=0)
    twin.params["W_hy"][...] = 0
    stream, optimizer, speed = twin.stream(), crnn.Adam(0.003), 0.0
    reference = control.reference_speed(steps)
    x = np.stack([reference[:-1], 200 * np.diff(reference)], axis=1)
    voltage = np.zeros((steps, 1), "float32")
    for t in range(steps):
        error = reference[t] - speed
        assert errors[t] == pytest.approx(error, rel=1e-3, abs=1e-5), t
        voltage[t] = stream.step(x[t])[0] + 5 * error
        friction = 0.5 + 1.5 * t / steps
        speed += 1e-4 / 0.02 * (voltage[t, 0] - friction * speed - 0.2 * np.tanh(20 * speed))
        if t + 1 >= window:
            last = slice(t + 1 - window, t + 1)
            twin.train_step(x[last], voltage[last], optimizer, clip_norm=1.0)
            stream.take_parameters(twin.flat_params)
    np.testing.assert_allclose(net.flat_params, twin.flat_params, rtol=1e-3, atol=1e-5)


def test_what_control_prints(control, capsys):
    control.main()
    alone, learned, time = capsys.readouterr().out.splitlines()
    assert alone.startswith("feedback alone: ")
    assert learned.startswith("with the network: ")
    assert re.fullmatch(r"a step, .* samples: median .* us, .* us; \d+ steps a second", time)
