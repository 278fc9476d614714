"""The commands' prediction intervals, floors and backtests."""

import csv
import importlib.util
import re

import numpy as np
import pytest

from crnn import forecasting
from crnn.forecasting import comparisons


@pytest.fixture(scope="module")
def sales(tmp_path_factory):
    """Counts by day of two shops, and their mean."""
    folder = tmp_path_factory.mktemp("sales")
    days = np.arange("2023-01-01", "2023-05-01", dtype="datetime64[D]")
    rng = np.random.default_rng(0)
    counts = rng.poisson(2 + 1.5 * np.sin(2 * np.pi * np.arange(240).reshape(2, 120) / 7))
    rows = zip(days, counts[0], strict=True)
    (folder / "one.csv").write_text("day,units\n" + "".join(f"{day},{n}\n" for day, n in rows))
    lines = [
        f"{day},{name},{n}\n"
        for name, own in zip("ab", counts, strict=True)
        for day, n in zip(days, own, strict=True)
    ]
    (folder / "both.csv").write_text("day,shop,units\n" + "".join(lines))
    return folder


FIT = ("--target", "units", "--horizon", 3, "--epochs", 1, "--no-progress")


@pytest.fixture(scope="module")
def model(invoke, sales):
    path = sales / "one.npz"
    invoke("fit", sales / "one.csv", *FIT, "--floor", 0, "-o", path)
    return path


def test_intervals_stand_beside_the_forecast(invoke, sales, model):
    result = invoke("forecast", model, sales / "one.csv", "--steps", 4, "--interval", "80,97.5")
    names, *rows = csv.reader(result.stdout.splitlines())
    assert names == [
        "day", "units", "units_80_low", "units_80_high", "units_97.5_low", "units_97.5_high"
    ]  # fmt: skip
    assert [row[0] for row in rows] == ["2023-05-01", "2023-05-02", "2023-05-03", "2023-05-04"]
    forecaster, _ = forecasting.load(model)
    series = np.genfromtxt(sales / "one.csv", delimiter=",", skip_header=1)[:, 1]
    numbers = np.array([row[1:] for row in rows], float).T
    np.testing.assert_allclose(numbers[0], forecaster.forecast(series, 4))
    expected = forecaster.intervals(series, 4, (80, 97.5))
    np.testing.assert_allclose(numbers[1:], expected.reshape(4, 4))
    # The errors of the test rows have been added.
    assert len(forecaster.fitted.errors) > 24
    assert forecaster.floor == 0
    assert (numbers >= 0).all()
    assert numbers[3].min() == 0


def test_intervals_of_a_model_for_each_series(invoke, sales, tmp_path):
    invoke("fit", sales / "both.csv", "--id", "shop", *FIT, "-o", tmp_path / "both.npz")
    result = invoke(
        "forecast", tmp_path / "both.npz", sales / "both.csv", "--steps", 2, "--interval", "90"
    )
    names, *rows = csv.reader(result.stdout.splitlines())
    assert names == ["shop", "day", "units", "units_90_low", "units_90_high"]
    assert [row[0] for row in rows] == ["a", "a", "b", "b"]
    for *_, middle, lower, upper in rows:
        assert float(lower) < float(middle) < float(upper)
    shown = invoke("info", tmp_path / "both.npz").stdout
    assert len(re.findall(r"^intervals    from the errors of \d+ forecasts", shown, re.M)) == 2


def test_info_shows_intervals_and_floor(invoke, model):
    shown = invoke("info", model).stdout
    count, steps = forecasting.load(model)[0].fitted.errors.shape
    assert f"intervals    from the errors of {count} forecasts of up to {steps} steps\n" in shown
    assert "floor        0\n" in shown


def test_a_picture_shades_the_intervals(invoke, sales, model, tmp_path, monkeypatch):
    plots = pytest.importorskip("crnn.plots")
    pytest.importorskip("matplotlib")
    drawn = []
    draw = plots.forecast
    monkeypatch.setattr(plots, "forecast", lambda *a, **k: drawn.append(k) or draw(*a, **k))
    picture = tmp_path / "out.png"
    command = ["forecast", model, sales / "one.csv", "--interval", "80,95", "--plot", picture]
    invoke(*command, "--steps", 3)
    assert picture.read_bytes().startswith(b"\x89PNG")
    (arguments,) = drawn
    assert list(arguments["bands"]) == ["95 % interval", "80 % interval"]
    assert arguments["bands"]["95 % interval"][1].shape == (3,)


def test_a_backtest_prints_the_errors_of_each_method_and_the_lowest(
    invoke, sales, tmp_path, monkeypatch
):
    monkeypatch.setattr(comparisons, "has_statsforecast", lambda: False)
    monkeypatch.setattr(forecasting, "has_statsforecast", lambda: False)
    pytest.importorskip("matplotlib")
    jobs = ["--jobs", 2] if importlib.util.find_spec("joblib") else []
    output = invoke(
        "fit", sales / "one.csv", *FIT, "--season", 7, "--backtest", 3, *jobs,
        "--plot", tmp_path / "b.png", "-o", tmp_path / "model.npz",
    ).stdout  # fmt: skip
    _, report = output.split("backtest: 3 forecasts of 3 steps, each method fitted to the rows")
    assert re.search(r"^  +RMSE  +at step 1  +at step 3  +MAE  +in 80 %  +in 95 %$", report, re.M)
    row = r"^(\S.*?)  +([\d.]+)  +([\d.]+)  +[\d.]+  +[\d.]+(?:  +\d+%){0,2}$"
    found = re.findall(row, report, re.M)
    rows = {name: error for name, error, _ in found}
    assert list(rows) == ["crnn", "persistence", "same as a season before", "autoregression"]
    best = min(rows, key=lambda name: float(rows[name]))
    assert f"\n{best} has the lowest RMSE: {rows[best]}" in report
    assert re.search(r"^crnn .*  +\d+%  +\d+%$", report, re.M)
    assert "pip install statsforecast" in report
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert forecasting.load(tmp_path / "model.npz")[1]["target"] == "units"
    series = np.genfromtxt(sales / "one.csv", delimiter=",", skip_header=1)[:, 1]
    settings = forecasting.Forecaster(epochs=1, season=7)
    result = forecasting.backtest(series, horizon=3, origins=3, first=96, model=settings)
    assert float(rows["crnn"]) == pytest.approx(result.scores()["crnn"][0], rel=1e-3)
    assert float(found[0][2]) == pytest.approx(result.by_step()["crnn"][0], rel=1e-3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--plot", "a.png"], "plot: expected --backtest N with it, got none"),
        (["--jobs", 2], "jobs: expected --backtest N with it, got none"),
        (
            ["--plot", "a.png", "--backtest", 2, "--id", "day"],
            "plot: expected one series, got one for each value of --id",
        ),
        (["--plot", "a.txt", "--backtest", 2], "a.txt: expected a file ending in .png, .pdf or"),
        (["--floor", "nan"], "floor: expected a finite number, got nan"),
        (["--backtest", 0], "Invalid value for '--backtest': 0 is not in the range x>=1"),
    ],
)
def test_fit_refuses(invoke, sales, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    result = invoke("fit", sales / "one.csv", *FIT, *words, "-o", "no.npz", exit_code=2)
    assert f"Error: {sentence}" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("levels", ["80,x", "80,80.0", "0", "100", "", "nan", "80;95"])
def test_refused_levels(invoke, sales, model, levels):
    result = invoke("forecast", model, sales / "one.csv", "--interval", levels, exit_code=2)
    assert "Error: Invalid value for '--interval': expected different numbers" in result.stderr
    assert result.stdout == ""
