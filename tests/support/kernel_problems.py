"""Random problems for the kernels, array layouts, and calls whose workspaces have guards around.

Workspaces are exactly as large as promised and full of NaN, and start off the alignment of any
vector. What a call writes is full of NaN before it.
"""

from contextlib import contextmanager

import numpy as np

from crnn.kernels import cells

PLAIN_CELLS = ("tanh", "relu", "gru", "gru_reset_before", "lstm")
"""Those without leaks: learners and typed views have no others."""
# Of leaky cells one with tanh and one with relu, whose leaks have either shape
CELLS = (*PLAIN_CELLS, "leaky_tanh_each_trained", "leaky_relu_trained")
DTYPES = ("float32", "float64")
LOSSES = ("mse", "sse", "cross_entropy")

# 70 is past four times the widest vector (16 float32), so every remainder of every unrolling by
# up to four vectors appears; sizes past 64 also leave the first panel of any usual width.
LARGEST_SIZE = 70
# Around every remainder of the vectors and of a panel of 48
REMAINDERS = [*range(1, 19), *range(31, 35), *range(47, 51), *range(63, 67), LARGEST_SIZE]

# What the other sizes are while one is swept: small, odd and different from each other.
SIZES = {"T": 3, "B": 5, "I": 2, "H": 7, "O": 4}


def sizes_to_sweep(implementation, cell, swept):
    """Of NumPy a few: it has no loops of its own whose remainders could be wrong."""
    if implementation == "python":
        return (1, 2, 9, LARGEST_SIZE)
    if cell == "tanh":
        return range(1, LARGEST_SIZE + 1)
    # Cells differ in the loops over units; over steps they share the products.
    return [*range(1, 19), 33, 48] if swept == "T" else REMAINDERS


class Problem:
    """Random asymmetric inputs and parameters of one size. O = 0: no output layer."""

    def __init__(self, cell="tanh", dtype="float64", *, T, B, I, H, O, loss="mse"):
        self.cell, self.dtype, self.loss = cell, np.dtype(dtype), loss
        self.T, self.B, self.I, self.H, self.O = T, B, I, H, O
        self.cell_row = cells.CELLS[cell]
        weights, states = self.cell_row.weight_blocks, self.cell_row.state_blocks
        biases = self.cell_row.bias_blocks
        self.outputs = O or H
        rng = np.random.default_rng([T, B, I, H, O])

        def normal(*shape, scale=1.0):
            return (scale * rng.standard_normal(shape)).astype(dtype)

        # Scaled by fan-in, so that neither states saturate nor states and gradients explode.
        recurrent_scale = 0.5 if "relu" in cell else 0.9
        params = {
            "W_xh": normal(weights * H, I, scale=1 / np.sqrt(I)),
            "W_hh": normal(weights * H, H, scale=recurrent_scale / np.sqrt(H)),
            "b_h": normal(biases * H, scale=0.3),
        }
        leaks = rng.uniform(0.1, 1, self.cell_row.leak_count(H)).astype(dtype)
        params["b_h"] = np.concatenate([params["b_h"], leaks])
        if O:
            params |= {"W_hy": normal(O, H, scale=1 / np.sqrt(H)), "b_y": normal(O, scale=0.3)}
        self.theta = np.concatenate([values.ravel() for values in params.values()])
        self.params = self.split(self.theta, params)
        self.x = normal(B, T, I)
        self.h0 = np.tanh(normal(B, states * H))
        self.dy = normal(B, T, self.outputs)
        self.dh = normal(B, T, H)
        self.dstate = normal(B, states * H)
        # What the gradients hold before a kernel adds to them.
        self.before = {name: normal(*values.shape) for name, values in params.items()}
        self.before["x"] = normal(B, T, I)
        self.y = normal(B, T, self.outputs)
        if loss == "cross_entropy":
            self.y = rng.integers(self.outputs, size=(B, T)).astype(np.intp)

    @staticmethod
    def split(flat, shapes):
        """The parts of a vector that is laid out as theta is, by name."""
        parts, start = {}, 0
        for name, values in shapes.items():
            parts[name] = flat[start : start + values.size].reshape(values.shape)
            start += values.size
        return parts

    def empty(self, *shape, layout="contiguous"):
        return LAYOUTS[layout](shape, self.dtype)

    def empty_gates(self, layout="contiguous"):
        """Room for the gates, or None for cells without."""
        gates = self.cell_row.gate_blocks
        return self.empty(self.B, self.T, gates * self.H, layout=layout) if gates else None

    def __str__(self):
        return f"{self.cell} {self.loss} T={self.T} B={self.B} I={self.I} H={self.H} O={self.O}"


def random_problem(cell, dtype, seed, output_layer=True):
    """Sizes up to the largest: remainders of two sizes meet here."""
    T, B, I, H, O = map(int, np.random.default_rng(seed).integers(1, LARGEST_SIZE + 1, size=5))
    O = O if output_layer else 0
    return Problem(cell, dtype, T=T, B=B, I=I, H=H, O=O, loss=LOSSES[seed % 3])


def contiguous(shape, dtype):
    return np.full(shape, np.nan, dtype)


def offset(shape, dtype):
    """Contiguous, off the alignment of any vector."""
    size = int(np.prod(shape))
    return np.full(size + 1, np.nan, dtype)[1:].reshape(shape)


def padded(shape, dtype):
    """Rows longer than they seem and sequences further apart, as a padded tape has them."""
    B, T, last = shape
    return np.full((B, T + 2, last + 3), np.nan, dtype)[:, 1:-1, :last]


def time_major(shape, dtype):
    B, T, last = shape
    return np.full((T, B, last), np.nan, dtype).transpose(1, 0, 2)


def backwards(shape, dtype):
    B, T, last = shape
    return np.full((2 * B, T, last), np.nan, dtype)[::-2, ::-1]


# Of sequences (B, T, features): how the kernels take and write them
LAYOUTS = {
    layout.__name__: layout for layout in (contiguous, offset, padded, time_major, backwards)
}


def laid_out(values, layout):
    """The array, or a copy of it in another layout."""
    if layout == "contiguous":
        return values
    array = LAYOUTS[layout](values.shape, values.dtype)
    array[...] = values
    return array


GUARDS_BEFORE, GUARDS_AFTER = 3, 16  # as long as a cache line in float32
GUARD = 7.0


@contextmanager
def workspace(size, dtype):
    """Scratch of exactly this size between guards, which must be whole in the end."""
    whole = np.full(GUARDS_BEFORE + size + GUARDS_AFTER, GUARD, dtype)
    scratch = whole[GUARDS_BEFORE : GUARDS_BEFORE + size]
    scratch[:] = np.nan
    yield scratch
    assert np.all(whole[:GUARDS_BEFORE] == GUARD), "written before the workspace"
    assert np.all(whole[-GUARDS_AFTER:] == GUARD), "written past the workspace"


def layer_workspace(kernels, p):
    size = kernels.layer_workspace_size(p.cell, p.T, p.B, p.I, p.H, p.dtype)
    return workspace(size, p.dtype)


def output_workspace(kernels, p):
    return workspace(kernels.output_workspace_size(p.T, p.B, p.H, p.O, p.dtype), p.dtype)


def stream_workspace(kernels, p):
    return workspace(kernels.stream_workspace_size(p.cell, p.B, p.I, p.H, p.O, p.dtype), p.dtype)


def layer_forward(
    kernels, p, layout="contiguous", x=None, *, lengths=None, reverse=False, resets=None, start=None
):
    """The states and the gates; NaN past a sequence's end."""
    h = p.empty(p.B, p.T + 1, p.h0.shape[1], layout=layout)
    h[:, 0] = p.h0
    gates = p.empty_gates(layout)
    x = laid_out(p.x, layout) if x is None else x
    W = p.params
    with layer_workspace(kernels, p) as scratch:
        kernels.rnn_forward(
            p.cell, x, W["W_xh"], W["W_hh"], W["b_h"], h, gates, lengths, reverse, resets, start,
            scratch,
        )  # fmt: skip
    return h, gates


def layer_backward(
    kernels, p, h, gates, layout="contiguous", *, x=True, dx=True, dh=True, lengths=None,
    reverse=False, resets=None, start=None,
):  # fmt: skip
    """What rnn_backward writes, by name; with x, dh and dx only where they are True."""
    d = {name: p.before[name].copy() for name in ("W_xh", "W_hh", "b_h")}
    da = p.empty(p.B, p.T, p.cell_row.da_blocks * p.H)
    dx = laid_out(p.before["x"].copy(), layout) if dx else None
    dstate, dstart = p.dstate.copy(), None if resets is None else p.empty(*p.dstate.shape)
    with layer_workspace(kernels, p) as scratch:
        kernels.rnn_backward(
            cell=p.cell, x=laid_out(p.x, layout) if x else None, h=h, gates=gates,
            W_xh=p.params["W_xh"], W_hh=p.params["W_hh"], b_h=p.params["b_h"],
            dh=laid_out(p.dh, layout) if dh else None, da=da, dstate=dstate, dW_xh=d["W_xh"],
            dW_hh=d["W_hh"], db_h=d["b_h"], dx=dx,
            lengths=lengths, reverse=reverse, resets=resets, start=start, dstart=dstart,
            workspace=scratch,
        )  # fmt: skip
    written = {"d" + name: values for name, values in d.items()}
    written |= {"da": da, "dh0": dstate} | ({} if dstart is None else {"dstart": dstart})
    return written if dx is None else written | {"dx": dx}


def layers(kernels, p, layout="contiguous"):
    """What both layers write, forward and backward, by name."""
    h, gates = layer_forward(kernels, p, layout)
    written = {"h": h} if gates is None else {"h": h, "gates": gates}
    states = h[:, 1:, : p.H]
    if p.O:
        y = p.empty(p.B, p.T, p.O, layout=layout)
        dh = p.empty(p.B, p.T, p.H, layout=layout)
        dW_hy, db_y = p.before["W_hy"].copy(), p.before["b_y"].copy()
        W_hy, b_y = p.params["W_hy"], p.params["b_y"]
        with output_workspace(kernels, p) as scratch:
            kernels.output_forward(states, W_hy, b_y, y, None, scratch)
        with output_workspace(kernels, p) as scratch:
            kernels.output_backward(states, W_hy, p.dy, dW_hy, db_y, dh, None, scratch)
        written |= {"y": y, "dh": dh, "dW_hy": dW_hy, "db_y": db_y}
    return written | layer_backward(kernels, p, h, gates, layout)


def gradient(kernels, p, *, x=None, max_norm=None, max_value=None):
    """(loss, norm, dtheta) of rnn_gradient."""
    dtheta = p.empty(len(p.theta))
    size = kernels.gradient_workspace_size(p.cell, p.T, p.B, p.I, p.H, p.O, p.dtype)
    x = p.x if x is None else x
    with workspace(size, p.dtype) as scratch:
        value, norm = kernels.rnn_gradient(
            p.cell, x, p.y, p.theta, dtheta, p.H, p.O, p.loss, max_norm, max_value, scratch
        )
    assert type(value) is float
    assert type(norm) is float
    return value, norm, dtheta


def predict(
    kernels, p, *, x=None, h0=None, layout="contiguous", lengths=None, reverse=False, resets=None,
    start=None,
):  # fmt: skip
    """(y, h_n) of rnn_predict."""
    x = p.x if x is None else laid_out(x, layout)
    T = x.shape[1]
    y, h_n = p.empty(p.B, T, p.outputs, layout=layout), p.empty(*p.h0.shape)
    size = kernels.predict_workspace_size(p.cell, T, p.B, p.I, p.H, p.O, p.dtype)
    with workspace(size, p.dtype) as scratch:
        kernels.rnn_predict(
            p.cell, x, h0, p.theta, p.H, p.O, y, h_n, lengths, reverse, resets, start, scratch
        )
    return y, h_n


def stream(kernels, p):
    """(y, h_n) of the steps of a stream that starts from h0."""
    parameters = kernels.stream_parameters(p.cell, p.theta, p.I, p.H, p.O, p.B)
    y, h = p.empty(p.B, p.T, p.outputs), p.h0.copy()
    for t in range(p.T):
        y_t, h_next = p.empty(p.B, p.outputs), p.empty(*h.shape)
        x_t = np.ascontiguousarray(p.x[:, t])
        with stream_workspace(kernels, p) as scratch:
            kernels.stream_step(p.cell, parameters, x_t, h, h_next, y_t, p.O, scratch)
        y[:, t], h = y_t, h_next
    return y, h
