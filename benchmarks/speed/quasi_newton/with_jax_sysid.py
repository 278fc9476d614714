"""jax-sysid's L-BFGS on the same network."""

from collections.abc import Callable

import jax
import numpy as np
from flax import linen
from jax_sysid.models import RNN

from benchmarks.speed.quasi_newton import HIDDEN_SIZE, Problem

jax.config.update("jax_enable_x64", True)


class StateUpdate(linen.Module):
    """h_t = tanh(W_hh h_{t-1} + W_xh x_t + b_h)."""

    @linen.compact
    def __call__(self, joined: jax.Array) -> jax.Array:
        """Take h_{t-1} and x_t joined."""
        return linen.tanh(linen.Dense(HIDDEN_SIZE)(joined))


class Output(linen.Module):
    """y_t = W_hy h_t + b_y."""

    @linen.compact
    def __call__(self, joined: jax.Array) -> jax.Array:
        """Take h_t and x_{t+1} joined."""
        return linen.Dense(1)(joined[:HIDDEN_SIZE])


def fit(p: Problem, evaluations: int) -> tuple[Callable[[], object], dict[str, float]]:
    """Fit; return the seconds in its solver, and the mean squared error."""
    model = RNN(HIDDEN_SIZE, 1, 1, StateUpdate, Output)
    weights = np.concatenate([p.params["W_hh"].T, p.params["W_xh"].T])
    params = [p.params["b_h"], weights, p.params["b_y"], p.params["W_hy"].T]
    model.init(params=[jax.numpy.asarray(one) for one in params])
    model.loss(rho_x0=0.0, rho_th=0.0, train_x0=False)
    model.optimization(adam_epochs=0, lbfgs_epochs=evaluations, lbfgs_tol=0.0, iprint=-1, memory=10)
    # Its outputs come before the state reads the input of the step.
    u, y = np.concatenate([p.u, np.zeros((1, 1))]), np.concatenate([np.zeros((1, 1)), p.y])
    first = np.asarray(model.predict(np.zeros(HIDDEN_SIZE), u)[0])
    model.output_loss = lambda found, wanted: jax.numpy.mean((found[1:] - wanted[1:]) ** 2)
    model.fit(y, u)
    last = np.asarray(model.predict(np.zeros(HIDDEN_SIZE), u)[0])
    found = {"seconds": float(model.t_solve), "error": float(np.mean((last[1:] - p.y) ** 2))}
    found["first"] = float(np.mean((first[1:] - p.y) ** 2))
    return (lambda: None), found
