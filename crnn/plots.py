"""Pictures of training runs, forecasts and hidden states, drawn with matplotlib.

Lazy import: matplotlib is optional and is imported when a picture is drawn. Only its figure objects
are used; the current figure and the backend of ``pyplot`` do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Values = npt.NDArray[np.float64]
    # Numbers, or dates of NumPy
    Times = npt.NDArray[Any]

__all__ = ["errors", "figure", "forecast", "hidden", "history", "rolling"]

# Okabe and Ito (2008): distinct for readers with any common form of color blindness.
_DATA = "#4d4d4d"
_PREDICTION = "#0072b2"
_FORECAST = "#d55e00"
# Of several methods, the first one in the color of forecasts
_METHODS = (_FORECAST, "#000000", "#56b4e9", "#009e73", "#0072b2", "#cc79a7", "#e69f00")
# Opacity of the first and of the last band; a band alone has the first.
_LIGHTEST, _DARKEST = 0.2, 0.35
# Diverging, with zero white: shows the sign of a state and whether it is near -1 or 1.
_STATES = "RdBu_r"


class States(Protocol):
    """What `hidden` draws: states with the axes (..., time, units)."""

    @property
    def h(self) -> npt.NDArray[np.floating]:
        """The states, h_0 first."""


class Losses(Protocol):
    """What `history` draws: losses by epoch. Without validation data `val_loss` is empty."""

    loss: list[float]
    val_loss: list[float]


def figure(width: float = 7.0, height: float = 4.0) -> Figure:
    """Return a new figure that is not registered with ``pyplot``.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with its own ``savefig``. It needs no display, and need not be closed.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    try:
        from matplotlib import figure as figures
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ModuleNotFoundError(
            "drawing needs matplotlib, which is not installed: pip install 'crnn[plot]'",
            name="matplotlib",
        ) from error
    return figures.Figure(figsize=(width, height), layout="constrained")


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    new: Axes = figure().add_subplot()
    return new


def history(history: Losses, ax: Axes | None = None) -> Axes:
    """Draw the loss of a training run by epoch.

    Parameters
    ----------
    history : crnn.History
        What ``fit`` returned. The losses on validation data are drawn if there are any.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure (``.figure.savefig(path)`` writes it). The axis of the
        loss is logarithmic if every loss is positive.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed and `ax` was not given.
    """
    ax = _axes(ax)
    from matplotlib import ticker

    curves = [("training", np.asarray(history.loss, dtype=float), _PREDICTION)]
    if history.val_loss:
        curves.append(("validation", np.asarray(history.val_loss, dtype=float), _FORECAST))
    for label, losses, color in curves:
        # A run of one epoch is one point: without a marker it would be invisible.
        marker = "o" if losses.size == 1 else None
        epochs = np.arange(1, losses.size + 1)
        ax.plot(epochs, losses, color=color, linewidth=1.4, marker=marker, label=label)
    drawn = np.concatenate([losses for _, losses, _ in curves])
    if drawn.size and drawn.min() > 0:
        ax.set_yscale("log")
        # With powers of ten alone, an axis of one or two decades would have few labels.
        if drawn.max() < 1000 * drawn.min():
            ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(ticker.NullFormatter())
    # Epochs are whole numbers.
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss of an epoch")
    _finish(ax)
    return ax


def forecast(
    times: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    predicted: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ahead: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    bands: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
    truth: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    time_label: str = "time (steps)",
    value_label: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """Draw a series, one-step predictions, and a forecast.

    Parameters
    ----------
    times, values : array_like, shape (n,)
        The measured series. Times are numbers, or dates of NumPy (datetime64).
    predicted : tuple of two array_like, shape (m,), optional
        Times and values of one-step predictions, each from measured values.
    ahead : tuple of two array_like, shape (k,), optional
        Times and values of the forecast, in which the network reads its own outputs. A line joins
        it to the last measured value.
    bands : mapping of str to tuple of two array_like, shape (k,), optional
        Bands around the forecast: what a band means, for the legend, and its lower and upper end at
        the times of the forecast. Later ones are drawn darker: begin with the widest.
    truth : tuple of two array_like, shape (j,), optional
        Times and values that were measured later, to compare the forecast with.
    time_label, value_label : str
        Labels of the axes, with their units.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure (``.figure.savefig(path)`` writes it).

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed and `ax` was not given.
    ValueError
        Times and values are not one-dimensional and equally long, there are no measured ones, or
        there is a band without a forecast, or of another length, or with its ends exchanged.
    """
    times, values = _series("times and values", times, values)
    if times.size == 0:
        raise ValueError("times and values: expected at least one measured value, got none")
    if predicted is not None:
        predicted = _series("predicted", *predicted)
    if truth is not None:
        truth = _series("truth", *truth)
    edges = {label: _band(label, band, ahead) for label, band in (bands or {}).items()}
    if ahead is not None:
        ahead = _series("ahead", *ahead)
        ahead = np.append(times[-1:], ahead[0]), np.append(values[-1:], ahead[1])

    ax = _axes(ax)
    ax.plot(times, values, color=_DATA, linewidth=1.2, marker="o", markersize=2.5, label="measured")
    if truth is not None:
        ax.plot(
            *truth,
            color=_DATA,
            linestyle="none",
            marker="o",
            markersize=4,
            markerfacecolor="white",
            label="measured later",
        )
    if predicted is not None:
        ax.plot(*predicted, color=_PREDICTION, linewidth=1.6, label="predicted one step ahead")
    if ahead is not None:
        ax.plot(*ahead, color=_FORECAST, linewidth=1.8, linestyle="--", label="forecast")
    for alpha, (label, band) in zip(
        np.linspace(_LIGHTEST, _DARKEST, len(edges)), edges.items(), strict=True
    ):
        ax.fill_between(*band, color=_FORECAST, alpha=alpha, linewidth=0, label=label)
    ax.set_xlabel(time_label)
    ax.set_ylabel(value_label)
    _finish(ax)
    return ax


def rolling(
    times: npt.ArrayLike,
    values: npt.ArrayLike,
    origins: npt.ArrayLike,
    forecasts: npt.ArrayLike,
    *,
    bands: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
    time_label: str = "time (steps)",
    value_label: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """Draw a series, and forecasts that begin at several places in it.

    Parameters
    ----------
    times, values : array_like, shape (n,)
        As in `forecast`.
    origins : array_like of int, shape (m,)
        Places of the first number of each forecast in the series.
    forecasts : array_like, shape (m, steps)
        None goes beyond the end of the series.
    bands : mapping of str to tuple of two array_like, shape (m, steps), optional
        As in `forecast`. Bands that begin inside those of an earlier forecast are not drawn.
    time_label, value_label : str
        Labels of the axes, with their units.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure (``.figure.savefig(path)`` writes it).

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed and `ax` was not given.
    ValueError
        A shape does not fit, or a forecast goes beyond the series.
    """
    times, values = _series("times and values", times, values)
    origins, forecasts = np.asarray(origins), np.asarray(forecasts, dtype=np.float64)
    if origins.ndim != 1 or forecasts.ndim != 2 or len(origins) != len(forecasts):
        raise ValueError(
            "origins and forecasts: expected shapes (m,) and (m, steps), got "
            f"{origins.shape} and {forecasts.shape}"
        )
    if origins.size and not 0 <= origins.min() <= origins.max() <= times.size - forecasts.shape[1]:
        raise ValueError(
            f"origins: expected forecasts of {forecasts.shape[1]} steps inside {times.size} "
            f"measured values, got {origins.min()} to {origins.max()}"
        )
    bands = bands or {}
    opacity = np.linspace(_LIGHTEST, _DARKEST, len(bands))
    ax = forecast(times, values, time_label=time_label, value_label=value_label, ax=ax)
    # A forecast of one step is a point.
    style = {"marker": "o", "markersize": 4} if forecasts.shape[1] == 1 else {"linestyle": "--"}
    end = 0
    for number, (origin, ahead) in enumerate(zip(origins, forecasts, strict=True)):
        shown = times[origin : origin + forecasts.shape[1]]
        label = "forecast" if number == 0 else None
        ax.plot(shown, ahead, color=_FORECAST, linewidth=1.8, label=label, **style)
        if number and origin < end:
            continue
        end = origin + len(shown)
        for alpha, (name, ends) in zip(opacity, bands.items(), strict=True):
            lower, upper = (np.asarray(edge, dtype=np.float64)[number] for edge in ends)
            look = {"color": _FORECAST, "alpha": alpha, "label": None if number else name}
            if len(shown) == 1:
                ax.vlines(shown, lower, upper, linewidth=5, **look)
            else:
                ax.fill_between(shown, lower, upper, linewidth=0, **look)
    _finish(ax)
    return ax


def errors(
    errors: Mapping[str, npt.ArrayLike], *, value_label: str = "value", ax: Axes | None = None
) -> Axes:
    """Draw the root mean square error of several methods at each step of their forecasts.

    Parameters
    ----------
    errors : mapping of str to array_like, shape (m, steps)
        Errors of m forecasts, by method. The first one is emphasized.
    value_label : str
        What the errors are of, with its unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure (``.figure.savefig(path)`` writes it).

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed and `ax` was not given.
    """
    ax = _axes(ax)
    from matplotlib import ticker

    for number, (name, values) in enumerate(errors.items()):
        sizes = np.sqrt(np.mean(np.square(np.asarray(values, dtype=np.float64)), axis=0))
        ax.plot(
            np.arange(1, len(sizes) + 1),
            sizes,
            color=_METHODS[number % len(_METHODS)],
            linewidth=1.2 if number else 2.2,
            marker="o",
            markersize=3,
            label=name,
        )
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("steps ahead")
    ax.set_ylabel(f"root mean square error of {value_label}")
    _finish(ax)
    return ax


def hidden(
    tape: States,
    index: int | tuple[int, ...] | None = None,
    *,
    time_label: str = "time t (steps)",
    ax: Axes | None = None,
) -> Axes:
    """Draw hidden states as an image with a row for each unit and a column for each step.

    Parameters
    ----------
    tape : crnn.Tape
        What ``forward`` returned. Its first column is h_0, at t = 0.
    index : int or tuple of int, optional
        Index into ``tape.h``: the sequence, or with several layers or directions
        ``(layer, sequence)``. Default: the first. States of a backward direction are in the order
        in which it reads.
    time_label : str
        Label of the time axis, with its unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure (``.figure.savefig(path)`` writes it), with a color
        bar beside it.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed and `ax` was not given.
    TypeError
        `tape` has no states ``h``.
    ValueError, IndexError
        `index` does not select the states of one sequence in one layer.
    """
    h = getattr(tape, "h", None)
    if not isinstance(h, np.ndarray) or h.ndim < 2:
        raise TypeError(f"tape: expected what forward returned, got {type(tape).__name__}")
    states = h.reshape(-1, *h.shape[-2:])[0] if index is None else h[index]
    if states.ndim != 2:
        raise ValueError(
            f"index: expected {h.ndim - 2} whole numbers into tape.h {h.shape}, got {index!r}"
        )

    ax = _axes(ax)
    from matplotlib import ticker

    steps, units = states.shape
    image = ax.imshow(
        states.T,
        cmap=_STATES,
        vmin=-1,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, steps - 0.5, units - 0.5, -0.5),
    )
    # Units are whole numbers.
    ax.yaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel(time_label)
    ax.set_ylabel("hidden unit")
    ax.figure.colorbar(image, ax=ax, label="hidden state $h_t$ (no unit)", pad=0.02)
    return ax


def _series(name: str, times: npt.ArrayLike, values: npt.ArrayLike) -> tuple[Times, Values]:
    """Return times and values as arrays (n,)."""
    t: Times = np.asarray(times)
    if t.dtype.kind != "M":
        t = t.astype(np.float64)
    v = np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or t.shape != v.shape:
        raise ValueError(
            f"{name}: expected two arrays of one shape (n,), got {t.shape} and {v.shape}"
        )
    return t, v


def _band(
    label: str,
    band: tuple[npt.ArrayLike, npt.ArrayLike],
    ahead: tuple[npt.ArrayLike, npt.ArrayLike] | None,
) -> tuple[Times, Values, Values]:
    """Return times, lower and upper end of a forecast's band."""
    if ahead is None:
        raise ValueError("bands: expected None without ahead, got a band")
    times, _ = _series("ahead", *ahead)
    name = f"bands[{label!r}]"
    lower, upper = _series(name, *band)
    if lower.shape != times.shape:
        raise ValueError(f"{name}: expected the shape of ahead {times.shape}, got {lower.shape}")
    if not (lower <= upper).all():
        raise ValueError(f"{name}: expected (lower, upper), got a lower end above an upper one")
    return times, lower, upper


def _finish(ax: Axes) -> None:
    """Add the grid and the legend."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0.02)
    from matplotlib import dates

    locator = ax.xaxis.get_major_locator()
    if isinstance(locator, dates.AutoDateLocator):
        # Whole dates at each tick would overlap.
        formatter: Any = dates.ConciseDateFormatter  # matplotlib has no types for it
        ax.xaxis.set_major_formatter(formatter(locator))
    if len(ax.get_lines()) > 1:
        # The background keeps the text readable where the legend covers a line.
        ax.legend(framealpha=0.85, edgecolor="none")
