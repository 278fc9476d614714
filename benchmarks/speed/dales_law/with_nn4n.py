"""nn4n's training step, as its documentation writes it."""

import numpy as np
import torch
from nn4n.model import CTRNN

from benchmarks.speed.dales_law import DECISION, INPUTS, OUTPUTS, RATE, Job, Problem


def train(p: Problem, threads: int) -> tuple[Job, list[float]]:
    """Return a training step, and the losses of the first three."""
    torch.set_num_threads(threads)
    units = len(p.signs)
    ones, sent = np.ones((INPUTS, units)), np.repeat(p.signs[:, None], units, axis=1)
    # Its masks have a row for each unit that sends.
    out = np.repeat((p.signs > 0)[:, None], OUTPUTS, axis=1).astype(float)
    model = CTRNN(
        dims=[INPUTS, units, OUTPUTS], activation="relu", dt=p.leak, tau=1.0, preact_noise=p.noise,
        weights="uniform", biases=[None, "zero", "zero"],
        ei_masks=[ones, sent, np.ones((units, OUTPUTS))], sparsity_masks=[ones, p.mask.T, out],
    )  # fmt: skip
    model.recurrent_layer.input_layer.set_weight(torch.from_numpy(p.params["W_xh"]))
    model.recurrent_layer.hidden_layer.set_weight(torch.from_numpy(p.params["W_hh"]))
    model.readout_layer.set_weight(torch.from_numpy(p.params["W_hy"]))
    model.train()
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.Adam(parameters, RATE)
    x = torch.from_numpy(np.ascontiguousarray(p.x.swapaxes(0, 1)))
    y = torch.from_numpy(p.y).repeat(DECISION)

    def step() -> float:
        outputs, _ = model(x)
        loss = torch.nn.functional.cross_entropy(outputs[-DECISION:].reshape(-1, OUTPUTS), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, [step() for _ in range(3)]
