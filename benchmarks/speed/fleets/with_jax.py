"""`jax.vmap` over the parameters of all models."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.speed.fleets import CHECKED_STEPS, RATE, Job, Problem
from benchmarks.speed.timing import fastest

jnp = jax.numpy

UNROLLINGS = (1, 4)


def version() -> tuple[Callable[[], object], str]:
    """Return the version of JAX, for a worker that shows whether it has one."""
    return (lambda: None), jax.__version__


def jax_job(p: Problem, operation: str, theta: np.ndarray) -> Job:
    """Return the job of jax.vmap, and what it is checked by."""
    blocks, biases = (3, 4) if p.family == "GRU" else (1, 1)
    shapes = ((blocks * p.H, p.I), (blocks * p.H, p.H), (biases * p.H,), (p.O, p.H), (p.O,))
    x, y = p.data()
    x, y = jnp.asarray(x.swapaxes(0, 1)), jnp.asarray(y.swapaxes(0, 1))

    def split(flat: Any) -> list[Any]:
        parts, first = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            parts.append(flat[first : first + size].reshape(shape))
            first += size
        return parts

    def outputs(flat: Any, unroll: int) -> Any:
        W_xh, W_hh, b_h, W_hy, b_y = split(flat)
        H = p.H
        projected = x @ W_xh.T + b_h[: blocks * H]

        def gru(h: Any, z: Any) -> Any:
            a = h @ W_hh.T
            r, u = (
                jax.nn.sigmoid(z[:, :H] + a[:, :H]),
                jax.nn.sigmoid(z[:, H : 2 * H] + a[:, H : 2 * H]),
            )
            n = jnp.tanh(z[:, 2 * H :] + r * (a[:, 2 * H :] + b_h[3 * H :]))
            h = (1 - u) * n + u * h
            return h, h

        def plain(h: Any, z: Any) -> Any:
            h = jnp.tanh(z + h @ W_hh.T)
            return h, h

        step = gru if p.family == "GRU" else plain
        h0 = jnp.zeros((p.B, H), jnp.float32)
        return jax.lax.scan(step, h0, projected, unroll=unroll)[1] @ W_hy.T + b_y

    def loss(flat: Any, unroll: int) -> Any:
        return jnp.mean((outputs(flat, unroll) - y) ** 2)

    if operation == "predict":

        def predictor(unroll: int) -> Callable[[], object]:
            function = jax.jit(jax.vmap(functools.partial(outputs, unroll=unroll)))
            flat = jnp.asarray(theta)
            return lambda: function(flat).block_until_ready()

        job = fastest(*(predictor(unroll) for unroll in UNROLLINGS))
        return job, np.asarray(job())[:2].swapaxes(1, 2)

    class Step:
        """Steps of Adam of all models."""

        def __init__(self, unroll: int) -> None:
            gradient = jax.vmap(jax.value_and_grad(functools.partial(loss, unroll=unroll)))

            def step(flat: Any, mean: Any, square: Any, t: Any) -> Any:
                values, g = gradient(flat)
                mean = mean + 0.1 * (g - mean)
                square = 0.999 * square + 0.001 * g * g
                unbias = 1 / jnp.sqrt(1 - 0.999**t)
                rate = RATE / (1 - 0.9**t)
                flat = flat - rate * mean / (jnp.sqrt(square) * unbias + 1e-8)
                return flat, mean, square, t + 1, values

            self.step = jax.jit(step, donate_argnums=(0, 1, 2))
            zeros = np.zeros_like(theta)
            self.state = jnp.array(theta), jnp.array(zeros), jnp.array(zeros), jnp.float32(1)

        def __call__(self) -> object:
            *state, values = self.step(*self.state)
            self.state = tuple(state)
            return values.block_until_ready()

    checked = Step(UNROLLINGS[0])
    for _ in range(CHECKED_STEPS):
        checked()
    return fastest(*(Step(unroll) for unroll in UNROLLINGS)), np.asarray(checked.state[0])
