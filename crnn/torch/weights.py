"""PyTorch's weights as crnn's parameters, and gradients the other way.

PyTorch has W_ih, W_hh, b_ih and b_hh for each layer and direction, or the first two where there are
no biases. crnn has one bias, their sum; a GRU with the reset gate after the product keeps the two
biases of n apart, b_n and b_hn. The order of the gates is the same.
"""

import functools
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

# By the modes of PyTorch's modules
CELLS = {"RNN_TANH": "tanh", "RNN_RELU": "relu", "GRU": "gru", "LSTM": "lstm"}


def params_from(
    architecture: Architecture, weights: Sequence[torch.Tensor]
) -> dict[str, npt.NDArray[Any]]:
    """Return crnn's parameters by name, as `crnn.state_dict.params_from` does for arrays.

    Parameters
    ----------
    architecture : crnn.Architecture
    weights : list of tensor
        Those of each layer and direction, as ``module.all_weights`` lists them, one after the
        other.

    Returns
    -------
    dict of array
    """
    each = len(weights) // architecture.num_states
    arrays = [tensor.detach().numpy() for tensor in weights]
    return state_dict.params_from(
        architecture, [arrays[n : n + each] for n in range(0, len(arrays), each)]
    )


@functools.lru_cache
def _names(architecture: Architecture) -> list[tuple[str, str, str]]:
    """Return the names of the parameters of each layer and direction."""
    suffixes = [architecture.suffix(state) for state in range(architecture.num_states)]
    return [("W_xh" + suffix, "W_hh" + suffix, "b_h" + suffix) for suffix in suffixes]


@functools.lru_cache
def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    return architecture.parameter_shapes()


def zero_gradients(architecture: Architecture, dtype: np.dtype[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return zeros by the names of crnn's parameters."""
    return {name: np.zeros(shape, dtype) for name, shape in _shapes(architecture).items()}


def weight_gradients(
    architecture: Architecture, gradients: dict[str, npt.NDArray[Any]], *, has_biases: bool
) -> list[npt.NDArray[Any]]:
    """Return the gradients of PyTorch's weights, in the order of ``module.all_weights``.

    Parameters
    ----------
    architecture : crnn.Architecture
    gradients : dict of array
        By the names of crnn's parameters.
    has_biases : bool
    """
    H, arrays = architecture.hidden_size, []
    for W_xh, W_hh, b_h in _names(architecture):
        arrays += [gradients[W_xh], gradients[W_hh]]
        if has_biases:
            db_h = gradients[b_h]
            if architecture.cell == "gru":
                arrays += [db_h[: 3 * H], np.concatenate([db_h[: 2 * H], db_h[3 * H :]])]
            else:
                arrays += [db_h, db_h.copy()]
    return arrays
