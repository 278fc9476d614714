"""A network of one layer in one call: gradient, prediction, and one step of a stream.

`rnn_gradient` is made of the kernels of `layers` and `losses`. `rnn_predict` and `stream_step` go
through the same steps one at a time, so both give the same bits.
"""

import numpy as np

from crnn._typing import Array, BoolArray, IntArray
from crnn.kernels import cells, contracts
from crnn.kernels.reference.layers import output_backward, output_forward, rnn_backward, rnn_forward
from crnn.kernels.reference.losses import cross_entropy, mse, sse
from crnn.kernels.reference.steps import STEPS
from crnn.kernels.reference.updates import clip


def rnn_gradient(
    cell: str,
    x: Array,
    y: Array,
    theta: Array,
    dtheta: Array,
    hidden_size: int,
    output_size: int,
    loss: str,
    max_norm: float | None,
    max_value: float | None,
    workspace: Array,
) -> tuple[float, float]:
    """Compute the loss from zero initial states, and its clipped gradient.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (B, T, I)
        Inputs.
    y : array (B, T, O), or for "cross_entropy" (B, T) of intp
        Targets.
    theta : array (P,)
        The parameters, in the order of `cells.parameter_shapes`.
    dtheta : array (P,)
        The gradient is written, after clipping.
    hidden_size, output_size : int
        H and O. An output_size of 0 means no output layer: the outputs are the states h_t.
    loss : {"mse", "sse", "cross_entropy"}
    max_norm, max_value : float or None
        Limits of the gradient's norm and, after that, of its elements.
    workspace : array (n,)
        Scratch memory of at least `gradient_workspace_size` scalars.

    Returns
    -------
    loss : float
    norm : float
        The gradient's norm before clipping.
    """
    contracts.check(
        "rnn_gradient",
        {"x": x, "y": y, "theta": theta, "dtheta": dtheta, "workspace": workspace},
        cell=cell,
        loss=loss,
        hidden_size=hidden_size,
        output_size=output_size,
    )
    cell_row = cells.get_cell(cell)
    B, T, I = x.shape
    shapes = cells.parameter_shapes(cell, I, hidden_size, output_size)
    W, dW = cells.views(theta, shapes), cells.views(dtheta, shapes)
    h = np.zeros((B, T + 1, cell_row.state_blocks * hidden_size), theta.dtype)
    gates = None
    if cell_row.gate_blocks:
        gates = np.empty((B, T, cell_row.gate_blocks * hidden_size), theta.dtype)
    da = np.empty((B, T, cell_row.da_blocks * hidden_size), theta.dtype)
    rnn_forward(
        cell, x, W["W_xh"], W["W_hh"], W["b_h"], h, gates, None, False, None, None,
        workspace,
    )  # fmt: skip
    states = h[:, 1:, :hidden_size]
    y_hat = np.ascontiguousarray(states)
    if output_size:
        y_hat = np.empty((B, T, output_size), theta.dtype)
        output_forward(states, W["W_hy"], W["b_y"], y_hat, None, workspace)
    dy = np.empty_like(y_hat)
    compute = {"mse": mse, "sse": sse, "cross_entropy": cross_entropy}[loss]
    value = compute(y_hat, y, None, dy)
    dtheta[...] = 0
    dh = dy
    if output_size:
        dh = np.empty((B, T, hidden_size), theta.dtype)
        output_backward(states, W["W_hy"], dy, dW["W_hy"], dW["b_y"], dh, None, workspace)
    rnn_backward(
        cell, x, h, gates, W["W_xh"], W["W_hh"], W["b_h"], dh, da, np.zeros_like(h[:, 0]),
        dW["W_xh"], dW["W_hh"], dW["b_h"], None, None, False, None, None, None, workspace,
    )  # fmt: skip
    return value, clip(dtheta, max_norm, max_value)


def rnn_predict(
    cell: str,
    x: Array,
    h0: Array | None,
    theta: Array,
    hidden_size: int,
    output_size: int,
    y: Array | None,
    h_n: Array | None,
    lengths: IntArray | None,
    reverse: bool,
    resets: BoolArray | None,
    start: Array | None,
    workspace: Array,
) -> None:
    """Compute the outputs and the last states, keeping nothing else.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    x : array (B, T, I)
        Inputs.
    h0 : array (B, states * H) or None
        The first states. None: zero.
    theta : array (P,)
        The parameters, in the order of `cells.parameter_shapes`.
    hidden_size, output_size : int
        H and O. An output_size of 0 means no output layer: the outputs are the states h_t.
    y : array (B, T, O) or None
        The outputs are written, but not past sequences' ends. None: not wanted, with an
        output_size of 0.
    h_n : array (B, states * H) or None
        The states after each sequence's last step are written. None: not wanted.
    lengths : intp array (B,) or None
        Steps of each sequence, in any order; None: T.
    reverse : bool
        Whether sequences are read from their last step to their first.
    resets, start
        As in `rnn_forward`.
    workspace : array (n,)
        Scratch memory of at least `predict_workspace_size` scalars.
    """
    contracts.check(
        "rnn_predict",
        {
            "x": x,
            "h0": h0,
            "theta": theta,
            "y": y,
            "h_n": h_n,
            "lengths": lengths,
            "reverse": reverse,
            "resets": resets,
            "start": start,
            "workspace": workspace,
        },
        cell=cell,
        hidden_size=hidden_size,
        output_size=output_size,
    )
    B, T, I = x.shape
    W = cells.views(theta, cells.parameter_shapes(cell, I, hidden_size, output_size))
    states = cells.get_cell(cell).state_blocks
    h = np.zeros((B, states * hidden_size), theta.dtype) if h0 is None else h0.copy()
    ends = np.full(B, T) if lengths is None else lengths
    all_rows = np.arange(B)
    for s in range(T):
        t = np.maximum(ends - 1 - s, 0) if reverse else np.full(B, s)
        if resets is not None:
            h[resets[:, s] & (ends > s)] = 0 if start is None else start
        # Of all sequences, because a product of fewer rows may round differently
        y_t, h_t = _step(cell, W, x[all_rows, t], h)
        b = np.flatnonzero(ends > s)
        h[b] = h_t[b]
        if y is not None:
            y[b, t[b]] = y_t[b]
    if h_n is not None:
        h_n[...] = h


def stream_parameters(
    cell: str, theta: Array, input_size: int, hidden_size: int, output_size: int, batch: int
) -> Array:
    """Return a copy of the parameters in the form that `stream_step` reads.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    theta : array (P,)
        The parameters, in the order of `cells.parameter_shapes`.
    input_size, hidden_size, output_size : int
        I, H and O. An output_size of 0 means no output layer: the outputs are the states h_t.
    batch : int
        The number of sequences of the steps.

    Returns
    -------
    array (n,)
        Its size and content are the implementation's own.
    """
    contracts.check(
        "stream_parameters",
        {"theta": theta},
        cell=cell,
        batch=batch,
        input_size=input_size,
        hidden_size=hidden_size,
        output_size=output_size,
    )
    return theta.copy()


def stream_step(
    cell: str,
    parameters: Array,
    x: Array,
    h: Array,
    h_next: Array,
    y: Array,
    output_size: int,
    workspace: Array,
) -> None:
    """Compute one step of a network: the outputs and the states after it, with the bits of predict.

    Parameters
    ----------
    cell : str
        A name in `cells.CELLS`.
    parameters : array (n,)
        What `stream_parameters` returned for these sizes.
    x : array (B, I)
        Inputs.
    h : array (B, states * H)
        The states before the step.
    h_next : array (B, states * H)
        The states after the step are written. May be h.
    y : array (B, O)
        The outputs are written. May be x.
    output_size : int
        O. 0 means no output layer: y (B, H) are the states h_t.
    workspace : array (n,)
        Scratch memory of at least `stream_workspace_size` scalars.
    """
    contracts.check(
        "stream_step",
        {"x": x, "h": h, "h_next": h_next, "y": y, "parameters": parameters,
         "workspace": workspace},
        cell=cell,
        output_size=output_size,
    )  # fmt: skip
    hidden_size = h.shape[1] // cells.get_cell(cell).state_blocks
    shapes = cells.parameter_shapes(cell, x.shape[1], hidden_size, output_size)
    contracts.check_stream_parameters(parameters, cells.parameter_count(shapes))
    y[...], h_next[...] = _step(cell, cells.views(parameters, shapes), x, h)


def _step(cell: str, W: dict[str, Array], x_t: Array, state: Array) -> tuple[Array, Array]:
    """Return the outputs (B, O) and states (B, states * H) of one step.

    One product for the inputs of all steps would be faster but round differently than a stream's.
    """
    W_hh = W["W_hh"]
    projected = x_t @ W["W_xh"].T + W["b_h"][: len(W_hh)]
    state, _ = STEPS[cells.CELLS[cell].kind](projected, state, W_hh, W["b_h"])
    h_t = state[:, : W_hh.shape[1]]
    return (h_t @ W["W_hy"].T + W["b_y"] if "W_hy" in W else h_t), state
