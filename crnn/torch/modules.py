"""Modules in place of PyTorch's recurrent ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from crnn.torch.operators import layers
from crnn.torch.weights import CELLS, DTYPES

if TYPE_CHECKING:
    States: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
    """h, or for an LSTM the pair (h, c)."""


# The results on "meta" are shapes alone.
DEVICES = ("cpu", "meta")

# What operators under autocast return
HALVES = (torch.bfloat16, torch.float16)


class _RecurrentModule(torch.nn.RNNBase):  # type: ignore[misc, unused-ignore]  # has no types
    """What crnn's modules have in common.

    They are no subclasses of `torch.nn.RNN`, `GRU` and `LSTM`: `torch.compile` refuses those.
    """

    def __init__(self, mode: str, *args: Any, **kwargs: Any) -> None:
        proj_size = kwargs.get("proj_size", args[7] if len(args) > 7 else 0)
        if proj_size:
            raise ValueError(f"proj_size: expected 0, got {proj_size}")
        super().__init__(mode, *args, **kwargs)

    def forward(
        self,
        input: torch.Tensor | PackedSequence,  # noqa: A002
        hx: States | None = None,
        resets: torch.Tensor | PackedSequence | None = None,
    ) -> tuple[torch.Tensor | PackedSequence, States]:
        """Run sequences, as PyTorch's module does; `resets` is crnn's addition.

        Parameters
        ----------
        input : tensor or PackedSequence
            (time, batch, features); with ``batch_first`` (batch, time, features); for one sequence
            alone (time, features).
        hx : tensor (layers * directions, batch, hidden), or for an LSTM a pair; optional
            The first states.
        resets : tensor of bool, or PackedSequence of it; optional
            Shaped as `input` without the features, packed as it is if it is packed. True: before
            that step of the sequence the states of all layers become zero, and no gradient flows
            back past it. At a sequence's first step, `hx` has no effect on it then.

        Returns
        -------
        output : tensor or PackedSequence
        h_n : tensor (layers * directions, batch, hidden), or for an LSTM a pair

        Raises
        ------
        ValueError, RuntimeError, TypeError
            A tensor is not on a CPU, or its dtype is not float32 or float64 or not that of the
            weights; or a shape does not fit, or there is no step; or there are resets in a
            bidirectional module.
        """
        weights = [tensor for of_state in self.all_weights for tensor in of_state]
        x, lengths = self._batch_of(input)
        x = _checked(x, weights[1])
        if x.shape[-1] != self.input_size:
            raise RuntimeError(f"input: expected {self.input_size} features, got {x.shape[-1]}")
        if x.shape[1] == 0:
            raise RuntimeError(
                f"input: expected at least one step, got shape {tuple(_data(input).shape)}"
            )
        states = self._first_states(hx, x, input)
        restarts = None if resets is None else self._resets_of(resets, input, x.device)
        seed = None
        if self.training and self.dropout and self.num_layers > 1:
            # `torch.manual_seed` decides what is dropped.
            seed = torch.randint(1 << 62, (), device="cpu")
        top, *last = layers(
            x, states, weights, lengths, restarts, seed, CELLS[self.mode], self.num_layers,
            self.bidirectional, self.dropout,
        )  # fmt: skip
        return self._outputs(top, lengths, input), _last_states(last, input)

    def _batch_of(
        self, given: torch.Tensor | PackedSequence
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return sequences (batch, time, features), and their lengths if they were packed."""
        if isinstance(given, PackedSequence):
            # Without the indices the rows stay in the packed order, the longest first.
            rows = PackedSequence(given.data, given.batch_sizes)
            x, lengths = pad_packed_sequence(rows, batch_first=True)
            return x, lengths
        if given.dim() == 2:
            return given.unsqueeze(0), None
        if given.dim() != 3:
            raise ValueError(f"input: expected 2 or 3 axes, got {given.dim()}")
        return given if self.batch_first else given.transpose(0, 1), None

    def _first_states(
        self, hx: States | None, x: torch.Tensor, given: torch.Tensor | PackedSequence
    ) -> list[torch.Tensor]:
        """Return h, or h and c, (layers * directions, batch, hidden); [] for zeros.

        In the order of the rows of x.
        """
        if hx is None:
            return []
        states = self.num_layers * (2 if self.bidirectional else 1)
        is_batched = isinstance(given, PackedSequence) or given.dim() == 3
        batch = (x.shape[0],) if is_batched else ()
        expected = (states, *batch, self.hidden_size)
        is_pair = self.mode == "LSTM"
        if is_pair and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise TypeError(f"hx: expected a pair (h, c), got {type(hx).__name__}")
        parts = []
        for number, part in enumerate(hx if is_pair else (hx,)):
            part = _cast(part, x.dtype)
            name = f"hx[{number}]" if is_pair else "hx"
            # Size by size: a comparison of tuples becomes operators of a compiled graph.
            fits = part.dim() == len(expected) and all(
                size == wanted for size, wanted in zip(part.shape, expected, strict=True)
            )
            if not fits or part.dtype != x.dtype:
                raise RuntimeError(
                    f"{name}: expected {x.dtype} of shape {expected}, "
                    f"got {part.dtype} of shape {tuple(part.shape)}"
                )
            _check_device(name, part, x.device)
            rows = part if is_batched else part.unsqueeze(1)
            if isinstance(given, PackedSequence) and given.sorted_indices is not None:
                rows = rows.index_select(1, given.sorted_indices)
            parts.append(rows)
        return parts

    def _resets_of(
        self,
        resets: torch.Tensor | PackedSequence,
        given: torch.Tensor | PackedSequence,
        device: torch.device,
    ) -> torch.Tensor:
        """Return resets (batch, time), in the order of the rows of x."""
        if self.bidirectional:
            raise ValueError(
                "resets: expected None with bidirectional=True, which reads sequences from both "
                f"ends, got a {type(resets).__name__}"
            )
        kind = PackedSequence if isinstance(given, PackedSequence) else torch.Tensor
        if not isinstance(resets, kind):
            raise TypeError(
                f"resets: expected a {kind.__name__} as input is, got {type(resets).__name__}"
            )
        values, data = _data(resets), _data(given)
        expected = data.shape[:-1]
        # Size by size: a comparison of tuples becomes operators of a compiled graph.
        fits = values.dim() == len(expected) and all(
            size == wanted for size, wanted in zip(values.shape, expected, strict=True)
        )
        if not fits or values.dtype != torch.bool:
            raise ValueError(
                f"resets: expected torch.bool of shape {tuple(expected)}, "
                f"got {values.dtype} of shape {tuple(values.shape)}"
            )
        _check_device("resets", values, device)
        if isinstance(resets, PackedSequence):
            if not _are_packed_alike(resets, given):
                raise ValueError("resets: expected them packed as input is, got other lengths")
            rows = PackedSequence(values, given.batch_sizes)
            return pad_packed_sequence(rows, batch_first=True)[0]
        if values.dim() == 1:
            return values.unsqueeze(0)
        return values if self.batch_first else values.transpose(0, 1)

    def _outputs(
        self,
        top: torch.Tensor,
        lengths: torch.Tensor | None,
        given: torch.Tensor | PackedSequence,
    ) -> torch.Tensor | PackedSequence:
        """Return outputs (batch, time, features) in the form of the inputs."""
        if isinstance(given, PackedSequence):
            packed = pack_padded_sequence(top, lengths, batch_first=True)
            return PackedSequence(
                packed.data, given.batch_sizes, given.sorted_indices, given.unsorted_indices
            )
        if given.dim() == 2:
            return top[0]
        # Contiguous, as PyTorch's outputs are
        return top if self.batch_first else top.transpose(0, 1).contiguous()


def _last_states(last: list[torch.Tensor], given: torch.Tensor | PackedSequence) -> States:
    """Return states (layers * directions, batch, hidden) as PyTorch's module returns them."""
    if isinstance(given, PackedSequence):
        if given.unsorted_indices is not None:
            last = [part.index_select(1, given.unsorted_indices) for part in last]
    elif given.dim() == 2:
        last = [part[:, 0] for part in last]
    return last[0] if len(last) == 1 else (last[0], last[1])


def _are_packed_alike(one: PackedSequence, other: PackedSequence) -> bool:
    """Return whether two packed sequences have the same lengths in the same order."""
    if not torch.equal(one.batch_sizes, other.batch_sizes):
        return False
    if one.sorted_indices is None or other.sorted_indices is None:
        return one.sorted_indices is other.sorted_indices
    return bool(torch.equal(one.sorted_indices, other.sorted_indices))


def _data(given: torch.Tensor | PackedSequence) -> torch.Tensor:
    return given.data if isinstance(given, PackedSequence) else given


def _checked(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return x as crnn computes with it: of the weights' dtype; or raise."""
    x = _cast(x, weight.dtype)
    for name, tensor in (("input", x), ("weight_hh_l0", weight)):
        if tensor.device.type not in DEVICES or tensor.dtype not in DTYPES:
            raise ValueError(
                f"{name}: expected a tensor of float32 or float64 on a CPU, "
                f"got {tensor.dtype} on {tensor.device.type}"
            )
    if x.dtype != weight.dtype:
        raise ValueError(f"input: expected {weight.dtype} as the weights are, got {x.dtype}")
    _check_device("input", x, weight.device)
    return x


def _check_device(name: str, tensor: torch.Tensor, device: torch.device) -> None:
    if tensor.device != device:
        raise ValueError(
            f"{name}: expected a tensor on {device.type}, got one on {tensor.device.type}"
        )


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor that an operator under autocast made, in the dtype that crnn computes in."""
    if tensor.dtype in HALVES and torch.is_autocast_enabled("cpu"):
        return tensor.to(dtype)
    return tensor


class RNN(_RecurrentModule):
    """`torch.nn.RNN`, computed by crnn."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, num_layers, *args, **kwargs)


class GRU(_RecurrentModule):
    """`torch.nn.GRU`, computed by crnn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("GRU", *args, **kwargs)


class LSTM(_RecurrentModule):
    """`torch.nn.LSTM`, computed by crnn; without projections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)
