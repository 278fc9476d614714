"""JAX: jitted functions, the recurrence a lax.scan, everything that does not recur outside it.

Left to itself, the gradient of a scan adds up dW_hh step by step: half as long again a training
step of nano, a quarter more of small and charlm, the same of medium. So the states have a gradient
written for them. Data stays in JAX's own arrays and parameters are donated; of two unrollings the
faster one runs.
"""

import functools

import jax
import numpy as np

from benchmarks.rivals import NAMES, Problem
from benchmarks.timing import fastest

jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

UNROLLINGS = (1, 4)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _states(unroll, W_hh, z):
    """z (T, B, H) is what reaches the tanh from outside the recurrence."""

    def step(h, z):
        h = jnp.tanh(z + h @ W_hh.T)
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(z[0]), z, unroll=unroll)[1]


def _states_forward(unroll, W_hh, z):
    h = _states(unroll, W_hh, z)
    return h, (W_hh, h)


def _states_backward(unroll, kept, dh):
    W_hh, h = kept

    def step(carried, at):
        h, dh = at
        da = (dh + carried) * (1 - h * h)
        return da @ W_hh, da

    _, da = jax.lax.scan(step, jnp.zeros_like(h[0]), (h, dh), reverse=True, unroll=unroll)
    return jnp.einsum("tbi,tbj->ij", da[1:], h[:-1]), da


_states.defvjp(_states_forward, _states_backward)


def _outputs(params, x, unroll):
    """x (T, B, I)."""
    h = _states(unroll, params["W_hh"], x @ params["W_xh"].T + params["b_h"])
    return h @ params["W_hy"].T + params["b_y"]


def _loss(params, x, y, unroll):
    return jnp.mean((_outputs(params, x, unroll) - y) ** 2)


@functools.partial(jax.jit, static_argnames="unroll", donate_argnames="params")
def _train(params, x, y, lr, unroll):
    loss, gradient = jax.value_and_grad(_loss)(params, x, y, unroll)
    return loss, jax.tree.map(lambda p, g: p - lr * g, params, gradient)


_predict = jax.jit(_outputs, static_argnames="unroll")


@functools.partial(jax.jit, donate_argnames="h")
def _step(params, x, h):
    h = jnp.tanh(x @ params["W_xh"].T + params["b_h"] + h @ params["W_hh"].T)
    return h @ params["W_hy"].T + params["b_y"], h


def _params(problem: Problem):
    return {name: jnp.array(problem.params[name]) for name in NAMES}


def _time_major(array: np.ndarray):
    return jnp.array(array.swapaxes(0, 1))


class _Train:
    def __init__(self, problem: Problem) -> None:
        self._params = _params(problem)
        self._x, self._y = _time_major(problem.x), _time_major(problem.y)
        self.lr = 0.0
        forms = {self._form(unroll): unroll for unroll in UNROLLINGS}
        self._unroll = forms[fastest(*forms)]

    @property
    def lr(self) -> float:
        return float(self._lr)

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = jnp.array(value, self._x.dtype)

    def _form(self, unroll: int):
        def run():
            loss, self._params = _train(self._params, self._x, self._y, self._lr, unroll)
            return loss.block_until_ready()

        return run

    def __call__(self) -> object:
        loss, self._params = _train(self._params, self._x, self._y, self._lr, self._unroll)
        return jax.block_until_ready((loss, self._params))

    def parameters(self) -> dict[str, np.ndarray]:
        return {name: np.array(self._params[name]) for name in NAMES}


def train_step(problem: Problem) -> _Train:
    return _Train(problem)


def inference(problem: Problem):
    params, x = _params(problem), _time_major(problem.x)

    def form(unroll):
        return lambda: _predict(params, x, unroll).block_until_ready()

    return fastest(*map(form, UNROLLINGS))


def streaming_step(problem: Problem):
    params = _params(problem)
    h = jnp.zeros((problem.cell.B, problem.cell.H), problem.dtype)

    def step(x_t):
        nonlocal h
        y, h = _step(params, x_t, h)
        return np.asarray(y)

    return step
