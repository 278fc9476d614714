"""PyTorch's jobs: the layer and a Linear, with packed sequences where lengths differ."""

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import crnn.torch
from benchmarks.speed.jobs import TIMED_LR
from benchmarks.speed.rivals.with_torch import best
from benchmarks.speed.shapes import Shape, data, network

NAMES = {"W_xh": "weight_ih", "W_hh": "weight_hh"}


def job(operation: str, kind: str, shape: Shape):
    """Return the job, and its outputs or the updates of the weights by a step with rate 1."""
    net = network(kind, shape)
    module, linear = crnn.torch.to_torch(net)
    module.batch_first = False
    x, y, lengths = data(shape)
    x, y = (torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1))) for array in (x, y))

    def packed(steps: torch.Tensor) -> PackedSequence:
        return pack_padded_sequence(steps, torch.from_numpy(lengths), enforce_sorted=False)

    def infer() -> torch.Tensor:
        with torch.inference_mode():
            if lengths is None:
                return linear(module(x)[0])
            states = module(packed(x))[0]
            return pad_packed_sequence(states._replace(data=linear(states.data)))[0]

    if operation == "inference":
        return best(infer), {"y": infer().numpy().swapaxes(0, 1)}

    # crnn has one bias for both, except in a GRU.
    trained = [
        parameter
        for name, parameter in (*module.named_parameters(), *linear.named_parameters())
        if kind == "GRU" or not name.startswith("bias_hh")
    ]
    sgd = torch.optim.SGD(trained, lr=0.0, fused=True)
    mse = torch.nn.MSELoss()

    def train() -> None:
        sgd.zero_grad(set_to_none=True)
        if lengths is None:
            loss = mse(linear(module(x)[0]), y)
        else:
            loss = mse(linear(module(packed(x))[0].data), packed(y).data)
        loss.backward()
        sgd.step()

    best(train)
    sgd.param_groups[0]["lr"] = 1.0
    train()
    sgd.param_groups[0]["lr"] = TIMED_LR
    return train, {
        name: _counterpart(name, module, linear).detach().numpy() - before
        for name, before in net.params.items()
        if not name.startswith("b_h")
    }


def _counterpart(name: str, module: torch.nn.RNNBase, linear: torch.nn.Linear) -> torch.Tensor:
    """Return the tensor that has the values of a parameter of crnn."""
    if name in ("W_hy", "b_y"):
        return linear.weight if name == "W_hy" else linear.bias
    weight, suffix = NAMES[name[:4]], name[4:]
    return getattr(module, weight + (suffix if suffix.startswith("_l") else f"_l0{suffix}"))
