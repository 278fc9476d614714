"""Learning online beside PyTorch and deep-river: `python -m benchmarks.speed.online`.

A step predicts a number from four inputs and then learns from it. crnn carries the exact gradient
forward (real-time recurrent learning). The others read a window of the last steps again for each
step, and let autograd go back through it:

PyTorch
    Its layer over the window, from the state before it, which is carried along; loss, backward
    pass, clipping, and a step of the optimizer.
PyTorch, chunks
    Its layer predicts step by step, and every 50 steps takes one step of the optimizer on their
    loss, from the state before them: what costs least with autograd.
deep-river
    `RollingRegressor` with the same layer: `predict_one` and `learn_one`. Each window starts from
    a state of zero. It is left out where deep-river is not installed.

The errors are those of predictions of systems that drift: leaky integrators of tanh units whose
weights turn by 180 degrees in 2000 steps. The integrators of the first kind of system forget within
twelve steps, those of the second kind within 200. The optimizer and its learning rate are chosen
for each library and network on one system, and its errors are those on two others.
"""

import argparse
import itertools
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import torch

import crnn
from benchmarks.speed.timing import interleaved, median_and_quartiles, timer_of

try:
    from deep_river.regression import RollingRegressor
except ImportError:
    RollingRegressor = None
try:
    from crnn.river import Regressor
except ImportError:
    Regressor = None

NETWORKS = (("RNN", 16), ("RNN", 32), ("GRU", 16), ("LSTM", 16))
INPUTS, WINDOW, CLIP_NORM = 4, 50, 1.0
ROUNDS, SAMPLE_SECONDS = 9, 0.05
# Of the integrators, in steps
TIME_CONSTANTS = {"up to 12 steps": (2, 4, 8, 12), "up to 200 steps": (3, 10, 50, 200)}
STEPS, PERIOD, NOISE = 2000, 4000, 0.05
TUNED_ON, TESTED_ON = 0, (1, 2)
OPTIMIZERS = (("SGD", 0.03), ("SGD", 0.1), ("SGD", 0.3), ("Adam", 0.003))

# Takes inputs (4,) and a target (1,), returns the prediction, and learns.
Step = Callable[[np.ndarray, np.ndarray], float]


def drifting(constants: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (steps, 4) and targets (steps, 1) of a system that drifts."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((STEPS, INPUTS))
    # An input keeps its value for ten steps on average.
    changes = rng.random((STEPS, INPUTS)) < 0.1
    changes[0] = True
    last = np.maximum.accumulate(np.where(changes, np.arange(STEPS)[:, None], 0), axis=0)
    u = np.take_along_axis(u, last, axis=0)
    n = len(constants)
    W = rng.standard_normal((2, n, INPUTS))
    out = rng.standard_normal((2, n))
    kept = np.exp(-1 / np.array(constants))
    scale = np.sqrt(5 * (1 - kept) / (1 + kept))
    z, y = np.zeros(n), np.empty(STEPS)
    for t in range(STEPS):
        angle = 2 * np.pi * t / PERIOD
        turned = np.cos(angle) * W[0] + np.sin(angle) * W[1]
        read = np.cos(angle / 1.7) * out[0] + np.sin(angle / 1.7) * out[1]
        z = kept * z + (1 - kept) * np.tanh(turned @ u[t])
        y[t] = read @ np.tanh(z / scale)
    y = (y - y.mean()) / y.std() + NOISE * rng.standard_normal(STEPS)
    return u.astype(np.float32), y[:, None].astype(np.float32)


def crnn_way(cell: str, hidden_size: int, optimizer: str, lr: float) -> Step:
    """Return the step of a learner."""
    net = getattr(crnn, cell)(INPUTS, hidden_size, 1, seed=0)
    learner = net.learner(getattr(crnn, optimizer)(lr), clip_norm=CLIP_NORM)

    def step(x: np.ndarray, y: np.ndarray) -> float:
        return learner.step(x, y)[0]

    return step


def crnn_river_way(cell: str, hidden_size: int, optimizer: str, lr: float) -> Step:
    """Return the calls of crnn's estimator for river."""
    model = Regressor(
        cell.lower(),
        hidden_size,
        optimizer=getattr(crnn, optimizer)(lr),
        clip_norm=CLIP_NORM,
        seed=0,
    )

    def step(x: np.ndarray, y: np.ndarray) -> float:
        return river_calls(model, x, y)

    return step


class Module(torch.nn.Module):
    """A recurrent layer and a linear one: windows (time, 1, inputs) to numbers (1, 1)."""

    def __init__(self, cell: str, hidden_size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = getattr(torch.nn, cell)(INPUTS, hidden_size)
        self.head = torch.nn.Linear(hidden_size, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, _ = self.layer(x)
        return self.head(h[-1])


def torch_way(cell: str, hidden_size: int, optimizer: str, lr: float) -> Step:
    """Return the step of a PyTorch module over a window."""
    module = Module(cell, hidden_size)
    parameters = list(module.parameters())
    descent = getattr(torch.optim, optimizer)(parameters, lr)
    window: deque[torch.Tensor] = deque(maxlen=WINDOW)
    zero = torch.zeros(1, 1, hidden_size)
    # The state before the window: after its first step it is that before the next window.
    before = (zero, zero) if cell == "LSTM" else zero

    def step(x: np.ndarray, y: np.ndarray) -> float:
        nonlocal before
        window.append(torch.from_numpy(x))
        inputs = torch.stack(tuple(window))[:, None]
        h, _ = module.layer(inputs, before)
        y_hat = module.head(h[-1])
        loss = torch.nn.functional.mse_loss(y_hat, torch.from_numpy(y)[None])
        descent.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        descent.step()
        if len(window) == WINDOW:
            if cell == "LSTM":
                with torch.inference_mode():
                    _, before = module.layer(inputs[:1], before)
                before = tuple(state.clone() for state in before)
            else:
                before = h[:1].detach()
        return y_hat.item()

    return step


def torch_chunks_way(cell: str, hidden_size: int, optimizer: str, lr: float) -> Step:
    """Return the step of a PyTorch module that learns once for every window."""
    module = Module(cell, hidden_size)
    parameters = list(module.parameters())
    descent = getattr(torch.optim, optimizer)(parameters, lr)
    chunk: list[tuple[torch.Tensor, torch.Tensor]] = []
    zero = torch.zeros(1, 1, hidden_size)
    # The state before the chunk, and that of the moment
    before = state = (zero, zero) if cell == "LSTM" else zero

    def step(x: np.ndarray, y: np.ndarray) -> float:
        nonlocal before, state
        sample = torch.from_numpy(x)[None, None]
        with torch.inference_mode():
            h, state = module.layer(sample, state)
            y_hat = module.head(h[-1]).item()
        chunk.append((sample, torch.from_numpy(y)))
        if len(chunk) == WINDOW:
            inputs, targets = zip(*chunk, strict=True)
            h, _ = module.layer(torch.cat(inputs), before)
            loss = torch.nn.functional.mse_loss(module.head(h[:, 0]), torch.stack(targets))
            descent.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
            descent.step()
            chunk.clear()
            before = tuple(s.clone() for s in state) if cell == "LSTM" else state.clone()
        return y_hat

    return step


def deep_river_way(cell: str, hidden_size: int, optimizer: str, lr: float) -> Step:
    """Return the calls of an estimator of deep-river."""
    model = RollingRegressor(
        Module(cell, hidden_size),
        loss_fn="mse",
        optimizer_fn=optimizer.lower(),
        lr=lr,
        window_size=WINDOW,
        gradient_clip_value=CLIP_NORM,
    )

    def step(x: np.ndarray, y: np.ndarray) -> float:
        return river_calls(model, x, y)

    return step


def river_calls(model: object, x: np.ndarray, y: np.ndarray) -> float:
    """Predict with an estimator of river, then let it learn."""
    sample, target = dict(zip("abcd", x.tolist(), strict=True)), float(y[0])
    prediction = model.predict_one(sample)
    model.learn_one(sample, target)
    return prediction


def multiply_adds(cell: str, hidden_size: int) -> int:
    """Return the multiply-adds of a step's product of Jacobian and sensitivities."""
    blocks = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell]
    biases = 4 if cell == "GRU" else blocks
    recurrent = hidden_size * (blocks * (hidden_size + INPUTS) + biases)
    return (2 if cell == "LSTM" else 1) * hidden_size**2 * recurrent


def print_times(ways: dict[str, Callable[..., Step]]) -> None:
    """Print the microseconds of a step."""
    print("\nmicroseconds of a step: medians; the others' over those of the learner\n")
    print(f"{'network':<10}{'multiply-adds':>14}" + "".join(f"{name:>18}" for name in ways))
    for cell, hidden_size in NETWORKS:
        u, y = drifting((2,), 0)
        timers = {}
        for name, way in ways.items():
            step = way(cell, hidden_size, "SGD", 0.03)
            samples = itertools.cycle(zip(u, y, strict=True))

            def steps(step: Step = step, samples: Iterator = samples) -> None:
                for sample in itertools.islice(samples, WINDOW):
                    step(*sample)

            steps()
            timers[name] = timer_of(steps)
        measured = interleaved(timers, ROUNDS, SAMPLE_SECONDS)
        times = {name: 1e6 / WINDOW * median_and_quartiles(measured[name])[0] for name in ways}
        columns = "".join(f"{t:>10.1f} {t / times['crnn']:>6.1f}x" for t in times.values())
        label = f"{cell} {hidden_size}"
        print(f"{label:<10}{multiply_adds(cell, hidden_size):>14}{columns}", flush=True)


def error(step: Step, u: np.ndarray, y: np.ndarray) -> float:
    """Return the root mean square error of all predictions; infinite if one is not finite."""
    try:
        errors = [step(*sample) - sample[1][0] for sample in zip(u, y, strict=True)]
    except crnn.DivergenceError:
        return float("inf")
    return float(np.sqrt(np.mean(np.square(errors))))


def print_errors(ways: dict[str, Callable[..., Step]], cells: list[str]) -> None:
    """Print the errors on systems that drift."""
    print(f"\nroot mean square errors of predictions; the targets' deviation is 1, noise {NOISE}\n")
    print(f"{'memory':<17}{'network':<9}" + "".join(f"{name:>26}" for name in ways))
    for (memory, constants), cell in itertools.product(TIME_CONSTANTS.items(), cells):
        columns = ""
        for way in ways.values():
            tuned = {
                chosen: error(way(cell, 16, *chosen), *drifting(constants, TUNED_ON))
                for chosen in OPTIMIZERS
            }
            optimizer, lr = min(tuned, key=lambda chosen: tuned[chosen])
            errors = [
                error(way(cell, 16, optimizer, lr), *drifting(constants, seed))
                for seed in TESTED_ON
            ]
            columns += f"{np.mean(errors):>10.3f} {f'({optimizer} {lr})':>15}"
        print(f"{memory:<17}{cell + ' 16':<9}{columns}", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.online", description=__doc__)
    parser.add_argument("--cells", default="RNN,GRU,LSTM", help="of the errors")
    parser.add_argument("--only", choices=["times", "errors"])
    chosen = parser.parse_args()
    # More threads make steps this small slower.
    torch.set_num_threads(1)
    crnn.set_num_threads(1)
    crnn.show_config()
    print(f"PyTorch         {torch.__version__}")
    ways = {"crnn": crnn_way, "PyTorch": torch_way, "PyTorch, chunks": torch_chunks_way}
    if RollingRegressor is not None:
        ways["deep-river"] = deep_river_way
    if chosen.only != "errors":
        estimator = {} if Regressor is None else {"crnn.river": crnn_river_way}
        print_times({"crnn": crnn_way, **estimator, **ways})
    if chosen.only != "times":
        print_errors(ways, chosen.cells.split(","))


if __name__ == "__main__":
    main()
