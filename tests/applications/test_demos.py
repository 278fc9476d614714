"""The demonstrations: what they report, draw and measure."""

import importlib.util
import re
import sys
import wave

import numpy as np
import pytest

import crnn
from crnn import audio, datasets
from crnn.demos import amp, digits, sunspots, text

RHYME = (
    "one for the master, one for the dame, and one for the little boy who lives down the lane.\n"
)


@pytest.fixture(scope="module")
def results():
    """The whole demonstration of sunspots without timing and picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sunspots, "_draw", lambda *_: None)
        return sunspots.run("none.png", timed_rounds=0, progress=False, echo=[].append)


@pytest.fixture
def short_timing(monkeypatch):
    monkeypatch.setattr(sunspots, "TIMED_EPOCHS", 1)


def test_sunspots_are_predicted_better_than_by_persistence(results):
    errors = list(results.errors.values())
    assert errors[-1] < 2 / 3 * errors[0]


def test_the_forecast_of_sunspots_is_one_cycle(results):
    assert results.forecast.shape == (11,)
    assert results.forecast.min() >= 0
    # The largest number of the 309 measured years is 190.2.
    assert results.forecast.max() < 190.2
    assert 0 < results.forecast.argmax() < 10


def test_the_same_seed_gives_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(sunspots, "_draw", lambda *_: None)
    first, second, other = (
        sunspots.run(
            tmp_path / "p.png", epochs=3, seed=seed, timed_rounds=0, progress=False, echo=[].append
        )
        for seed in (1, 1, 2)
    )
    assert first.errors == second.errors
    np.testing.assert_array_equal(first.forecast, second.forecast)
    assert (first.forecast != other.forecast).any()


def test_the_autoregression_solves_the_normal_equations():
    years, numbers = datasets.sunspots()
    held_out = np.flatnonzero(years >= 1980)
    rows = [[1.0, *numbers[i - 9 : i]] for i in range(9, 309)]
    training = [i for i in range(9, 309) if years[i] <= 1979]
    gram = [
        [sum(rows[i - 9][a] * rows[i - 9][b] for i in training) for b in range(10)]
        for a in range(10)
    ]
    moment = [sum(rows[i - 9][a] * numbers[i] for i in training) for a in range(10)]
    coefficients = np.linalg.solve(gram, moment)
    expected = [float(np.dot(rows[i - 9], coefficients)) for i in held_out]
    np.testing.assert_allclose(sunspots._ar(numbers, years, held_out), expected, rtol=1e-8)


def test_training_windows_end_before_the_held_out_years():
    # The number of each year is the year.
    x, y = sunspots._windows(np.arange(1700.0, 1980.0))
    assert x.shape == y.shape == (65, sunspots.CONTEXT, 1)
    np.testing.assert_array_equal(y, x + 1)
    assert y.max() == 1979
    assert x.min() >= 1700


def test_one_step_predictions_read_only_earlier_years():
    years, numbers = datasets.sunspots()
    held_out = np.flatnonzero(years >= 1980)
    net = crnn.RNN(1, sunspots.HIDDEN_SIZE, 1, seed=3)
    # Outputs below zero would all be decoded as 0 and hide a difference.
    net.params["b_y"][...] = 5
    before = sunspots._one_step(net, numbers, held_out)
    changed = numbers.copy()
    changed[years >= 1990] += 50
    after = sunspots._one_step(net, changed, held_out)
    np.testing.assert_array_equal(after[:11], before[:11])
    assert (after[11:] != before[11:]).all()


def test_the_command_prints_rows_and_writes_the_picture(invoke, tmp_path, short_timing):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    result = invoke("demo", "--output", path, "--epochs", 2, "--rounds", 1, "--no-progress")
    assert path.read_bytes().startswith(b"\x89PNG")
    for row in ("persistence", "AR(9), least squares", "AR(9) on square roots", "crnn RNN"):
        assert row in result.stdout
    assert re.findall(r"^  (\d{4})  ", result.stdout, re.MULTILINE) == [
        str(year) for year in range(2009, 2020)
    ]
    assert ("times as fast" in result.stdout) or ("not installed here" in result.stdout)
    assert result.stdout.splitlines()[-1] == f"Picture: {path}"
    assert result.stderr == ""


def test_without_matplotlib_the_report_says_so(invoke, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / "picture.png"
    result = invoke("demo", "--output", path, "--epochs", 2, "--rounds", 0)
    assert result.stdout.splitlines()[-1].startswith("No picture")
    assert "crnn[plot]" in result.stdout
    assert not path.exists()
    assert "2/2" in result.stderr  # the progress bar


def test_without_compiled_kernels_the_report_says_so(monkeypatch, tmp_path, short_timing):
    def network(seed, implementation=None):
        if implementation == "native":
            raise ImportError("no extension")
        return crnn.RNN(1, sunspots.HIDDEN_SIZE, 1, seed=seed, implementation="python")

    monkeypatch.setattr(sunspots, "_network", network)
    lines = []
    results = sunspots.run(
        tmp_path / "p.png", epochs=1, timed_rounds=1, progress=False, echo=lines.append
    )
    assert list(results.seconds) == ["python"]
    assert any("native implementation is not installed" in line for line in lines)


def test_digits_are_classified():
    pytest.importorskip("sklearn")
    lines = []
    results = digits.run(epochs=6, progress=False, echo=lines.append)
    assert results["accuracy"] >= 0.92
    assert lines[0] == "Digits of 8 rows of 8 pixels: 1347 to learn from, 450 held out."
    right, share = round(450 * results["accuracy"]), 100 * results["accuracy"]
    assert lines[3] == f"Right: {right} of 450 held out, {share:.1f} %."
    counts = [int(line.split()[3]) for line in lines[5:]]
    assert counts == sorted(counts, reverse=True)
    assert 0 < sum(counts) <= 450 - right


def test_digits_need_scikit_learn(invoke, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    result = invoke("demo", "digits", exit_code=1)
    assert "pip install 'crnn[sklearn]'" in result.stderr


def test_a_text_is_continued(monkeypatch):
    monkeypatch.setattr(text, "topics", {"b": RHYME * 20, "a": RHYME * 20})
    monkeypatch.setattr(text, "HIDDEN_SIZE", 16)
    monkeypatch.setattr(text, "PROMPT", "one")
    lines = []
    bits = text.run(epochs=4, progress=False, echo=lines.append)
    assert list(bits) == ["crnn", "trigrams"]
    # 18 characters, so that one that has learned nothing takes 4.2 bits.
    assert 0 < bits["trigrams"] < bits["crnn"] < 4
    assert f"  crnn       {bits['crnn']:.2f}" in lines
    assert any(line.startswith("  one") for line in lines)


@pytest.fixture
def short_amp(monkeypatch):
    """Less of everything, so that learning takes a second."""
    monkeypatch.setattr(amp, "TRAINING_SECONDS", 0.5)
    monkeypatch.setattr(amp, "HELD_OUT_SECONDS", 0.25)
    monkeypatch.setattr(amp, "EXPORTED_SAMPLES", 64)
    monkeypatch.setattr(amp, "TIMED_SAMPLES", 128)
    monkeypatch.setattr(amp, "TIMED_ROUNDS", 1)


def test_an_amplifier_is_learned(invoke, tmp_path, short_amp):
    path = tmp_path / "amp.png"
    has_matplotlib = importlib.util.find_spec("matplotlib") is not None
    result = invoke("demo", "amp", "-o", path, "--epochs", 10, "--no-progress")
    linear, network = re.findall(r"(\d+\.\d\d) %", result.stdout)
    assert float(network) < 0.8 * float(linear)
    assert len(re.findall(r"^  (?:a sample|64 samples) a call +\d+$", result.stdout, re.M)) == 2
    assert path.exists() == has_matplotlib
    assert "amp_step(amp_state *" in path.with_suffix(".h").read_text()
    # What was written is what was reported.
    with wave.open(str(path.with_suffix(".wav"))) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 48000)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2) / 32767
    guitar = amp.guitar(0.25, 1)
    np.testing.assert_allclose(sound[:, 0], amp.amplifier(guitar), atol=1 / 32767)
    net = audio.load(path.with_suffix(".nam"))
    predicted = net.predict(guitar[:, None])[:, 0]
    np.testing.assert_allclose(sound[:, 1], predicted.clip(-1, 1), atol=1 / 32767)
    expected = amp.amplifier(guitar)
    error = ((predicted - expected) ** 2).sum() / (expected**2).sum()
    assert 100 * error == pytest.approx(float(network), abs=0.01)


def test_sound_that_cannot_be_written_is_refused_at_once(invoke, tmp_path):
    (tmp_path / "amp.wav").mkdir()
    result = invoke("demo", "amp", "-o", tmp_path / "amp.png", exit_code=2)
    assert "amp.wav" in result.stderr


def test_the_amplifier_is_the_recursion_of_its_filters():
    x = amp.guitar(0.05, 3)
    low, out, expected = 0.0, 0.0, []
    a, b = (np.exp(-2 * np.pi * frequency / 48000) for frequency in (150, 3500))
    for value in x:
        low = a * low + (1 - a) * value
        driven = np.tanh(amp.DRIVE * (value - low) + 0.4) - np.tanh(0.4)
        out = b * out + (1 - b) * driven
        expected.append(0.6 * out)
    np.testing.assert_allclose(amp.amplifier(x), expected, atol=1e-6)
    assert np.abs(x).max() > 0.1
