"""The recurrent layer and the output layer over all steps, forward and backward through time.

Sizes are T (time steps), B (sequences), I (inputs), H (hidden units), O (outputs). Step t counts
from 0 here, so

    x[:, t]        x_t
    h[:, t]        the state that step t starts from; h[:, 0] is the first one
    h[:, t + 1]    the state after step t: h_t, and for an LSTM c_t after it
    gates[:, t]    what else step t leaves for the gradient, see `steps`
    dh[:, t]       dL/dh_t through the outputs of step t alone
    da[:, t]       the gradient with respect to the pre-activations of step t, in the order of b_h
"""

import numpy as np

from crnn._typing import Array
from crnn.kernels import contracts
from crnn.kernels.reference.steps import STEP_GRADIENTS, STEPS


def rnn_forward(
    cell: str,
    x: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    h: Array,
    gates: Array | None,
    workspace: Array,
) -> None:
    """Run a layer over all steps.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`, which says how many blocks of H the arrays have.
    x : array (B, T, I) or None
        Inputs. None: the gates, or for a cell without gates h, hold W_xh x_t + b_h already.
    W_xh : array (weights * H, I)
    W_hh : array (weights * H, H)
    b_h : array (biases * H,)
    h : array (B, T+1, states * H)
        On entry ``h[:, 0]`` holds the first states, and without x and gates ``h[:, t + 1]`` holds
        W_xh x_t + b_h. The states after each step are written.
    gates : array (B, T, gates * H) or None
        Written. Without x, the first weights * H of a step hold W_xh x_t + b_h on entry. None for
        cells without gates.
    workspace : array (n,)
        Scratch memory of at least `layer_workspace_size` scalars.
    """
    contracts.check("rnn_forward", locals(), cell=cell)
    step, N = STEPS[cell], len(W_xh)
    projected = h[:, 1:] if gates is None else gates[..., :N]
    if x is not None:
        projected[...] = x @ W_xh.T + b_h[:N]
    for t in range(h.shape[1] - 1):
        h[:, t + 1], gates_t = step(projected[:, t], h[:, t], W_hh, b_h)
        if gates is not None:
            gates[:, t] = gates_t


def rnn_backward(
    cell: str,
    x: Array | None,
    h: Array,
    gates: Array | None,
    W_xh: Array,
    W_hh: Array,
    dh: Array,
    dc: Array | None,
    da: Array | None,
    dW_xh: Array,
    dW_hh: Array,
    db_h: Array,
    dx: Array | None,
    dh0: Array,
    workspace: Array,
) -> None:
    """Backpropagate through time.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (B, T, I) or None
        Inputs, as given to `rnn_forward`.
    h : array (B, T+1, states * H)
        States, as left by `rnn_forward`.
    gates : array (B, T, gates * H) or None
        As left by `rnn_forward`.
    W_xh : array (weights * H, I)
    W_hh : array (weights * H, H)
    dh : array (B, T, H)
        dL/dh_t through the outputs of step t alone. Overwritten by da_t where da is None.
    dc : array (B, T, H) or None
        For an LSTM: the part of dL/dc_t that comes neither through later steps nor through h_t.
        None: zero.
    da : array (B, T, biases * H) or None
        da_t is written. None for cells without gates.
    dW_xh : array (weights * H, I)
        The sum over all steps of da_t x_t^T is added; nothing without x.
    dW_hh : array (weights * H, H)
        The sum of da_t h_{t-1}^T is added.
    db_h : array (biases * H,)
        The sum of da_t is added.
    dx : array (B, T, I) or None
        dL/dx_t = W_xh^T da_t is written. None: not wanted.
    dh0 : array (B, states * H)
        The gradient with respect to the first states is written.
    workspace : array (n,)
        Scratch memory of at least `layer_workspace_size` scalars.
    """
    contracts.check("rnn_backward", locals(), cell=cell)
    step_gradient, N, H = STEP_GRADIENTS[cell], len(W_xh), W_hh.shape[1]
    gates = h[:, 1:, :0] if gates is None else gates
    da = dh if da is None else da
    dstate = np.zeros_like(dh0)  # what reaches the state after step t from step t + 1
    for t in reversed(range(dh.shape[1])):
        dstate[:, :H] += dh[:, t]
        if dc is not None:
            dstate[:, H:] += dc[:, t]
        da[:, t], dstate = step_gradient(dstate, h[:, t], h[:, t + 1], gates[:, t], W_hh)
    dh0[...] = dstate
    if x is not None:
        dW_xh += _sum_of_outer_products(da[..., :N], x)
    dW_hh += _recurrent_gradient(cell, da, h[:, :-1, :H], gates)
    db_h += da.sum(axis=(0, 1))
    if dx is not None:
        dx[...] = da[..., :N] @ W_xh


def _sum_of_outer_products(da: Array, x: Array) -> Array:
    """Return the sum over all steps of all sequences of da_t x_t^T."""
    total: Array = np.tensordot(da, x, axes=([0, 1], [0, 1]))
    return total


def _recurrent_gradient(cell: str, da: Array, h: Array, gates: Array) -> Array:
    """Return dL/dW_hh from da_t, h_{t-1} and the gates of all steps."""
    H = h.shape[2]
    if not cell.startswith("gru"):
        return _sum_of_outer_products(da, h)
    dW_rz = _sum_of_outer_products(da[..., : 2 * H], h)
    # W_hn is multiplied by h_{t-1}, or with the reset before by q = r h_{t-1}.
    factor = h if cell == "gru" else gates[..., 3 * H :]
    dW_hn = _sum_of_outer_products(da[..., -H:], factor)
    return np.concatenate([dW_rz, dW_hn])


def output_forward(h: Array, W_hy: Array, b_y: Array, y: Array, workspace: Array) -> None:
    """Compute the outputs y_t = W_hy h_t + b_y.

    Parameters
    ----------
    h : array (B, T, H)
        The states h_t, without h_0.
    W_hy : array (O, H)
    b_y : array (O,)
    y : array (B, T, O)
        Written.
    workspace : array (n,)
        Scratch memory of at least `output_workspace_size` scalars.
    """
    contracts.check("output_forward", locals())
    y[...] = h @ W_hy.T + b_y


def output_backward(
    h: Array, W_hy: Array, dy: Array, dW_hy: Array, db_y: Array, dh: Array, workspace: Array
) -> None:
    """Backpropagate through the output layer.

    Parameters
    ----------
    h : array (B, T, H)
        The states h_t, without h_0.
    W_hy : array (O, H)
    dy : array (B, T, O)
        dL/dy_t.
    dW_hy : array (O, H)
        The sum over all steps of dy_t h_t^T is added.
    db_y : array (O,)
        The sum of dy_t is added.
    dh : array (B, T, H)
        W_hy^T dy_t, the part of dL/dh_t that comes through y_t, is written.
    workspace : array (n,)
        Scratch memory of at least `output_workspace_size` scalars.
    """
    contracts.check("output_backward", locals())
    dW_hy += _sum_of_outer_products(dy, h)
    db_y += dy.sum(axis=(0, 1))
    dh[...] = dy @ W_hy
