"""Pictures of a training run and of a forecast, drawn with matplotlib.

matplotlib is imported when a picture is drawn and never before, and only its figure
objects are used: ``pyplot``, its current figure and its backend stay as the caller left
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure", "forecast", "history"]

# Okabe and Ito (2008): told apart by readers with any common form of colour blindness.
_DATA = "#4d4d4d"
_PREDICTION = "#0072b2"
_FORECAST = "#d55e00"


class Losses(Protocol):
    """What `history` draws: losses by epoch, and those on validation data where there are any."""

    loss: list[float]
    val_loss: list[float]


def figure(width: float = 7.0, height: float = 4.0) -> Figure:
    """Make a figure that ``pyplot`` does not know of.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with its own ``savefig``; it needs no screen and no closing.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
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
    """Draw the loss of a training run against its epochs.

    Parameters
    ----------
    history : crnn.History
        What ``fit`` returned. The losses on the validation data are drawn where there are
        any.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure (``.figure.savefig(path)`` writes it). The
        loss axis is logarithmic where every loss is positive.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed and `ax` was not given.
    """
    ax = _axes(ax)
    from matplotlib import ticker

    curves = [("training", np.asarray(history.loss, dtype=float), _PREDICTION)]
    if history.val_loss:
        curves.append(("validation", np.asarray(history.val_loss, dtype=float), _FORECAST))
    for label, losses, colour in curves:
        # A run of one epoch is a point, which a line without a marker would not show.
        marker = "o" if losses.size == 1 else None
        epochs = np.arange(1, losses.size + 1)
        ax.plot(epochs, losses, color=colour, linewidth=1.4, marker=marker, label=label)
    drawn = np.concatenate([losses for _, losses, _ in curves])
    if drawn.size and drawn.min() > 0:
        ax.set_yscale("log")
        # Powers of ten alone would leave an axis of a decade or two with hardly a label.
        if drawn.max() < 1000 * drawn.min():
            ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(ticker.NullFormatter())
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
    time_label: str = "time (steps)",
    value_label: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """Draw a series with one-step predictions and a free-running forecast.

    Parameters
    ----------
    times, values : array_like, shape (n,)
        The series as it was measured.
    predicted : tuple of two array_like, shape (m,), optional
        Times and values of the predictions that were made one step ahead, each from
        measured values.
    ahead : tuple of two array_like, shape (k,), optional
        Times and values of the forecast in which the network reads its own outputs. It is
        joined to the last measured value.
    time_label, value_label : str
        Labels of the axes, with their units.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``, or the axes of the new figure (``.figure.savefig(path)`` writes it).

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed and `ax` was not given.
    ValueError
        If times and values are not one-dimensional and equally long, or there are no
        measured ones.
    """
    times, values = _series("times and values", times, values)
    if times.size == 0:
        raise ValueError("times and values: expected at least one measured value, got none")
    if predicted is not None:
        predicted = _series("predicted", *predicted)
    if ahead is not None:
        ahead = _series("ahead", *ahead)
        ahead = np.append(times[-1:], ahead[0]), np.append(values[-1:], ahead[1])

    ax = _axes(ax)
    ax.plot(times, values, color=_DATA, linewidth=1.2, marker="o", markersize=2.5, label="measured")
    if predicted is not None:
        ax.plot(*predicted, color=_PREDICTION, linewidth=1.6, label="predicted one step ahead")
    if ahead is not None:
        ax.plot(*ahead, color=_FORECAST, linewidth=1.8, linestyle="--", label="forecast")
    ax.set_xlabel(time_label)
    ax.set_ylabel(value_label)
    _finish(ax)
    return ax


def _series(
    name: str, times: npt.ArrayLike, values: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    t, v = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or t.shape != v.shape:
        raise ValueError(
            f"{name}: expected two arrays of one shape (n,), got {t.shape} and {v.shape}"
        )
    return t, v


def _finish(ax: Axes) -> None:
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0.02)
    if len(ax.get_lines()) > 1:
        ax.legend(frameon=False)
