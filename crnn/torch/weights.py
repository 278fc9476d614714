"""PyTorch's weights as crnn's parameters, and gradients the other way.

PyTorch has W_ih, W_hh, b_ih and b_hh for each layer and direction, or the first two where there are
no biases. crnn has one bias, their sum; a GRU with the reset gate after the product keeps the two
biases of n apart, b_n and b_hn. The order of the gates is the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from crnn import Architecture

DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


def is_supported(tensor: torch.Tensor) -> bool:
    """Whether crnn computes with such a tensor."""
    return tensor.device.type == "cpu" and tensor.dtype in DTYPES


def params_from(
    architecture: Architecture, weights: Sequence[Sequence[torch.Tensor]]
) -> dict[str, npt.NDArray[Any]]:
    """Return crnn's parameters by name.

    Parameters
    ----------
    architecture : crnn.Architecture
    weights : list of lists of tensor
        Those of each layer and direction, as ``module.all_weights`` lists them.

    Returns
    -------
    dict of array
        W_xh and W_hh share the memory of the weights where these are contiguous; b_h is new.
    """
    params, H = {}, architecture.hidden_size
    for state, tensors in enumerate(weights):
        W_ih, W_hh, *biases = (tensor.detach().numpy() for tensor in tensors)
        b_h = np.zeros(architecture.cell_row.bias_blocks * H, W_ih.dtype)
        if biases:
            b_ih, b_hh = biases
            b_h[: len(b_ih)] = b_ih
            if architecture.cell == "gru":
                b_h[: 2 * H] += b_hh[: 2 * H]
                b_h[3 * H :] = b_hh[2 * H :]
            else:
                b_h += b_hh
        suffix = architecture.suffix(state)
        params["W_xh" + suffix] = np.ascontiguousarray(W_ih)
        params["W_hh" + suffix] = np.ascontiguousarray(W_hh)
        params["b_h" + suffix] = b_h
    return params


def weight_gradients(
    architecture: Architecture, gradients: dict[str, npt.NDArray[Any]], *, has_biases: bool
) -> list[torch.Tensor]:
    """Return the gradients of PyTorch's weights, in the order of ``module.all_weights``.

    Parameters
    ----------
    architecture : crnn.Architecture
    gradients : dict of array
        By the names of crnn's parameters.
    has_biases : bool
    """
    H, tensors = architecture.hidden_size, []
    for state in range(architecture.num_states):
        suffix = architecture.suffix(state)
        arrays = [gradients["W_xh" + suffix], gradients["W_hh" + suffix]]
        if has_biases:
            db_h = gradients["b_h" + suffix]
            if architecture.cell == "gru":
                arrays += [db_h[: 3 * H], np.concatenate([db_h[: 2 * H], db_h[3 * H :]])]
            else:
                arrays += [db_h, db_h.copy()]
        tensors += [torch.from_numpy(array) for array in arrays]
    return tensors
