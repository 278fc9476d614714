import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import crnn
from crnn import cli
from crnn.demos import sunspots as demo


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
