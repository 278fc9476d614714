"""crnn's training step."""

import numpy as np

import crnn
from benchmarks.speed.dales_law import DECISION, INPUTS, OUTPUTS, RATE, Job, Problem
from crnn.constraints import Mask, NonNegative, Sign


def train(p: Problem, threads: int) -> tuple[Job, list[float]]:
    """Return a training step, and the losses of the first three."""
    crnn.set_num_threads(threads)
    units = len(p.signs)
    net = crnn.RNN(
        INPUTS, units, OUTPUTS, nonlinearity="relu", leak=None if p.leak == 1 else p.leak,
        noise=p.noise, seed=0,
    )  # fmt: skip
    for name, values in p.params.items():
        net.params[name][...] = values
    constraints = {
        "W_xh": NonNegative(),
        "W_hh": [Sign(p.signs), Mask(p.mask)],
        "W_hy": [NonNegative(), Mask(np.tile(p.signs > 0, (OUTPUTS, 1)))],
    }
    optimizer = crnn.Adam(RATE, constraints=constraints)
    classes = np.repeat(p.y[:, None], p.x.shape[1], axis=1)
    counts = np.zeros(classes.shape)
    counts[:, -DECISION:] = 1

    def step() -> float:
        return net.train_step(p.x, classes, optimizer, "cross_entropy", mask=counts)

    return step, [step() for _ in range(3)]
