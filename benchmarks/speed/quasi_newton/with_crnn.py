"""`crnn.LBFGS`, and SciPy's L-BFGS-B on crnn's loss and gradient."""

import time

import numpy as np

import crnn
from benchmarks.speed.quasi_newton import HIDDEN_SIZE, Problem


def network(p: Problem) -> crnn.RNN:
    """Return a network with the first parameters."""
    net = crnn.RNN(1, HIDDEN_SIZE, 1, dtype="float64")
    for name, values in p.params.items():
        net.params[name][...] = values
    return net


def first_parameters() -> dict[str, np.ndarray]:
    """Return the parameters of a new network by name."""
    net = crnn.RNN(1, HIDDEN_SIZE, 1, dtype="float64", seed=0)
    return {name: values.copy() for name, values in net.params.items()}


def crnn_fit(p: Problem, steps: int) -> tuple[float, float]:
    """Return the seconds and the mean squared error of a fit by `crnn.LBFGS`."""
    net = network(p)
    started = time.perf_counter()
    net.fit(p.u[None], p.y[None], epochs=steps, optimizer=crnn.LBFGS())
    return time.perf_counter() - started, net.loss(p.u, p.y)


def crnn_seconds_to(p: Problem, loss: float, most_steps: int) -> float:
    """Return the seconds in which `crnn.LBFGS` reaches a loss."""
    net = network(p)
    started = time.perf_counter()
    history = net.fit(
        p.u[None], p.y[None], epochs=most_steps, optimizer=crnn.LBFGS(),
        callbacks=[lambda _, history: history.loss[-1] <= loss],
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return seconds if history.loss[-1] <= loss else float("inf")


def scipy_fit(p: Problem, steps: int) -> tuple[float, float]:
    """Return the seconds and the mean squared error of a fit by SciPy's L-BFGS-B."""
    from scipy.optimize import minimize

    net = network(p)

    def loss_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        net.flat_params[...] = theta
        tape = net.forward(p.u)
        difference = tape.y - p.y
        gradients = net.backward(tape, 2 / difference.size * difference)
        return float(np.mean(difference**2)), gradients.flat.copy()

    started = time.perf_counter()
    result = minimize(
        loss_and_gradient, net.flat_params.copy(), jac=True, method="L-BFGS-B",
        options={"maxiter": steps, "maxfun": 100 * steps, "ftol": 0, "gtol": 0},
    )  # fmt: skip
    return time.perf_counter() - started, float(result.fun)
