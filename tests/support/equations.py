"""The equations of all cells, one sequence and one step at a time, in float64 NumPy.

A third implementation, written for reading: the tests hold both kernel modules to it.
"""

import numpy as np

import crnn


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def next_state(net, x_t, state, W_xh, W_hh, b_h):
    """The packed state after a step."""
    H = net.hidden_size
    h = state[:H]
    from_x, from_h = (W_xh @ x_t).reshape(-1, H), (W_hh @ h).reshape(-1, H)
    b = b_h.reshape(-1, H)
    if isinstance(net, crnn.RNN):
        a = from_x[0] + from_h[0] + b[0]
        return np.tanh(a) if net.nonlinearity == "tanh" else np.maximum(a, 0)
    if isinstance(net, crnn.LSTM):
        i, f, g, o = from_x + from_h + b
        c = sigmoid(f) * state[H:] + sigmoid(i) * np.tanh(g)
        return np.concatenate([sigmoid(o) * np.tanh(c), c])
    r, z = sigmoid(from_x[:2] + from_h[:2] + b[:2])
    if net.reset_after:
        n = np.tanh(from_x[2] + b[2] + r * (from_h[2] + b[3]))
    else:
        n = np.tanh(from_x[2] + b[2] + W_hh[2 * H :] @ (r * h))
    return (1 - z) * n + z * h


def first_states(net, params):
    """The states (layers * directions, S) that sequences start from."""
    layers = net.num_layers * (2 if net.bidirectional else 1)
    zero = np.zeros((layers, net.hidden_size))
    h0 = params.get("h0", zero).reshape(zero.shape)
    if not isinstance(net, crnn.LSTM):
        return h0
    return np.concatenate([h0, params.get("c0", zero).reshape(zero.shape)], axis=-1)


def sequence(net, x, h0=None):
    """Outputs and packed last states of one sequence: features (time, I) or categories (time,)."""
    params = {name: values.astype(float) for name, values in net.params.items()}
    values = list(np.eye(net.input_size)[x]) if x.ndim == 1 else list(x.astype(float))
    directions = 2 if net.bidirectional else 1
    starts = first_states(net, params)
    if h0 is not None:
        starts = np.reshape(h0, (len(starts), -1)).astype(float)
    lasts = []
    for layer in range(net.num_layers):
        sides = []
        for suffix in ("", "_reverse")[:directions]:
            backwards = suffix == "_reverse"
            suffix = (f"_l{layer}" if layer else "") + suffix
            weights = [params[name + suffix] for name in ("W_xh", "W_hh", "b_h")]
            state, side = starts[len(lasts)], []
            for x_t in values[::-1] if backwards else values:
                state = next_state(net, x_t, state, *weights)
                side.append(state[: net.hidden_size])
            lasts.append(state)
            sides.append(side[::-1] if backwards else side)
        values = [np.concatenate(step) for step in zip(*sides, strict=True)]
    if not net.return_sequences:
        values = [np.concatenate([last[: net.hidden_size] for last in lasts[-directions:]])]
    if net.output_size is not None:
        values = [params["W_hy"] @ value + params["b_y"] for value in values]
    y = np.array(values) if net.return_sequences else values[0]
    return y, np.array(lasts) if len(lasts) > 1 else lasts[0]


def batch(net, x, lengths, h0=None):
    """Outputs, zero past the ends, and packed last states of sequences side by side."""
    outputs, lasts = [], []
    for b, length in enumerate(lengths):
        start = None if h0 is None else h0[..., b, :]
        y, h_n = sequence(net, x[b, :length], start)
        if net.return_sequences:
            y = np.concatenate([y, np.zeros((x.shape[1] - length, y.shape[1]))])
        outputs.append(y)
        lasts.append(h_n)
    return np.array(outputs), np.stack(lasts, axis=-2)
