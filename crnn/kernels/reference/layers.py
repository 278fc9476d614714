"""The recurrent layer and the output layer over all steps, forward and backward through time.

Sizes are T (time steps), B (sequences), I (inputs), H (hidden units), O (outputs). A layer computes
the first lengths[b] steps of sequence b, or all T. It may read a sequence from its last step to its
first, in `reverse`. Step s counts from 0 in the order of reading, t in the order of time, so

    x[:, t]        x_t; likewise dx, the outputs y of the output layer, and all gradients of outputs
    h[:, s]        the state that step s starts from; h[:, 0] is the first one
    h[:, s + 1]    the state after step s: h_t, and for an LSTM c_t after it
    gates[:, s]    what else step s leaves for the gradient, see `steps`
    dh[:, t]       dL/dh_t through the outputs of step t alone
    da             the gradient with respect to the pre-activations, in the order of b_h

Nothing is read past a sequence's end, and what arrays hold there is unspecified unless the kernel
says otherwise.
"""

import numpy as np

from crnn._typing import Array, BoolArray, IntArray
from crnn.kernels import cells, contracts
from crnn.kernels.reference.steps import STEP_GRADIENTS, STEPS


class _LiveSteps:
    """The steps that a call computes, as rows: one sequence after another, as they are read."""

    def __init__(self, B: int, T: int, lengths: IntArray | None, *, reverse: bool) -> None:
        ends = np.full(B, T) if lengths is None else lengths
        self._b, self._s = np.nonzero(np.arange(T) < ends[:, None])
        self._t = ends[self._b] - 1 - self._s if reverse else self._s
        self._lengths = lengths

    @property
    def in_time(self) -> tuple[IntArray, IntArray]:
        """The index of the rows into arrays (B, T, ...) in the order of time."""
        return self._b, self._t

    @property
    def as_read(self) -> tuple[IntArray, IntArray]:
        """The index of the rows into arrays (B, T, ...) in the order of reading."""
        return self._b, self._s

    def sequences(self, s: int) -> BoolArray | slice:
        """Return which sequences have a step s."""
        return slice(None) if self._lengths is None else self._lengths > s


def rnn_forward(
    cell: str,
    x: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    h: Array,
    gates: Array | None,
    lengths: IntArray | None,
    reverse: bool,
    resets: BoolArray | None,
    start: Array | None,
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
    b_h : array (biases,)
        For a leaky cell the biases, then the leaks.
    h : array (B, T+1, states * H)
        On entry ``h[:, 0]`` holds the first states, and without x and gates ``h[:, s + 1]`` holds
        W_xh x_t + b_h. The states after each step are written.
    gates : array (B, T, gates * H) or None
        Written. Without x, the first weights * H of a step hold W_xh x_t + b_h on entry. None for
        cells without gates.
    lengths : intp array (B,) or None
        Steps of each sequence, in any order; None: T.
    reverse : bool
        Whether sequences are read from their last step to their first.
    resets : bool array (B, T) or None
        Where True, the sequence restarts before that step: the step starts from `start`, and not
        from ``h[:, s]``, which stays the state after the step before. Not in reverse.
    start : array (states * H,) or None
        The state that a restart puts back. None: zero.
    workspace : array (n,)
        Scratch memory of at least `layer_workspace_size` scalars.
    """
    contracts.check("rnn_forward", locals(), cell=cell)
    step, N = STEPS[cells.CELLS[cell].kind], len(W_xh)
    live = _LiveSteps(h.shape[0], h.shape[1] - 1, lengths, reverse=reverse)
    projected = h[:, 1:] if gates is None else gates[..., :N]
    if x is not None:
        projected[live.as_read] = x[live.in_time] @ W_xh.T + b_h[:N]
    for s in range(h.shape[1] - 1):
        b = live.sequences(s)
        h_before = _states_before(h, s, resets, start)[b]
        h[b, s + 1], gates_s = step(projected[b, s], h_before, W_hh, b_h)
        if gates is not None:
            gates[b, s] = gates_s


def rnn_backward(
    cell: str,
    x: Array | None,
    h: Array,
    gates: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    dh: Array | None,
    da: Array,
    dstate: Array,
    dW_xh: Array,
    dW_hh: Array,
    db_h: Array,
    dx: Array | None,
    lengths: IntArray | None,
    reverse: bool,
    resets: BoolArray | None,
    start: Array | None,
    dstart: Array | None,
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
    b_h : array (biases,)
    dh : array (B, T, H) or None
        dL/dh_t through the outputs of step t alone. None: zero.
    da : array (B, T, da_blocks * H)
        Its first rows, as many as there are steps, become the gradients with respect to the
        pre-activations, and where leaks are trained to those: one sequence after another, in the
        order of reading. The others are unspecified.
    dstate : array (B, states * H)
        On entry the gradient with respect to the last states, beside what comes through dh; on
        return with respect to the first states.
    dW_xh : array (weights * H, I)
        The sum over all steps of da_t x_t^T is added; nothing without x.
    dW_hh : array (weights * H, H)
        The sum of da_t h_{t-1}^T is added.
    db_h : array (biases,)
        The sum of da_t is added; nothing to fixed leaks.
    dx : array (B, T, I) or None
        dL/dx_t = W_xh^T da_t is added. None: not wanted.
    lengths : intp array (B,) or None
    reverse : bool
    resets : bool array (B, T) or None
    start : array (states * H,) or None
        All as given to `rnn_forward`. No gradient flows from a restarted sequence to its steps
        before.
    dstart : array (B, states * H) or None
        With resets, the gradient with respect to `start` through the restarts of each sequence is
        written. None: not wanted.
    workspace : array (n,)
        Scratch memory of at least `layer_workspace_size` scalars.
    """
    contracts.check("rnn_backward", locals(), cell=cell)
    cell_row, N, H = cells.CELLS[cell], len(W_xh), W_hh.shape[1]
    step_gradient = STEP_GRADIENTS[cell_row.kind]
    B, T = h.shape[0], h.shape[1] - 1
    live = _LiveSteps(B, T, lengths, reverse=reverse)
    gates = h[:, 1:, :0] if gates is None else gates
    da_read = np.zeros_like(da)
    h_before = np.empty_like(h[:, :-1])
    dstarts = np.zeros_like(dstate)
    dh_read = np.zeros((B, T, H), da.dtype)
    if dh is not None:
        dh_read[live.as_read] = dh[live.in_time]
    for s in reversed(range(T)):
        b = live.sequences(s)
        # What reaches the state after step s from step s + 1, or the last state from outside
        dstate_s = dstate[b].copy()
        dstate_s[:, :H] += dh_read[b, s]
        h_before[:, s] = _states_before(h, s, resets, start)
        da_s, dstate[b] = step_gradient(
            dstate_s, h_before[b, s], h[b, s + 1], gates[b, s], W_hh, b_h
        )
        da_read[b, s] = da_s[:, : da.shape[2]]
        if resets is not None:
            is_live = np.zeros(B, bool)
            is_live[b] = True
            restarted = resets[:, s] & is_live
            dstarts[restarted] += dstate[restarted]
            dstate[restarted] = 0
    rows = da_read[live.as_read]
    da.reshape(B * T, -1)[: len(rows)] = rows
    if x is not None:
        dW_xh += rows[:, :N].T @ x[live.in_time]
    dW_hh += _recurrent_gradient(
        cell, N, rows, h_before[..., :H][live.as_read], gates[live.as_read]
    )
    biases = cell_row.bias_blocks * H
    db_h[:biases] += rows[:, :biases].sum(axis=0)
    if cell_row.trains_leak:
        dleak = rows[:, biases:].sum(axis=0)
        db_h[biases:] += dleak.sum() if cell_row.shared_leaks else dleak
    if resets is not None and dstart is not None:
        dstart[...] = dstarts
    if dx is not None:
        dx[live.in_time] += rows[:, :N] @ W_xh


def _states_before(h: Array, s: int, resets: BoolArray | None, start: Array | None) -> Array:
    """Return the states (B, S) that step s starts from."""
    if resets is None:
        states: Array = h[:, s]
        return states
    zero_or_start = np.zeros_like(h[0, 0]) if start is None else start
    return np.where(resets[:, s, None], zero_or_start, h[:, s])


def _recurrent_gradient(cell: str, N: int, da: Array, h: Array, gates: Array) -> Array:
    """Return dL/dW_hh (N, H) from da_t, h_{t-1} and the gates of all steps, in rows."""
    H = h.shape[1]
    if not cell.startswith("gru"):
        gradient: Array = da[:, :N].T @ h
        return gradient
    # W_hn is multiplied by h_{t-1}, or with the reset before by q = r h_{t-1}.
    factor = h if cell == "gru" else gates[:, 3 * H :]
    return np.concatenate([da[:, : 2 * H].T @ h, da[:, -H:].T @ factor])


def output_forward(
    h: Array, W_hy: Array, b_y: Array, y: Array, lengths: IntArray | None, workspace: Array
) -> None:
    """Compute the outputs y_t = W_hy h_t + b_y.

    Parameters
    ----------
    h : array (B, T, H)
        The states h_t, without h_0.
    W_hy : array (O, H)
    b_y : array (O,)
    y : array (B, T, O)
        Written: zeros past a sequence's end.
    lengths : intp array (B,) or None
        Steps of each sequence; None: T.
    workspace : array (n,)
        Scratch memory of at least `output_workspace_size` scalars.
    """
    contracts.check("output_forward", locals())
    live = _LiveSteps(h.shape[0], h.shape[1], lengths, reverse=False).in_time
    y[...] = 0
    y[live] = h[live] @ W_hy.T + b_y


def output_backward(
    h: Array,
    W_hy: Array,
    dy: Array,
    dW_hy: Array,
    db_y: Array,
    dh: Array,
    lengths: IntArray | None,
    workspace: Array,
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
        W_hy^T dy_t, the part of dL/dh_t that comes through y_t, is written: zeros past a sequence's
        end.
    lengths : intp array (B,) or None
    workspace : array (n,)
        Scratch memory of at least `output_workspace_size` scalars.
    """
    contracts.check("output_backward", locals())
    live = _LiveSteps(h.shape[0], h.shape[1], lengths, reverse=False).in_time
    rows = dy[live]
    dW_hy += rows.T @ h[live]
    db_y += rows.sum(axis=0)
    dh[...] = 0
    dh[live] = rows @ W_hy
