"""The third implementation: float64 einsum with named axes. It shares no code with the kernels.

Axes are b batch, t time, i input, h and k hidden, o output, g block of H (a gate of the cell).
"""

import numpy as np


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


class EinsumNetwork:
    """One recurrent layer and, where there is one, an output layer."""

    def __init__(self, cell, params):
        wide = {name: values.astype(np.float64) for name, values in params.items()}
        W_xh, W_hh, b_h = wide["W_xh"], wide["W_hh"], wide["b_h"]
        H = W_hh.shape[1]
        self.cell, self.H = cell, H
        self.W_xh = W_xh.reshape(-1, H, W_xh.shape[1])
        self.W_hh = W_hh.reshape(-1, H, H)
        self.b_h = b_h.reshape(-1, H)
        self.W_hy, self.b_y = wide.get("W_hy"), wide.get("b_y")

    def step(self, x_t, state):
        """The state after a step, and by name the gates that the gradients are made of."""
        h = state[:, : self.H]
        from_x = einsum("ghi,bi->gbh", self.W_xh, x_t)
        from_h = einsum("ghk,bk->gbh", self.W_hh, h)
        b = self.b_h[:, None]
        if self.cell == "tanh":
            return np.tanh(from_x[0] + from_h[0] + b[0]), {}
        if self.cell == "relu":
            a = from_x[0] + from_h[0] + b[0]
            return np.where(a > 0, a, 0), {}
        if self.cell == "lstm":
            a = from_x + from_h + b
            i, f, g, o = sigmoid(a[0]), sigmoid(a[1]), np.tanh(a[2]), sigmoid(a[3])
            c = f * state[:, self.H :] + i * g
            return np.concatenate([o * np.tanh(c), c], axis=1), {"i": i, "f": f, "g": g, "o": o}
        r = sigmoid(from_x[0] + from_h[0] + b[0])
        z = sigmoid(from_x[1] + from_h[1] + b[1])
        if self.cell == "gru":
            q = from_h[2] + b[3]
            n = np.tanh(from_x[2] + b[2] + r * q)
        else:
            q = r * h
            n = np.tanh(from_x[2] + b[2] + einsum("hk,bk->bh", self.W_hh[2], q))
        return n + z * (h - n), {"r": r, "z": z, "n": n, "q": q}

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
        return h if self.W_hy is None else einsum("oh,bth->bto", self.W_hy, h) + self.b_y

    def output_gradients(self, states, dy):
        """dW_hy, db_y and dh."""
        return {
            "W_hy": einsum("bto,bth->oh", dy, states[:, 1:, : self.H]),
            "b_y": np.einsum("bto->o", dy),
            "h": einsum("oh,bto->bth", self.W_hy, dy),
        }

    def step_gradient(self, before, after, gates, dstate):
        """By block of b_h the gradient of its pre-activations; and of the state before."""
        H = self.H
        dh = dstate[:, :H]

        def back(g, da):
            return einsum("hk,bh->bk", self.W_hh[g], da)

        if self.cell in ("tanh", "relu"):
            slope = 1 - after**2 if self.cell == "tanh" else 1.0 * (after > 0)
            return [dh * slope], back(0, dh * slope)
        if self.cell == "lstm":
            i, f, g, o = (gates[name] for name in "ifgo")
            tanh_c = np.tanh(after[:, H:])
            dc = dstate[:, H:] + dh * o * (1 - tanh_c**2)
            da = [dc * g * (i - i**2), dc * before[:, H:] * (f - f**2), dc * i * (1 - g**2)]
            da.append(dh * tanh_c * (o - o**2))
            dh_before = sum(back(block, da_block) for block, da_block in enumerate(da))
            return da, np.concatenate([dh_before, dc * f], axis=1)
        r, z, n, q = (gates[name] for name in "rznq")
        da_z, da_n = dh * (before - n) * (z - z**2), dh * (1 - z) * (1 - n**2)
        if self.cell == "gru":
            da_r, da_q = da_n * q * (r - r**2), da_n * r
            return [da_r, da_z, da_n, da_q], dh * z + back(0, da_r) + back(1, da_z) + back(2, da_q)
        dq = back(2, da_n)
        da_r = dq * before * (r - r**2)
        return [da_r, da_z, da_n], dh * z + dq * r + back(0, da_r) + back(1, da_z)

    def layer_gradients(self, x, states, gates, dh, dc=None):
        """da, dW_xh, dW_hh, db_h, dx and dh0 of a layer that had these states and gates."""
        x, H = x.astype(np.float64), self.H
        B, T, _ = x.shape
        weights = len(self.W_xh)
        da, dstate = [None] * T, np.zeros_like(states[:, 0])
        for t in reversed(range(T)):
            dstate[:, :H] += dh[:, t]
            if dc is not None:
                dstate[:, H:] += dc[:, t]
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
        into_x = np.einsum("tgbh->btgh", da[:, :weights])
        return {
            "a": np.einsum("tgbh->btgh", da).reshape(B, T, -1),
            "W_xh": einsum("btgh,bti->ghi", into_x, x).reshape(weights * H, -1),
            "W_hh": dW_hh.reshape(weights * H, H),
            "b_h": np.einsum("tgbh->gh", da).reshape(-1),
            "x": einsum("ghi,btgh->bti", self.W_xh, into_x),
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
