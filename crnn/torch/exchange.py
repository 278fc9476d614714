"""PyTorch's modules as networks of crnn, and networks as PyTorch's modules."""

from __future__ import annotations

import torch

from crnn import GRU, LSTM, RNN, Architecture, checks, from_architecture
from crnn.torch.weights import CELLS, DTYPES, params_from

MODULES = {
    "tanh": torch.nn.RNN,
    "relu": torch.nn.RNN,
    "gru": torch.nn.GRU,
    "lstm": torch.nn.LSTM,
}


def from_torch(
    module: torch.nn.RNNBase,
    linear: torch.nn.Linear | None = None,
    *,
    categorical: bool = False,
    implementation: str | None = None,
) -> RNN | GRU | LSTM:
    """Return a network with the weights of PyTorch's modules.

    Parameters
    ----------
    module : RNN, GRU or LSTM of torch.nn or crnn.torch
        On a CPU, float32 or float64, without projections. ``batch_first`` makes no difference: the
        network takes (batch, time, features).
    linear : torch.nn.Linear, optional
        The layer that maps the states of each step to outputs; it becomes the output layer.
    categorical : bool
        Whether the network takes category numbers, where the module takes one-hot vectors.
    implementation : {"native", "python"}, optional
        As for `crnn.RNN`.

    Returns
    -------
    crnn.RNN, GRU or LSTM
        With copies of the weights. crnn has one bias where PyTorch has two: their sum.

    Raises
    ------
    TypeError
        It is no such module.
    ValueError
        Sizes do not fit, or crnn has no such layer.
    """
    if not isinstance(module, torch.nn.RNNBase):
        raise TypeError(
            f"module: expected a torch.nn.RNN, GRU or LSTM, got {type(module).__name__}"
        )
    if linear is not None and not isinstance(linear, torch.nn.Linear):
        raise TypeError(f"linear: expected a torch.nn.Linear, got {type(linear).__name__}")
    if module.proj_size:
        raise ValueError(f"module: expected proj_size=0, got {module.proj_size}")
    for tensor in module.parameters():
        if tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
            raise ValueError(
                "module: expected weights of float32 or float64 on a CPU, "
                f"got {tensor.dtype} on {tensor.device.type}"
            )
    architecture = Architecture(
        module.input_size,
        module.hidden_size,
        None if linear is None else linear.out_features,
        module.num_layers,
        module.bidirectional,
        # PyTorch's modules may have a dropout that one layer does not use.
        float(module.dropout) if module.num_layers > 1 else 0.0,
        cell=CELLS[module.mode],
        categorical=categorical,
    )
    if linear is not None and linear.in_features != architecture.features:
        raise ValueError(
            f"linear: expected in_features={architecture.features}, got {linear.in_features}"
        )
    net = from_architecture(
        architecture,
        dtype=DTYPES[module.all_weights[0][0].dtype],
        init="uniform",
        implementation=implementation,
    )
    flat = [tensor for of_state in module.all_weights for tensor in of_state]
    for name, values in params_from(architecture, flat).items():
        net.params[name][...] = values
    if linear is not None:
        net.params["W_hy"][...] = linear.weight.detach().numpy()
        net.params["b_y"][...] = 0 if linear.bias is None else linear.bias.detach().numpy()
    return net


def to_torch(net: RNN | GRU | LSTM) -> tuple[torch.nn.RNNBase, torch.nn.Linear | None]:
    """Return PyTorch's own modules with the weights of a network.

    Parameters
    ----------
    net : crnn.RNN, GRU or LSTM
        If it is categorical, the module takes one-hot vectors in place of the category numbers:
        ``torch.nn.functional.one_hot(x, net.input_size)`` as floats of the network's dtype.

    Returns
    -------
    module : torch.nn.RNN, GRU or LSTM
        ``batch_first``, with all of crnn's bias in ``bias_ih``.
    linear : torch.nn.Linear or None
        The output layer, for the outputs of `module`; without `return_sequences` for the last
        states of its last layer.

    Raises
    ------
    ValueError
        PyTorch has no such layer: a GRU with ``reset_after=False``, or a network with a trainable
        h0 or a leak.
    """
    architecture = net.architecture
    if architecture.cell == "gru_reset_before":
        raise ValueError("net: expected reset_after=True, as PyTorch's GRU has it, got False")
    checks.no_leak(architecture, "PyTorch")
    if architecture.trainable_h0:
        raise ValueError(
            "net: expected trainable_h0=False, because PyTorch's modules have no such parameter, "
            "got True"
        )
    dtype = next(tensor for tensor, array in DTYPES.items() if array == net.dtype)
    kind, H = MODULES[architecture.cell], architecture.hidden_size
    module = kind(
        architecture.input_size,
        H,
        architecture.num_layers,
        batch_first=True,
        dropout=architecture.dropout,
        bidirectional=architecture.bidirectional,
        dtype=dtype,
        **({"nonlinearity": architecture.cell} if kind is torch.nn.RNN else {}),
    )
    linear = None
    with torch.no_grad():
        for state, (W_ih, W_hh, b_ih, b_hh) in enumerate(module.all_weights):
            W_xh, W, b_h = (
                torch.from_numpy(net.params[name + architecture.suffix(state)])
                for name in ("W_xh", "W_hh", "b_h")
            )
            W_ih.copy_(W_xh)
            W_hh.copy_(W)
            b_ih.copy_(b_h[: len(b_ih)])
            b_hh.zero_()
            if architecture.cell == "gru":
                b_hh[2 * H :] = b_h[3 * H :]
        if architecture.output_size is not None:
            linear = torch.nn.Linear(architecture.features, architecture.output_size, dtype=dtype)
            linear.weight.copy_(torch.from_numpy(net.params["W_hy"]))
            linear.bias.copy_(torch.from_numpy(net.params["b_y"]))
    return module, linear
