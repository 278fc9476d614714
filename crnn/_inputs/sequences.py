"""Sequences, states, targets and masks that users pass, converted for a network."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import checks
from crnn._inputs import arrays
from crnn._inputs.excluded import cleared
from crnn._network.lengths import clear_padding
from crnn._network.network import Network
from crnn._training.data import Batch, Dataset
from crnn._typing import Array, IntArray
from crnn.kernels.streams import pair

if TYPE_CHECKING:
    from crnn.losses import Loss


def sequences(
    network: Network, x: Any, h0: Any = None, lengths: Any = None
) -> tuple[Array, Array | None, IntArray | None, bool]:
    """Return what the network reads.

    Parameters
    ----------
    network : Network
    x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
    h0 : array or pair, optional
        In the public form of states.
    lengths : array of int (batch,), optional

    Returns
    -------
    x : array (B, T, I), or intp (B, T)
    h0 : array (layers * directions, B, S) or None
    lengths : intp array (B,) or None
    single : bool
        Whether x is one sequence, without the batch axis.
    """
    # The usual case first: these few lines cost less than the arithmetic of a small network.
    if (
        h0 is lengths is None
        and not network.architecture.categorical
        and network.kernels.is_kernel_ready(x, network.flat, network.x_shape)
    ):
        return x, None, None, False
    ends = None
    if lengths is not None:
        x = np.array(arrays.as_array("x", x))
        if x.ndim < 2:
            raise ValueError(f"x: expected sequences side by side with lengths, got {x.shape}")
        ends = arrays.lengths(lengths, *x.shape[:2])
        clear_padding(x, ends)
    if network.architecture.categorical:
        checked = categories("x", x, ("batch time", "time"), {}, network.architecture.input_size)
        single = checked.ndim == 1
    else:
        checked = _features(network, x)
        single = checked.ndim == 2
    if single:
        checked = checked[None]
    if h0 is not None:
        h0 = states(network, "h0", h0, len(checked), single)
    return checked, h0, ends, single


def _features(network: Network, x: Any) -> Array:
    """Return features (batch, time, inputs) or (time, inputs)."""
    I = network.architecture.input_size
    x = arrays.as_array("x", x)
    try:
        return floats(network, "x", x, ("batch time inputs", "time inputs"), {"inputs": I})
    except ValueError as error:
        if x.dtype.kind in "iu" and x.ndim in (1, 2) and x.shape[-1] != I:
            raise ValueError(
                f"{error}; a network reads category numbers if it is made with categorical=True"
            ) from None
        raise


def categories(
    name: str, x: Any, shapes: tuple[str, ...], sizes: dict[str, int], n_categories: int
) -> IntArray:
    """Return an intp array of category numbers whose shape is one of `shapes`."""
    array = arrays.as_array(name, x)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: expected whole numbers from 0 to {n_categories - 1}, because the network is "
            f"made with categorical=True, got {array.dtype}"
        )
    return arrays.classes(name, array, shapes, sizes, n_categories)


def floats(
    network: Network,
    name: str,
    value: Any,
    shapes: str | tuple[str, ...],
    sizes: dict[str, int],
) -> Array:
    """Return a finite array of the network's dtype."""
    shapes = (shapes,) if isinstance(shapes, str) else shapes
    return arrays.floats(name, value, shapes, sizes, network.flat, network.kernels)


def states(network: Network, name: str, value: Any, B: int, single: bool) -> Array:
    """Return states (layers * directions, B, S) from their public form."""
    architecture = network.architecture
    axes = (
        ("" if architecture.num_states == 1 else "states ")
        + ("" if single else "batch ")
        + "hidden"
    )
    H = architecture.hidden_size
    sizes = {"states": architecture.num_states, "batch": B, "hidden": H}
    shape = (architecture.num_states, B, H)
    if architecture.cell_row.state_blocks == 1:
        return floats(network, name, value, axes, sizes).reshape(shape)
    parts = [
        floats(network, f"{name}[{number}]", part, axes, sizes).reshape(shape)
        for number, part in enumerate(pair(name, value))
    ]
    return np.concatenate(parts, axis=-1)


def is_ragged(x: Any) -> bool:
    """Whether x is a list of sequences of different lengths, which no array can hold."""
    if not isinstance(x, (list, tuple)):
        return False
    try:
        return len({len(sequence) for sequence in x}) > 1
    except TypeError:
        return False


def ragged_sequences(network: Network, x: Any, lengths: Any) -> list[Array]:
    """Return a list of sequences (time_i, inputs), or of category numbers (time_i,)."""
    if lengths is not None:
        raise ValueError("lengths: expected None with a list of sequences, which have their own")
    checked = []
    for number, sequence in enumerate(x):
        with checks.within(f"x[{number}]"):
            one, _, _, single = sequences(network, sequence)
            if not single:
                raise ValueError(
                    f"x: expected one sequence (time, inputs={network.architecture.input_size}), "
                    f"got {np.shape(sequence)}"
                )
        checked.append(one[0])
    return checked


def batch(network: Network, x: Any, y: Any, loss: "Loss", lengths: Any, mask: Any) -> Batch:
    """Return all sequences as one batch for a step of training."""
    # The usual case first, as in `sequences`
    kernels = network.kernels
    if (
        lengths is mask is None
        and network.has_fused_kernels
        and kernels.is_kernel_ready(x, network.flat, network.x_shape)
    ):
        shape = (x.shape[0], x.shape[1], network.architecture.outputs)
        targets = loss.targets(y, ("batch", "time", "outputs"), shape, network.flat, kernels)
        return Batch(x, targets, None, None)
    whole = dataset(network, x, y, loss, lengths, mask)
    return whole.take(np.arange(len(whole)))


def dataset(
    network: Network, x: Any, y: Any, loss: "Loss", lengths: Any = None, mask: Any = None
) -> Dataset:
    """Return sequences with their targets."""
    architecture = network.architecture
    if is_ragged(x):
        return _ragged_dataset(network, ragged_sequences(network, x, lengths), y, loss, mask)
    checked, _, ends, single = sequences(network, x, None, lengths)
    B = None if single else len(checked)
    T = checked.shape[1]
    if ends is not None and architecture.return_sequences:
        y = np.array(arrays.as_array("y", y))
        if y.ndim >= 2 and len(y) == len(ends):
            # What is past the ends counts nothing, and may be NaN.
            clear_padding(y, ends)
    if mask is not None:
        axes, shape = _step_shape(network, B, T)
        if ends is not None and architecture.return_sequences:
            mask = np.array(arrays.as_array("mask", mask))
            if mask.shape == shape:
                clear_padding(mask, ends)
        sizes = dict(zip(axes, shape, strict=True))
        mask = arrays.weights("mask", mask, (" ".join(sizes),), sizes)
        y = cleared(y, mask, of_classes=loss.of_classes)
    targets = _targets(network, y, loss, B, T)
    if single:
        targets, mask = targets[None], None if mask is None else mask[None]
    whole = Dataset(checked, targets, ends, mask, return_sequences=architecture.return_sequences)
    if ends is not None:
        # A user's loss may take targets without a time axis.
        whole.check_time_axis()
    return whole


def _ragged_dataset(network: Network, x: list[Array], y: Any, loss: "Loss", mask: Any) -> Dataset:
    """Return sequences of different lengths with their targets."""
    if not network.architecture.return_sequences:
        if mask is not None:
            mask = arrays.weights("mask", mask, ("batch",), {"batch": len(x)})
            y = cleared(y, mask, of_classes=loss.of_classes)
        targets: Any = _targets(network, y, loss, len(x), None)
        return Dataset(x, targets, None, mask, return_sequences=False)
    for name, values in (("y", y), ("mask", mask)):
        if values is not None and not (isinstance(values, (list, tuple)) and len(values) == len(x)):
            raise ValueError(
                f"{name}: expected a list of {len(x)} arrays, as x is, got {type(values).__name__}"
                + (f" of {len(values)}" if isinstance(values, (list, tuple)) else "")
            )
    targets, weights = [], []
    for number, sequence in enumerate(x):
        T = len(sequence)
        with checks.within(f"sequence {number}"):
            y_of_one = y[number]
            if mask is not None:
                # A sequence that counts nothing is no error, if another does.
                weights.append(
                    arrays.weights("mask", mask[number], ("time",), {"time": T}, may_be_zero=True)
                )
                y_of_one = cleared(y_of_one, weights[-1], of_classes=loss.of_classes)
            targets.append(_targets(network, y_of_one, loss, None, T))
    return Dataset(x, targets, None, weights or None, return_sequences=True)


def _targets(network: Network, y: Any, loss: "Loss", B: int | None, T: int | None) -> Array:
    """Return targets of B sequences and T steps; None: without that axis."""
    axes, shape = _step_shape(network, B, T)
    outputs = network.architecture.outputs
    return loss.targets(y, (*axes, "outputs"), (*shape, outputs), network.flat, network.kernels)


def _step_shape(
    network: Network, B: int | None, T: int | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names and sizes of the axes batch and time, those that outputs have."""
    if not network.architecture.return_sequences:
        T = None
    if B is None:
        return ((), ()) if T is None else (("time",), (T,))
    return (("batch",), (B,)) if T is None else (("batch", "time"), (B, T))
