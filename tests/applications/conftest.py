"""Fixtures of the applications: changed model files, the command line, and files for it."""

import json

import numpy as np
import pytest

import crnn
from crnn import archive
from crnn.forecasting import Forecaster
from crnn.text import TextModel


@pytest.fixture(scope="session")
def rewrite():
    """Write a model file anew with changes of its description."""

    def write(source, target, **changes):
        with np.load(source) as members:
            arrays = {name: members[name] for name in members.files}
        description = json.loads(arrays.pop("crnn").tobytes()) | changes
        del description["sha256"]
        archive.write(target, description, arrays)
        return target

    return write


@pytest.fixture(scope="session")
def invoke():
    """Run a command, and check its exit code; None: any."""
    testing = pytest.importorskip("click.testing")
    from crnn import cli

    def run(*arguments, standard_input=None, exit_code=0):
        words = [str(argument) for argument in arguments]
        result = testing.CliRunner().invoke(cli.command(), words, input=standard_input)
        assert exit_code in (None, result.exit_code), result.output
        return result

    return run


@pytest.fixture(scope="session")
def passengers():
    """A trend and a season of 12."""
    t = np.arange(132)
    return 100 + t + 20 * np.sin(2 * np.pi * t / 12)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, passengers):
    """Tables and texts, good and bad, and a model of each kind."""
    folder = tmp_path_factory.mktemp("cli")

    def table(name, *lines):
        (folder / name).write_text("\n".join(lines) + "\n")

    rows = [f"{value:.6f},{np.cos(t):.6f}" for t, value in enumerate(passengers[:120])]
    table("data.csv", "passengers, weather", *rows)
    table("gap.csv", "a,b", "1,2", ",3", "4,x")
    table("blank.csv", "a", "1", "", "3")
    table("long.csv", "a,b", "1,2,3", "4,5,6")
    table("twice.csv", "a, a", "1,2")
    table("header.csv", "a,b")
    (folder / "empty.csv").write_text("")
    (folder / "latin.csv").write_bytes(b"caf\xe9\n1\n")
    (folder / "latin.txt").write_bytes(b"caf\xe9 " * 30)
    (folder / "text.txt").write_text("To be, or not to be, that is the question. " * 20)

    crnn.RNN(2, 5, 3, seed=0).save(folder / "net.npz")
    layer = crnn.Dense(np.random.default_rng(0).normal(size=(3, 5)), None, "tanh", "float32")
    crnn.Sequential([crnn.GRU(2, 5, seed=0), layer]).save(folder / "chain.npz")
    crnn.GRU(4, 5, 3, categorical=True, seed=0).save(folder / "categories.npz")
    TextModel("To be", hidden_size=2, seed=0).save(folder / "text.npz")
    model = Forecaster(hidden_size=2, epochs=1).fit(passengers[:120])
    model.save(folder / "nameless.npz")
    columns = {"target": "passengers", "features": []}
    model.save(folder / "model.npz", **columns)
    return folder
