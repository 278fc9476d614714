import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import crnn
from crnn import cli
from crnn.demos import sunspots as demo
from crnn.forecasting import Forecaster


@pytest.fixture
def invoke():
    def run(*arguments):
        return CliRunner().invoke(cli.command(), [str(argument) for argument in arguments])

    return run


@pytest.fixture(scope="module")
def full_run(tmp_path_factory):
    """The whole demo but for the timing, and its lines."""
    lines = []
    path = tmp_path_factory.mktemp("demo") / "demo.png"
    results = demo.run(path, timed_rounds=0, progress=False, echo=lines.append)
    return results, lines


def test_demo_prints_its_rows_and_writes_the_picture(invoke, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    result = invoke("demo", "--output", path, "--epochs", 2, "--rounds", 1)
    assert result.exit_code == 0, result.output
    assert path.read_bytes().startswith(b"\x89PNG")
    for row in ("persistence", "AR(9), least squares", "AR(9) on square roots", "crnn RNN"):
        assert row in result.stdout
    assert re.findall(r"^  (\d{4})  ", result.stdout, re.MULTILINE) == [
        str(year) for year in range(2009, 2020)
    ]
    assert ("times as fast" in result.stdout) or ("not installed here" in result.stdout)
    assert str(path) in result.stdout


def test_demo_shows_progress_on_stderr(invoke, tmp_path):
    shown = invoke("demo", "-o", tmp_path / "a.png", "--epochs", 2, "--rounds", 0)
    hidden = invoke("demo", "-o", tmp_path / "b.png", "--epochs", 2, "--rounds", 0, "--no-progress")
    assert "2/2" in shown.stderr
    assert hidden.stderr == ""


def test_demo_without_matplotlib_says_so_and_goes_on(invoke, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / "picture.png"
    result = invoke("demo", "--output", path, "--epochs", 1, "--rounds", 0)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("No picture")
    assert "crnn[plot]" in result.stdout
    assert not path.exists()


def test_demo_without_native_says_so(monkeypatch, tmp_path):
    def refuse(seed, implementation=None):
        if implementation == "native":
            raise ImportError("no extension")
        return crnn.RNN(1, demo.HIDDEN_SIZE, 1, seed=seed, implementation="python")

    monkeypatch.setattr(demo, "_network", refuse)
    lines = []
    results = demo.run(
        tmp_path / "p.png", epochs=1, timed_rounds=1, progress=False, echo=lines.append
    )
    assert list(results.seconds) == ["python"]
    assert any("native implementation is not installed" in line for line in lines)


@pytest.mark.parametrize(
    "options", [("--epochs", 0), ("--epochs", "many"), ("--seed", -1), ("--colour", "red")]
)
def test_demo_refuses_options_it_cannot_use(invoke, tmp_path, options):
    result = invoke("demo", "--output", tmp_path / "p.png", *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["nowhere/p.png", "p.xyz", "p"])
def test_demo_refuses_an_output_it_cannot_write_before_it_works(invoke, tmp_path, output):
    result = invoke("demo", "--output", tmp_path / output)
    assert result.exit_code == 2
    assert output.split("/")[0] in result.stderr
    assert "Trained" not in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_command_and_its_options(invoke):
    assert "demo" in invoke("--help").stdout
    demo_help = invoke("demo", "--help").stdout
    for option in ("--output", "--epochs", "--seed", "--rounds"):
        assert option in demo_help
    assert "crnn-demo.png" in demo_help


def test_version(invoke):
    assert crnn.__version__ in invoke("--version").stdout


def test_full_demo_beats_persistence_clearly(full_run):
    results, _ = full_run
    errors = list(results.errors.values())
    persistence, network = errors[0], errors[-1]
    # Predicting one of the most regular cycles there is, the network takes off at least a
    # third of the error of "as last year".
    assert network < 2 / 3 * persistence


def test_full_demo_forecast_stays_in_the_range_of_the_sun(full_run):
    results, _ = full_run
    assert results.forecast.shape == (11,)
    assert results.forecast.min() >= 0
    # The largest number of the 309 measured years is 190.2.
    assert results.forecast.max() < 190.2
    # One cycle: the sun becomes active and calms down again.
    assert 0 < results.forecast.argmax() < 10


def test_full_demo_gives_the_same_numbers_again(full_run, tmp_path):
    results, _ = full_run
    again = demo.run(tmp_path / "p.png", timed_rounds=0, progress=False, echo=[].append)
    assert again.errors == results.errors
    np.testing.assert_array_equal(again.forecast, results.forecast)


def test_baselines_against_values_computed_by_hand():
    years, numbers = crnn.datasets.sunspots()
    held_out = np.flatnonzero(years >= 1980)
    # AR(9) again, from normal equations written out with lists.
    rows = [[1.0, *numbers[i - 9 : i]] for i in range(9, 309)]
    fitted = [i for i in range(9, 309) if years[i] <= 1979]
    gram = [
        [sum(rows[i - 9][a] * rows[i - 9][b] for i in fitted) for b in range(10)] for a in range(10)
    ]
    moment = [sum(rows[i - 9][a] * numbers[i] for i in fitted) for a in range(10)]
    coefficients = np.linalg.solve(gram, moment)
    expected = [float(np.dot(rows[i - 9], coefficients)) for i in held_out]
    np.testing.assert_allclose(demo._ar(numbers, years, held_out), expected, rtol=1e-8)


def test_training_windows_end_before_the_held_out_years():
    # Each value is its own year, so the windows show what they hold.
    x, y = demo._windows(np.arange(1700.0, 1980.0))
    assert x.shape == y.shape == (65, demo.CONTEXT, 1)
    np.testing.assert_array_equal(y, x + 1)
    assert y.max() == 1979
    assert x.min() >= 1700


def test_one_step_predictions_read_nothing_of_their_own_year_or_later(full_run):
    results, _ = full_run
    years, numbers = crnn.datasets.sunspots()
    held_out = np.flatnonzero(years >= 1980)
    net = crnn.RNN(1, demo.HIDDEN_SIZE, 1, seed=3)
    # Outputs below zero would all stand for no sunspots and hide a difference.
    net.params["b_y"][...] = 5
    plain = demo._one_step(net, numbers, held_out)
    changed = numbers.copy()
    changed[years >= 1990] += 50
    after = demo._one_step(net, changed, held_out)
    np.testing.assert_array_equal(after[:11], plain[:11])
    assert (after[11:] != plain[11:]).all()
    assert results.predictions.shape == plain.shape == (29,)


@pytest.mark.parametrize("missing", ["click", "tqdm"])
def test_missing_extra_is_one_line_on_stderr(run_python, missing):
    done = run_python(
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['crnn', 'demo'];"
        "from crnn.cli import main; main()"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"crnn: the command line needs {missing}: pip install 'crnn[cli]'\n"


def test_a_broken_click_is_not_called_missing(run_python, tmp_path):
    (tmp_path / "click.py").write_text("import surely_not_installed\n")
    done = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from crnn.cli import main; main()"
    )
    assert done.returncode == 1
    assert "surely_not_installed" in done.stderr


def test_python_m_crnn_is_the_same_command(run_python):
    done = run_python(
        "import runpy, sys; sys.argv = ['crnn', '--version'];"
        "runpy.run_module('crnn', run_name='__main__')"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"crnn, version {crnn.__version__}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CSV files, and a model of each kind."""
    folder = tmp_path_factory.mktemp("cli")
    t = np.arange(120)
    passengers = 100 + t + 20 * np.sin(2 * np.pi * t / 12)
    rows = [f"{value:.6f},{np.cos(number):.6f}" for number, value in enumerate(passengers)]
    (folder / "data.csv").write_text("passengers, weather\n" + "\n".join(rows) + "\n")
    (folder / "gap.csv").write_text("a,b\n1,2\n,3\n4,x\n")
    (folder / "blank.csv").write_text("a\n1\n\n3\n")
    (folder / "long.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    (folder / "latin.csv").write_bytes(b"caf\xe9\n1\n")
    (folder / "latin.txt").write_bytes(b"caf\xe9 " * 30)
    zeros = [f"{max(0, value - 100):.6f},0" for value in passengers]
    (folder / "zeros.csv").write_text("passengers,weather\n" + "\n".join(zeros) + "\n")
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "text.txt").write_text("To be, or not to be, that is the question. " * 20)
    crnn.RNN(2, 5, 3, seed=0).save(folder / "net.npz")
    model = Forecaster(hidden_size=2, epochs=1).fit(passengers)
    model.save(folder / "nameless.npz")
    model.recipe = model.recipe._replace(log=True)
    model.save(folder / "logs.npz", target="passengers", features=[])
    runner = CliRunner()
    arguments = ["--target", "passengers", "--features", "weather", "--horizon", "6"]
    arguments += ["--epochs", "3", "-o", str(folder / "model.npz"), "--no-progress"]
    arguments += ["--cell", "lstm"]
    fitted = runner.invoke(cli.command(), ["fit", str(folder / "data.csv"), *arguments])
    assert fitted.exit_code == 0, fitted.output
    (folder / "fitted.txt").write_text(fitted.stdout)
    arguments = ["--hidden", "8", "--epochs", "3", "--cell", "gru", "--no-progress"]
    arguments += ["-o", str(folder / "text.npz")]
    wrote = runner.invoke(cli.command(), ["text", str(folder / "text.txt"), *arguments])
    assert wrote.exit_code == 0, wrote.output
    (folder / "wrote.txt").write_text(wrote.stdout)
    return folder


def test_fit_reports_itself_beside_the_usual(folder):
    report = (folder / "fitted.txt").read_text()
    assert "120 rows, learned from 96, tried on the last 24, 6 steps ahead" in report
    assert "a season of 12 steps" in report
    for row in ("crnn", "persistence", "same as a season before", "AR("):
        assert re.search(rf"^{re.escape(row)}.* +[\d.e+-]+ +[\d.e+-]+$", report, re.MULTILINE), row
    assert "trained again on all 120 rows" in report


def test_forecast_writes_csv_in_the_units_of_the_column(invoke, folder, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = [folder / "model.npz", folder / "data.csv", "--steps", 12]
    done = invoke("forecast", *arguments, "--plot", tmp_path / "out.png")
    assert done.exit_code == 0, done.output
    header, *rows = done.stdout.splitlines()
    assert header == "step,passengers"
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, 13))
    t = np.arange(120, 132)
    expected = 100 + t + 20 * np.sin(2 * np.pi * t / 12)
    np.testing.assert_allclose([float(row.split(",")[1]) for row in rows], expected, atol=4)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    invoke("forecast", *arguments, "-o", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == done.stdout


def test_predict_puts_predictions_beside_the_rows(invoke, folder):
    done = invoke("predict", folder / "model.npz", folder / "data.csv")
    assert done.exit_code == 0, done.output
    header, *rows = done.stdout.splitlines()
    assert header == "passengers,predicted"
    assert len(rows) == 120
    assert rows[0].endswith(",")
    measured, predicted = map(float, rows[-1].split(","))
    assert predicted == pytest.approx(measured, abs=3)


def test_predict_and_stream_of_a_network(invoke, folder):
    table = folder / "inputs.csv"
    x = np.random.default_rng(0).normal(size=(6, 2)).round(6)
    table.write_text("a,b\n" + "\n".join(f"{a},{b}" for a, b in x) + "\n")
    expected = crnn.load(folder / "net.npz").predict(x)
    done = invoke("predict", folder / "net.npz", table)
    got = [[float(word) for word in row.split(",")] for row in done.stdout.splitlines()[1:]]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    lines = "\n".join(f"{a} {b}" for a, b in x)
    done = CliRunner().invoke(cli.command(), ["stream", str(folder / "net.npz")], input=lines)
    got = [[float(word) for word in row.split(",")] for row in done.stdout.splitlines()]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_stream_answers_as_predict(invoke, folder):
    predicted = invoke("predict", folder / "model.npz", folder / "data.csv").stdout.splitlines()
    rows = (folder / "data.csv").read_text().splitlines()[1:]
    command = ["stream", str(folder / "model.npz")]
    done = CliRunner().invoke(cli.command(), command, input="\n".join(rows))
    answers = done.stdout.splitlines()
    assert len(answers) == 120
    # The answer to a row is the prediction of the next.
    expected = [row.split(",")[1] for row in predicted[2:]]
    assert [bool(answer) for answer in answers[:-1]] == [bool(value) for value in expected]
    known = [number for number, value in enumerate(expected) if value]
    np.testing.assert_allclose(
        [float(answers[number]) for number in known],
        [float(expected[number]) for number in known],
        rtol=1e-4,
    )


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


def test_text_and_generate(invoke, folder):
    report = (folder / "wrote.txt").read_text()
    assert re.search(r"bits per character on the last tenth: [\d.]+; trigrams [\d.]+", report)
    # Three epochs of 800 characters
    assert "Trigrams read it better" in report
    arguments = ["generate", folder / "text.npz", "--prompt", "To be", "--length", 30]
    first, second = (invoke(*arguments, "--seed", 4).stdout for _ in "ab")
    assert first == second
    assert first.startswith("To be")
    assert len(first.rstrip("\n")) == 35


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net.npz", ["a network of crnn", "hidden_size=5", "parameters   58"]),
        (
            "model.npz",
            ["a forecaster", "target       passengers", "score        persistence", "LSTM("],
        ),
        ("text.npz", ["a text model", "vocabulary   ", "GRU(", "hidden_size=8"]),
    ],
)
def test_info(invoke, folder, name, said):
    done = invoke("info", folder / name)
    assert done.exit_code == 0, done.output
    for part in said:
        assert part in done.stdout


BAD = {
    "no file": (["fit", "no.csv", "--target", "a"], "no.csv: No such file"),
    "no column": (["fit", "data.csv", "--target", "a"], "expected a column 'a', got 'passengers'"),
    "a gap": (["fit", "gap.csv", "--target", "a"], "line 3: expected a number in 'a', got a gap"),
    "no number": (["fit", "gap.csv", "--target", "b"], "line 4: expected a number in 'b', got 'x'"),
    "empty": (["fit", "empty.csv", "--target", "a"], "empty.csv: expected a CSV file"),
    "blank line": (
        ["fit", "blank.csv", "--target", "a"],
        "line 3: expected a number in 'a', got a",
    ),
    "long rows": (["fit", "long.csv", "--target", "a"], "expected no more values in a row than"),
    "encoding": (["fit", "latin.csv", "--target", "a"], "latin.csv: expected a CSV file, got 'utf"),
    "few rows": (
        ["fit", "data.csv", "--target", "passengers", "--test-size", "0.9"],
        "series: expected at least 23 numbers to learn from, got 12",
    ),
    "horizon": (
        ["fit", "data.csv", "--target", "passengers", "--horizon", "120"],
        "expected more rows than the horizon of 120, got 120",
    ),
    "season": (
        ["fit", "data.csv", "--target", "passengers", "--season", "99"],
        "season: expected at most 23 steps, for there are 72 numbers",
    ),
    "no rows": (["fit", "header.csv", "--target", "a"], "expected rows of numbers, got none"),
    "features": (["fit", "data.csv", "--target", "passengers", "--features", "x"], "column 'x'"),
    "no model": (["forecast", "data.csv", "data.csv"], "expected a file of crnn"),
    "other kind": (
        ["forecast", "text.npz", "data.csv"],
        "expected a forecaster of crnn, got a text",
    ),
    "other table": (["forecast", "model.npz", "gap.csv"], "expected a column 'passengers'"),
    "no names": (["forecast", "nameless.npz", "data.csv"], "says which columns it reads"),
    "zeros": (["forecast", "logs.npz", "zeros.csv"], "series: expected numbers above 0, for the"),
    "text encoding": (["text", "latin.txt"], "latin.txt: expected text in UTF-8, got 'utf-8'"),
    "picture": (["forecast", "model.npz", "data.csv", "--plot", "a.txt"], "ending in .png"),
    "prompt": (["generate", "text.npz", "--prompt", "#"], "prompt: expected characters"),
    "short text": (["text", "gap.csv"], "expected at least 100 characters"),
    "info": (["info", "data.csv"], "expected a file of crnn"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_takes_one_line(invoke, folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    output = ["-o", "never.npz"] if arguments[0] in ("fit", "text") else []
    done = invoke(*arguments, *output)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert not (folder / "never.npz").exists()


def test_a_series_that_reaches_zero_after_the_training_rows(invoke, folder, tmp_path):
    # Growing ever faster, it would be learned in logarithms.
    t = np.arange(120)
    series = np.exp(t / 15 + 0.1 * np.sin(t))
    (tmp_path / "all.csv").write_text("a\n" + "\n".join(map(str, series)))
    (tmp_path / "stops.csv").write_text("a\n" + "\n".join(map(str, series)) + "\n0\n")
    options = ["--target", "a", "--epochs", 1, "--no-progress", "-o", tmp_path / "model.npz"]
    assert "logarithms" in invoke("fit", tmp_path / "all.csv", *options).stdout
    done = invoke("fit", tmp_path / "stops.csv", *options)
    assert done.exit_code == 0, done.output
    assert "logarithms" not in done.stdout


def test_commas_and_blank_lines_at_the_end_are_none(invoke, folder, tmp_path):
    lines = (folder / "data.csv").read_text().splitlines()
    commas = "\n".join([lines[0], *(line + "," for line in lines[1:])])
    (tmp_path / "commas.csv").write_text(commas + "\n\n\n")
    expected = invoke("forecast", folder / "model.npz", folder / "data.csv", "--steps", 3)
    done = invoke("forecast", folder / "model.npz", tmp_path / "commas.csv", "--steps", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout == expected.stdout


@pytest.mark.parametrize("line", ["1 x", "1", "1 2 3", "", "1 nan", "-inf 1"])
@pytest.mark.parametrize("model", ["net.npz", "model.npz"])
def test_a_line_that_is_no_number(folder, model, line):
    command = ["stream", str(folder / model)]
    done = CliRunner().invoke(cli.command(), command, input=f"1 2\n{line}\n1 2\n")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == f"Error: line 2: expected 2 numbers, got {line!r}\n"


def test_standard_input(folder):
    for command in (["fit", "-", "--target", "passengers", "--epochs", "1", "--no-progress"],):
        table = (folder / "data.csv").read_text()
        arguments = [*command, "-o", str(folder / "piped.npz")]
        done = CliRunner().invoke(cli.command(), arguments, input=table)
        assert done.exit_code == 0, done.output
        assert (folder / "piped.npz").exists()


def test_demo_of_text(monkeypatch):
    from crnn.demos import text

    monkeypatch.setattr(text, "topics", {"b": RHYME * 40, "a": RHYME * 40})
    monkeypatch.setattr(text, "HIDDEN_SIZE", 16)
    monkeypatch.setattr(text, "PROMPT", "one")
    lines = []
    bits = text.run(epochs=4, progress=False, echo=lines.append)
    assert set(bits) == {"crnn", "trigrams"}
    assert any(line.startswith("  crnn ") for line in lines)
    assert any(line.startswith("  one") for line in lines)


RHYME = (
    "one for the master, one for the dame, and one for the little boy who lives down the lane.\n"
)
