"""The data of fleets: shared by all models, or each model's own, as rows of steps."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crnn import checks
from crnn._inputs import arrays, sequences
from crnn._inputs.excluded import cleared
from crnn._network.network import Network
from crnn._training.evaluation import NOTHING_COUNTS
from crnn._training.fleets.data import FleetData
from crnn._typing import Array, BoolArray, FloatArray, IntArray
from crnn.conversion import as_array, as_numbers

if TYPE_CHECKING:
    from crnn.losses import Loss


class Inputs(NamedTuple):
    """Checked data, and what puts outputs of all rows into the form of x."""

    data: FleetData
    is_shared: bool
    """Whether all models read the same rows, so that outputs are (N * S, O), else (S, O)."""
    arranged: Callable[[Array], Any]


def inputs(network: Network, N: int, x: Any, lengths: Any) -> Inputs:
    """Return the inputs of a prediction; data that do not fit raise an error.

    Parameters
    ----------
    network : Network
        One of the fleet's architecture.
    N : int
        The number of models.
    x, lengths
        As of `Fleet.predict`.
    """
    O = network.architecture.outputs
    if isinstance(x, (list, tuple)):
        _check_list("x", x, N)
        _check_no_lengths(lengths)
        sets = [_input_set(network, n, one) for n, one in enumerate(x)]
        data = _joined(
            network, [parts for parts, _ in sets], None, None,
            has_lengths=np.array([form == "list" for _, form in sets]),
        )  # fmt: skip
        return Inputs(data, False, lambda y: _as_list(y, sets))
    x = as_numbers("x", x)
    if lengths is not None:
        lengths = as_numbers("lengths", lengths)
        if x.ndim == 3 and lengths.ndim == 2:
            x = np.broadcast_to(x, (N, *x.shape))
    if x.ndim != 4:
        checked, _, ends, _, _, single = sequences.sequences(network, x, lengths=lengths)
        B, T, I = checked.shape
        lengths_of_all = np.full(B, T) if ends is None else ends
        data = _shared(
            N, checked.reshape(-1, I), None, None, lengths_of_all, T, has_lengths=ends is not None
        )

        def arranged(y: Array) -> Array:
            y = y.reshape(N, B, T, O)
            return y[:, 0] if single else y

        return Inputs(data, True, arranged)
    ends = _own_lengths(lengths, x)
    x, bad = _own_floats(network, "x", x, N, (*x.shape[1:3], x.shape[3]), ends)
    for model, sentence in bad.items():
        raise ValueError(f"model {model}: {sentence}")
    data = _own(x, None, None, ends, {}, has_lengths=lengths is not None)
    return Inputs(data, False, lambda y: y.reshape(*x.shape[:3], O))


def training_data(
    network: Network, N: int, x: Any, y: Any, loss: "Loss", lengths: Any = None, mask: Any = None
) -> FleetData:
    """Return sequences with their targets.

    What has a shape that does not fit raises an error; a model whose numbers do not fit is in
    `bad`, with a sentence, and has no sequences.

    Parameters
    ----------
    network : Network
        One of the fleet's architecture.
    N : int
        The number of models.
    x, y, lengths, mask
        As of `Fleet.loss`.
    loss : Loss
    """
    if isinstance(x, (list, tuple)):
        _check_no_lengths(lengths)
        return _training_sets(network, N, x, y, loss, mask)
    y_dims = 3 if loss.of_classes else 4
    x, y = as_numbers("x", x), as_array("y", y)
    lengths = None if lengths is None else as_numbers("lengths", lengths)
    mask = None if mask is None else as_numbers("mask", mask)
    own_lengths = lengths is not None and lengths.ndim == 2
    own_mask = mask is not None and mask.ndim == 3
    if x.ndim == 4 or y.ndim == y_dims or own_lengths or own_mask:
        return _own_training_data(network, N, x, y, loss, lengths, mask)
    whole = sequences.dataset(network, x, y, loss, lengths, mask)
    assert isinstance(whole.x, np.ndarray)
    assert isinstance(whole.y, np.ndarray)
    B, T, I = whole.x.shape
    lengths_of_all = np.full(B, T) if whole.lengths is None else whole.lengths
    weights = None if whole.mask is None else np.ascontiguousarray(whole.mask).reshape(-1)
    targets = whole.y.reshape(B * T, *whole.y.shape[2:])
    return _shared(
        N, whole.x.reshape(-1, I), targets, weights, lengths_of_all, T,
        has_lengths=whole.lengths is not None,
    )  # fmt: skip


def _shared(
    N: int,
    x: Array,
    y: Array | None,
    weights: FloatArray | None,
    lengths: IntArray,
    T: int,
    *,
    has_lengths: bool,
) -> FleetData:
    B = len(lengths)
    starts = np.empty((N, B), np.intp)
    starts[...] = np.arange(B) * T
    every = np.empty((N, B), np.intp)
    every[...] = lengths
    return FleetData(x, y, weights, starts, every, np.full(N, has_lengths), {})


def _own(
    x: Array,
    y: Array | None,
    weights: FloatArray | None,
    ends: IntArray,
    bad: dict[int, str],
    *,
    has_lengths: bool,
) -> FleetData:
    """Return data of arrays (N, B, T, ...)."""
    N, B, T, I = x.shape
    starts = np.arange(N * B, dtype=np.intp).reshape(N, B) * T
    lengths = np.array(ends, np.intp)
    lengths[list(bad)] = 0
    rows = N * B * T
    if y is not None:
        y = y.reshape(rows, *y.shape[3:])
    weights = None if weights is None else weights.reshape(rows)
    return FleetData(x.reshape(rows, I), y, weights, starts, lengths, np.full(N, has_lengths), bad)


def _own_lengths(lengths: Any, x: Array) -> IntArray:
    """Return lengths (N, B), each at least 1."""
    N, B, T = x.shape[:3]
    if lengths is None:
        return np.full((N, B), T)
    if lengths.shape == (B,):
        lengths = np.broadcast_to(lengths, (N, B))
    if lengths.shape != (N, B):
        raise ValueError(
            f"lengths: expected shape (models={N}, batch={B}) or (batch={B},), got {lengths.shape}"
        )
    return arrays.lengths(lengths.reshape(-1), N * B, T).reshape(N, B)


def _own_floats(
    network: Network, name: str, value: Array, N: int, shape: tuple[int, ...], ends: IntArray
) -> tuple[Array, dict[int, str]]:
    """Return an array (N, B, T, features) of the network's dtype, and the models that do not fit.

    What is past the ends, and what does not fit, becomes 0.
    """
    I = network.architecture.input_size if name == "x" else network.architecture.outputs
    expected = (N, *shape[:2], I)
    if value.shape != expected or 0 in value.shape:
        described = ", ".join(
            f"{axis}={size}"
            for axis, size in zip(("models", "batch", "time", "features"), expected, strict=True)
        )
        raise ValueError(f"{name}: expected shape ({described}), got {value.shape}")
    with np.errstate(all="ignore"):
        checked = np.ascontiguousarray(value, network.flat.dtype)
    T = shape[1]
    if (ends < T).any():
        checked = checked.copy() if np.shares_memory(checked, value) else checked
        checked[np.arange(T) >= ends[..., None]] = 0
    bad: dict[int, str] = {}
    if not network.kernels.all_finite(checked.reshape(-1)):
        checked = checked.copy() if np.shares_memory(checked, value) else checked
        for n in np.flatnonzero(~np.isfinite(checked).all(axis=(1, 2, 3))).tolist():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(checked[n]))[0])
            found = value[n][index]
            bad[n] = f"{name}: expected finite numbers, got {found} at index {index}"
            if np.isfinite(found):
                bad[n] = f"{name}: expected numbers that {checked.dtype} can hold, got {found}"
            checked[n] = 0
    return checked, bad


def _own_training_data(
    network: Network, N: int, x: Array, y: Array, loss: "Loss", lengths: Any, mask: Any
) -> FleetData:
    """Return data of arrays of which at least one has an axis of models."""
    target_axes = 0 if loss.of_classes else 1
    if x.ndim == 3:
        x = np.broadcast_to(x, (N, *x.shape))
    if y.ndim == 2 + target_axes:
        y = np.broadcast_to(y, (N, *y.shape))
    if x.ndim != 4 or y.ndim != 3 + target_axes:
        raise ValueError(
            "x, y: expected arrays (models, batch, time, ...) or (batch, time, ...), "
            f"got {x.shape} and {y.shape}"
        )
    ends = _own_lengths(lengths, x)
    B, T = x.shape[1:3]
    weights = None
    if mask is not None:
        if mask.shape == (B, T):
            mask = np.broadcast_to(mask, (N, B, T))
        sizes = {"models": N, "batch": B, "time": T}
        weights = arrays.weights("mask", mask, ("models batch time",), sizes, may_be_zero=True)
        y = cleared(y, weights, of_classes=loss.of_classes)
    checked, bad = _own_floats(network, "x", x, N, (B, T), ends)
    if loss.of_classes:
        if y.shape != (N, B, T):
            raise ValueError(f"y: expected shape {(N, B, T)}, got {y.shape}")
        targets: Array = np.zeros(y.shape, np.intp)
        if (ends < T).any():
            y = y.copy()
            y[np.arange(T) >= ends[..., None]] = 0
    else:
        targets, bad_targets = _own_floats(network, "y", as_numbers("y", y), N, (B, T), ends)
        bad = bad_targets | bad
    # The loss's own limits of targets, such as class numbers, of all models or else of each
    shape = (N * B, T, network.architecture.outputs)
    axes = ("batch", "time", "outputs")
    source = y if loss.of_classes else targets

    def fitted(part: Array, shape: tuple[int, ...]) -> Array:
        rows = np.ascontiguousarray(part).reshape(shape[0], T, *part.shape[3:])
        return loss.targets(rows, axes, shape, network.flat, network.kernels)

    try:
        targets = fitted(source, shape).reshape(targets.shape)
    except ValueError:
        for n in range(N):
            try:
                targets[n] = fitted(source[n : n + 1], (B, *shape[1:])).reshape(targets[n].shape)
            except ValueError as error:
                bad.setdefault(n, str(error))
                targets[n] = 0
    if weights is not None:
        inside = np.where(np.arange(T) < ends[..., None], weights, 0)
        for n in np.flatnonzero(~inside.any(axis=(1, 2))).tolist():
            bad.setdefault(n, NOTHING_COUNTS)
    return _own(checked, targets, weights, ends, bad, has_lengths=lengths is not None)


# What of one data set goes into rows: x (T_i, I) of each sequence, y and weights or None
_Set = tuple[list[Array], list[Array] | None, list[FloatArray] | None]


def _input_set(network: Network, n: int, x: Any) -> tuple[_Set, str]:
    """Return the sequences of a model, and its form: "list", "batch" or "single"."""
    with checks.within(f"x[{n}]"):
        if isinstance(x, (list, tuple)):
            listed, _, _ = sequences.ragged_sequences(network, x, None)
            return (listed, None, None), "list"
        checked, *_, single = sequences.sequences(network, x)
    return (list(checked), None, None), "single" if single else "batch"


def _as_list(y: Array, sets: list[tuple[_Set, str]]) -> list[Any]:
    """Return the outputs of each model, as its inputs came."""
    outputs: list[Any] = []
    first = 0
    for (x, _, _), form in sets:
        parts = []
        for sequence in x:
            parts.append(y[first : first + len(sequence)])
            first += len(sequence)
        outputs.append(
            parts if form == "list" else parts[0] if form == "single" else np.stack(parts)
        )
    return outputs


def _training_sets(network: Network, N: int, x: Any, y: Any, loss: "Loss", mask: Any) -> FleetData:
    """Return the data of a list of N data sets."""
    _check_list("x", x, N)
    _check_list("y", y, N)
    if mask is not None:
        _check_list("mask", mask, N)
    sets: list[_Set] = []
    bad: dict[int, str] = {}
    has_lengths = np.zeros(N, np.bool_)
    for n in range(N):
        try:
            whole = sequences.dataset(
                network, x[n], y[n], loss, mask=None if mask is None else mask[n]
            )
        except ValueError as error:
            if not _has_fitting_shapes(
                network, x[n], y[n], loss, None if mask is None else mask[n]
            ):
                raise ValueError(f"model {n}: {error}") from None
            bad[n] = str(error)
            sets.append(([], [], None if mask is None else []))
            continue
        has_lengths[n] = whole.lengths is not None
        weights = None
        if mask is not None:
            assert whole.mask is not None
            weights = list(whole.mask)
        sets.append((list(whole.x), list(whole.y), weights))
    return _joined(network, sets, bad, loss, has_lengths=has_lengths)


def _has_fitting_shapes(network: Network, x: Any, y: Any, loss: "Loss", mask: Any) -> bool:
    """Whether a data set would be taken if all its numbers were."""

    def filled(value: Any, number: int) -> Any:
        if isinstance(value, (list, tuple)) and not np.isscalar(value[0] if value else 0):
            return [filled(one, number) for one in value]
        return np.full(np.shape(value), number, np.intp)

    try:
        sequences.dataset(
            network,
            filled(x, 0),
            filled(y, 0),
            loss,
            mask=None if mask is None else filled(mask, 1),
        )
    except ValueError:
        return False
    return True


def _joined(
    network: Network,
    sets: list[_Set],
    bad: dict[int, str] | None,
    loss: "Loss | None",
    *,
    has_lengths: BoolArray,
) -> FleetData:
    """Return the rows of all data sets, one after another."""
    B = max(1, *(len(x) for x, _, _ in sets)) if sets else 1
    lengths = np.zeros((len(sets), B), np.intp)
    for n, (x, _, _) in enumerate(sets):
        lengths[n, : len(x)] = [len(sequence) for sequence in x]
    ends = np.cumsum(lengths.reshape(-1)).reshape(lengths.shape)
    starts = np.ascontiguousarray(ends - lengths)

    def rows(parts: Iterable[list[Any] | None]) -> Any:
        listed = [one for part in parts for one in part or ()]
        return np.ascontiguousarray(np.concatenate(listed)) if listed else None

    x_rows = rows(x for x, _, _ in sets)
    y_rows = None if loss is None else rows(y for _, y, _ in sets)
    weights = rows(weights for _, _, weights in sets)
    if x_rows is None:
        # All models are bad: a step that no sequence has.
        dtype, architecture = network.flat.dtype, network.architecture
        x_rows = np.zeros((1, architecture.input_size), dtype)
        if loss is not None:
            of_classes = loss.of_classes
            y_rows = (
                np.zeros(1, np.intp) if of_classes else np.zeros((1, architecture.outputs), dtype)
            )
    return FleetData(x_rows, y_rows, weights, starts, lengths, has_lengths, bad or {})


def _check_no_lengths(lengths: Any) -> None:
    """Raise a ValueError where lengths come with a list, whose sequences have their own."""
    if lengths is not None:
        raise ValueError(
            f"lengths: expected None with a list of data sets, got {type(lengths).__name__}"
        )


def _check_list(name: str, value: Any, N: int) -> None:
    if not isinstance(value, (list, tuple)) or len(value) != N:
        got = f"{len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
        raise ValueError(f"{name}: expected a list of {N} data sets, one a model, got {got}")
