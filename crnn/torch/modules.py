"""Modules in place of PyTorch's recurrent ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from crnn import Architecture, functional
from crnn.torch.weights import DTYPES, is_supported, params_from, weight_gradients

if TYPE_CHECKING:
    import numpy.typing as npt

    States: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
    """h, or for an LSTM the pair (h, c)."""


class _LayersFunction(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """All layers and directions of a module over sequences (batch, time, features)."""

    @staticmethod
    def forward(
        ctx: Any,
        architecture: Architecture,
        lengths: npt.NDArray[np.int64] | None,
        rng: np.random.Generator | None,
        x: torch.Tensor,
        h0: torch.Tensor,
        *weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the outputs of the last layer, and the last states."""
        each = len(weights) // architecture.num_states
        by_state = [weights[n : n + each] for n in range(0, len(weights), each)]
        params = params_from(architecture, by_state)
        tape = functional.forward(architecture, params, _rows(x), h0.detach().numpy(), lengths, rng)
        ctx.architecture, ctx.params, ctx.tape = architecture, params, tape
        # PyTorch then refuses `backward` after they were changed in place.
        ctx.save_for_backward(x, *weights)
        # A copy: users may write into the outputs, and `backward` reads the tape.
        return torch.from_numpy(tape.top.copy()), torch.from_numpy(tape.last())

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, dtop: torch.Tensor, dh_n: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradients of x, h0 and the weights."""
        # Raises if they were changed
        _, *weights = ctx.saved_tensors
        architecture: Architecture = ctx.architecture
        dtype = DTYPES[dtop.dtype]
        gradients = {
            name: np.zeros(shape, dtype) for name, shape in architecture.parameter_shapes().items()
        }
        dx, dh0 = functional.backward(
            architecture,
            ctx.params,
            ctx.tape,
            dtop.numpy(),
            dh_n.numpy(),
            gradients,
            wants_dx=ctx.needs_input_grad[3],
        )
        has_biases = len(weights) == 4 * architecture.num_states
        return (
            *(None, None, None),
            None if dx is None else torch.from_numpy(dx),
            torch.from_numpy(dh0),
            *weight_gradients(architecture, gradients, has_biases=has_biases),
        )


def _rows(x: torch.Tensor) -> npt.NDArray[Any]:
    """Return x's memory as an array; a copy if the features of a step are not side by side."""
    array: npt.NDArray[Any] = x.detach().numpy()
    side_by_side = array.shape[-1] == 1 or array.strides[-1] == array.itemsize
    return array if side_by_side else np.ascontiguousarray(array)


class _RecurrentModule:
    """What crnn's modules have in place of PyTorch's `forward`."""

    # Attributes of PyTorch's modules
    input_size: int
    hidden_size: int
    num_layers: int
    batch_first: bool
    bidirectional: bool
    dropout: float
    nonlinearity: str
    mode: str
    training: bool
    all_weights: list[list[torch.Tensor]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        proj_size = getattr(self, "proj_size", 0)
        if proj_size:
            raise ValueError(f"proj_size: expected 0, got {proj_size}")

    def forward(
        self,
        input: torch.Tensor | PackedSequence,  # noqa: A002
        hx: States | None = None,
    ) -> tuple[torch.Tensor | PackedSequence, States]:
        """Run sequences, as PyTorch's module does.

        Parameters
        ----------
        input : tensor or PackedSequence
            (time, batch, features); with ``batch_first`` (batch, time, features); for one sequence
            alone (time, features).
        hx : tensor (layers * directions, batch, hidden), or for an LSTM a pair; optional
            The first states.

        Returns
        -------
        output : tensor or PackedSequence
        h_n : tensor (layers * directions, batch, hidden), or for an LSTM a pair

        Raises
        ------
        ValueError, RuntimeError, TypeError
            A tensor is not on a CPU, or its dtype is not float32 or float64 or not that of the
            weights; or a shape does not fit, or is empty.
        """
        weights = self.all_weights
        _check_tensors(input, weights[0][1])
        x, lengths = self._batch_of(input)
        architecture = self._architecture()
        if x.shape[-1] != architecture.input_size:
            raise RuntimeError(
                f"input: expected {architecture.input_size} features, got {x.shape[-1]}"
            )
        if 0 in x.shape:
            raise RuntimeError(
                "input: expected at least one step and one sequence, "
                f"got shape {tuple(_data(input).shape)}"
            )
        h0 = _first_states(architecture, hx, x, input)
        rng = None
        if self.training and architecture.dropout and architecture.num_layers > 1:
            # `torch.manual_seed` decides what is dropped.
            rng = np.random.default_rng(int(torch.randint(1 << 62, ())))
        flat = [tensor for of_state in weights for tensor in of_state]
        needs_gradient = torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (x, h0, *flat)
        )
        if needs_gradient or rng is not None or lengths is not None or architecture.bidirectional:
            apply: Any = _LayersFunction.apply
            top, h_n = apply(architecture, lengths, rng, x, h0, *flat)
        else:
            params = params_from(architecture, weights)
            arrays = functional.predict(architecture, params, _rows(x), h0.detach().numpy())
            top, h_n = map(torch.from_numpy, arrays)
        return self._outputs(top, lengths, input), _last_states(architecture, h_n, input)

    def _architecture(self) -> Architecture:
        cell = {"LSTM": "lstm", "GRU": "gru"}.get(self.mode) or self.nonlinearity
        return Architecture(
            self.input_size,
            self.hidden_size,
            None,
            self.num_layers,
            self.bidirectional,
            float(self.dropout),
            cell=cell,
        )

    def _batch_of(
        self, given: torch.Tensor | PackedSequence
    ) -> tuple[torch.Tensor, npt.NDArray[np.int64] | None]:
        """Return sequences (batch, time, features), and their lengths if they were packed."""
        if isinstance(given, PackedSequence):
            # Without the indices the rows stay in the packed order, the longest first.
            rows = PackedSequence(given.data, given.batch_sizes)
            x, lengths = pad_packed_sequence(rows, batch_first=True)
            return x, lengths.numpy()
        if given.dim() == 2:
            return given.unsqueeze(0), None
        if given.dim() != 3:
            raise ValueError(f"input: expected 2 or 3 axes, got {given.dim()}")
        return given if self.batch_first else given.transpose(0, 1), None

    def _outputs(
        self,
        top: torch.Tensor,
        lengths: npt.NDArray[np.int64] | None,
        given: torch.Tensor | PackedSequence,
    ) -> torch.Tensor | PackedSequence:
        """Return outputs (batch, time, features) in the form of the inputs."""
        if isinstance(given, PackedSequence):
            packed = pack_padded_sequence(top, torch.from_numpy(lengths), batch_first=True)
            return PackedSequence(
                packed.data, given.batch_sizes, given.sorted_indices, given.unsorted_indices
            )
        if given.dim() == 2:
            return top[0]
        # Contiguous, as PyTorch's outputs are
        return top if self.batch_first else top.transpose(0, 1).contiguous()


def _data(given: torch.Tensor | PackedSequence) -> torch.Tensor:
    return given.data if isinstance(given, PackedSequence) else given


def _check_tensors(given: torch.Tensor | PackedSequence, weight: torch.Tensor) -> None:
    """Raise unless crnn computes with the inputs and the weights."""
    data = _data(given)
    for name, tensor in (("input", data), ("weight_hh_l0", weight)):
        if not is_supported(tensor):
            raise ValueError(
                f"{name}: expected a tensor of float32 or float64 on a CPU, "
                f"got {tensor.dtype} on {tensor.device.type}"
            )
    if data.dtype != weight.dtype:
        raise ValueError(f"input: expected {weight.dtype} as the weights are, got {data.dtype}")


def _first_states(
    architecture: Architecture,
    hx: States | None,
    x: torch.Tensor,
    given: torch.Tensor | PackedSequence,
) -> torch.Tensor:
    """Return states (layers * directions, batch, S), in the order of the rows of x."""
    shape = (architecture.num_states, x.shape[0], architecture.hidden_size)
    if hx is None:
        return x.new_zeros((*shape[:2], architecture.state_size))
    is_batched = isinstance(given, PackedSequence) or given.dim() == 3
    expected = shape if is_batched else (shape[0], shape[2])
    is_pair = architecture.cell_row.state_blocks == 2
    if is_pair and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
        raise TypeError(f"hx: expected a pair (h, c), got {type(hx).__name__}")
    parts = []
    for number, part in enumerate(hx if is_pair else (hx,)):
        if tuple(part.shape) != expected or part.dtype != x.dtype:
            name = f"hx[{number}]" if is_pair else "hx"
            raise RuntimeError(
                f"{name}: expected {x.dtype} of shape {expected}, "
                f"got {part.dtype} of shape {tuple(part.shape)}"
            )
        rows = part if is_batched else part.unsqueeze(1)
        if isinstance(given, PackedSequence) and given.sorted_indices is not None:
            rows = rows.index_select(1, given.sorted_indices)
        parts.append(rows)
    return torch.cat(parts, dim=-1)


def _last_states(
    architecture: Architecture, h_n: torch.Tensor, given: torch.Tensor | PackedSequence
) -> States:
    """Return states (layers * directions, batch, S) as PyTorch's module returns them."""
    if isinstance(given, PackedSequence):
        if given.unsorted_indices is not None:
            h_n = h_n.index_select(1, given.unsorted_indices)
    elif given.dim() == 2:
        h_n = h_n[:, 0]
    if architecture.cell_row.state_blocks == 1:
        return h_n
    return h_n[..., : architecture.hidden_size], h_n[..., architecture.hidden_size :]


class RNN(_RecurrentModule, torch.nn.RNN):  # type: ignore[misc, unused-ignore]  # without types where mypy runs
    """`torch.nn.RNN`, computed by crnn."""


class GRU(_RecurrentModule, torch.nn.GRU):  # type: ignore[misc, unused-ignore]
    """`torch.nn.GRU`, computed by crnn."""


class LSTM(_RecurrentModule, torch.nn.LSTM):  # type: ignore[misc, unused-ignore]
    """`torch.nn.LSTM`, computed by crnn; without projections."""
