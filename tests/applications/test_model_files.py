"""Files of forecasters and text models: round trips, files of crnn 0.1.0, and bad files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import crnn
from crnn import archive, forecasting, text
from crnn.forecasting import Forecaster
from crnn.text import TextModel

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def forecaster():
    series = np.sin(np.arange(100)) + np.random.default_rng(0).normal(0, 0.1, 100)
    return Forecaster(hidden_size=3, epochs=1).fit(series)


@pytest.fixture(scope="module")
def models(forecaster, tmp_path_factory):
    """A file of each kind."""
    folder = tmp_path_factory.mktemp("models")
    forecaster.save(folder / "forecaster.npz")
    TextModel("ab", hidden_size=2, seed=0).save(folder / "text.npz")
    return folder


def test_a_forecaster_comes_back(tmp_path, rewrite):
    t = np.arange(120)
    series = np.exp(4 + 0.01 * t + 0.2 * np.sin(2 * np.pi * t / 12))
    series[60] *= 3
    lagged, known = np.sin(t)[:, None], np.random.default_rng(1).random((127, 2))
    model = Forecaster(
        hidden_size=9, window=9, season=12, epochs=2, seed=3, cell="gru", logarithms=True, floor=5
    ).fit(series, lagged, known[:120], horizon=2)
    model.save(tmp_path / "saved.npz", target="x", numbers=[1, 2])
    # Part of the network, whatever was chosen
    path = rewrite(tmp_path / "saved.npz", tmp_path / "model.npz", share=0.5)
    twin, said = forecasting.load(path)
    assert archive.kind(path) == "forecaster"
    assert said == {"target": "x", "numbers": [1, 2]}
    assert twin.recipe == model.recipe
    assert twin.recipe.log
    assert twin.settings == model.settings
    assert (twin.found_season, twin.share, twin.num_lagged, twin.num_known) == (12, 0.5, 1, 2)
    twin.save(tmp_path / "again.npz")
    again, _ = forecasting.load(tmp_path / "again.npz")
    expected = twin.forecast(series, 7, lagged, known)
    assert np.array_equal(again.forecast(series, 7, lagged, known), expected)
    assert again.wild(series, lagged, known[:120]) == [60]
    # Trained again by the same settings, both are the same.
    model.fitted = dataclasses.replace(model.fitted, share=0.5)
    model.refit(series, lagged, known[:120])
    twin.refit(series, lagged, known[:120])
    assert np.array_equal(twin.net.flat_params, model.net.flat_params)


def test_a_text_model_comes_back(tmp_path, implementation):
    model = TextModel("héllo wörld\n☃", hidden_size=7, num_layers=2, seed=0)
    model.save(tmp_path / "text.npz")
    twin = text.load(tmp_path / "text.npz", implementation=implementation)
    assert archive.kind(tmp_path / "text.npz") == "text model"
    assert twin.vocabulary == model.vocabulary == "".join(sorted(set("héllo wörld\n☃")))
    assert twin.net.implementation == implementation
    assert twin.net.architecture == model.net.architecture
    assert np.array_equal(twin.net.flat_params, model.net.flat_params)
    with pytest.raises(crnn.ModelFileError, match="expected a network of crnn, got a text model"):
        crnn.load(tmp_path / "text.npz")


def test_a_forecaster_of_crnn_0_1_0():
    """The numbers are those that 0.1.0 forecast with it."""
    t = np.arange(60)
    series = np.exp(3 + 0.02 * t + 0.3 * np.sin(2 * np.pi * t / 6))
    model, said = forecasting.load(DATA / "forecaster-0.1.0.npz")
    assert said == {"target": "passengers", "features": ["weather"]}
    assert model.recipe == (True, (6,), (1, 2, 6, 7), 6, True, "none", 0)
    assert (model.num_lagged, model.num_known, model.floor) == (1, 0, None)
    assert model.share == 0.5
    expected = [66.6863310409251, 88.21769982215925, 89.99981557264492, 70.80998345427675]
    forecast = model.forecast(series, 4, np.cos(t)[:, None])
    np.testing.assert_allclose(forecast, expected, rtol=1e-6)


def test_a_text_model_of_crnn_0_1_0():
    """It does not say that its network is categorical. The text is what 0.1.0 wrote with it."""
    model = text.load(DATA / "text-0.1.0.npz")
    assert model.net.categorical
    expected = "to be, or not to be to be, or not to be to"
    assert model.generate("to", 40, temperature=0) == expected
    assert model.bits_per_character("not to be") == pytest.approx(0.25481488086074816, rel=1e-5)


RECIPE = {
    "log": False, "differences": [], "lags": [1, 2], "season": 0, "drift": True, "effects": "none",
    "averaged_with": 5,
}  # fmt: skip
SETTINGS = {
    "hidden_size": 3, "window": None, "season": None, "logarithms": True, "epochs": 1, "seed": 0,
    "cell": "rnn",
}  # fmt: skip
NETWORK = crnn.RNN(1, 3, 1).describe()
TEXT_NETWORK = crnn.RNN(2, 2, 2, categorical=True).describe()

BAD_FORECASTERS = {
    "newer": ({"version": 99}, "a newer crnn wrote it"),
    "no recipe": ({"recipe": None}, "recipe: expected a description by name, got None"),
    "log": ({"recipe": RECIPE | {"log": 1}}, "recipe.log: expected true or false, got 1"),
    "differences": (
        {"recipe": RECIPE | {"differences": 12}},
        "recipe.differences: expected a list, each element a whole number from 1 to 1048575",
    ),
    "lags": ({"recipe": RECIPE | {"lags": [-1]}}, "recipe.lags: expected a list, each element a"),
    "effects": ({"recipe": RECIPE | {"effects": "some"}}, "recipe.effects: expected one of none,"),
    "limits": ({"limits": {"error": -1.0}}, "limits.error: expected a finite number of at least"),
    "lagged": ({"num_lagged": 1}, "network: expected one that belongs to the recipe"),
    "order": ({"recipe": RECIPE | {"lags": [2, 1]}}, "recipe.lags: expected growing numbers, got"),
    "recipe season": ({"recipe": RECIPE | {"season": -1}}, "recipe.season: expected a whole"),
    "share": ({"share": "all"}, "share: expected a finite number of at least 0, got 'all'"),
    "scale": ({"residual_scale": float("inf")}, "residual_scale: expected a finite number"),
    "window": ({"used_window": 10**12}, "used_window: expected a whole number from 1 to 1048575"),
    "season": ({"found_season": None}, "found_season: expected a whole number from 0 to"),
    "settings": ({"settings": []}, "settings: expected a description by name"),
    "hidden size": (
        {"settings": SETTINGS | {"hidden_size": 0}},
        "settings.hidden_size: expected a whole number of at least 1, got 0",
    ),
    "epochs": (
        {"settings": SETTINGS | {"epochs": 1.5}},
        "settings.epochs: expected a whole number of at least 1 or null, got 1.5",
    ),
    "cell": (
        {"settings": SETTINGS | {"cell": "tanh"}},
        "settings.cell: expected one of rnn, gru, lstm, got 'tanh'",
    ),
    "said": ({"said": "x"}, "said: expected a description by name, got 'x'"),
    "network": ({"network": None}, "network: expected a description by name, got None"),
    "cell of the network": ({"network": {}}, "cell: expected one of tanh, "),
    "outputs": (
        {"network": NETWORK | {"output_size": 2}},
        "network: expected one that belongs to the recipe",
    ),
    "categories": (
        {"network": NETWORK | {"categorical": True}},
        "network: expected one that belongs to the recipe",
    ),
    "one output": (
        {"network": NETWORK | {"return_sequences": False}},
        "network: expected one that belongs to the recipe",
    ),
    "inputs": (
        {"recipe": RECIPE | {"season": 7}, "network": NETWORK},
        "network: expected one that belongs to the recipe",
    ),
    "arrays": ({"recipe": RECIPE | {"lags": [*range(1, 31)]}}, r"expected float64 \(31,\), got"),
}
BAD_TEXTS = {
    "newer": ({"version": 9}, "a newer crnn wrote it"),
    "order": ({"vocabulary": "ba"}, "vocabulary: expected characters in order, got 'ba'"),
    "size": ({"vocabulary": "abc"}, "vocabulary: expected 2 characters, got 3"),
    "no text": ({"vocabulary": 5}, "vocabulary: expected a text, got 5"),
    "network": ({"network": []}, r"network: expected a description by name, got \[\]"),
    "features": (
        {"network": TEXT_NETWORK | {"categorical": False}},
        "network: expected one that reads categories forward, step by step",
    ),
    "directions": (
        {"network": TEXT_NETWORK | {"bidirectional": True}},
        "network: expected one that reads categories forward, step by step",
    ),
}


@pytest.mark.parametrize(("changes", "match"), BAD_FORECASTERS.values(), ids=BAD_FORECASTERS)
def test_bad_forecasters(models, tmp_path, rewrite, changes, match):
    rewrite(models / "forecaster.npz", tmp_path / "bad.npz", **changes)
    with pytest.raises(crnn.ModelFileError, match=f"bad.npz: .*{match}"):
        forecasting.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(("changes", "match"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_text_models(models, tmp_path, rewrite, changes, match):
    rewrite(models / "text.npz", tmp_path / "bad.npz", **changes)
    with pytest.raises(crnn.ModelFileError, match=f"bad.npz: .*{match}"):
        text.load(tmp_path / "bad.npz")


def test_files_rewritten_without_changes_are_read(models, tmp_path, rewrite, forecaster):
    """The changes are what makes the tests above fail."""
    rewrite(models / "forecaster.npz", tmp_path / "f.npz", settings=SETTINGS)
    assert forecasting.load(tmp_path / "f.npz")[0].recipe == forecaster.recipe
    rewrite(models / "text.npz", tmp_path / "t.npz", network=TEXT_NETWORK)
    assert text.load(tmp_path / "t.npz").vocabulary == "ab"


def test_too_much_to_say_is_refused_and_nothing_is_written(forecaster, tmp_path):
    with pytest.raises(ValueError, match="description: expected at most 65536 bytes, got "):
        forecaster.save(tmp_path / "model.npz", comment="x" * 70_000)
    assert list(tmp_path.iterdir()) == []
