"""Pictures: what is drawn, where, and that matplotlib stays optional and untouched."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import crnn
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


@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_history_labels_whole_epochs_alone(epochs):
    ax = plots.history(run(loss=[1 / epoch for epoch in range(1, epochs + 1)]))
    first, last = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if first <= tick <= last]
    assert len(ticks) > 0
    assert all(tick == round(tick) for tick in ticks)


def test_history_of_one_epoch_is_visible():
    (line,) = plots.history(run(loss=(0.5,))).get_lines()
    assert line.get_marker() == "o"


def test_forecast_draws_what_it_is_given():
    ax = plots.forecast(
        [2000, 2001, 2002], [3.0, 5.0, 4.0], predicted=([2001, 2002], [4.5, 4.25]),
        ahead=([2003, 2004], [2.0, 1.0]), time_label="year", value_label="sunspot number",
    )  # fmt: skip
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["measured"].get_ydata(), [3, 5, 4])
    np.testing.assert_array_equal(drawn["predicted one step ahead"].get_xdata(), [2001, 2002])
    np.testing.assert_array_equal(drawn["predicted one step ahead"].get_ydata(), [4.5, 4.25])
    # A line joins it to the last measured value.
    np.testing.assert_array_equal(drawn["forecast"].get_xdata(), [2002, 2003, 2004])
    np.testing.assert_array_equal(drawn["forecast"].get_ydata(), [4, 2, 1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("year", "sunspot number")


def test_forecast_draws_the_band_around_it_and_the_truth_behind_it():
    ax = plots.forecast(
        [2000, 2001], [3.0, 5.0], ahead=([2002, 2003], [4.0, 3.0]),
        bands={"range of 20 networks": ([3.5, 2.0], [4.5, 6.0])},
        truth=([2002, 2003], [4.25, 5.5]),
    )  # fmt: skip
    (band,) = ax.collections
    (path,) = band.get_paths()
    assert {tuple(corner) for corner in path.vertices} == {
        (2002, 3.5),
        (2003, 2.0),
        (2003, 6.0),
        (2002, 4.5),
    }
    assert band.get_label() == "range of 20 networks"
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["measured later"].get_xdata(), [2002, 2003])
    np.testing.assert_array_equal(drawn["measured later"].get_ydata(), [4.25, 5.5])
    assert drawn["measured later"].get_markerfacecolor() != drawn["measured"].get_markerfacecolor()
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named == ["measured", "measured later", "forecast", "range of 20 networks"]


def test_forecast_draws_later_bands_darker():
    wide, narrow = ([0.0], [9.0]), ([3.0], [5.0])
    ax = plots.forecast([0], [1.0], ahead=([1], [4.0]), bands={"95 %": wide, "80 %": narrow})
    first, last = ax.collections
    assert (first.get_label(), last.get_label()) == ("95 %", "80 %")
    assert first.get_alpha() < last.get_alpha()


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
        ({"times": [1], "values": [1.0], "truth": ([2, 3], [1.0])}, "truth"),
        ({"times": [1], "values": [1.0], "bands": {"b": ([1.0], [2.0])}}, "bands: .*without ahead"),
        (
            {
                "times": [1],
                "values": [1.0],
                "ahead": ([2], [1.0]),
                "bands": {"b": ([1, 1], [2, 2])},
            },
            r"bands\['b'\]: .*ahead \(1,\), got \(2,\)",
        ),
        (
            {"times": [1], "values": [1.0], "ahead": ([2], [1.0]), "bands": {"b": ([2.0], [1.0])}},
            r"bands\['b'\]: .*lower",
        ),
    ],
)
def test_forecast_refuses_series_that_do_not_fit(arguments, name):
    with pytest.raises(ValueError, match=name):
        plots.forecast(**arguments)


def test_rolling_draws_every_forecast_at_its_place():
    ax = plots.rolling(
        [10, 20, 30, 40, 50], [1.0, 2.0, 3.0, 4.0, 5.0], [1, 3], [[2.5, 2.75], [4.5, 4.75]],
        bands={"80 %": ([[2, 2], [4, 4]], [[3, 3], [6, 7]])}, time_label="day", value_label="t",
    )  # fmt: skip
    measured, first, second = ax.get_lines()
    np.testing.assert_array_equal(measured.get_ydata(), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(first.get_xdata(), [20, 30])
    np.testing.assert_array_equal(second.get_xdata(), [40, 50])
    np.testing.assert_array_equal(second.get_ydata(), [4.5, 4.75])
    corners = [
        {tuple(corner) for corner in band.get_paths()[0].vertices} for band in ax.collections
    ]
    assert corners == [{(20, 2), (30, 2), (30, 3), (20, 3)}, {(40, 4), (50, 4), (50, 7), (40, 6)}]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "measured", "forecast", "80 %"
    ]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("day", "t")


def test_rolling_forecasts_of_one_step_are_points_and_bars():
    bands = {"80 %": ([[1.5]], [[2.5]])}
    ax = plots.rolling([1, 2], [1.0, 2.0], [1], [[2.0]], bands=bands)
    assert ax.get_lines()[1].get_marker() == "o"
    (bar,) = ax.collections
    np.testing.assert_array_equal(bar.get_segments(), [[[2, 1.5], [2, 2.5]]])


def test_rolling_draws_no_band_over_another():
    lower = np.zeros((3, 2))
    ax = plots.rolling(
        np.arange(6), np.ones(6), [0, 1, 2], np.ones((3, 2)), bands={"80 %": (lower, lower + 2)}
    )
    assert len(ax.get_lines()) == 4
    assert [band.get_paths()[0].vertices[:, 0].min() for band in ax.collections] == [0, 2]


def test_dates_are_drawn_as_dates():
    days = np.arange("2023-01-30", "2023-02-03", dtype="datetime64[D]")
    ax = plots.forecast(
        days[:2], [1.0, 2.0], ahead=(days[2:], [3.0, 4.0]), bands={"b": ([2, 2], [4, 5])}
    )
    ax.figure.canvas.draw()
    np.testing.assert_array_equal(lines(ax)["forecast"].get_xdata(), days[1:])
    assert any("2023" in text.get_text() or "-" in text.get_text() for text in ax.get_xticklabels())


def test_dates_do_not_overlap():
    days = np.datetime64("2023-01-20", "D") + np.arange(100)
    ax = plots.forecast(days, np.arange(100.0))
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
    assert len(boxes) > 3
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize(
    ("origins", "forecasts", "message"),
    [
        ([0, 1], [[1.0]], r"origins and forecasts: expected shapes \(m,\) and \(m, steps\)"),
        ([2], [[1.0, 2.0]], "origins: expected forecasts of 2 steps inside 3 measured values"),
        ([-1], [[1.0]], "origins: .*got -1"),
    ],
)
def test_rolling_refuses_what_does_not_fit(origins, forecasts, message):
    with pytest.raises(ValueError, match=message):
        plots.rolling([1, 2, 3], [1.0, 2.0, 3.0], origins, forecasts)


def test_errors_draws_the_root_mean_square_by_step():
    ax = plots.errors({"crnn": [[3.0, 0.0], [4.0, 1.0]], "other": [[1.0, 2.0]]}, value_label="t")
    first, second = ax.get_lines()
    assert first.get_label() == "crnn"
    np.testing.assert_array_equal(first.get_xdata(), [1, 2])
    np.testing.assert_allclose(first.get_ydata(), np.sqrt([12.5, 0.5]))
    np.testing.assert_allclose(second.get_ydata(), [1, 2])
    assert first.get_linewidth() > second.get_linewidth()
    assert (ax.get_xlabel(), ax.get_ylim()[0]) == ("steps ahead", 0)
    assert "root mean square error of t" in ax.get_ylabel()


def image_of(ax):
    """The drawn array, and the extent of its pixels."""
    (image,) = ax.images
    return np.asarray(image.get_array()), tuple(image.get_extent())


def test_hidden_draws_units_over_time(build_network):
    net = build_network(hidden_size=5)
    x = np.random.default_rng(1).standard_normal((4, 7, 3))
    tape = net.forward(x)
    drawn, extent = image_of(plots.hidden(tape))
    np.testing.assert_array_equal(drawn, tape.h[0].T)
    # Column t is centred on t, from h_0 on; row 0 is above.
    assert extent == (-0.5, 7.5, 4.5, -0.5)
    np.testing.assert_array_equal(image_of(plots.hidden(tape, 2))[0], tape.h[2].T)
    alone = net.forward(x[3])
    np.testing.assert_array_equal(image_of(plots.hidden(alone))[0], alone.h.T)


def test_hidden_labels_its_axes_and_its_color_bar():
    ax = plots.hidden(SimpleNamespace(h=np.full((4, 3), 0.25)), time_label="year")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("year", "hidden unit")
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert "hidden state" in bar.get_ylabel()
    # However small the states are, the colors cover the range of tanh.
    assert ax.images[0].get_clim() == (-1, 1)


def test_hidden_labels_whole_units_alone():
    ax = plots.hidden(SimpleNamespace(h=np.zeros((4, 1))))
    last, first = ax.get_ylim()
    assert [tick for tick in ax.get_yticks() if first <= tick <= last] == [0]


def test_hidden_of_one_layer_among_several():
    h = np.random.default_rng(0).uniform(-1, 1, (2, 3, 6, 4))
    tape = SimpleNamespace(h=h)
    np.testing.assert_array_equal(image_of(plots.hidden(tape))[0], h[0, 0].T)
    np.testing.assert_array_equal(image_of(plots.hidden(tape, (1, 2)))[0], h[1, 2].T)
    with pytest.raises(ValueError, match=r"index: expected 2 whole numbers .*got 1"):
        plots.hidden(tape, 1)
    with pytest.raises(IndexError):
        plots.hidden(tape, (2, 0))


def test_hidden_of_a_network_of_two_layers():
    net = crnn.RNN(2, 4, 1, num_layers=2, seed=0)
    x = np.random.default_rng(0).standard_normal((3, 6, 2))
    tape = net.forward(x)
    np.testing.assert_array_equal(image_of(plots.hidden(tape, (1, 2)))[0], tape.h[1, 2].T)
    with pytest.raises(ValueError, match="checkpoint_every"):
        plots.hidden(net.forward(x, checkpoint_every=2))


@pytest.mark.parametrize("tape", [None, [[0.5]], SimpleNamespace(h=np.zeros(3))])
def test_hidden_refuses_other_objects_than_tapes(tape):
    with pytest.raises(TypeError, match="tape: expected what forward returned"):
        plots.hidden(tape)


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
import numpy as np
from types import SimpleNamespace
from crnn import plots
plots.history(SimpleNamespace(loss=[1.0, 0.5], val_loss=[]))
plots.forecast([0, 1], [1.0, 2.0])
plots.hidden(SimpleNamespace(h=np.zeros((3, 2))))
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_importing_crnn_and_its_plots_imports_no_matplotlib(run_python):
    result = run_python(
        "import sys, crnn, crnn.plots, crnn.datasets; assert 'matplotlib' not in sys.modules"
    )
    assert result.returncode == 0, result.stderr


def test_missing_matplotlib_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'crnn\[plot\]'"):
        plots.history(run())
