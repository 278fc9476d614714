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

from crnn import Architecture, state_dict

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
    """Return crnn's parameters by name, as `crnn.state_dict.params_from` does for arrays.

    Parameters
    ----------
    architecture : crnn.Architecture
    weights : list of lists of tensor
        Those of each layer and direction, as ``module.all_weights`` lists them.

    Returns
    -------
    dict of array
    """
    arrays = [[tensor.detach().numpy() for tensor in tensors] for tensors in weights]
    return state_dict.params_from(architecture, arrays)


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
