"""Sequences of different lengths, packed end to end into rows of about equal length."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._typing import Array, BoolArray, IntArray
from crnn.conversion import as_numbers

__all__ = ["Packed", "pack"]


class Packed(NamedTuple):
    """What `pack` returns.

    Its `x`, `y`, `lengths` and `resets` are what `RNN.fit` takes under these names.

    Parameters
    ----------
    x : array (rows, time, ...)
        Zero past a row's end.
    y : array (rows, time, ...) or None
        Likewise; None without targets.
    lengths : array of int (rows,)
        Steps of each row.
    resets : array of bool (rows, time)
        Where a sequence begins.
    places : array of int (n, 3)
        Row, first step and number of steps of each sequence, in the order given.
    """

    x: Array
    y: Array | None
    lengths: IntArray
    resets: BoolArray
    places: IntArray

    def unpack(self, values: npt.ArrayLike) -> list[Array]:
        """Return the sequences' parts of values of all steps.

        Parameters
        ----------
        values : array (rows, time, ...)
            Such as what `RNN.predict` returns for `x`.

        Returns
        -------
        list of array (time_i, ...)
            Copies, in the order of the sequences that were packed.

        Raises
        ------
        ValueError
            The first two axes are not those of `x`.
        """
        array = np.asarray(values)
        if array.shape[:2] != self.resets.shape:
            rows, time = self.resets.shape
            raise ValueError(
                f"values: expected shape (rows={rows}, time={time}, ...), got {array.shape}"
            )
        return [array[row, first : first + n].copy() for row, first, n in self.places]


def pack(
    x: Sequence[npt.ArrayLike], y: Sequence[npt.ArrayLike] | None = None, *, rows: int
) -> Packed:
    """Put sequences end to end into rows, with resets where they begin.

    A way to train on ragged data without padding: a network that starts each sequence anew computes
    what it computes for a list of them, but as many side by side in every step as there are rows.
    The longest sequences are placed first, each in the row that is shortest then.

    The network needs an output for each step. Where a sequence is placed depends on the lengths
    alone: weights of the steps, for `mask=`, are packed as the `y` of a second call.

    Parameters
    ----------
    x : list of array (time_i, inputs), or of category numbers (time_i,)
        Each of at least one step, with the same features and dtype.
    y : list of array (time_i, ...), optional
        Targets of each step.
    rows : int
        From 1 to the number of sequences.

    Returns
    -------
    Packed
        With ``x``, ``y``, ``lengths``, ``resets`` and ``places``.

    Raises
    ------
    ValueError, TypeError
        There are no sequences, fewer than rows, one without steps, or shapes that differ.

    Examples
    --------
    >>> import crnn, numpy as np
    >>> packed = crnn.pack([np.ones((5, 3)), np.ones((2, 3)), np.ones((3, 3))], rows=2)
    >>> packed.x.shape, packed.lengths.tolist()
    ((2, 5, 3), [5, 5])
    >>> packed.resets.astype(int).tolist()
    [[1, 0, 0, 0, 0], [1, 0, 0, 1, 0]]
    """
    rows = checks.integer("rows", rows, at_least=1)
    arrays = _arrays("x", x)
    lengths = [len(array) for array in arrays]
    if rows > len(arrays):
        raise ValueError(f"rows: expected at most {len(arrays)}, the sequences, got {rows}")
    targets = None if y is None else _arrays("y", y)
    if targets is not None:
        _check_lengths(targets, lengths)
    places = np.empty((len(arrays), 3), np.intp)
    ends = np.zeros(rows, np.intp)
    for number in sorted(range(len(arrays)), key=lambda number: -lengths[number]):
        row = int(ends.argmin())
        places[number] = row, ends[row], lengths[number]
        ends[row] += lengths[number]
    resets = np.zeros((rows, int(ends.max())), bool)
    resets[places[:, 0], places[:, 1]] = True
    packed_y = None if targets is None else _packed(targets, places, resets.shape)
    return Packed(_packed(arrays, places, resets.shape), packed_y, ends, resets, places)


def _arrays(name: str, values: Any) -> list[Array]:
    """Return a list of arrays of at least one step, alike but for their lengths."""
    if not isinstance(values, (list, tuple)) or not values:
        got = "an empty one" if isinstance(values, (list, tuple)) else type(values).__name__
        raise ValueError(f"{name}: expected a list of arrays, got {got}")
    arrays = [as_numbers(f"{name}[{number}]", value) for number, value in enumerate(values)]
    for number, array in enumerate(arrays):
        if array.ndim == 0 or not len(array):
            raise ValueError(
                f"{name}[{number}]: expected an array of at least one step, got shape {array.shape}"
            )
        if array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{name}[{number}]: expected steps of shape {arrays[0].shape[1:]}, as {name}[0] "
                f"has, got {array.shape[1:]}"
            )
    return arrays


def _check_lengths(targets: list[Array], lengths: list[int]) -> None:
    """Raise unless there are targets for each step of each sequence."""
    if len(targets) != len(lengths):
        raise ValueError(
            f"y: expected a list of {len(lengths)} arrays, as x is, got {len(targets)}"
        )
    for number, (array, length) in enumerate(zip(targets, lengths, strict=True)):
        if len(array) != length:
            raise ValueError(
                f"y[{number}]: expected {length} steps, as x[{number}] has, got {len(array)}"
            )


def _packed(arrays: list[Array], places: IntArray, shape: tuple[int, int]) -> Array:
    """Return the arrays in their places, zeros elsewhere."""
    packed = np.zeros((*shape, *arrays[0].shape[1:]), np.result_type(*arrays))
    for array, (row, first, n) in zip(arrays, places.tolist(), strict=True):
        packed[row, first : first + n] = array
    return packed
