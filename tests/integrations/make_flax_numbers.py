"""Write data/flax.json: parameters of Flax modules, and what they returned, in float64.

Run with Flax installed: `python make_flax_numbers.py`.
"""

import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
CELLS = {
    "SimpleCell": nn.SimpleCell, "GRUCell": nn.GRUCell, "LSTMCell": nn.LSTMCell,
    "OptimizedLSTMCell": nn.OptimizedLSTMCell,
}  # fmt: skip


class Model(nn.Module):
    """Two layers of a cell, or one in both directions, and a Dense layer."""

    cell: type
    both: bool

    @nn.compact
    def __call__(self, x):
        def layer():
            return nn.RNN(self.cell(3, param_dtype=float))

        first, second = layer(), layer()
        x = nn.Bidirectional(first, second)(x) if self.both else second(first(x))
        return nn.Dense(2, param_dtype=float)(x)


def main():
    rng, forms = np.random.default_rng(0), {}
    for name, cell in CELLS.items():
        for both in (False, True):
            x = rng.normal(size=(2, 4, 2)).round(3)
            model = Model(cell, both)
            params = model.init(jax.random.key(0), jnp.asarray(x))
            params = jax.tree.map(lambda a: rng.normal(size=a.shape).round(3), params)
            y = model.apply(params, jnp.asarray(x))
            assert y.dtype == np.float64
            form = {"params": params["params"], "x": x, "y": y}
            forms[f"{name} both" if both else name] = jax.tree.map(lambda a: a.tolist(), form)
    path = Path(__file__).parent / "data" / "flax.json"
    path.write_text(json.dumps(forms) + "\n")


if __name__ == "__main__":
    main()
