"""What callers ask before a call: threads, workspace sizes, arrays that need no conversion.

NumPy's own threads and temporary arrays serve the kernels here, so most answers are constant.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn._typing import Array
from crnn.kernels import cells, contracts

instruction_set, instruction_set_reason = "NumPy", "which decides by itself"


def set_num_threads(n: int) -> None:
    """Let a call use up to n threads; without effect here, where a call uses one."""


def get_num_threads() -> int:
    """Return how many threads a call may use."""
    return 1


def use_openmp(addresses: tuple[int, int, int] | None) -> None:
    """Let calls run on OpenMP's threads; without effect here, where a call uses one.

    Parameters
    ----------
    addresses : tuple of int or None
        Of GOMP_parallel, omp_get_thread_num and omp_get_num_threads. None: threads of its own.
    """


def layer_workspace_size(cell: str, T: int, B: int, I: int, H: int, dtype: npt.DTypeLike) -> int:
    """Return how many scalars of scratch `rnn_forward` and `rnn_backward` need: none in NumPy.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    T, B, I, H : int
        Time steps, sequences, inputs, hidden units.
    dtype : dtype-like
        float32 or float64.

    Raises
    ------
    ValueError
        No such cell, or another dtype.
    """
    return _no_workspace(cell, dtype)


def output_workspace_size(T: int, B: int, H: int, O: int, dtype: npt.DTypeLike) -> int:
    """Return how many scalars of scratch `output_forward` and `output_backward` need.

    Parameters as for `layer_workspace_size`; O is the number of outputs.
    """
    return _no_workspace("tanh", dtype)


def gradient_workspace_size(
    cell: str, T: int, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike
) -> int:
    """Return how many scalars of scratch `rnn_gradient` needs.

    Parameters as for `layer_workspace_size`; O is the number of outputs, or 0 where there is no
    output layer.
    """
    return _no_workspace(cell, dtype)


def train_workspace_size(
    cell: str, T: int, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike
) -> int:
    """Return how many scalars of scratch `rnn_train` needs for batches of B sequences.

    Parameters as for `gradient_workspace_size`.
    """
    return _no_workspace(cell, dtype)


def predict_workspace_size(
    cell: str, T: int, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike
) -> int:
    """Return how many scalars of scratch `rnn_predict` needs.

    Parameters as for `gradient_workspace_size`.
    """
    return _no_workspace(cell, dtype)


def stream_workspace_size(cell: str, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike) -> int:
    """Return how many scalars of scratch `stream_step` needs.

    Parameters as for `gradient_workspace_size`.
    """
    return _no_workspace(cell, dtype)


def _no_workspace(cell: str, dtype: npt.DTypeLike) -> int:
    cells.get_cell(cell)
    contracts.float_dtype(dtype)
    return 0


def is_kernel_ready(array: Any, like: Array, shape: tuple[int, ...]) -> bool:
    """Return whether the kernels can take an array as it is.

    It has to be an ndarray, of no subclass, C-contiguous and aligned, with finite numbers of the
    dtype of `like` and of this shape, where -1 stands for any size of at least 1.
    """
    return (
        type(array) is np.ndarray
        and array.dtype == like.dtype
        and array.flags.c_contiguous
        and array.flags.aligned
        and array.ndim == len(shape)
        and array.size > 0
        and all(n in (-1, size) for n, size in zip(shape, array.shape, strict=True))
        and bool(np.isfinite(array).all())
    )
