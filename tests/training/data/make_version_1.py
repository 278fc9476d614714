"""Write the checkpoint of version 1 that the tests read; run with crnn before categorical=True."""

import json
import sys
from pathlib import Path

import numpy as np

import crnn

folder = Path(sys.argv[1])
rng = np.random.default_rng(7)
x = rng.integers(-16, 17, (6, 4, 3)) / 8
y = rng.integers(-16, 17, (6, 4, 2)) / 8
settings = {"batch_size": 4, "validation_fraction": 0.3, "metrics": ["mae"], "seed": 5}


def run(epochs, **where):
    net = crnn.RNN(3, 4, 2, dtype="float64", seed=0)
    net.flat_params[...] = np.linspace(-0.5, 0.7, net.flat_params.size)
    history = net.fit(x, y, epochs=epochs, optimizer=crnn.Adam(0.02), **settings, **where)
    return net, history


run(2, checkpoint=folder / "version_1_checkpoint.npz")
net, history = run(4)
data = {
    "x": x.tolist(),
    "y": y.tolist(),
    "parameters": net.flat_params.tolist(),
    "loss": history.loss,
    "val_loss": history.val_loss,
}
(folder / "version_1.json").write_text(json.dumps(data) + "\n")
