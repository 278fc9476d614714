"""PyTorch with crnn's layers: modules in place of `torch.nn.RNN`, `GRU` and `LSTM`, and exchange.

::

    layer = crnn.torch.LSTM(8, 32, batch_first=True)        # was torch.nn.LSTM
    outputs, (h_n, c_n) = layer(torch.zeros(4, 100, 8))

The modules are subclasses of PyTorch's with another `forward`: arguments, parameters, their names
and first values, `state_dict` and what else there is are PyTorch's own. They run on a CPU, in
float32 or float64, and eagerly: `torch.compile`, `torch.jit` and second derivatives are not for
them. crnn has threads of its own; `crnn.set_num_threads` says how many.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from crnn import _backend, networks
from crnn.kernels import streams
from crnn._network.architecture import Architecture
from crnn._network.layers import Layers
from crnn._network.workspaces import Scratch

try:
    import torch
    from torch.autograd.function import once_differentiable
    from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
except ImportError as error:
    raise ImportError("crnn.torch needs PyTorch: pip install 'crnn[torch]'") from error

if TYPE_CHECKING:
    from crnn.checks import Array
    from crnn.base import RecurrentNetwork

__all__ = ["GRU", "LSTM", "RNN", "from_torch", "to_torch"]

DTYPES = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


@functools.cache
def _scratch(dtype: np.dtype[Any]) -> Scratch:
    return Scratch(dtype)


class _Run(torch.autograd.Function):  # type: ignore[misc]
    """All layers and directions of a module over sequences (batch, time, features)."""

    @staticmethod
    def forward(
        ctx: Any,
        architecture: Architecture,
        lengths: Array | None,
        rng: np.random.Generator | None,
        x: torch.Tensor,
        h0: torch.Tensor,
        *weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the outputs of the last layer, and the last states."""
        arrays = [tensor.detach().numpy() for tensor in weights]
        layers = Layers(
            architecture,
            _parameters(architecture, arrays),
            _backend.kernels,
            _scratch(DTYPES[x.dtype]),
        )
        done = layers.run(_rows(x), h0.detach().numpy(), lengths, rng)
        ctx.layers, ctx.done, ctx.architecture = layers, done, architecture
        # So that PyTorch tells who changes them in place before `backward` reads them
        ctx.save_for_backward(x, *weights)
        # A copy of what is kept: the outputs are the user's.
        return torch.from_numpy(done.top.copy()), torch.from_numpy(done.last())

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dtop: torch.Tensor, dh_n: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradients of x, h0 and the weights."""
        _, *weights = ctx.saved_tensors
        architecture: Architecture = ctx.architecture
        dtype = ctx.done.h[0].dtype
        gradients = {
            name: np.zeros(shape, dtype) for name, shape in architecture.parameters().items()
        }
        dx, dh0 = ctx.layers.backward(
            ctx.done,
            np.array(dtop.numpy()),  # which the layers change
            np.ascontiguousarray(dh_n.numpy()),
            gradients,
            wants_dx=ctx.needs_input_grad[3],
        )
        return (
            *(None, None, None),
            None if dx is None else torch.from_numpy(dx),
            torch.from_numpy(dh0),
            *_of_weights(architecture, gradients, len(weights) // architecture.states),
        )


def _predict(
    of: Architecture, x: torch.Tensor, h0: torch.Tensor, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs of the last layer and the last states, and keep nothing else."""
    kernels, H = _backend.kernels, of.hidden_size
    scratch = _scratch(DTYPES[x.dtype])
    params = _parameters(of, [tensor.detach().numpy() for tensor in weights])
    states = h0.detach().numpy()
    h_n, features = np.empty_like(states), _rows(x)
    for layer in range(of.num_layers):
        names = (name + of.suffix(layer) for name in ("W_xh", "W_hh", "b_h"))
        theta = np.concatenate([params[name].ravel() for name in names])
        B, T, I = features.shape
        y = np.empty((B, T, H), theta.dtype)
        with scratch.lent(kernels.predict_workspace_size, of.cell, T, B, I, H, H) as workspace:
            kernels.rnn_predict(
                of.cell, features, states[layer], theta, H, 0, y, h_n[layer], workspace
            )
        features = y
    return torch.from_numpy(features), torch.from_numpy(h_n)


def _rows(x: torch.Tensor) -> Array:
    """Return the array that shares x's memory, copied only if features are not side by side."""
    array: Array = x.detach().numpy()
    side_by_side = array.shape[-1] == 1 or array.strides[-1] == array.itemsize
    return array if side_by_side else np.ascontiguousarray(array)


def _parameters(of: Architecture, weights: list[Array]) -> dict[str, Array]:
    """Return crnn's parameters of PyTorch's weights, which they share where they can."""
    each, params = len(weights) // of.states, {}
    H = of.hidden_size
    for state in range(of.states):
        W_ih, W_hh, *biases = weights[state * each : (state + 1) * each]
        b_h = np.zeros(of.blocks.biases * H, W_ih.dtype)
        if biases:
            b_ih, b_hh = biases
            b_h[: len(b_ih)] = b_ih
            if of.cell == "gru":
                # Of n the two stay apart.
                b_h[: 2 * H] += b_hh[: 2 * H]
                b_h[3 * H :] = b_hh[2 * H :]
            else:
                b_h += b_hh
        suffix = of.suffix(state)
        params["W_xh" + suffix] = np.ascontiguousarray(W_ih)
        params["W_hh" + suffix] = np.ascontiguousarray(W_hh)
        params["b_h" + suffix] = b_h
    return params


def _of_weights(of: Architecture, values: dict[str, Array], each: int) -> list[torch.Tensor]:
    """Return the gradients of PyTorch's weights, 4 of a layer and direction or 2 without biases."""
    H, tensors = of.hidden_size, []
    for state in range(of.states):
        suffix = of.suffix(state)
        arrays = [values["W_xh" + suffix], values["W_hh" + suffix]]
        if each == 4:
            b_h = values["b_h" + suffix]
            if of.cell == "gru":
                arrays += [b_h[: 3 * H], np.concatenate([b_h[: 2 * H], b_h[3 * H :]])]
            else:
                arrays += [b_h, b_h.copy()]
        tensors += [torch.from_numpy(array) for array in arrays]
    return tensors


class _Recurrent:
    """What replaces `forward` in PyTorch's modules."""

    _CELL: ClassVar[str | None] = None
    """None: as the module's nonlinearity says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        proj_size = getattr(self, "proj_size", 0)
        if proj_size:
            raise ValueError(f"proj_size: expected 0, got {proj_size}")

    def _architecture(self) -> Architecture:
        module: Any = self
        return Architecture(
            module.input_size,
            module.hidden_size,
            None,
            module.num_layers,
            module.bidirectional,
            float(module.dropout),
            cell=self._CELL or module.nonlinearity,
        )

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002
        """Run sequences, as PyTorch's module does.

        Parameters
        ----------
        input : tensor or PackedSequence
            (time, batch, features); with ``batch_first`` (batch, time, features); (time, features)
            of one sequence alone.
        hx : tensor (layers * directions, batch, hidden), or of an LSTM a pair; optional
            The first states.

        Returns
        -------
        output : tensor or PackedSequence
        h_n : tensor (layers * directions, batch, hidden), or of an LSTM a pair

        Raises
        ------
        ValueError, RuntimeError
            A tensor is not on a CPU, or of another dtype than float32 or float64 or than the
            weights, or of another shape; or nothing is in it.
        """
        module: Any = self
        # Parameters may have been replaced, as torch.func.functional_call does.
        module._update_flat_weights()
        is_packed = isinstance(input, PackedSequence)
        data = input.data if is_packed else input
        weights = module._flat_weights
        for name, tensor in (("input", data), ("weight_hh_l0", weights[1])):
            if tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
                raise ValueError(
                    f"{name}: expected a tensor of float32 or float64 on a CPU, "
                    f"got {tensor.dtype} on {tensor.device.type}"
                )
        if data.dtype != weights[1].dtype:
            raise ValueError(
                f"input: expected {weights[1].dtype} as the weights are, got {data.dtype}"
            )
        lengths, is_batched = None, True
        if is_packed:
            # Longest first, as packed
            rows = PackedSequence(input.data, input.batch_sizes)
            x, ends = pad_packed_sequence(rows, batch_first=True)
            lengths = ends.numpy()
        elif input.dim() not in (2, 3):
            raise ValueError(f"input: expected 2 or 3 axes, got {input.dim()}")
        else:
            is_batched = input.dim() == 3
            x = input if is_batched else input.unsqueeze(0)
            if is_batched and not module.batch_first:
                x = x.transpose(0, 1)
        of = self._architecture()
        if x.shape[-1] != of.input_size:
            raise RuntimeError(f"input: expected {of.input_size} features, got {x.shape[-1]}")
        if 0 in x.shape:
            raise RuntimeError(
                f"input: expected at least one step and one sequence, got shape {tuple(data.shape)}"
            )
        h0 = self._first_states(of, hx, x, input, is_batched)
        rng = None
        if module.training and of.dropout and of.num_layers > 1:
            # torch.manual_seed decides here too.
            rng = np.random.default_rng(int(torch.randint(1 << 62, ())))
        needs_gradient = torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (x, h0, *weights)
        )
        if needs_gradient or rng is not None or of.bidirectional or lengths is not None:
            top, h_n = _Run.apply(of, lengths, rng, x, h0, *weights)
        else:
            top, h_n = _predict(of, x, h0, weights)
        return self._shown(top, lengths, is_batched, input), self._last(of, h_n, is_batched, input)

    def _first_states(
        self, of: Architecture, hx: Any, x: torch.Tensor, given: Any, is_batched: bool
    ) -> torch.Tensor:
        """Return states (layers * directions, batch, S), in the order of the rows of x."""
        shape = (of.states, x.shape[0], of.hidden_size)
        if hx is None:
            return x.new_zeros((*shape[:2], of.state_size))
        if of.blocks.states == 2:
            hx = streams.pair("hx", hx)
        parts = []
        for number, part in enumerate(hx if of.blocks.states == 2 else (hx,)):
            name = f"hx[{number}]" if of.blocks.states == 2 else "hx"
            expected = shape if is_batched else (shape[0], shape[2])
            if tuple(part.shape) != expected or part.dtype != x.dtype:
                raise RuntimeError(
                    f"{name}: expected {x.dtype} of shape {expected}, "
                    f"got {part.dtype} of shape {tuple(part.shape)}"
                )
            part = part if is_batched else part.unsqueeze(1)
            if isinstance(given, PackedSequence) and given.sorted_indices is not None:
                part = part.index_select(1, given.sorted_indices)
            parts.append(part)
        return torch.cat(parts, dim=-1)

    def _shown(self, top: torch.Tensor, lengths: Array | None, is_batched: bool, given: Any) -> Any:
        """Return outputs (batch, time, features) in the form that the inputs came in."""
        module: Any = self
        if lengths is not None:
            packed = pack_padded_sequence(top, torch.from_numpy(lengths), batch_first=True)
            return PackedSequence(
                packed.data, given.batch_sizes, given.sorted_indices, given.unsorted_indices
            )
        if not is_batched:
            return top[0]
        # In one piece, as PyTorch's are
        return top if module.batch_first else top.transpose(0, 1).contiguous()

    def _last(self, of: Architecture, h_n: torch.Tensor, is_batched: bool, given: Any) -> Any:
        """Return the last states as PyTorch does."""
        if isinstance(given, PackedSequence) and given.unsorted_indices is not None:
            h_n = h_n.index_select(1, given.unsorted_indices)
        if not is_batched:
            h_n = h_n[:, 0]
        if of.blocks.states == 1:
            return h_n
        return h_n[..., : of.hidden_size], h_n[..., of.hidden_size :]


class RNN(_Recurrent, torch.nn.RNN):  # type: ignore[misc]  # without types where mypy runs
    """`torch.nn.RNN`, computed by crnn."""


class GRU(_Recurrent, torch.nn.GRU):  # type: ignore[misc]
    """`torch.nn.GRU`, computed by crnn."""

    _CELL = "gru"


class LSTM(_Recurrent, torch.nn.LSTM):  # type: ignore[misc]
    """`torch.nn.LSTM`, computed by crnn; without projections."""

    _CELL = "lstm"


def from_torch(
    module: torch.nn.RNNBase,
    linear: torch.nn.Linear | None = None,
    *,
    implementation: str | None = None,
) -> networks.RNN | networks.GRU | networks.LSTM:
    """Return a network with the weights of PyTorch's modules.

    Parameters
    ----------
    module : torch.nn.RNN, GRU or LSTM
        On a CPU, float32 or float64, without projections. Whether it is ``batch_first`` makes no
        difference: the network takes (batch, time, features).
    linear : torch.nn.Linear, optional
        What makes outputs of the states of each step; it becomes the output layer.
    implementation : {"native", "python"}, optional
        As of `crnn.RNN`.

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
    kinds: dict[type, Any] = {
        torch.nn.RNN: networks.RNN,
        torch.nn.GRU: networks.GRU,
        torch.nn.LSTM: networks.LSTM,
    }
    family = next((kind for base, kind in kinds.items() if isinstance(module, base)), None)
    if family is None:
        raise TypeError(
            f"module: expected a torch.nn.RNN, GRU or LSTM, got {type(module).__name__}"
        )
    if linear is not None and not isinstance(linear, torch.nn.Linear):
        raise TypeError(f"linear: expected a torch.nn.Linear, got {type(linear).__name__}")
    if module.proj_size:
        raise ValueError(f"module: expected proj_size=0, got {module.proj_size}")
    weights = [tensor.detach() for tensor in module._flat_weights if tensor is not None]
    for tensor in weights:
        if tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
            raise ValueError(
                "module: expected weights of float32 or float64 on a CPU, "
                f"got {tensor.dtype} on {tensor.device.type}"
            )
    features = module.hidden_size * (2 if module.bidirectional else 1)
    if linear is not None and linear.in_features != features:
        raise ValueError(f"linear: expected in_features={features}, got {linear.in_features}")
    settings: dict[str, Any] = {}
    if family is networks.RNN:
        settings["nonlinearity"] = module.nonlinearity
    net: networks.RNN | networks.GRU | networks.LSTM = family(
        module.input_size,
        module.hidden_size,
        None if linear is None else linear.out_features,
        num_layers=module.num_layers,
        bidirectional=module.bidirectional,
        dropout=float(module.dropout) if module.num_layers > 1 else 0.0,
        dtype=DTYPES[weights[0].dtype],
        init="uniform",
        implementation=implementation,
        **settings,
    )
    arrays = [tensor.numpy() for tensor in weights]
    for name, values in _parameters(net._network.architecture, arrays).items():
        net.params[name][...] = values
    if linear is not None:
        net.W_hy[...] = linear.weight.detach().numpy()
        net.b_y[...] = 0 if linear.bias is None else linear.bias.detach().numpy()
    return net


def to_torch(net: RecurrentNetwork) -> tuple[torch.nn.RNNBase, torch.nn.Linear | None]:
    """Return PyTorch's own modules with the weights of a network, as `RNN.to_torch` says."""
    of = net._network.architecture
    if of.cell == "gru_reset_before":
        raise ValueError("to_torch: expected reset_after=True, which PyTorch's GRU is, got False")
    if of.trainable_h0:
        raise ValueError(
            "to_torch: expected trainable_h0=False, for PyTorch's modules have no such parameter"
        )
    dtype = next(tensor for tensor, array in DTYPES.items() if array == net.dtype)
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}.get(of.cell, torch.nn.RNN)
    module = kind(
        of.input_size,
        of.hidden_size,
        of.num_layers,
        batch_first=True,
        dropout=of.dropout,
        bidirectional=of.bidirectional,
        dtype=dtype,
        **({"nonlinearity": of.cell} if kind is torch.nn.RNN else {}),
    )
    H = of.hidden_size
    with torch.no_grad():
        for state in range(of.states):
            W_ih, W_hh, b_ih, b_hh = module._flat_weights[4 * state : 4 * state + 4]
            W_xh, W, b_h = (
                torch.from_numpy(net.params[name + of.suffix(state)].copy())
                for name in ("W_xh", "W_hh", "b_h")
            )
            W_ih.copy_(W_xh)
            W_hh.copy_(W)
            b_ih.copy_(b_h[: len(b_ih)])
            b_hh.zero_()
            if of.cell == "gru":
                b_hh[2 * H :] = b_h[3 * H :]
        linear = None
        if of.output_size is not None:
            linear = torch.nn.Linear(of.features, of.output_size, dtype=dtype)
            linear.weight.copy_(torch.from_numpy(net.W_hy.copy()))
            linear.bias.copy_(torch.from_numpy(net.b_y.copy()))
    return module, linear
