"""Sequences, states, targets and masks that users pass, converted for a network."""

from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from crnn import checks
from crnn._inputs import arrays
from crnn._inputs.excluded import cleared, whole_numbers
from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.lengths import clear_padding
from crnn._network.network import Network
from crnn._training.data import Batch, Dataset
from crnn._typing import Array, BoolArray, IntArray
from crnn.conversion import as_array, as_numbers
from crnn.kernels.streams import pair

if TYPE_CHECKING:
    from crnn.losses import Loss

SKIP_ADVICE = "; a step whose input is missing can be left out, by skip=(batch, time) of bools"
MASKED_ADVICE = (
    "; the mask weights the loss only, and masked steps are read: a step whose input is missing "
    "can be left out, by skip=(batch, time) of bools"
)


# What a network reads: x (B, T, I), or intp (B, T); h0 (layers * directions, B, S) or None; lengths
# (B,), never None where B or T is 0; skip and resets (B, T) or None; and whether x is one sequence,
# without the batch axis.
Inputs: TypeAlias = tuple[
    Array, Array | None, IntArray | None, BoolArray | None, BoolArray | None, bool
]


def sequences(
    network: Network,
    x: Any,
    h0: Any = None,
    lengths: Any = None,
    skip: Any = None,
    resets: Any = None,
    may_be_empty: bool = False,
    nan_advice: str = SKIP_ADVICE,
) -> Inputs:
    """Return what the network reads.

    Parameters
    ----------
    network : Network
    x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
    h0 : array or pair, optional
        In the public form of states.
    lengths : array of int (batch,), optional
    skip, resets : array of bool (batch, time) or (time,), optional
    may_be_empty : bool
        Whether there may be no sequences, or sequences of no steps.
    nan_advice : str
        What the error of a NaN in x says at its end.
    """
    # The usual case first: these few lines cost less than the arithmetic of a small network.
    if (
        h0 is lengths is skip is resets is None
        and not network.architecture.categorical
        and network.kernels.is_kernel_ready(x, network.flat, network.x_shape)
    ):
        return x, None, None, None, None, False
    ends = skipped = restarted = None
    empty_axes = ("batch", "time") if may_be_empty else ()
    if lengths is not None or skip is not None:
        # A copy: what is not read may hold anything, and becomes 0.
        x = memory.copy(as_numbers("x", x))
    if lengths is not None:
        if x.ndim < 3 - network.architecture.categorical:
            raise ValueError(
                f"lengths: expected None with one sequence, x without a batch axis, got x {x.shape}"
            )
        ends = arrays.lengths(lengths, x.shape[0], x.shape[1], 0 if may_be_empty else 1)
        clear_padding(x, ends)
    if skip is not None or resets is not None:
        x = as_numbers("x", x)
        # Axes of another number are an error of x, which comes below.
        axes = {3: "batch time", 2: "time"}.get(x.ndim + network.architecture.categorical)
        sizes = dict(zip((axes or "").split(), x.shape, strict=False))
        if skip is not None and axes is not None:
            skipped = arrays.bools("skip", skip, sizes)
            x[skipped] = 0
        if resets is not None and axes is not None:
            restarted = arrays.bools("resets", resets, sizes)
            if network.architecture.bidirectional:
                raise ValueError(
                    "resets: expected None with bidirectional=True, which reads sequences from "
                    "both ends, got bools"
                )
            if skip is not None:
                raise ValueError("resets: expected None with skip, got bools for both")
    if network.architecture.categorical:
        shapes = ("batch time", "time")
        if ends is not None or skipped is not None:
            x = whole_numbers("x", x)
        checked = categories(
            "x", x, shapes, {}, network.architecture.input_size, empty_axes, nan_advice
        )
        single = checked.ndim == 1
    else:
        checked = _features(network, x, empty_axes, nan_advice)
        single = checked.ndim == 2
    if single:
        checked = checked[None]
        skipped = None if skipped is None else skipped[None]
        restarted = None if restarted is None else restarted[None]
    B, T = checked.shape[:2]
    if h0 is not None:
        h0 = states(network, "h0", h0, B, single)
    if ends is None and not B * T:
        ends = np.full(B, T)
    return checked, h0, ends, skipped, restarted, single


def _features(network: Network, x: Any, may_be_empty: tuple[str, ...], nan_advice: str) -> Array:
    """Return features (batch, time, inputs) or (time, inputs)."""
    I = network.architecture.input_size
    x = as_numbers("x", x)
    shapes = ("batch time inputs", "time inputs")
    try:
        return floats(network, "x", x, shapes, {"inputs": I}, may_be_empty)
    except ValueError as error:
        if ", got nan at index" in str(error):
            raise ValueError(f"{error}{nan_advice}") from None
        if x.dtype.kind in "iu" and x.ndim in (1, 2) and x.shape[-1] != I:
            raise ValueError(
                f"{error}; a network reads category numbers if it is made with categorical=True"
            ) from None
        raise


def categories(
    name: str,
    x: Any,
    shapes: tuple[str, ...],
    sizes: dict[str, int],
    n_categories: int,
    may_be_empty: tuple[str, ...] = (),
    nan_advice: str = "",
) -> IntArray:
    """Return an intp array of category numbers whose shape is one of `shapes`.

    `nan_advice` is what the error of NaN says at its end.
    """
    array = as_numbers(name, x)
    if may_be_empty and not array.size:
        # NumPy makes floats of empty lists.
        array = array.astype(np.intp)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: expected whole numbers from 0 to {n_categories - 1}, because the network is "
            f"made with categorical=True, got {array.dtype}"
            + (f" with NaN{nan_advice}" if np.isnan(array).any() else "")
        )
    return arrays.classes(name, array, shapes, sizes, n_categories, may_be_empty=may_be_empty)


def floats(
    network: Network,
    name: str,
    value: Any,
    shapes: str | tuple[str, ...],
    sizes: dict[str, int],
    may_be_empty: tuple[str, ...] = (),
) -> Array:
    """Return a finite array of the network's dtype."""
    shapes = (shapes,) if isinstance(shapes, str) else shapes
    return arrays.floats(
        name, value, shapes, sizes, network.flat, network.kernels, may_be_empty=may_be_empty
    )


def states(network: Network, name: str, value: Any, B: int, single: bool) -> Array:
    """Return states (layers * directions, B, S) from their public form."""
    return states_of(network.architecture, network.flat, network.kernels, name, value, B, single)


def states_of(
    architecture: Architecture,
    like: Array,
    kernels: ModuleType,
    name: str,
    value: Any,
    B: int,
    single: bool,
) -> Array:
    """Return states as `states` does, of `like`'s dtype."""
    axes = (
        ("" if architecture.num_states == 1 else "states ")
        + ("" if single else "batch ")
        + "hidden"
    )
    H = architecture.hidden_size
    sizes = {"states": architecture.num_states, "batch": B, "hidden": H}
    names, values = [name], [value]
    if architecture.cell_row.state_blocks > 1:
        names, values = [f"{name}[0]", f"{name}[1]"], list(pair(name, value))
    parts = [
        arrays.floats(part_name, part, (axes,), sizes, like, kernels, may_be_empty=("batch",))
        for part_name, part in zip(names, values, strict=True)
    ]
    shape = (architecture.num_states, B, H)
    return np.concatenate([part.reshape(shape) for part in parts], axis=-1)


def is_ragged(x: Any) -> bool:
    """Whether x is a list of sequences that no array can hold: of different lengths, or none."""
    if not isinstance(x, (list, tuple)):
        return False
    try:
        lengths = {len(sequence) for sequence in x}
    except TypeError:
        return False
    return len(lengths) != 1 or any(isinstance(s, (list, tuple)) and not s for s in x)


def ragged_sequences(
    network: Network,
    x: Any,
    lengths: Any,
    skip: Any = None,
    resets: Any = None,
    *,
    may_be_empty: bool = False,
    nan_advice: str = SKIP_ADVICE,
) -> tuple[list[Array], list[BoolArray] | None, list[BoolArray] | None]:
    """Return a list of sequences (time_i, inputs), or of category numbers (time_i,); skip; resets.

    Parameters
    ----------
    network : Network
    x : list
    lengths : None
    skip, resets : list of array of bool (time_i,), optional
    may_be_empty, nan_advice
        As in `sequences`.

    Returns
    -------
    x : list of array
    skip, resets : list of bool array or None
    """
    if lengths is not None:
        raise ValueError("lengths: expected None with a list of sequences, which have their own")
    if not len(x) and network.architecture.categorical:
        raise ValueError(
            "x: expected an array (batch, time) or (time,) of whole numbers where there is nothing "
            "in it, got an empty list, which may be no sequences or one of no steps"
        )
    if not len(x) and not may_be_empty:
        raise ValueError("x: expected at least one sequence, got an empty list")
    for name, marks in (("skip", skip), ("resets", resets)):
        if marks is not None:
            _check_list(name, marks, len(x))
    I = network.architecture.input_size
    checked, skipped, restarted = [], [], []
    for number, sequence in enumerate(x):
        with checks.within(f"x[{number}]"):
            if isinstance(sequence, (list, tuple)) and not sequence:
                sequence = np.empty((0,) if network.architecture.categorical else (0, I))
            one, _, _, skip_one, resets_one, single = sequences(
                network,
                sequence,
                skip=None if skip is None else as_array("skip", skip[number]),
                resets=None if resets is None else as_array("resets", resets[number]),
                may_be_empty=may_be_empty,
                nan_advice=nan_advice,
            )
            if not single:
                raise ValueError(
                    f"x: expected one sequence (time, inputs={I}), got {np.shape(sequence)}"
                )
        checked.append(one[0])
        if skip_one is not None:
            skipped.append(skip_one[0])
        if resets_one is not None:
            restarted.append(resets_one[0])
    return checked, None if skip is None else skipped, None if resets is None else restarted


def parts(
    network: Network,
    x: Any,
    y: Any,
    loss: "Loss",
    lengths: Any,
    mask: Any,
    h0: Any = None,
    skip: Any = None,
    resets: Any = None,
) -> list[Batch]:
    """Return all sequences for one step of training, usually in one part."""
    # The usual case first, as in `sequences`
    kernels = network.kernels
    if (
        lengths is mask is h0 is skip is resets is None
        and network.has_fused_kernels
        and kernels.is_kernel_ready(x, network.flat, network.x_shape)
    ):
        shape = (x.shape[0], x.shape[1], network.architecture.outputs)
        targets = loss.targets(y, ("batch", "time", "outputs"), shape, network.flat, kernels)
        return [Batch(x, targets, None, None)]
    whole = dataset(network, x, y, loss, lengths, mask, h0, skip, resets)
    rows = np.arange(len(whole))
    return whole.parts(rows) if loss.adds_up else [whole.take(rows)]


def dataset(
    network: Network,
    x: Any,
    y: Any,
    loss: "Loss",
    lengths: Any = None,
    mask: Any = None,
    h0: Any = None,
    skip: Any = None,
    resets: Any = None,
    *,
    is_list: bool | None = None,
    may_count_nothing: bool = False,
) -> Dataset:
    """Return sequences with their targets.

    Parameters
    ----------
    network, x, y, loss, lengths, mask, h0, skip, resets
        As in `RNN.loss`.
    is_list : bool, optional
        Whether x is a list of sequences of different lengths; without it x decides.
    may_count_nothing : bool
        Whether the mask may be 0 everywhere.
    """
    architecture = network.architecture
    advice = SKIP_ADVICE if mask is None else MASKED_ADVICE
    if is_ragged(x) if is_list is None else is_list:
        x, skip, resets = ragged_sequences(network, x, lengths, skip, resets, nan_advice=advice)
        if h0 is not None:
            h0 = states(network, "h0", h0, len(x), single=False)
        return _ragged_dataset(network, x, y, loss, mask, h0, skip, resets, may_count_nothing)
    checked, h0, ends, skip, resets, single = sequences(
        network, x, h0, lengths, skip, resets, nan_advice=advice
    )
    B = None if single else len(checked)
    T = checked.shape[1]
    if ends is not None and architecture.return_sequences:
        y = np.array(as_array("y", y))
        if y.ndim >= 2 and len(y) == len(ends):
            # What is past the ends counts nothing, and may be NaN.
            clear_padding(y, ends)
            y = whole_numbers("y", y) if loss.of_classes else y
    if mask is not None:
        axes, shape = _step_shape(network, B, T)
        has_ends = ends is not None and architecture.return_sequences
        if ends is not None and has_ends:
            mask = np.array(as_numbers("mask", mask))
            if mask.shape == shape:
                clear_padding(mask, ends)
        sizes = dict(zip(axes, shape, strict=True))
        may_be_zero = has_ends or may_count_nothing
        mask = arrays.weights("mask", mask, (" ".join(sizes),), sizes, may_be_zero=may_be_zero)
        y = cleared(y, mask, of_classes=loss.of_classes)
    try:
        targets = _targets(network, y, loss, B, T)
    except ValueError as error:
        if single and "y: expected shape" in str(error):
            raise ValueError(f"{error}, because x {checked.shape[1:]} is one sequence") from None
        raise
    if single:
        targets, mask = targets[None], None if mask is None else mask[None]
    whole = Dataset(
        checked,
        targets,
        ends,
        mask,
        h0,
        skip,
        resets,
        return_sequences=architecture.return_sequences,
    )
    if ends is not None:
        # A user's loss may take targets without a time axis.
        whole.check_time_axis()
    return whole


def _ragged_dataset(
    network: Network,
    x: list[Array],
    y: Any,
    loss: "Loss",
    mask: Any,
    h0: Array | None,
    skip: list[BoolArray] | None,
    resets: list[BoolArray] | None,
    may_count_nothing: bool,
) -> Dataset:
    """Return sequences of different lengths with their targets."""
    if not network.architecture.return_sequences:
        if mask is not None:
            mask = arrays.weights(
                "mask", mask, ("batch",), {"batch": len(x)}, may_be_zero=may_count_nothing
            )
            y = cleared(y, mask, of_classes=loss.of_classes)
        targets: Any = _targets(network, y, loss, len(x), None)
        return Dataset(x, targets, None, mask, h0, skip, resets, return_sequences=False)
    _check_list("y", y, len(x))
    if mask is not None:
        _check_list("mask", mask, len(x))
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
    return Dataset(x, targets, None, weights or None, h0, skip, resets, return_sequences=True)


def _check_list(name: str, values: Any, n: int) -> None:
    """Raise unless the values are a list of n arrays."""
    is_list = isinstance(values, (list, tuple))
    if not is_list or len(values) != n:
        raise ValueError(
            f"{name}: expected a list of {n} arrays, as x is, got {type(values).__name__}"
            + (f" of {len(values)}" if is_list else "")
        )


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
