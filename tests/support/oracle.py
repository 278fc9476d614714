"""The third implementation, in float64 NumPy: it shares no code with the kernels.

Axes are b batch, t time, i input, h and k hidden, o output, g block of H (a gate of the cell).
"""

import numpy as np

import crnn
from crnn.kernels import cells


def einsum(axes, a, b):
    """A product, by a BLAS where that is worth looking for it."""
    return np.einsum(axes, a, b, optimize=a.size + b.size > 5000)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def loss_and_gradient(loss, y_hat, y):
    """The unweighted loss of float64 outputs, and its gradient."""
    if loss == "cross_entropy":
        softmax = np.exp(y_hat) / np.exp(y_hat).sum(axis=-1, keepdims=True)
        one_hot = np.eye(y_hat.shape[-1])[y]
        return -np.log((softmax * one_hot).sum(axis=-1)).mean(), (softmax - one_hot) / y.size
    error = y_hat - y
    if loss == "mse":
        return np.mean(error**2), 2 * error / error.size
    return np.sum(error**2) / 2, error


class Layer:
    """One recurrent layer and, where there is one, an output layer."""

    def __init__(self, cell, params):
        wide = {name: values.astype(np.float64) for name, values in params.items()}
        self.W_xh, W_hh, b_h = wide["W_xh"], wide["W_hh"], wide["b_h"]
        H = W_hh.shape[1]
        self.cell, self.H = cell, H
        self.W_hh = W_hh.reshape(-1, H, H)
        leaks = cells.CELLS[cell].leak_count(H)
        self.b_h, self.leak = b_h[: len(b_h) - leaks].reshape(-1, 1, H), b_h[len(b_h) - leaks :]
        self.W_hy, self.b_y = wide.get("W_hy"), wide.get("b_y")

    def step(self, x_t, state):
        """The state after a step, and by name the gates that the gradients are made of."""
        h, b = state[:, : self.H], self.b_h
        from_x = (x_t @ self.W_xh.T).reshape(len(x_t), -1, self.H).swapaxes(0, 1)
        if self.cell == "gru_reset_before":
            r, z = sigmoid(from_x[:2] + h @ self.W_hh[:2].swapaxes(1, 2) + b[:2])
            q = r * h
            n = np.tanh(from_x[2] + b[2] + q @ self.W_hh[2].T)
            return n + z * (h - n), {"r": r, "z": z, "n": n, "q": q}
        from_h = h @ self.W_hh.swapaxes(1, 2)
        if self.cell == "gru":
            r, z = sigmoid(from_x[:2] + from_h[:2] + b[:2])
            q = from_h[2] + b[3]
            n = np.tanh(from_x[2] + b[2] + r * q)
            return n + z * (h - n), {"r": r, "z": z, "n": n, "q": q}
        a = from_x + from_h + b
        if self.cell == "tanh":
            return np.tanh(a[0]), {}
        if self.cell == "relu":
            return np.where(a[0] > 0, a[0], 0), {}
        if self.leak.size:
            v = np.tanh(a[0]) if "tanh" in self.cell else np.where(a[0] > 0, a[0], 0)
            return h + self.leak * (v - h), {"v": v}
        i, f, g, o = sigmoid(a[0]), sigmoid(a[1]), np.tanh(a[2]), sigmoid(a[3])
        c = f * state[:, self.H :] + i * g
        return np.concatenate([o * np.tanh(c), c], axis=1), {"i": i, "f": f, "g": g, "o": o}

    def forward(self, x, h0):
        """The states (B, T+1, states * H) with the first ones, and by name the gates (T, B, H)."""
        states, gates = [h0.astype(np.float64)], []
        for x_t in x.astype(np.float64).swapaxes(0, 1):
            state, gates_t = self.step(x_t, states[-1])
            states.append(state)
            gates.append(gates_t)
        by_name = {name: np.stack([gates_t[name] for gates_t in gates]) for name in gates[0]}
        return np.stack(states, axis=1), by_name

    def outputs(self, states):
        h = states[:, 1:, : self.H]
        return h if self.W_hy is None else h @ self.W_hy.T + self.b_y

    def output_gradients(self, states, dy):
        """dW_hy, db_y and dh."""
        return {
            "W_hy": einsum("bto,bth->oh", dy, states[:, 1:, : self.H]),
            "b_y": np.einsum("bto->o", dy),
            "h": dy @ self.W_hy,
        }

    def step_gradient(self, before, after, gates, dstate):
        """By block of b_h the gradient of its pre-activations; and of the state before."""
        H, W = self.H, self.W_hh
        dh = dstate[:, :H]
        if self.cell in ("tanh", "relu"):
            slope = 1 - after**2 if self.cell == "tanh" else 1.0 * (after > 0)
            return [dh * slope], (dh * slope) @ W[0]
        if self.leak.size:
            v = gates["v"]
            da = self.leak * dh * (1 - v**2 if "tanh" in self.cell else 1.0 * (v > 0))
            dleak = [dh * (v - before)] if self.cell.endswith("trained") else []
            return [da, *dleak], dh - self.leak * dh + da @ W[0]
        if self.cell == "lstm":
            i, f, g, o = (gates[name] for name in "ifgo")
            tanh_c = np.tanh(after[:, H:])
            dc = dstate[:, H:] + dh * o * (1 - tanh_c**2)
            da = [dc * g * (i - i**2), dc * before[:, H:] * (f - f**2), dc * i * (1 - g**2)]
            da.append(dh * tanh_c * (o - o**2))
            dh_before = sum(da_block @ W[block] for block, da_block in enumerate(da))
            return da, np.concatenate([dh_before, dc * f], axis=1)
        r, z, n, q = (gates[name] for name in "rznq")
        da_z, da_n = dh * (before - n) * (z - z**2), dh * (1 - z) * (1 - n**2)
        if self.cell == "gru":
            da_r, da_q = da_n * q * (r - r**2), da_n * r
            return [da_r, da_z, da_n, da_q], dh * z + da_r @ W[0] + da_z @ W[1] + da_q @ W[2]
        dq = da_n @ W[2]
        da_r = dq * before * (r - r**2)
        return [da_r, da_z, da_n], dh * z + dq * r + da_r @ W[0] + da_z @ W[1]

    def layer_gradients(self, x, states, gates, dh, dstate=None):
        """da, dW_xh, dW_hh, db_h, dx and dh0 of a layer that had these states and gates.

        `dstate` is the gradient of the last states, beside what comes through dh.
        """
        x, H = x.astype(np.float64), self.H
        B, T, _ = x.shape
        weights = len(self.W_hh)
        dstate = np.zeros_like(states[:, 0]) if dstate is None else dstate.astype(np.float64)
        da = [None] * T
        for t in reversed(range(T)):
            dstate[:, :H] += dh[:, t]
            # states[:, t + 1] is h_t of the formulas: states[:, 0] is h_0, and t starts at 0.
            gates_t = {name: values[t] for name, values in gates.items()}
            da[t], dstate = self.step_gradient(states[:, t], states[:, t + 1], gates_t, dstate)
        da = np.array(da)  # (T, blocks, B, H)
        h_before = states[:, :-1, :H]
        dW_hh = einsum("tgbh,btk->ghk", da[:, :weights], h_before)
        if self.cell == "gru":
            dW_hh[2] = einsum("tbh,btk->hk", da[:, 3], h_before)
        if self.cell == "gru_reset_before":
            dW_hh[2] = einsum("tbh,tbk->hk", da[:, 2], gates["q"])
        db_h = np.einsum("tgbh->gh", da).reshape(-1)
        if self.leak.size:
            dleak = db_h[H:] if len(self.leak) == H else db_h[H:].sum(keepdims=True)
            dleak = dleak if self.cell.endswith("trained") else np.zeros(len(self.leak))
            db_h = np.concatenate([db_h[:H], dleak])
        into_x = np.einsum("tgbh->btgh", da[:, :weights]).reshape(B, T, -1)
        return {
            "a": np.einsum("tgbh->btgh", da).reshape(B, T, -1),
            "W_xh": einsum("bth,bti->hi", into_x, x),
            "W_hh": dW_hh.reshape(weights * H, H),
            "b_h": db_h,
            "x": into_x @ self.W_xh,
            "h0": dstate,
        }

    def gradients(self, x, y, states, gates, loss):
        """The loss where states and gates are these, and its gradient by parameter."""
        value, dh = loss_and_gradient(loss, self.outputs(states), y)
        d = {}
        if self.W_hy is not None:
            d = self.output_gradients(states, dh)
            dh = d["h"]
        d |= self.layer_gradients(x, states, gates, dh)
        names = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")
        return value, {name: d[name] for name in names if name in d}


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
    values = np.eye(net.input_size)[x] if x.ndim == 1 else x.astype(float)
    starts = first_states(net, params) if h0 is None else h0
    starts = np.reshape(starts, (net.num_layers * (2 if net.bidirectional else 1), -1))
    lasts, H = [], net.hidden_size
    for layer in range(net.num_layers):
        sides = []
        for suffix in ("", "_reverse")[: 2 if net.bidirectional else 1]:
            backwards = suffix == "_reverse"
            suffix = (f"_l{layer}" if layer else "") + suffix
            weights = {name: params[name + suffix] for name in ("W_xh", "W_hh", "b_h")}
            leak = params.get("leak" + suffix, np.zeros(0))
            weights["b_h"] = np.concatenate([weights["b_h"], leak])
            steps = values[::-1] if backwards else values
            start = starts[len(lasts)]
            states = Layer(net.architecture.cell, weights).forward(steps[None], start[None])[0][0]
            lasts.append(states[-1])
            sides.append(states[:0:-1, :H] if backwards else states[1:, :H])
        values = np.concatenate(sides, axis=1)
    if not net.return_sequences:
        values = np.concatenate([last[:H] for last in lasts[-len(sides) :]])
    y = values if net.output_size is None else values @ params["W_hy"].T + params["b_y"]
    return y, np.array(lasts) if len(lasts) > 1 else lasts[0]


def batch(net, x, lengths, h0=None):
    """Outputs, zero past the ends, and packed last states of sequences side by side."""
    outputs, lasts = [], []
    for b, length in enumerate(lengths):
        y, h_n = sequence(net, x[b, :length], None if h0 is None else h0[..., b, :])
        if net.return_sequences:
            y = np.concatenate([y, np.zeros((x.shape[1] - length, y.shape[1]))])
        outputs.append(y)
        lasts.append(h_n)
    return np.array(outputs), np.stack(lasts, axis=-2)
