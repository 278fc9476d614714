"""X as users pass it: arrays, tables, and containers whose elements are sequences."""

import warnings
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

KINDS = "an array, a table, or a list, Series or column of sequences"

# scikit-learn's checks look for the last sentence.
ONE_AXIS = (
    "X: expected sequences, got numbers in one axis; a single sequence x is [x]. Reshape your data "
    "to (n, time) or (n, time, features)."
)

NAMES_OF_DTYPES = {"S": "bytes", "M": "dates", "m": "durations"}


def sequences_in(X: Any) -> list[FloatArray] | None:
    """Return sequences (time_i, features), or None for a table of numbers (n, time).

    Parameters
    ----------
    X : array-like
        An array (n, time, features); a list, a tuple, a Series, an array of objects or a table of
        one column, whose n elements are sequences (time_i, features) or (time_i,); or a table of
        several columns, the features, whose elements are (time_i,). Steps of NaN alone after a
        sequence's last number are not part of it.

    Raises
    ------
    ValueError, TypeError
        X or a sequence is none of these, has NaN elsewhere, or no step.
    """
    if hasattr(X, "__next__"):
        raise TypeError(f"X: expected {KINDS}, got {type(X).__name__}; pass list(X)")
    if hasattr(X, "tocsr"):
        # Sparse, which scikit-learn refuses; one kind of it is a dictionary.
        return None
    if X is None or isinstance(X, (str, bytes, Mapping, AbstractSet)):
        raise TypeError(f"X: expected {KINDS}, got {type(X).__name__}")
    elements = _elements(X)
    if elements is None:
        return None
    sequences = [_sequence(element, f"X[{row}]") for row, element in enumerate(elements)]
    features = sorted({sequence.shape[1] for sequence in sequences})
    if len(features) > 1:
        raise ValueError(f"X: expected sequences of as many features each, got {features}")
    return [without_padding(sequence, f"X[{row}]") for row, sequence in enumerate(sequences)]


def sequences_of_table(table: FloatArray) -> list[FloatArray]:
    """Return the rows (n, time) as sequences (time_i, 1); NaN after the last number is no step."""
    return [without_padding(row[:, None], f"X[{number}]") for number, row in enumerate(table)]


def warn_if_transposed(sequences: list[npt.NDArray[Any]]) -> None:
    """Warn where steps and features may have been exchanged, as in (n, channels, time).

    That is where sequences have one step of several features, or the longest of them has 20 times
    as many features as steps. Spectra, embeddings of words and days of many measurements rarely do.
    """
    features, steps = sequences[0].shape[1], max(map(len, sequences))
    if features > 1 and (steps == 1 or features >= 20 * steps):
        warnings.warn(
            f"X: the longest sequence has {steps} step{'s' * (steps > 1)} of {features} features; "
            "where X is (n, channels, time), pass X.transpose(0, 2, 1), or [x.T for x in X]",
            stacklevel=3,
        )


def without_padding(sequence: FloatArray, name: str) -> FloatArray:
    """Return a sequence (time, features) up to its last step with a number."""
    is_finite = np.isfinite(sequence)
    if is_finite.all() and len(sequence):
        return sequence
    has_number = ~np.isnan(sequence).all(axis=1)
    if not has_number.any():
        came = "only NaN" if len(sequence) else "none"
        raise ValueError(f"{name}: expected a sequence of at least one step, got {came}")
    end = int(np.flatnonzero(has_number)[-1]) + 1
    wrong = np.argwhere(~is_finite[:end])
    if len(wrong):
        step, feature = wrong[0].tolist()
        place = f"step {step}" + (f", feature {feature}" if sequence.shape[1] > 1 else "")
        value = sequence[step, feature]
        if not np.isnan(value):
            raise ValueError(f"{name}: expected finite numbers, got {value} at {place}")
        raise ValueError(
            f"{name}: expected numbers up to the sequence's end, got NaN at {place} of {end}; fill "
            "it by interpolation, or leave out the step (steps of NaN alone may follow the last)"
        )
    return sequence[:end]


def _elements(X: Any) -> list[Any] | None:
    """Return the element of X in each row; None for a table of numbers, or what is no array."""
    if isinstance(X, (list, tuple)):
        elements = _elements_of_list(X)
        if elements is None:
            _check_numbers_of_table(X)
        return elements
    if not (isinstance(X, np.ndarray) or hasattr(X, "__array__")):
        return None
    array = np.asarray(X)
    if array.ndim == 1 and array.dtype.kind in "fiub":
        raise ValueError(ONE_AXIS)
    if array.ndim > 3:
        raise ValueError(f"X: expected shape (n, time, features) or (n, time), got {array.shape}")
    if array.ndim == 3:
        if not array.size:
            raise ValueError(
                f"X: expected at least one sequence, step and feature, got shape {array.shape}"
            )
        return list(_numbers(array, "X"))
    if array.ndim == 2 and len(getattr(X, "shape", ())) == 1:
        # A polars Series of arrays
        return list(array)
    if array.dtype == object and array.ndim and any(map(_is_sequence, array.flat)):
        return _elements_of_objects(array)
    if array.dtype.kind not in "fiub":
        _check_numbers_of_table(X)
    return None


def _elements_of_list(X: list[Any] | tuple[Any, ...]) -> list[Any] | None:
    """Return the sequences of a list; None if it is a table of numbers (n, time)."""
    if not X:
        raise ValueError("X: expected at least one sequence, got none")
    if not all(map(_is_sequence, X)):
        if not any(map(_is_sequence, X)):
            raise ValueError(ONE_AXIS)
        row = next(row for row, element in enumerate(X) if not _is_sequence(element))
        raise ValueError(f"X[{row}]: expected a sequence as in other rows, got {X[row]!r}")
    if not all(isinstance(row, (list, tuple)) for row in X):
        return list(X)
    is_flat = not any(_is_sequence(element) for row in X for element in row)
    return None if is_flat and len(set(map(len, X))) == 1 else list(X)


def _elements_of_objects(array: npt.NDArray[Any]) -> list[Any]:
    """Return the sequence of each row (n,) or (n, channels) of objects."""
    for index, element in np.ndenumerate(array):
        if not _is_sequence(element):
            column = f", column {index[1]}" if array.ndim == 2 and array.shape[1] > 1 else ""
            raise ValueError(
                f"X[{index[0]}]{column}: expected a sequence as in other rows, got {element!r}"
            )
    if array.ndim == 1 or array.shape[1] == 1:
        return list(array.reshape(-1))
    rows = []
    for number, row in enumerate(array):
        channels = [_numbers(channel, f"X[{number}]") for channel in row]
        if any(channel.ndim != 1 for channel in channels):
            raise ValueError(
                f"X[{number}]: expected channels (time,) in several columns, got shapes "
                f"{', '.join(str(channel.shape) for channel in channels)}"
            )
        if len(set(map(len, channels))) > 1:
            raise ValueError(
                f"X[{number}]: expected as many steps in each column, got "
                f"{', '.join(str(len(channel)) for channel in channels)}"
            )
        rows.append(np.column_stack(channels))
    return rows


def _check_numbers_of_table(X: Any) -> None:
    """Raise a TypeError for a table with text or dates; scikit-learn checks the rest."""
    if not hasattr(X, "columns"):
        _check_kind(np.asarray(X), "X")
        return
    for name in X.columns:
        _check_kind(np.asarray(X[name]), f"X: column {name!r}")


def _check_kind(array: npt.NDArray[Any], name: str) -> None:
    """Raise a TypeError for text, dates and durations."""
    kind = array.dtype.kind
    strings = [value for value in array.flat if isinstance(value, str)] if kind in "OU" else []
    if strings:
        # As arrays look that were written to a file of text
        advice = "; convert it, by json.loads of each" if strings[0].startswith("[") else ""
        raise TypeError(f"{name}: expected numbers, got text such as {str(strings[0])!r}{advice}")
    if kind in NAMES_OF_DTYPES:
        raise TypeError(f"{name}: expected numbers, got {NAMES_OF_DTYPES[kind]}")


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (hasattr(value, "__array__") and np.ndim(value) > 0)


def _sequence(value: Any, name: str) -> FloatArray:
    """Return a sequence (time, features) of what stands in a row."""
    x = _numbers(value, name)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"{name}: expected shape (time, features) or (time,), got {x.shape}")
    return x


def _numbers(value: Any, name: str) -> FloatArray:
    """Return numbers as float64; NaN where one is missing."""
    try:
        array = np.asarray(with_nan(value))
        if array.dtype == object:
            array = numbers_of_objects(array)
    except ValueError:
        raise ValueError(
            f"{name}: expected as many features in each step, got steps of different sizes"
        ) from None
    _check_kind(array, name)
    if array.dtype.isbuiltin == 2 and np.can_cast(array.dtype, np.float64):
        # Small floats, registered by another library
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected numbers, got {array.dtype}")
    return array.astype(np.float64, copy=False)


def numbers_of_objects(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what an array of objects holds, NaN where an element is missing.

    Elements that are arrays themselves, such as steps, have their axes after those of the array.
    """
    elements = np.array([np.nan if is_missing(value) else value for value in array.flat])
    return elements.reshape(array.shape + elements.shape[1:])


def with_nan(value: Any) -> Any:
    """Return the value, a masked array with NaN where it is masked."""
    if isinstance(value, np.ma.MaskedArray):
        return np.ma.filled(value.astype(np.float64), np.nan)
    return value


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or what pandas has in their place."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(value != value)
