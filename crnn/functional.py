"""Recurrent layers as functions of parameters that somebody else holds.

A framework with parameters of its own, such as PyTorch in `crnn.torch`, computes crnn's layers with
these functions: all layers and directions of a `crnn.Architecture` over whole sequences, without
an output layer. The arguments are not checked; wrong shapes or dtypes lead to errors of the kernels
or to wrong numbers.

>>> import crnn, crnn.functional, numpy as np
>>> net = crnn.GRU(input_size=2, hidden_size=3, seed=0)
>>> x = np.ones((1, 5, 2), np.float32)
>>> top, h_n = crnn.functional.predict(net.architecture, net.params, x, np.zeros((1, 1, 3), "f4"))
>>> bool((top == net.predict(x)).all())
True

Sizes: B sequences, T steps, I inputs, H hidden units; S is H, or 2 H for an LSTM: h, then c. States
are (layers * directions, B, S): layer by layer, the forward direction before the backward one.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import _backend
from crnn._network import memory
from crnn._network.layers import Layers, LayersTape, predict_layer
from crnn._network.workspaces import Workspaces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crnn._network.architecture import Architecture
    from crnn._typing import Array, BoolArray, IntArray

__all__ = ["LayersTape", "backward", "forward", "predict"]


def forward(
    architecture: Architecture,
    params: Mapping[str, Array],
    x: Array,
    h0: Array,
    lengths: IntArray | None = None,
    rng: np.random.Generator | None = None,
    resets: BoolArray | None = None,
) -> LayersTape:
    """Run sequences through all layers and keep what `backward` reads.

    Parameters
    ----------
    architecture : crnn.Architecture
    params : mapping of array
        W_xh, W_hh and b_h of each layer and direction by name, as
        ``architecture.parameter_shapes()`` lists them: C-contiguous, all float32 or all float64.
    x : array (B, T, I)
        Of the parameters' dtype; the features of a step are side by side in memory.
    h0 : array (layers * directions, B, S)
        The first states.
    lengths : integer array (B,), optional
        Steps of each sequence; without it all of them.
    rng : numpy Generator, optional
        Draws what the architecture's dropout leaves out; without it nothing is left out.
    resets : bool array (B, T), optional
        True: before that step of the sequence the states of all layers become zero, and no gradient
        flows back past it. Only for architectures of one direction.

    Returns
    -------
    LayersTape
        With ``top`` (B, T, features), the outputs of the last layer, unspecified past a sequence's
        end, and ``last()``, the last states (layers * directions, B, S). ``top`` is read again by
        `backward`: copy it before you give it away.
    """
    return _layers(architecture, params).forward(x, h0, lengths, rng, resets=resets)


def backward(
    architecture: Architecture,
    params: Mapping[str, Array],
    tape: LayersTape,
    dtop: Array | None,
    dh_n: Array | None,
    gradients: dict[str, Array],
    wants_dx: bool,
) -> tuple[Array | None, Array]:
    """Backpropagate through time.

    Parameters
    ----------
    architecture : crnn.Architecture
    params : mapping of array
        Those of `forward`, unchanged since.
    tape : LayersTape
        What `forward` returned. It can be read several times.
    dtop : array (B, T, features) or None
        dL/d(top). Left as it is. None: zero everywhere.
    dh_n : array (layers * directions, B, S) or None
        dL/d(last states), beside what reaches them through `dtop`. Left as it is. None: zero.
    gradients : dict of array
        By parameter name: dL/d(parameter) is added to each.
    wants_dx : bool
        Whether to compute dL/dx.

    Returns
    -------
    dx : array (B, T, I) or None
    dh0 : array (layers * directions, B, S)
    """
    # The gradient of a sum is one number that is repeated by strides of zero.
    dtop = None if dtop is None else np.ascontiguousarray(dtop)
    return _layers(architecture, params).backward(tape, dtop, dh_n, gradients, wants_dx)


def predict(
    architecture: Architecture,
    params: Mapping[str, Array],
    x: Array,
    h0: Array,
    resets: BoolArray | None = None,
) -> tuple[Array, Array]:
    """Run sequences of one length through layers of one direction, and keep nothing.

    Faster than `forward`, with the same arguments.

    Parameters
    ----------
    architecture : crnn.Architecture
        Not bidirectional.
    params : mapping of array
    x : array (B, T, I)
    h0 : array (layers, B, S)
    resets : bool array (B, T), optional
        C-contiguous.

    Returns
    -------
    top : array (B, T, H)
        The outputs of the last layer.
    h_n : array (layers, B, S)
        The last states.
    """
    _check_leak(architecture)
    workspaces = _workspaces(x.dtype)
    h_n, features = np.empty_like(h0), x
    for layer in range(architecture.num_layers):
        suffix = architecture.suffix(layer)
        theta = np.concatenate([params[name + suffix].ravel() for name in ("W_xh", "W_hh", "b_h")])
        states = memory.empty((*x.shape[:2], architecture.hidden_size), x.dtype)
        predict_layer(
            _backend.kernels, workspaces, architecture, features, h0[layer], theta, 0, states,
            h_n[layer], resets=resets,
        )  # fmt: skip
        features = states
    return features, h_n


def _check_leak(architecture: Architecture) -> None:
    if architecture.has_leak or architecture.noise:
        raise ValueError(
            "architecture: expected one without leak and noise, "
            f"got cell={architecture.cell!r} and noise={architecture.noise}"
        )


def _layers(architecture: Architecture, params: Mapping[str, Array]) -> Layers:
    _check_leak(architecture)
    workspaces = _workspaces(params["W_hh"].dtype)
    return Layers(architecture, params, _backend.kernels, workspaces)


@functools.cache
def _workspaces(dtype: np.dtype[Any]) -> Workspaces:
    """Return the workspaces that all calls of one dtype share."""
    return Workspaces(dtype)
