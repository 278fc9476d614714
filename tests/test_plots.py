import sys
from types import SimpleNamespace

import numpy as np
import pytest

from crnn import plots

matplotlib = pytest.importorskip("matplotlib")


def run(loss=(0.5, 0.25, 0.125), val_loss=()):
    return SimpleNamespace(loss=list(loss), val_loss=list(val_loss), grad_norm=[1.0] * len(loss))


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_history_draws_the_loss_of_every_epoch():
    ax = plots.history(run())
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [0.5, 0.25, 0.125])
    assert ax.get_xlabel() == "epoch"
    assert "loss" in ax.get_ylabel()
    assert ax.get_yscale() == "log"
    assert ax.get_legend() is None


def test_history_draws_the_validation_loss_and_names_both():
    ax = plots.history(run(val_loss=(0.6, 0.4, 0.3)))
    assert set(lines(ax)) == {"training", "validation"}
    np.testing.assert_array_equal(lines(ax)["validation"].get_ydata(), [0.6, 0.4, 0.3])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]


def test_history_with_a_loss_of_zero_keeps_a_linear_axis():
    assert plots.history(run(loss=(0.5, 0.0))).get_yscale() == "linear"


def test_history_of_one_epoch_is_visible():
    (line,) = plots.history(run(loss=(0.5,))).get_lines()
    assert line.get_marker() == "o"


def test_forecast_draws_what_it_is_given():
    ax = plots.forecast(
        [2000, 2001, 2002],
        [3.0, 5.0, 4.0],
        predicted=([2001, 2002], [4.5, 4.25]),
        ahead=([2003, 2004], [2.0, 1.0]),
        time_label="year",
        value_label="sunspot number",
    )
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["measured"].get_ydata(), [3, 5, 4])
    np.testing.assert_array_equal(drawn["predicted one step ahead"].get_xdata(), [2001, 2002])
    np.testing.assert_array_equal(drawn["predicted one step ahead"].get_ydata(), [4.5, 4.25])
    # The forecast starts from the last measured value, so that no gap shows.
    np.testing.assert_array_equal(drawn["forecast"].get_xdata(), [2002, 2003, 2004])
    np.testing.assert_array_equal(drawn["forecast"].get_ydata(), [4, 2, 1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("year", "sunspot number")


def test_forecast_of_measured_values_alone():
    ax = plots.forecast([0, 1], [1.0, 2.0])
    assert list(lines(ax)) == ["measured"]
    assert ax.get_xlabel() == "time (steps)"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"times": [1, 2], "values": [1.0]}, "times and values"),
        ({"times": [[1, 2]], "values": [[1.0, 2.0]]}, "times and values"),
        ({"times": [], "values": []}, "times and values"),
        ({"times": [1], "values": [1.0], "predicted": ([1, 2], [1.0])}, "predicted"),
        ({"times": [1], "values": [1.0], "ahead": ([2, 3], [1.0])}, "ahead"),
    ],
)
def test_forecast_refuses_series_that_do_not_fit(arguments, name):
    with pytest.raises(ValueError, match=name):
        plots.forecast(**arguments)


@pytest.mark.parametrize(
    "draw", [lambda ax: plots.history(run(), ax=ax), lambda ax: plots.forecast([0], [1.0], ax=ax)]
)
def test_given_axes_are_drawn_on_and_returned(draw):
    ax = plots.figure().add_subplot()
    assert draw(ax) is ax
    assert len(ax.get_lines()) == 1


def test_saves_without_a_screen(tmp_path):
    path = tmp_path / "history.png"
    plots.history(run()).figure.savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_pyplot_and_the_settings_stay_untouched(run_python):
    code = """
import sys
import matplotlib
before = matplotlib.rcParams.copy()
from types import SimpleNamespace
from crnn import plots
plots.history(SimpleNamespace(loss=[1.0, 0.5], val_loss=[]))
plots.forecast([0, 1], [1.0, 2.0])
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_importing_crnn_and_its_plots_imports_no_matplotlib(run_python):
    done = run_python(
        "import sys, crnn, crnn.plots, crnn.datasets; assert 'matplotlib' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def test_missing_matplotlib_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'crnn\[plot\]'"):
        plots.history(run())
