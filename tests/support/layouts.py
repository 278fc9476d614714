"""The forms in which users pass arrays: memory layouts, lists, tables and other dtypes.

Each form is a function of an array whose values are small multiples of 1/8, which every float
dtype holds exactly.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def every_other(values):
    large = np.full([2 * size for size in values.shape], np.nan)
    view = large[tuple(slice(None, None, 2) for _ in values.shape)]
    view[...] = values
    return view


def backwards(values):
    index = tuple(slice(None, None, -1) for _ in values.shape)
    return values[index].copy()[index]


def last_axes_swapped(values):
    if values.ndim < 2:
        return values
    axes = (*range(values.ndim - 2), values.ndim - 1, values.ndim - 2)
    return np.ascontiguousarray(values.transpose(axes)).transpose(axes)


def unaligned(values):
    buffer = np.zeros(values.nbytes + 1, np.uint8)
    view = buffer[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    assert not view.flags.aligned
    return view


def memory_mapped(values):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "values.npy"
        np.save(path, values)
        return np.load(path, mmap_mode="r")


def as_tuples(values):
    return tuple(map(as_tuples, values)) if values.ndim > 1 else tuple(values.tolist())


LAYOUTS = {
    "array": np.array,
    "read-only": read_only,
    "every other": every_other,
    "backwards": backwards,
    "Fortran order": np.asfortranarray,
    "last axes swapped": last_axes_swapped,
    "byte-swapped": lambda values: values.astype(values.dtype.newbyteorder()),
    "unaligned": unaligned,
    "memory-mapped": memory_mapped,
    "list": lambda values: values.tolist(),
    "tuple": as_tuples,
    "list of arrays": list,
    "masked array without a mask": lambda values: np.ma.array(values),
    "masked array with no entry masked": lambda values: np.ma.array(values, mask=False),
    "float16": lambda values: values.astype(np.float16),
    "float32": lambda values: values.astype(np.float32),
    "float64": lambda values: values.astype(np.float64),
}
"""Forms of arrays of any rank from one."""

TABLES = {
    "DataFrame": pd.DataFrame,
    "DataFrame with names": lambda values: pd.DataFrame(
        values, columns=[f"column {n}" for n in range(values.shape[1])]
    ),
    "columns of a DataFrame": lambda values: pd.concat(
        [pd.DataFrame({"other": np.full(len(values), np.nan)}), pd.DataFrame(values)], axis=1
    ).iloc[:, 1:],
}
"""Forms of arrays of two axes."""

WHOLE_NUMBERS = {
    name: lambda values, name=name: values.astype(name)
    for name in ("bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "uint64")
} | {
    "list of ints": lambda values: values.astype(int).tolist(),
    "list of bools": lambda values: values.astype(bool).tolist(),
    "Fortran order of ints": lambda values: np.asfortranarray(values.astype(int)),
}
"""Forms of arrays of zeros and ones."""

TABLES_OF_WHOLE_NUMBERS = {
    f"DataFrame of {dtype}": lambda values, dtype=dtype: pd.DataFrame(values.astype(dtype))
    for dtype in ("int64", "int8", "bool")
}
