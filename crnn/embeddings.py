"""An embedding and the weights that read it as one matrix, for networks of category numbers."""

import numpy as np
import numpy.typing as npt

from crnn._typing import Array

__all__ = ["FREE_BYTES", "FREE_FACTOR", "of_categories"]

# What a file may ask for: it holds a table and weights, whose product may be many times as large.
FREE_BYTES, FREE_FACTOR = 32 << 20, 8


def of_categories(W: Array, table: Array, dtype: npt.DTypeLike) -> Array:
    """Return W table^T: the column that each category has in place of its row of the table.

    Each product is summed in float64 and rounded once.

    Parameters
    ----------
    W : array (rows, inputs)
    table : array (categories, inputs)
    dtype : {"float32", "float64"}

    Returns
    -------
    array (rows, categories)
    """
    product = np.empty((len(W), len(table)), dtype)
    columns, count = table.T.astype(np.float64), max(1, table.shape[1])
    with np.errstate(all="ignore"):
        # So many rows at a time that they take no more memory than the table.
        for start in range(0, len(W), count):
            rows = slice(start, start + count)
            product[rows] = W[rows].astype(np.float64) @ columns
    return product
