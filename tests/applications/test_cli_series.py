"""The commands for columns of numbers: fit, forecast, predict, stream; and info on their models."""

import re
import subprocess
import sys

import numpy as np
import pytest

import crnn
from crnn import forecasting


@pytest.fixture(scope="module")
def fitted(invoke, folder, tmp_path_factory):
    """A model of `crnn fit`, and the report."""
    path = tmp_path_factory.mktemp("fit") / "model.npz"
    result = invoke(
        "fit", folder / "data.csv", "--target", "passengers", "--lagged", "weather",
        "--horizon", 6, "--epochs", 3, "--cell", "lstm", "--no-progress", "-o", path,
    )  # fmt: skip
    return path, result.stdout


def rows_of(result):
    """The rows of CSV output without names, as numbers; empty ones as NaN."""
    return [[float(word or "nan") for word in row.split(",")] for row in result.stdout.splitlines()]


def test_fit_compares_the_model_with_simple_methods(fitted):
    _, report = fitted
    assert "120 rows, learned from 96, tried on the last 24, 6 steps ahead" in report
    assert "a season of 12 steps" in report
    for method in ("crnn", "persistence", "same as a season before", "AR("):
        row = rf"^{re.escape(method)}.* +[\d.e+-]+ +[\d.e+-]+$"
        assert re.search(row, report, re.MULTILINE), method
    assert "trained again on all 120 rows" in report


def test_fit_recommends_a_better_method(invoke, tmp_path):
    """The last rows repeat the season before exactly; what is before them is noise."""
    noise = np.random.default_rng(0).normal(size=80)
    series = np.r_[noise, np.tile(noise[-4:], 5)]
    (tmp_path / "a.csv").write_text("a\n" + "\n".join(map(str, series)) + "\n")
    report = invoke(
        "fit", tmp_path / "a.csv", "--target", "a", "--season", 4, "--epochs", 1, "--no-progress",
        "-o", tmp_path / "a.npz",
    ).stdout  # fmt: skip
    assert "'same as a season before' was better: its error is 100% smaller" in report


def test_forecast_is_in_the_units_of_the_column(invoke, folder, fitted, passengers, tmp_path):
    result = invoke("forecast", fitted[0], folder / "data.csv", "--steps", 12)
    names, *_ = result.stdout.splitlines()
    assert names == "step,passengers"
    steps, values = np.genfromtxt(result.stdout.splitlines()[1:], delimiter=",").T
    assert steps.tolist() == list(range(1, 13))
    np.testing.assert_allclose(values, passengers[120:], atol=4)
    invoke("forecast", fitted[0], folder / "data.csv", "--steps", 12, "-o", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == result.stdout


def test_forecast_draws_a_picture(invoke, folder, fitted, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "out.png"
    invoke("forecast", fitted[0], folder / "data.csv", "--steps", 12, "--plot", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_predictions_stand_beside_the_rows(invoke, folder, fitted, passengers):
    names, first, *_, last = invoke("predict", fitted[0], folder / "data.csv").stdout.splitlines()
    assert names == "passengers,predicted"
    assert first == "100,"
    measured, predicted = map(float, last.split(","))
    assert measured == pytest.approx(passengers[119])
    assert predicted == pytest.approx(measured, abs=3)


def test_stream_answers_a_row_with_the_forecast_after_it(invoke, folder, fitted, rewrite, tmp_path):
    # With large corrections by the network, which reads more rows than the linear part
    path = rewrite(fitted[0], tmp_path / "model.npz", share=1.0, residual_scale=50.0)
    _, *rows = (folder / "data.csv").read_text().splitlines()
    answers = rows_of(invoke("stream", path, standard_input="\n".join(rows)))
    model, _ = forecasting.load(path)
    series, weather = np.genfromtxt(rows, delimiter=",").T
    assert len(answers) == 120
    assert np.isnan(answers[: model.needed - 1]).all()
    expected = [
        model.forecast(series[:end], 1, weather[:end, None])
        for end in range(model.needed, len(series) + 1)
    ]
    np.testing.assert_allclose(answers[model.needed - 1 :], expected, rtol=1e-9)


@pytest.mark.parametrize("model", ["net.npz", "chain.npz"])
def test_predict_and_stream_with_a_network(invoke, folder, tmp_path, model):
    x = np.random.default_rng(0).normal(size=(6, 2)).round(6)
    lines = [f"{a},{b}" for a, b in x]
    (tmp_path / "inputs.csv").write_text("\n".join(["a,b", *lines]))
    expected = crnn.load(folder / model).predict(x)
    predicted = invoke("predict", folder / model, tmp_path / "inputs.csv")
    assert predicted.stdout.startswith("y0,y1,y2\n")
    values = np.genfromtxt(predicted.stdout.splitlines()[1:], delimiter=",")
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    answers = invoke("stream", folder / model, standard_input="\n".join(lines))
    np.testing.assert_allclose(rows_of(answers), expected, rtol=1e-5)


def test_predict_and_stream_with_a_categorical_network(invoke, folder, tmp_path):
    (tmp_path / "inputs.csv").write_text("a\n3\n0\n2\n")
    expected = crnn.load(folder / "categories.npz").predict([3, 0, 2])
    predicted = invoke("predict", folder / "categories.npz", tmp_path / "inputs.csv")
    values = np.genfromtxt(predicted.stdout.splitlines()[1:], delimiter=",")
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    answers = invoke("stream", folder / "categories.npz", standard_input="3\n0\n2\n")
    np.testing.assert_allclose(rows_of(answers), expected, rtol=1e-5)


def test_stream_answers_each_line_at_once(folder):
    code = "import sys; sys.argv[0] = 'crnn'; from crnn.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, "stream", str(folder / "net.npz")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for _ in range(3):
            process.stdin.write("0.5, -1\n")
            process.stdin.flush()
            assert process.stdout.readline().count(",") == 2  # before the next line is written


LINES = ["1 x", "1", "1 2 3", "", "1 nan", "-inf 1", "1e999 1", "1_0 2", "1,,2", "\u0661 2", "a,b"]


@pytest.mark.parametrize("line", LINES)
def test_stream_reports_a_line_that_it_cannot_read_and_goes_on(invoke, folder, line):
    rows = f"1 2\n{line}\n3 4\n"
    result = invoke("stream", folder / "net.npz", standard_input=rows)
    first, nothing, last = result.stdout.splitlines()
    assert nothing == ""
    assert result.stderr == f"line 2: expected 2 numbers, got {line!r}\n"
    without = invoke("stream", folder / "net.npz", standard_input="1 2\n3 4\n").stdout
    assert without.splitlines() == [first, last]
    stopped = invoke(
        "stream", folder / "net.npz", "--on-error", "stop", standard_input=rows, exit_code=2
    )
    assert stopped.stdout == f"{first}\n"
    assert stopped.stderr == f"Error: {result.stderr}"


def test_stream_names_the_line_of_a_number_that_the_model_refuses(invoke, folder):
    result = invoke("stream", folder / "categories.npz", standard_input="1\n7\n2\n")
    assert result.stderr.startswith("line 2: x: expected ")
    without = invoke("stream", folder / "categories.npz", standard_input="1\n2\n").stdout
    assert [line for line in result.stdout.splitlines() if line] == without.splitlines()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("\ufeff1.5 2\n-3 4e-1", []),
        ("1.5,2\r\n-3,4e-1\r\n", []),
        ("1.5;2;\n-3;.4;\n", []),
        ("1.5\t2\n-3\t0.4\n", []),
        ("1.5|2\n-3|0.4\n", ["--sep", "|"]),
        ("1,5 2\n-3 ,4\n", ["--decimal", ","]),
        ("1,5;2\n-3; 0,4\n", ["--decimal", ","]),
        ("1,5\t2\n-3\t0,4\n", ["--decimal", ",", "--sep", "tab"]),
    ],
)
def test_stream_reads_what_programs_print(invoke, folder, text, options):
    expected = invoke("stream", folder / "net.npz", standard_input="1.5 2\n-3 0.4\n")
    result = invoke("stream", folder / "net.npz", *options, standard_input=text)
    assert result.stdout == expected.stdout
    assert result.stderr == ""


def test_stream_goes_on_after_bytes_that_are_no_text(invoke, folder):
    result = invoke("stream", folder / "net.npz", standard_input=b"1 2\n\xff\xfe 2\n3 4\n")
    assert [bool(line) for line in result.stdout.splitlines()] == [True, False, True]


def test_a_zero_in_the_last_row_does_not_stop_logarithms(invoke, tmp_path):
    t = np.arange(120)
    rows = [str(value) for value in np.exp(t / 15 + 0.1 * np.sin(t))]
    table = tmp_path / "stops.csv"
    table.write_text("\n".join(["a", *rows, "0"]))
    options = ["--target", "a", "--epochs", 1, "--no-progress", "-o", tmp_path / "model.npz"]
    assert "; logarithms" in invoke("fit", table, *options).stdout
    forecast = invoke("forecast", tmp_path / "model.npz", table).stdout.split(",")[-1]
    assert float(forecast) == pytest.approx(np.exp(121 / 15), rel=0.2)


def test_commas_and_blank_lines_at_the_end_are_ignored(invoke, folder, fitted, tmp_path):
    names, *rows = (folder / "data.csv").read_text().splitlines()
    lines = [names, *(f"{row}," for row in rows), "", ""]
    (tmp_path / "commas.csv").write_text("\n".join(lines) + "\n")
    expected = invoke("forecast", fitted[0], folder / "data.csv", "--steps", 3)
    result = invoke("forecast", fitted[0], tmp_path / "commas.csv", "--steps", 3)
    assert result.stdout == expected.stdout


def test_standard_input(invoke, folder):
    data = (folder / "data.csv").read_text()
    expected = invoke("forecast", folder / "model.npz", folder / "data.csv").stdout
    piped = invoke("forecast", folder / "model.npz", "-", standard_input=data).stdout
    assert piped == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net.npz", ["a network of crnn", "hidden_size=5", "parameters   58"]),
        (
            "chain.npz",
            ["a sequential network of crnn", "part         GRU(", "Dense(", "parameters   143"],
        ),
        ("categories.npz", ["a network of crnn", "categorical=True"]),
        ("text.npz", ["a text model of crnn", "vocabulary   5: ' Tbeo'", "hidden_size=2"]),
        ("nameless.npz", ["a forecaster of crnn", "recipe       ", "needs        "]),
    ],
)
def test_info(invoke, folder, name, expected):
    shown = invoke("info", folder / name).stdout
    for part in expected:
        assert part in shown


def test_info_shows_what_fit_has_reported(invoke, fitted):
    shown = invoke("info", fitted[0]).stdout
    for part in ("target       passengers", "lagged       weather", "horizon      6", "LSTM("):
        assert part in shown
    assert re.search(r"^score        persistence: RMSE [\d.]+, MAE [\d.]+$", shown, re.MULTILINE)
