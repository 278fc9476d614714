"""The command `learn`: answers, errors beside persistence, lines that cannot be read, files."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from crnn.forecasting import OnlineForecaster

CODE = "import sys; sys.argv[0] = 'crnn'; from crnn.cli import main; main()"


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A table of a plant, its numbers, and what a forecaster answers."""
    rng = np.random.default_rng(0)
    valve = np.repeat(rng.normal(size=50), 5).round(4)
    heat = np.zeros(250)
    for t in range(1, 250):
        heat[t] = 0.9 * heat[t - 1] + valve[t - 1]
    heat = heat.round(4)
    lines = [f"2024-01-{t % 28 + 1:02d} 10:00,{valve[t]},{heat[t]},on" for t in range(250)]
    path = tmp_path_factory.mktemp("learn") / "plant.csv"
    path.write_text("\n".join(["time,valve,heat,state", *lines]) + "\n")
    model = OnlineForecaster(1)
    answers = [model.step(*row) for row in zip(heat, valve[:, None], strict=True)]
    return path, heat, answers


def numbers(result):
    """The answers but for the line of names; empty ones as NaN."""
    return [float(line or "nan") for line in result.stdout.splitlines()[1:]]


def test_answers_are_the_forecasts(invoke, plant):
    path, heat, answers = plant
    result = invoke("learn", path, "--target", "heat", "--lagged", "valve", "--every", 100)
    assert result.stdout.splitlines()[0] == "heat_next"
    np.testing.assert_allclose(numbers(result), answers, rtol=1e-9)
    first, second, *table = result.stderr.splitlines()
    assert re.fullmatch(r"100 lines: RMSE \S+, persistence \S+; of the last 100 RMSE .*", first)
    assert second.startswith("200 lines: ")
    errors = np.subtract(answers[:-1], heat[1:]), np.diff(heat)
    assert table[0].split() == ["RMSE", "MAE"]
    for line, name, error in zip(table[1:], ("crnn", "persistence"), errors, strict=True):
        expected = [f"{np.sqrt(np.mean(error**2)):.4g}", f"{np.mean(np.abs(error)):.4g}"]
        assert line.split() == [name, *expected]
    # The first line holds the names: 199 rows, 198 forecasts with a target.
    ours, last = (np.sqrt(np.mean(error[98:198] ** 2)) for error in errors)
    assert second.endswith(f"; of the last 100 RMSE {ours:.4g}, persistence {last:.4g}")


@pytest.mark.parametrize(
    ("form", "options"),
    [
        (lambda text: text.replace(",", ";"), []),
        (lambda text: text.replace(",", "\t").replace(".", ","), ["--decimal", ","]),
        (lambda text: text.replace(",", ";").replace(".", ","), ["--decimal", ","]),
        (lambda text: text.replace(",", "|"), ["--sep", "|"]),
        (lambda text: "\ufeff" + text.replace("\n", "\r\n").rstrip(), []),
        (lambda text: text.replace("on\n", "on,\n"), []),
        (lambda text: re.sub(r"\S+ 10:00,", "", text).replace("time,", "").replace(",", " "), []),
    ],
)
def test_forms_of_a_table(invoke, plant, form, options):
    path, _, answers = plant
    result = invoke(
        "learn", "-", "--target", "heat", "--lagged", "valve", *options,
        standard_input=form(path.read_text()),
    )  # fmt: skip
    np.testing.assert_allclose(numbers(result), answers, rtol=1e-9)


def test_a_table_without_names(invoke, plant):
    path, _, answers = plant
    _, rows = path.read_text().split("\n", 1)
    result = invoke(
        "learn", "-", "--no-header", "--target", "3", "--lagged", "2", standard_input=rows
    )
    actual = [float(line) for line in result.stdout.splitlines()]
    np.testing.assert_allclose(actual, answers, rtol=1e-9)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x,2", "expected a number in 'a', got 'x'"),
        ("1,b", "expected a number in 'b', got 'b'"),
        ("1e999,2", "expected a number in 'a', got '1e999'"),
        ("1_0,2", "expected a number in 'a', got '1_0'"),
        ("1e200,2", "expected numbers of at most 1e+150, got [1e+200, 2.0]"),
        ("1", "expected 2 values, got '1'"),
        ("1,2,3", "expected 2 values, got '1,2,3'"),
        ("", "expected 2 values, got ''"),
    ],
)
def test_a_line_that_cannot_be_read(invoke, line, message):
    options = "learn", "-", "--target", "a", "--lagged", "b"
    result = invoke(*options, standard_input=f"a,b\n1,2\n{line}\n3,4\n5,7\n")
    without = invoke(*options, standard_input="a,b\n1,2\n3,4\n5,7\n")
    lines = result.stdout.splitlines()
    assert lines.pop(2) == ""
    assert lines == without.stdout.splitlines()
    assert result.stderr.splitlines()[0] == f"line 3: {message}"
    assert result.stderr.splitlines()[1:] == without.stderr.splitlines()
    stopped = invoke(
        *options, "--on-error", "stop", standard_input=f"a,b\n1,2\n{line}\n3,4\n", exit_code=2
    )
    assert stopped.stderr == f"Error: line 3: {message}\n"


def test_empty_cells(invoke):
    """A line without a target is answered; it counts in no error."""
    rows = "a,b\n,1\n2,\nNA,3\n4,nan\n"
    result = invoke("learn", "-", "--target", "a", "--lagged", "b", standard_input=rows)
    empty, *answers = numbers(result)
    model = OnlineForecaster(1)
    known = [model.step(2.0, [1.0]), model.step(None, [3.0]), model.step(4.0, [3.0])]
    np.testing.assert_allclose(answers, known, rtol=1e-9)
    assert np.isnan(empty)
    error = f"{abs(known[1] - 4):.4g}"
    assert result.stderr.splitlines()[1].split() == ["crnn", error, error]
    assert result.stderr.splitlines()[2].split() == ["persistence", "2", "2"]


def test_nothing_to_compare(invoke):
    result = invoke("learn", "-", "--target", "a", "--every", 1, standard_input="a\n3\n")
    assert result.stderr.splitlines() == [
        "1 lines: no forecast yet",
        "2 lines: no forecast yet",
        "no forecast was followed by a target",
    ]


def test_a_model_goes_on(invoke, plant, tmp_path):
    path, _, answers = plant
    names, *lines = path.read_text().splitlines(keepends=True)
    model = tmp_path / "model.npz"
    columns = "--target", "heat", "--lagged", "valve"
    first = names + "".join(lines[:100])
    invoke("learn", "-", *columns, "--save", model, standard_input=first)
    shown = invoke("info", model).stdout
    assert "a streaming forecaster of crnn" in shown
    assert re.search(r"^lagged +valve$", shown, re.MULTILINE)
    assert re.search(r"^learned from +100 rows$", shown, re.MULTILINE)
    result = invoke(
        "learn", "-", "--model", model, "--save", model,
        standard_input=names + "".join(lines[100:]),
    )  # fmt: skip
    np.testing.assert_allclose(numbers(result), answers[100:], rtol=1e-9)
    assert OnlineForecaster.load(model)[0].rows == 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "target: expected a column, got none"),
        (["--target", "heap"], "line 1: expected one column 'heap', got the columns 'time'"),
        (["--target", "heat", "--lagged", "x"], "line 1: expected one column 'x'"),
        (["--target", "heat", "--hidden", 65], "'--hidden'"),
        (["--target", "heat", "--lr", "nan"], "lr: expected"),
        (["--target", "heat", "--sep", ",", "--decimal", ","], "sep: expected another sign"),
        (["--target", "heat", "--save", "{data}"], "expected another file to write to"),
        (["--model", "{model}", "--cell", "gru"], "cell: expected none beside --model"),
        (["--model", "{model}", "--target", "valve"], "target: expected 'heat', as the model has"),
        (["--model", "{other}"], "forecaster"),
    ],
)
def test_refusals_write_nothing(invoke, plant, folder, tmp_path, options, message):
    path, *_ = plant
    OnlineForecaster().save(tmp_path / "model.npz", target="heat", lagged=[])
    paths = {"data": path, "model": tmp_path / "model.npz", "other": folder / "model.npz"}
    words = [str(word).format(**paths) for word in options]
    if "--save" not in words:
        words += ["--save", str(tmp_path / "new.npz")]
    before = path.read_bytes()
    result = invoke("learn", path, *words, exit_code=2)
    assert message in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "new.npz").exists()
    assert path.read_bytes() == before


def test_a_file_without_names_of_columns_is_refused(invoke, plant, tmp_path):
    path, *_ = plant
    OnlineForecaster(1).save(tmp_path / "model.npz", target="heat", lagged=[])
    result = invoke("learn", path, "--model", tmp_path / "model.npz", exit_code=2)
    assert "lagged: expected 1 names" in result.stderr


def started(path, *options):
    """A process of the command that reads a pipe."""
    command = [sys.executable, "-P", "-c", CODE, "learn", "-", "--target", "a", "--save", path]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([*command, *options], text=True, **pipes)


def answered(process, lines):
    process.stdin.write(lines)
    process.stdin.flush()
    return [process.stdout.readline() for _ in lines.splitlines()]


def test_each_line_is_answered_at_once_and_ctrl_c_saves(tmp_path):
    with started(tmp_path / "model.npz") as process:
        assert answered(process, "a\n1\n") == ["a_next\n", "1\n"]
        assert answered(process, "2\n")[0] != "\n"
        if os.name == "posix":
            # Python may be writing the answer still.
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
        else:
            process.stdin.close()
        assert process.wait() == 0
        assert process.stderr.read().split()[:2] == ["RMSE", "MAE"]
    assert OnlineForecaster.load(tmp_path / "model.npz")[0].rows == 2


@pytest.mark.skipif(os.name != "posix", reason="a closed pipe is another error elsewhere")
def test_a_reader_that_stops_leaves_a_file(tmp_path):
    with started(tmp_path / "model.npz") as process:
        answered(process, "a\n1\n")
        process.stdout.close()
        process.stdin.write("2\n" * 3)
        process.stdin.close()
        assert process.wait() == 1
        assert process.stderr.read() == ""
    assert OnlineForecaster.load(tmp_path / "model.npz")[0].rows == 2
