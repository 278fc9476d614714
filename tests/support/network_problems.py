"""Random networks, and data for them.

Sizes are all different, so a swapped axis changes a shape. Every parameter is random and
asymmetric, biases included, so a swapped gate, layer or direction changes a number.

A state is *packed* where it is one array: for an LSTM h and then c in one row.
"""

import numpy as np

import crnn

B, T, I, H, O = 4, 7, 3, 5, 2
LENGTHS = np.array([5, 2, 7, 1])
# The first step, the last, neighbors, all of the two that LENGTHS leave, and none
SKIP = np.array([[1, 0, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 1], [0] * 7]) > 0
DTYPES = ("float32", "float64")

CELLS = {
    "tanh": {"family": "RNN"},
    "relu": {"family": "RNN", "nonlinearity": "relu"},
    "gru": {"family": "GRU"},
    "gru reset before": {"family": "GRU", "reset_after": False},
    "lstm": {"family": "LSTM"},
}
# Integrations and learners refuse leaks.
LEAKY_CELLS = {
    "leaky tanh": {"family": "RNN", "leak": "each", "trainable_leak": True},
    "leaky relu": {"family": "RNN", "nonlinearity": "relu", "leak": 0.3, "trainable_leak": True},
}
ALL_CELLS = CELLS | LEAKY_CELLS
FAMILIES = ("RNN", "GRU", "LSTM")

ARCHITECTURES = {
    "one layer": {},
    "layers": {"num_layers": 3},
    "both directions": {"bidirectional": True},
    "layers in both directions": {"num_layers": 2, "bidirectional": True},
    "one output": {"return_sequences": False},
    "one output of both directions": {"return_sequences": False, "bidirectional": True},
    "trained h0": {"trainable_h0": True, "num_layers": 2},
    "no output layer": {"num_layers": 2, "bidirectional": True, "output_size": None},
    "one output, no output layer": {"return_sequences": False, "output_size": None},
}


def network(
    input_size=I,
    hidden_size=H,
    output_size=O,
    *,
    family="RNN",
    dtype="float64",
    seed=0,
    implementation=None,
    **settings,
):
    """Make a network all of whose parameters are random, leaks aside.

    A leak of "each" gives each unit its own.
    """
    if isinstance(settings.get("leak"), str):
        settings["leak"] = np.linspace(0.2, 1, hidden_size)
    net = getattr(crnn, family)(
        input_size, hidden_size, output_size, dtype=dtype, seed=seed, implementation=implementation,
        **settings,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    for name, values in net.params.items():
        # Scaled by fan-in, so that tanh works in its curved part: neither linear nor flat.
        scale = 0.9 / np.sqrt(values.shape[-1]) if name.startswith("W") else 0.4
        if not name.startswith("leak"):
            values[...] = scale * rng.standard_normal(values.shape)
    return net


def inputs(net, batch=B, time=T, seed=1):
    """Features or category numbers (batch, time, ...); without a batch, one sequence."""
    rng = np.random.default_rng(seed)
    shape = (time,) if batch is None else (batch, time)
    if net.architecture.categorical:
        return rng.integers(net.input_size, size=shape)
    return rng.standard_normal((*shape, net.input_size)).astype(net.dtype)


def targets(net, batch=B, time=T, seed=2, classes=False):
    """Targets of each step, or of each sequence: numbers, or class numbers."""
    rng = np.random.default_rng(seed)
    shape = () if batch is None else (batch,)
    shape += (time,) if net.return_sequences else ()
    outputs = net.architecture.outputs
    if classes:
        return rng.integers(outputs, size=shape)
    return rng.standard_normal((*shape, outputs)).astype(net.dtype)


def random_state(net, batch=B, seed=3):
    """A packed state, as `predict` takes it after `unpacked`."""
    of_batch = () if batch is None else (batch,)
    layers = net.num_layers * (2 if net.bidirectional else 1)
    size = net.hidden_size * (2 if isinstance(net, crnn.LSTM) else 1)
    shape = (*((layers,) if layers > 1 else ()), *of_batch, size)
    return np.tanh(np.random.default_rng(seed).standard_normal(shape)).astype(net.dtype)


def unpacked(net, state):
    """A packed state as users pass it: for an LSTM a pair."""
    if state is None or not isinstance(net, crnn.LSTM):
        return state
    return state[..., : net.hidden_size], state[..., net.hidden_size :]


def packed(state):
    """A state that a network returned, in one array."""
    return np.concatenate(state, axis=-1) if isinstance(state, tuple) else state


def as_list(array, lengths=LENGTHS):
    """A list of sequences of these lengths."""
    return [row[:length] for row, length in zip(array, lengths, strict=True)]


class _Kept(crnn.SGD):
    """Keeps the gradient of its last step."""

    def step(self, kernels, theta, dtheta, constraints=None):
        self.gradient = dtheta.copy()
        return super().step(kernels, theta, dtheta, constraints)


def step_gradient(net, x, y, **settings):
    """Loss and gradient that a step of training takes; the network stays as it was."""
    before, optimizer = net.flat_params.copy(), _Kept(1.0)
    loss = net.train_step(x, y, optimizer, **settings)
    net.flat_params[...] = before
    return loss, optimizer.gradient
