"""JAX: jitted functions, with a lax.scan for the recurrence alone.

The gradient that JAX derives from a scan adds up dW_hh step by step. With it a training step takes
half as long again for nano, a quarter more for small and charlm, and the same for medium. So the
states of every kind have a gradient written by hand. Data stays in JAX's arrays, and parameters are
donated. The faster of two unrollings runs.
"""

import functools

import jax
import numpy as np

from benchmarks.speed.rivals import NAMES, Problem
from benchmarks.speed.timing import fastest

jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

# With more units than MOST_UNROLLED, a step of the loop costs nothing beside the products.
UNROLLINGS, MOST_UNROLLED = (1, 4), 256


def _unrollings(problem: Problem) -> tuple[int, ...]:
    return UNROLLINGS if problem.sizes.H <= MOST_UNROLLED else UNROLLINGS[:1]


def _scanned(step_of, backward_of):
    """Return a function from (unroll, W_hh, b_hn, z) to the states (T, B, H), with its gradient.

    z (T, B, blocks * H) is W_xh x plus its bias. `step_of` and `backward_of` take W_hh and b_hn and
    return the functions of one step.
    """

    def scan(unroll, W_hh, b_hn, z):
        h = jnp.zeros((z.shape[1], W_hh.shape[1]), z.dtype)
        return jax.lax.scan(step_of(W_hh, b_hn), (h, h), z, unroll=unroll)[1]

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def states(unroll, W_hh, b_hn, z):
        return scan(unroll, W_hh, b_hn, z)[0]

    def forward(unroll, W_hh, b_hn, z):
        saved = scan(unroll, W_hh, b_hn, z)
        return saved[0], (W_hh, b_hn, saved)

    def backward(unroll, residuals, dh):
        W_hh, b_hn, saved = residuals
        h = saved[0]
        # For each step: the states before it
        before = [jnp.concatenate([jnp.zeros_like(s[:1]), s[:-1]]) for s in saved[:2]]
        zero = jnp.zeros_like(h[0])
        _, (dz, da) = jax.lax.scan(
            backward_of(W_hh, b_hn),
            (zero, zero),
            (dh, *before, *saved),
            reverse=True,
            unroll=unroll,
        )
        db_hn = da[..., -h.shape[2] :].sum((0, 1)) if b_hn is not None else None
        return jnp.einsum("tbi,tbj->ij", da[1:], h[:-1]), db_hn, dz

    states.defvjp(forward, backward)
    return states


def _rnn_step(W_hh, _):
    def step(carry, z):
        h = jnp.tanh(z + carry[0] @ W_hh.T)
        return (h, carry[1]), (h, h)

    return step


def _rnn_backward(W_hh, _):
    def step(carry, at):
        dh, _, _, h, _ = at
        da = (dh + carry[0]) * (1 - h * h)
        return (da @ W_hh, carry[1]), (da, da)

    return step


def _gru_step(W_hh, b_hn):
    def step(carry, z):
        h = carry[0]
        from_h = h @ W_hh.T
        (a_r, a_z, a_n), (h_r, h_z, h_n) = jnp.split(z, 3, -1), jnp.split(from_h, 3, -1)
        r, u = jax.nn.sigmoid(a_r + h_r), jax.nn.sigmoid(a_z + h_z)
        q = h_n + b_hn
        n = jnp.tanh(a_n + r * q)
        h = n + u * (h - n)
        return (h, carry[1]), (h, h, r, u, n, q)

    return step


def _gru_backward(W_hh, _):
    def step(carry, at):
        dh, before, _, _, _, r, u, n, q = at
        dh = dh + carry[0]
        da_n = dh * (1 - u) * (1 - n * n)
        da_r, da_z = da_n * q * r * (1 - r), dh * (before - n) * u * (1 - u)
        da = jnp.concatenate([da_r, da_z, da_n * r], -1)
        dz = jnp.concatenate([da_r, da_z, da_n], -1)
        return (dh * u + da @ W_hh, carry[1]), (dz, da)

    return step


def _lstm_step(W_hh, _):
    def step(carry, z):
        h, c = carry
        i, f, g, o = jnp.split(z + h @ W_hh.T, 4, -1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = f * c + i * g
        h = o * jnp.tanh(c)
        return (h, c), (h, c, i, f, g, o)

    return step


def _lstm_backward(W_hh, _):
    def step(carry, at):
        dh, _, c_before, _, c, i, f, g, o = at
        dh, tanh_c = dh + carry[0], jnp.tanh(c)
        dc = carry[1] + dh * o * (1 - tanh_c * tanh_c)
        da = jnp.concatenate(
            [
                dc * g * i * (1 - i),
                dc * c_before * f * (1 - f),
                dc * i * (1 - g * g),
                dh * tanh_c * o * (1 - o),
            ],
            -1,
        )
        return (da @ W_hh, dc * f), (da, da)

    return step


STEPS = {"RNN": _rnn_step, "GRU": _gru_step, "LSTM": _lstm_step}
STATES = {
    "RNN": _scanned(_rnn_step, _rnn_backward),
    "GRU": _scanned(_gru_step, _gru_backward),
    "LSTM": _scanned(_lstm_step, _lstm_backward),
}


def _biases(kind, params):
    """Return the bias of W_xh x and, for a GRU, the bias of W_hn h."""
    b_h, H = params["b_h"], params["W_hh"].shape[1]
    return (b_h[: 3 * H], b_h[3 * H :]) if kind == "GRU" else (b_h, None)


def _outputs(params, x, kind, unroll):
    """x (T, B, I)."""
    b_x, b_hn = _biases(kind, params)
    h = STATES[kind](unroll, params["W_hh"], b_hn, x @ params["W_xh"].T + b_x)
    return h @ params["W_hy"].T + params["b_y"]


def _loss(params, x, y, kind, unroll):
    return jnp.mean((_outputs(params, x, kind, unroll) - y) ** 2)


@functools.partial(jax.jit, static_argnames=("kind", "unroll"), donate_argnames="params")
def _train(params, x, y, lr, kind, unroll):
    loss, gradient = jax.value_and_grad(_loss)(params, x, y, kind, unroll)
    return loss, jax.tree.map(lambda p, g: p - lr * g, params, gradient)


_predict = jax.jit(_outputs, static_argnames=("kind", "unroll"))


@functools.partial(jax.jit, static_argnames="kind", donate_argnames="states")
def _step(params, x, states, kind):
    b_x, b_hn = _biases(kind, params)
    step = STEPS[kind](params["W_hh"], b_hn)
    states, _ = step(states, x @ params["W_xh"].T + b_x)
    return states[0] @ params["W_hy"].T + params["b_y"], states


def _params(problem: Problem):
    return {name: jnp.array(problem.params[name]) for name in NAMES}


def _time_major(array: np.ndarray):
    return jnp.array(array.swapaxes(0, 1))


class _Train:
    def __init__(self, problem: Problem) -> None:
        self._kind, self._params = problem.kind, _params(problem)
        self._x, self._y = _time_major(problem.x), _time_major(problem.y)
        self.lr = 0.0
        forms = {self._form(unroll): unroll for unroll in _unrollings(problem)}
        self._unroll = forms[fastest(*forms)]

    @property
    def lr(self) -> float:
        return float(self._lr)

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = jnp.array(value, self._x.dtype)

    def _form(self, unroll: int):
        def run():
            loss, self._params = _train(
                self._params, self._x, self._y, self._lr, self._kind, unroll
            )
            return loss.block_until_ready()

        return run

    def __call__(self) -> object:
        loss, self._params = _train(
            self._params, self._x, self._y, self._lr, self._kind, self._unroll
        )
        return jax.block_until_ready((loss, self._params))

    def parameters(self) -> dict[str, np.ndarray]:
        return {name: np.array(self._params[name]) for name in NAMES}


def train_step(problem: Problem) -> _Train:
    return _Train(problem)


def inference(problem: Problem):
    params, x = _params(problem), _time_major(problem.x)

    def form(unroll):
        return lambda: _predict(params, x, problem.kind, unroll).block_until_ready()

    return fastest(*map(form, _unrollings(problem)))


def streaming_step(problem: Problem):
    params = _params(problem)
    # For an LSTM: h and c. The other kinds carry an unused number in place of c.
    shapes = [(problem.sizes.B, problem.sizes.H)] + [
        (problem.sizes.B, problem.sizes.H) if problem.kind == "LSTM" else ()
    ]
    states = tuple(jnp.zeros(shape, problem.dtype) for shape in shapes)

    def step(x_t):
        nonlocal states
        y, states = _step(params, x_t, states, problem.kind)
        return np.asarray(y)

    return step
