"""crnn's layers as operators of PyTorch.

``torch.ops.crnn.layers`` runs all layers and directions over sequences. It is what modules call,
and what `torch.compile` and `torch.export` see of them. Where gradients are wanted,
``layers_training`` runs in its place and keeps a tape, which ``layers_backward`` reads; elsewhere
``layers_inference`` keeps nothing.

Each operator has a kernel for CPUs, one that gives the shapes of the results for fake tensors and
meta tensors, and one for `torch.func.vmap`. They are registered with `torch.library`, but for
gradients: its `register_autograd` takes a tenth of a millisecond a call for lists of tensors.

Sizes: B sequences, T steps, I inputs, H hidden units; S is H, or 2 H for an LSTM: h, then c.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

# Nothing public lets a kernel record an `autograd.Function` at the level that `torch.func` chose.
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad

from crnn import Architecture, functional
from crnn.torch.weights import params_from, weight_gradients, zero_gradients

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

# x (B, T, I). hx: none, h, or h and c, (layers * directions, B, H). weights as
# ``module.all_weights`` lists them, one after the other. lengths (B,) of sequences that are
# shorter. resets (B, T) of bools: the states before such a step are zero. seed () of the dropout
# between layers: without it nothing is dropped.
_ARGUMENTS = (
    "Tensor x, Tensor[] hx, Tensor[] weights, Tensor? lengths, Tensor? resets, Tensor? seed, "
    "str cell, int num_layers, bool bidirectional, float dropout"
)
_ARGUMENTS_OF_BACKWARD = (
    "Tensor?[] gradients, Tensor x, int num_hx, Tensor[] weights, Tensor? lengths, "
    "Tensor? resets, Tensor[] tape, str cell, int num_layers, bool bidirectional, "
    "bool has_dropout, bool wants_dx"
)
_SCHEMAS = (
    # The outputs of the last layer (B, T, features), and the last states like hx
    f"layers({_ARGUMENTS}) -> Tensor[]",
    f"layers_inference({_ARGUMENTS}) -> Tensor[]",
    # The same, and the tape: by state h (B, T+1, S), then what else the cell keeps (B, T, width);
    # by layer but the last one what dropout multiplied its outputs by, then the outputs
    f"layers_training({_ARGUMENTS}) -> (Tensor[], Tensor[])",
    # Of the gradients of the results: those of hx, of the weights, and of x if it is wanted
    f"layers_backward({_ARGUMENTS_OF_BACKWARD}) -> Tensor[]",
)

SECOND = (
    "crnn.torch: expected first derivatives alone, got a second derivative, "
    "which crnn's layers do not have"
)
FORWARD_MODE = (
    "crnn.torch: expected gradients by backward passes, got a derivative in forward mode, "
    "which crnn's layers do not have"
)

_LIBRARY = torch.library.Library("crnn", "DEF")
for _schema in _SCHEMAS:
    _LIBRARY.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))

layers = torch.ops.crnn.layers.default
layers_inference = torch.ops.crnn.layers_inference.default
layers_training = torch.ops.crnn.layers_training.default
layers_backward = torch.ops.crnn.layers_backward.default

_architecture = functools.lru_cache(Architecture)


def _inference(
    x: torch.Tensor,
    hx: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    seed: torch.Tensor | None,
    cell: str,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> list[torch.Tensor]:
    rest = (cell, num_layers, bidirectional, dropout)
    if not len(x):
        return _fake_layers(x, hx, weights, lengths, resets, seed, *rest)
    if bidirectional or lengths is not None or seed is not None:
        tape = _forward(x, hx, weights, lengths, resets, seed, *rest)
        return _results(_top(tape), tape.last(), cell)
    architecture = _architecture(*_sizes(weights), None, num_layers, cell=cell)
    params = params_from(architecture, weights)
    rows = _rows(x)
    first = _first(architecture, hx, rows)
    return _results(*functional.predict(architecture, params, rows, first, _array(resets)), cell)


def _training(
    x: torch.Tensor,
    hx: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    seed: torch.Tensor | None,
    cell: str,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    rest = (cell, num_layers, bidirectional, dropout)
    if not len(x):
        return _fake_training(x, hx, weights, lengths, resets, seed, *rest)
    tape = _forward(x, hx, weights, lengths, resets, seed, *rest)
    masks = [] if seed is None else tape.dropout_masks[:-1]
    # Without dropout and another direction, what a layer reads is a part of h of the one before.
    inputs = [] if seed is None and not bidirectional else tape.inputs[1:]
    arrays = (array for array in (*tape.h, *tape.gates, *masks, *inputs) if array is not None)
    results = _results(_top(tape), tape.last(), cell)
    return results, [torch.from_numpy(array) for array in arrays]


def _forward(
    x: torch.Tensor,
    hx: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    seed: torch.Tensor | None,
    cell: str,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> functional.LayersTape:
    sizes = _sizes(weights)
    architecture = _architecture(*sizes, None, num_layers, bidirectional, dropout, cell=cell)
    rows = _rows(x)
    return functional.forward(
        architecture,
        params_from(architecture, weights),
        rows,
        _first(architecture, hx, rows),
        _array(lengths),
        None if seed is None else np.random.default_rng(int(seed)),
        _array(resets),
    )


def _top(tape: functional.LayersTape) -> npt.NDArray[Any]:
    """Return the outputs of the last layer; zero past a sequence's end."""
    # A copy: users may write into the outputs, and `_backward` reads the tape.
    top: npt.NDArray[Any] = tape.top.copy()
    if tape.lengths is not None:
        top[np.arange(top.shape[1]) >= tape.lengths[:, None]] = 0
    return top


def _backward(
    gradients: Sequence[torch.Tensor | None],
    x: torch.Tensor,
    num_hx: int,
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    tape: Sequence[torch.Tensor],
    cell: str,
    num_layers: int,
    bidirectional: bool,
    has_dropout: bool,
    wants_dx: bool,
) -> list[torch.Tensor]:
    rest = (cell, num_layers, bidirectional, has_dropout, wants_dx)
    if not len(x):
        shapes = _fake_backward(gradients, x, num_hx, weights, lengths, resets, tape, *rest)
        return [torch.zeros_like(tensor) for tensor in shapes]
    architecture = _architecture(*_sizes(weights), None, num_layers, bidirectional, cell=cell)
    states = architecture.num_states
    arrays = [tensor.numpy() for tensor in tape]
    kept = functional.LayersTape(_array(lengths), None, _array(resets))
    kept.h, arrays = arrays[:states], arrays[states:]
    kept.gates = [None] * states
    if architecture.cell_row.gate_blocks:
        kept.gates, arrays = arrays[:states], arrays[states:]
    kept.dropout_masks = [None] * num_layers
    if has_dropout:
        kept.dropout_masks = [*arrays[: num_layers - 1], None]
        arrays = arrays[num_layers - 1 :]
    elif not bidirectional:
        arrays = [h[:, 1:, : architecture.hidden_size] for h in kept.h[:-1]]
    kept.inputs = [_rows(x), *arrays]
    dtop, *dlast = (None if tensor is None else tensor.detach().numpy() for tensor in gradients)
    dparams = zero_gradients(architecture, kept.h[0].dtype)
    dx, dh0 = functional.backward(
        architecture,
        params_from(architecture, weights),
        kept,
        dtop,
        _joined(dlast, architecture, kept.h[0]),
        dparams,
        wants_dx,
    )
    has_biases = len(weights) == 4 * states
    results = [
        *(_split(dh0, cell) if num_hx else []),
        *weight_gradients(architecture, dparams, has_biases=has_biases),
        *([] if dx is None else [dx]),
    ]
    return [torch.from_numpy(array) for array in results]


def _sizes(weights: Sequence[torch.Tensor]) -> tuple[int, int]:
    """Return I and H."""
    return weights[0].shape[1], weights[1].shape[1]


def _rows(x: torch.Tensor) -> npt.NDArray[Any]:
    """Return x's memory as an array; a copy if the features of a step are not side by side."""
    array: npt.NDArray[Any] = x.detach().numpy()
    side_by_side = array.shape[-1] == 1 or array.strides[-1] == array.itemsize
    return array if side_by_side else np.ascontiguousarray(array)


def _array(tensor: torch.Tensor | None) -> npt.NDArray[Any] | None:
    """Return lengths or resets as a contiguous array."""
    return None if tensor is None else np.ascontiguousarray(tensor.numpy())


def _first(
    architecture: Architecture, hx: Sequence[torch.Tensor], x: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Return the first states (layers * directions, B, S)."""
    if hx:
        return np.concatenate([tensor.detach().numpy() for tensor in hx], axis=-1)
    return np.zeros((architecture.num_states, len(x), architecture.state_size), x.dtype)


def _joined(
    dlast: Sequence[npt.NDArray[Any] | None], architecture: Architecture, h: npt.NDArray[Any]
) -> npt.NDArray[Any] | None:
    """Return dL/d(last states) (layers * directions, B, S), or None if no part is given."""
    if all(part is None for part in dlast):
        return None
    shape = (architecture.num_states, len(h), architecture.hidden_size)
    parts = [np.zeros(shape, h.dtype) if part is None else part for part in dlast]
    return np.concatenate(parts, axis=-1)


def _split(states: npt.NDArray[Any], cell: str) -> list[npt.NDArray[Any]]:
    """Return h, or for an LSTM h and c, each C-contiguous, of states (..., S)."""
    if cell != "lstm":
        return [states]
    H = states.shape[-1] // 2
    return [states[..., :H].copy(), states[..., H:].copy()]


def _results(top: npt.NDArray[Any], last: npt.NDArray[Any], cell: str) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in (top, *_split(last, cell))]


def _fake_layers(
    x: torch.Tensor,
    hx: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    seed: torch.Tensor | None,
    cell: str,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> list[torch.Tensor]:
    B, T, _ = x.shape
    architecture = Architecture(*_sizes(weights), None, num_layers, bidirectional, cell=cell)
    last = (architecture.num_states, B, architecture.hidden_size)
    shapes = [(B, T, architecture.features), *[last] * architecture.cell_row.state_blocks]
    return [x.new_empty(shape) for shape in shapes]


def _fake_training(
    x: torch.Tensor,
    hx: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    seed: torch.Tensor | None,
    cell: str,
    num_layers: int,
    bidirectional: bool,
    dropout: float,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    B, T, _ = x.shape
    architecture = Architecture(*_sizes(weights), None, num_layers, bidirectional, cell=cell)
    shapes = [(B, T + 1, architecture.state_size)] * architecture.num_states
    if architecture.cell_row.gate_blocks:
        width = architecture.cell_row.gate_blocks * architecture.hidden_size
        shapes += [(B, T, width)] * architecture.num_states
    between = [(B, T, architecture.features)] * (num_layers - 1)
    if seed is not None:
        shapes += between
    if seed is not None or bidirectional:
        shapes += between
    rest = (cell, num_layers, bidirectional, dropout)
    results = _fake_layers(x, hx, weights, lengths, resets, seed, *rest)
    return results, [x.new_empty(shape) for shape in shapes]


def _fake_backward(
    gradients: Sequence[torch.Tensor | None],
    x: torch.Tensor,
    num_hx: int,
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    tape: Sequence[torch.Tensor],
    cell: str,
    num_layers: int,
    bidirectional: bool,
    has_dropout: bool,
    wants_dx: bool,
) -> list[torch.Tensor]:
    states = num_layers * (2 if bidirectional else 1)
    shapes = [(states, x.shape[0], weights[1].shape[1])] * num_hx
    shapes += [weight.shape for weight in weights]
    return [x.new_empty(shape) for shape in (*shapes, *([x.shape] if wants_dx else []))]


class _WithTape(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """The layers with gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        lengths: torch.Tensor | None,
        resets: torch.Tensor | None,
        seed: torch.Tensor | None,
        cell: str,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        num_hx: int,
        *tensors: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Return the outputs and the last states; the tensors are hx and the weights."""
        hx, weights = tensors[:num_hx], tensors[num_hx:]
        results, tape = layers_training(
            x, hx, weights, lengths, resets, seed, cell, num_layers, bidirectional, dropout
        )
        # PyTorch then refuses `backward` after they were changed in place.
        ctx.save_for_backward(x, lengths, resets, *weights, *tape)
        ctx.set_materialize_grads(False)
        ctx.counts = num_hx, len(weights)
        ctx.rest = cell, num_layers, bidirectional, seed is not None
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[Any, ...]:
        """Return the gradients of x, hx and the weights."""
        # Raises if they were changed
        x, lengths, resets, *saved = ctx.saved_tensors
        num_hx, num_weights = ctx.counts
        weights, tape = saved[:num_weights], saved[num_weights:]
        wants_dx = ctx.needs_input_grad[0]
        results = layers_backward(
            gradients, x, num_hx, weights, lengths, resets, tape, *ctx.rest, wants_dx
        )
        if torch.is_grad_enabled():
            given = [tensor for tensor in gradients if tensor is not None]
            results = _FirstGradients.apply(len(results), *results, *given, x, *weights)
        dx, of_tensors = (results[-1], results[:-1]) if wants_dx else (None, results)
        return (dx, *[None] * 8, *of_tensors)


class _FirstGradients(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """Gradients as they are, of which no gradients can be computed."""

    generate_vmap_rule = True

    @staticmethod
    def forward(count: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the first tensors: functions of the others."""
        return tuple(tensor.view_as(tensor) for tensor in tensors[:count])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> None:
        """Raise."""
        raise RuntimeError(SECOND)

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor) -> None:
        """Raise."""
        raise RuntimeError(SECOND)


def _autograd(
    x: torch.Tensor,
    hx: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    resets: torch.Tensor | None,
    seed: torch.Tensor | None,
    *rest: Any,
) -> list[torch.Tensor]:
    """Run the layers with a tape if any gradient is wanted."""
    tensors = (x, *hx, *weights)
    # Outside of forward mode a call for each tensor would take a tenth of the time of a short call.
    if forward_ad._current_level >= 0 and any(  # noqa: SLF001  # nothing public tells the mode
        forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors
    ):
        raise RuntimeError(FORWARD_MODE)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        # `torch.func` has already chosen which of its levels computes here: `apply` of the class
        # would choose once more, where that of its base class records the function.
        apply = super(torch.autograd.Function, _WithTape).apply
        with enable_single_level_autograd_function():
            return list(apply(x, lengths, resets, seed, *rest, len(hx), *tensors[1:]))
    return layers_inference(x, hx, weights, lengths, resets, seed, *rest)  # type: ignore[no-any-return]


def _one_by_one(operator: Any, info: Any, in_dims: Any, *arguments: Any) -> tuple[Any, Any]:
    """Run an operator for `torch.func.vmap`, once for each index of the mapped axis."""
    results = [operator(*_at(index, arguments, in_dims)) for index in range(info.batch_size)]
    return _stacked(results)


def _at(index: int, arguments: Sequence[Any], dims: Sequence[Any]) -> list[Any]:
    """Return arguments at an index of their mapped axes; lists hold tensors with axes of theirs."""
    chosen = []
    for argument, dim in zip(arguments, dims, strict=True):
        if isinstance(dim, (list, tuple)):
            chosen.append(_at(index, argument, dim))
        else:
            chosen.append(argument if dim is None else argument.select(dim, index))
    return chosen


def _stacked(results: Sequence[Any]) -> tuple[Any, Any]:
    """Return the results of all indices as one, and where the mapped axes are: always first."""
    if isinstance(results[0], torch.Tensor):
        return torch.stack(list(results)), 0
    kind = type(results[0])
    parts = [_stacked(part) for part in zip(*results, strict=True)]
    return kind(part for part, _ in parts), kind(dim for _, dim in parts)


for _operator, _kernel, _fake in (
    (layers, _inference, _fake_layers),
    (layers_inference, _inference, _fake_layers),
    (layers_training, _training, _fake_training),
    (layers_backward, _backward, _fake_backward),
):
    _name = _operator.name()
    _LIBRARY.impl(_name, _kernel, "CPU")
    torch.library.register_fake(_name, _fake, lib=_LIBRARY)
    torch.library.register_vmap(_name, functools.partial(_one_by_one, _operator), lib=_LIBRARY)
_LIBRARY.impl("layers", _autograd, "Autograd")
