"""Write the files of version 1 that the tests read; run with crnn before categorical=True."""

import json
import sys
from pathlib import Path

import numpy as np

import crnn

folder = Path(sys.argv[1])
rng = np.random.default_rng(7)


def randomize(net):
    net.flat_params[...] = rng.normal(0, 0.5, net.flat_params.size)
    return net


x = rng.integers(-16, 17, (2, 4, 3)) / 8
lstm = randomize(
    crnn.LSTM(3, 4, 2, num_layers=2, bidirectional=True, trainable_h0=True, dtype="float64", seed=0)
)
lstm.save(folder / "version_1_features.npz")

numbers = rng.integers(3, size=(2, 4))
gru = randomize(crnn.GRU(3, 4, 2, reset_after=False, seed=0))
gru.save(folder / "version_1_categories.npz")

data = {
    "x": x.tolist(),
    "y": lstm.predict(x).tolist(),
    "numbers": numbers.tolist(),
    "y of numbers": gru.predict(numbers).tolist(),
}
(folder / "version_1.json").write_text(json.dumps(data) + "\n")
