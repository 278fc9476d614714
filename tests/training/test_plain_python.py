"""A training loop in plain Python, straight from the equations with lists; fit agrees with it.

Nothing below but the last functions knows of arrays, of this package or of its shapes: one
sequence is a list of steps, a step a list of numbers. The names are those of the equations, with
``da_next`` for da_{t+1} and ``h[t]`` for h_t, h[0] being zero.
"""

import math

import numpy as np
import pytest

import crnn

I, H, O = 2, 4, 3
STEPS = 5
# Seven sequences in batches of three: the last batch of an epoch is smaller.
SEQUENCES, BATCH_SIZE = 7, 3
EPOCHS = 4
LR = 0.03

# The two programs differ by rounding alone, some 1e-16 a step, which 12 steps of a gentle
# learning rate hardly amplify.
RELATIVE_TOLERANCE = 1e-13


def forward(theta, x):
    h, y = [[0.0] * H], []
    for x_t in x:
        h_t = []
        for row in range(H):
            a = theta["b_h"][row]
            a += sum(theta["W_xh"][row][column] * x_t[column] for column in range(I))
            a += sum(theta["W_hh"][row][column] * h[-1][column] for column in range(H))
            h_t.append(math.tanh(a))
        h.append(h_t)
        y_t = []
        for row in range(O):
            products = [theta["W_hy"][row][column] * h_t[column] for column in range(H)]
            y_t.append(theta["b_y"][row] + sum(products))
        y.append(y_t)
    return h, y


def backward(theta, x, h, dy, grads):
    """Add the gradients of one sequence to grads."""
    da_next = [0.0] * H
    for t in range(len(x), 0, -1):
        dy_t, x_t = dy[t - 1], x[t - 1]
        da = []
        for unit in range(H):
            dh = sum(theta["W_hy"][row][unit] * dy_t[row] for row in range(O))
            dh += sum(theta["W_hh"][row][unit] * da_next[row] for row in range(H))
            da.append(dh * (1.0 - h[t][unit] ** 2))
        for row in range(O):
            grads["b_y"][row] += dy_t[row]
            for column in range(H):
                grads["W_hy"][row][column] += dy_t[row] * h[t][column]
        for row in range(H):
            grads["b_h"][row] += da[row]
            for column in range(I):
                grads["W_xh"][row][column] += da[row] * x_t[column]
            for column in range(H):
                grads["W_hh"][row][column] += da[row] * h[t - 1][column]
        da_next = da


def zeros_like(theta):
    return {
        name: [[0.0] * len(row) for row in values]
        if isinstance(values[0], list)
        else [0.0] * len(values)
        for name, values in theta.items()
    }


def flat(values):
    return [number for row in values for number in (row if isinstance(row, list) else [row])]


def rows(values):
    """The lists of numbers of a matrix, or the one list of a vector."""
    return values if isinstance(values[0], list) else [values]


def change(first, second, function):
    """first = function(first, second), element by element in place."""
    for name in first:
        for row, other in zip(rows(first[name]), rows(second[name]), strict=True):
            for index, number in enumerate(other):
                row[index] = function(row[index], number)


def train(theta, x, y, *, loss, momentum, nesterov, clip_norm, clip_value):
    """Train in place; give the loss and the gradient norm of every epoch."""
    velocity = zeros_like(theta)
    losses, norms = [], []
    for _ in range(EPOCHS):
        squares, batch_norms = 0.0, []
        for start in range(0, SEQUENCES, BATCH_SIZE):
            batch = list(zip(x, y, strict=True))[start : start + BATCH_SIZE]
            scale = 1.0 if loss == "sse" else 2.0 / (len(batch) * STEPS * O)
            grads = zeros_like(theta)
            for sequence, target in batch:
                h, y_hat = forward(theta, sequence)
                error = [
                    [a - b for a, b in zip(y_hat_t, y_t, strict=True)]
                    for y_hat_t, y_t in zip(y_hat, target, strict=True)
                ]
                squares += sum(e * e for e_t in error for e in e_t)
                dy = [[scale * e for e in e_t] for e_t in error]
                backward(theta, sequence, h, dy, grads)
            numbers = [number for values in grads.values() for number in flat(values)]
            norm = math.sqrt(sum(number * number for number in numbers))
            batch_norms.append(norm)
            if clip_norm is not None and norm > clip_norm:
                change(grads, grads, lambda g, _, s=clip_norm / norm: g * s)
            if clip_value is not None:
                change(grads, grads, lambda g, _: max(-clip_value, min(clip_value, g)))
            change(velocity, grads, lambda v, g: momentum * v + g)
            if nesterov:
                change(grads, velocity, lambda g, v: g + momentum * v)
            else:
                change(grads, velocity, lambda g, v: v)
            change(theta, grads, lambda p, step: p - LR * step)
        losses.append(squares / 2 if loss == "sse" else squares / (SEQUENCES * STEPS * O))
        norms.append(sum(batch_norms) / len(batch_norms))
    return losses, norms


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="sse"),
        pytest.param({"loss": "mse"}, id="mse"),
        pytest.param({"momentum": 0.6}, id="momentum"),
        pytest.param({"momentum": 0.6, "nesterov": True}, id="nesterov"),
        # Some of the norms of this problem lie above two and some of the elements above a half.
        pytest.param({"clip_norm": 2.0}, id="clip_norm"),
        pytest.param({"clip_value": 0.5}, id="clip_value"),
        pytest.param({"clip_norm": 2.0, "momentum": 0.6}, id="clip_norm and momentum"),
    ],
)
def test_fit_agrees_with_plain_python(build_network, options):
    options = {
        "loss": "sse", "momentum": 0.0, "nesterov": False, "clip_norm": None, "clip_value": None,
    } | options  # fmt: skip
    rng = np.random.default_rng(1)
    x = rng.standard_normal((SEQUENCES, STEPS, I))
    y = rng.standard_normal((SEQUENCES, STEPS, O))
    net = build_network(input_size=I, hidden_size=H, output_size=O, seed=2)
    theta = {name: values.tolist() for name, values in net.params.items()}

    losses, norms = train(theta, x.tolist(), y.tolist(), **options)
    if options["clip_norm"] is not None:
        assert max(norms) > options["clip_norm"]
    history = net.fit(
        x, y, epochs=EPOCHS, batch_size=BATCH_SIZE,
        optimizer=crnn.SGD(lr=LR, momentum=options["momentum"], nesterov=options["nesterov"]),
        loss=options["loss"], clip_norm=options["clip_norm"], clip_value=options["clip_value"],
        shuffle=False,
    )  # fmt: skip

    for name, values in net.params.items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(
            values, theta[name], rtol=0, atol=RELATIVE_TOLERANCE * np.abs(values).max(),
            err_msg=name,
        )  # fmt: skip
    assert history.loss == pytest.approx(losses, rel=RELATIVE_TOLERANCE)
    assert history.grad_norm == pytest.approx(norms, rel=RELATIVE_TOLERANCE)


def test_plain_python_predicts_alike(build_network):
    # So that a disagreement above is known to lie in the backward part or the loop.
    x = np.random.default_rng(3).standard_normal((STEPS, I))
    net = build_network(input_size=I, hidden_size=H, output_size=O, seed=4)
    theta = {name: values.tolist() for name, values in net.params.items()}
    _, y_hat = forward(theta, x.tolist())
    np.testing.assert_allclose(net.predict(x), y_hat, rtol=RELATIVE_TOLERANCE)
