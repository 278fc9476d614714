"""What users pass to a network, checked and laid out as the network takes it."""

from typing import Any

import numpy as np

from crnn import checks
from crnn.checks import Array
from crnn.kernels import streams
from crnn.losses import Loss
from crnn._network.network import Network
from crnn._training.data import Dataset


def sequences(
    network: Network, x: Any, h0: Any = None, lengths: Any = None
) -> tuple[Array, Array | None, Array | None, bool]:
    """Return x (batch, time, ...), states or None, lengths or None, and if x is one sequence."""
    # The usual case first: these few lines cost less than the arithmetic of a small network.
    if h0 is lengths is None and network.kernels.is_plain(x, network.flat, network.x_shape):
        return x, None, None, False
    ends = None
    if lengths is not None:
        x = np.array(x)
        if x.ndim < 2:
            raise ValueError(f"x: expected sequences side by side with lengths, got {x.shape}")
        ends = checks.lengths(lengths, *x.shape[:2])
        x = _without_padding(x, ends)
    I = network.architecture.input_size
    numbers = categories(x, I)
    if numbers is None:
        found = floats(network, "x", x, ("batch time inputs", "time inputs"), {"inputs": I})
        single = found.ndim == 2
    else:
        found = checks.classes("x", numbers, ("batch time", "time"), {}, I)
        single = found.ndim == 1
    if single:
        found = found[None]
    if h0 is not None:
        h0 = states(network, "h0", h0, len(found), single)
    return found, h0, ends, single


def floats(
    network: Network,
    name: str,
    value: Any,
    shapes: str | tuple[str, ...],
    sizes: dict[str, int],
) -> Array:
    """Return a finite array of the network's dtype."""
    shapes = (shapes,) if isinstance(shapes, str) else shapes
    return checks.floats(name, value, shapes, sizes, network.flat, network.kernels)


def states(network: Network, name: str, value: Any, B: int, single: bool) -> Array:
    """Return states (layers * directions, batch, S) of what users pass as some."""
    of = network.architecture
    axes = ("" if of.states == 1 else "states ") + ("" if single else "batch ") + "hidden"
    sizes = {"states": of.states, "batch": B, "hidden": of.hidden_size}
    shape = (of.states, B, of.hidden_size)
    if of.blocks.states == 1:
        return floats(network, name, value, axes, sizes).reshape(shape)
    parts = [
        floats(network, f"{name}[{number}]", part, axes, sizes).reshape(shape)
        for number, part in enumerate(streams.pair(name, value))
    ]
    return np.concatenate(parts, axis=-1)


def categories(x: Any, input_size: int) -> Array | None:
    """Return x as an array if it is whole numbers that stand for one-hot vectors, or None."""
    if input_size == 1 or (isinstance(x, np.ndarray) and x.dtype.kind not in "iu"):
        return None
    if not isinstance(x, (np.ndarray, list, tuple, int, np.integer)) or isinstance(x, bool):
        return None
    try:
        array = np.asarray(x)
    except ValueError:
        return None
    return array if array.dtype.kind in "iu" and array.ndim <= 2 else None


def is_ragged(x: list[Any] | tuple[Any, ...]) -> bool:
    """Whether these are sequences of different lengths, which no array can be."""
    try:
        return len({len(sequence) for sequence in x}) > 1
    except TypeError:
        return False


def ragged(network: Network, x: Any) -> list[Array]:
    """Return a list of sequences (time_i, inputs) or (time_i,)."""
    found, kinds = [], set()
    for number, sequence in enumerate(x):
        with checks.within(f"x[{number}]"):
            one, _, _, single = sequences(network, sequence)
            if not single:
                raise ValueError(
                    f"x: expected one sequence (time, inputs={network.architecture.input_size}), "
                    f"got {np.shape(sequence)}"
                )
        found.append(one[0])
        kinds.add(one.ndim)
    if len(kinds) > 1:
        raise TypeError("x: expected sequences of floats or of category numbers, got both")
    return found


def dataset(
    network: Network, x: Any, y: Any, loss: Loss, lengths: Any = None, mask: Any = None
) -> Dataset:
    """Return checked sequences and targets."""
    of = network.architecture
    if isinstance(x, (list, tuple)) and is_ragged(x):
        if lengths is not None:
            raise ValueError(
                "lengths: expected None with a list of sequences, which have their own"
            )
        return _ragged_dataset(network, ragged(network, x), y, loss, mask)
    found, _, ends, single = sequences(network, x, None, lengths)
    sizes = {} if single else {"batch": len(found)}
    if of.return_sequences:
        sizes["time"] = found.shape[1]
        if ends is not None:
            y = _without_padding(np.array(y), ends)
    targets = loss.targets(y, sizes | {"outputs": of.outputs}, network.flat, network.kernels)
    if mask is not None:
        mask = checks.weights("mask", mask, (" ".join(sizes),), sizes)
    if single:
        targets, mask = targets[None], None if mask is None else mask[None]
    whole = Dataset(found, targets, ends, mask, return_sequences=of.return_sequences)
    if ends is not None:
        # A user's loss may take targets that have none.
        whole.check_time_axis()
    return whole


def _ragged_dataset(network: Network, x: list[Array], y: Any, loss: Loss, mask: Any) -> Dataset:
    """Return sequences of different lengths with their checked targets."""
    of, like, kernels = network.architecture, network.flat, network.kernels
    if not of.return_sequences:
        sizes = {"batch": len(x), "outputs": of.outputs}
        targets: Any = loss.targets(y, sizes, like, kernels)
        if mask is not None:
            mask = checks.weights("mask", mask, ("batch",), {"batch": len(x)})
        return Dataset(x, targets, None, mask, return_sequences=False)
    for name, values in (("y", y), ("mask", mask)):
        if values is not None and not (isinstance(values, (list, tuple)) and len(values) == len(x)):
            raise ValueError(
                f"{name}: expected a list of {len(x)} arrays, as x is, got {type(values).__name__}"
                + (f" of {len(values)}" if isinstance(values, (list, tuple)) else "")
            )
    targets, weights = [], []
    for number, sequence in enumerate(x):
        sizes = {"time": len(sequence)}
        with checks.within(f"sequence {number}"):
            outputs = {"outputs": of.outputs}
            targets.append(loss.targets(y[number], sizes | outputs, like, kernels))
            if mask is not None:
                weights.append(checks.weights("mask", mask[number], ("time",), sizes))
    return Dataset(x, targets, None, weights or None, return_sequences=True)


def _without_padding(array: Array, lengths: Array) -> Array:
    """Put zeros past the sequences' ends: what stands there, NaN for example, counts nothing."""
    if array.ndim >= 2 and len(array) == len(lengths):
        array[np.arange(array.shape[1]) >= lengths[:, None]] = 0
    return array
