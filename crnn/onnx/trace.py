"""The walk through the graph of a model.

Nodes that the first output does not need are left out. Where all inputs of a node are constants, it
is computed. Sizes are constants, too: the graph is followed for a batch of some sequences of some
steps, twice with other sizes, and what is found has to be the same. Where the input has fixed sizes
and the graph is for these alone, it is followed with those.

What depends on the input is tracked (`crnn.onnx.sources`): nodes that move elements move their
numbers, and layers add parts to the chain. Other nodes are refused by name.
"""

from collections import ChainMap
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from crnn import ModelFileError
from crnn.embeddings import FREE_BYTES, FREE_FACTOR, of_categories
from crnn.onnx import folding
from crnn.onnx.folding import Calculator, modern
from crnn.onnx.parts import (
    Affine,
    Chain,
    Embedding,
    FirstState,
    Layer,
    StateInput,
    Weights,
    are_equal,
)
from crnn.onnx.recurrent import DIRECTIONS, cell_of, constant_states, direction_of, weights_of
from crnn.onnx.sources import Ids, Mask, Place, Source, Sources, Tracked
from crnn.onnx.tensors import Folder, Unread, array_of, attribute, label, whole

Array: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = Array | Tracked | Mask | Unread | None
"""An array is a constant; None is an input that a node leaves out."""

# Sizes of the input's first two axes, where it leaves them open
PROBES = ((3, 5), (4, 2))
# As in files of crnn: each layer takes some kilobytes, whatever its weights take.
MOST_LAYERS = 1000
MOST_DEPTH = 8
# Before it arrays meet along an axis that is named.
FIRST_VERSION = 7
# Before it Softmax is over an axis and all behind it.
SOFTMAX_OF_ONE_AXIS = 13
# Ends of slices beyond any sequence's, in 32 bits as in 64
NO_END = 2**31 - 1

RECURRENT = ("RNN", "GRU", "LSTM")
ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
# What moves elements, or repeats them
MOVING = folding.MOVING | {"Gather", "GatherND", "Expand", "Tile"}
# What leaves elements as they are where an axis has one of them
REDUCING = folding.REDUCING - {"ArgMax", "ArgMin"}
# Of category numbers, and what they may be cast to
WHOLE = (
    *(TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16),
    *(TensorProto.INT32, TensorProto.INT64),
)
WIDE = (TensorProto.INT32, TensorProto.INT64)
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


class Step(NamedTuple):
    """A line of the graph as crnn sees it."""

    node: NodeProto
    meaning: str


class Sizes(NamedTuple):
    """For which sizes the graph is followed."""

    first: int
    second: int
    batch_axis: int
    """Which of them an open axis of another input has."""
    are_free: bool
    """Whether they are probes, in place of the sizes that the model fixes or leaves open."""


class Model:
    """A model's graph, and the constants that have been computed so far."""

    def __init__(self, model: ModelProto, folder: str | None, size: int) -> None:
        self.graph = model.graph
        self.metadata = {entry.key for entry in model.metadata_props if entry.value == "true"}
        self.folder = Folder(folder)
        # Computed constants and tracked elements
        self.calculator = Calculator(FREE_BYTES + FREE_FACTOR * size)
        self.weights: dict[tuple[str, ...], list[Weights]] = {}
        # Dense layers whose numbers have been counted
        self.counted: set[tuple[str, ...]] = set()
        versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
        self.version = max(versions, default=folding.OPSET)
        if self.version < FIRST_VERSION:
            raise ModelFileError(
                f"expected ONNX operators of version {FIRST_VERSION} or later, got {self.version}"
            )
        if model.graph.sparse_initializer:
            raise ModelFileError("expected dense tensors, got a sparse one")
        if not model.graph.output:
            raise ModelFileError("expected a graph with an output, got none")
        self.needed = _needed(model.graph)
        self.constants: ChainMap[str, Value] = ChainMap({"": None}, self.initializers(model.graph))
        # Those of graphs within it, by the nodes and branches that lead there: their names may be
        # the same.
        self.constants_within: dict[tuple[str, ...], ChainMap[str, Value]] = {}
        # An input with a default counts as its default.
        known = {tensor.name for tensor in model.graph.initializer}
        inputs = [info for info in model.graph.input if info.name not in known]
        data = _data(model.graph)
        self.inputs = sorted(inputs, key=lambda info: info.name not in data)
        self.steps: list[Step] = []

    def initializers(self, graph: GraphProto) -> dict[str, Value]:
        """Return the initializers of a graph that are needed."""
        return {
            tensor.name: array_of(tensor, self.folder)
            for tensor in graph.initializer
            if tensor.name in self.needed
        }

    def chain(self) -> Chain:
        """Return the network that the model computes, or raise a ModelFileError."""
        self._check_operators()
        failed: list[tuple[int, list[Step], ModelFileError]] = []
        for attempt in self._attempts():
            try:
                chains = [self._followed(sizes) for sizes in attempt]
            except ModelFileError as error:
                failed.append((len(self.steps), self.steps, error))
                continue
            if are_equal(chains[0], chains[-1]):
                return chains[0]
            message = "expected the same network for all sizes of the input"
            failed.append((len(self.steps), self.steps, ModelFileError(message)))
        # The one that came furthest says most.
        _, self.steps, refusal = max(reversed(failed), key=lambda failure: failure[0])
        raise refusal

    def _check_operators(self) -> None:
        """Raise where no recurrent node leads to the output: others may write out its steps."""
        nodes = [node for node in self.graph.node if self.needed.intersection(node.output)]
        operators = list(dict.fromkeys(node.op_type for node in nodes))
        if not {*RECURRENT, "If"}.intersection(operators):
            raise ModelFileError(
                f"{self.graph.output[0].name}: expected an output that an RNN, GRU or LSTM node "
                f"leads to, got one of {', '.join(operators[:10]) or 'no node'}"
            )

    def _attempts(self) -> Iterator[list[Sizes]]:
        """Yield the sizes to follow the graph with, which all have to lead to one network."""
        fixed = [_size(dim) for dim in _dims(self.inputs[0])[:2]] if self.inputs else []
        fixed += [None] * (2 - len(fixed))
        names = {_name(dim) for dim in _dims(self.inputs[0])} if self.inputs else set()
        is_open = any(
            info.name in self.needed and _size(dim) is None and _name(dim) not in names - {""}
            for info in self.inputs[1:]
            for dim in _dims(info)
        )
        for batch_axis in (0, 1) if is_open else (0,):
            yield [Sizes(*probe, batch_axis, are_free=True) for probe in PROBES]
            if any(fixed):
                probes = [
                    [size or probe for size, probe in zip(fixed, sizes, strict=True)]
                    for sizes in PROBES
                ]
                yield [
                    Sizes(first, second, batch_axis, are_free=not all(fixed))
                    for first, second in probes[: 1 if all(fixed) else 2]
                ]

    def _followed(self, sizes: Sizes) -> Chain:
        walk = _Walk(self, sizes)
        self.steps = walk.steps
        walk.follow(self.graph, 0)
        name = self.graph.output[0].name
        value = walk.known.get(name)
        chain = walk.sources.chain(value.ids) if isinstance(value, Tracked) else None
        if chain is None:
            raise ModelFileError(
                f"{name}: expected an output for each step or of the last states of all "
                f"directions, got {walk.described(value)}"
            )
        return chain


class _Walk:
    """One walk through a graph, for an input of given sizes."""

    def __init__(self, model: Model, sizes: Sizes) -> None:
        self.model, self.sizes = model, sizes
        self.sources = Sources()
        self.known: dict[str, Value] = dict(model.constants)
        self.constants = model.constants
        # The nodes and branches that lead to the graph that is followed
        self.branches: tuple[str, ...] = ()
        self.features = self._features_of_weights()
        self.steps: list[Step] = []
        self.layers = 0
        self._symbols: dict[str, int] = {}
        for number, info in enumerate(model.inputs):
            if number == 0 or info.name in model.needed:
                self.known[info.name] = self._input(info, is_first=number == 0)

    def follow(self, graph: GraphProto, depth: int) -> None:
        """Read all nodes of a graph that are needed, in order."""
        if depth > MOST_DEPTH:
            raise ModelFileError(f"expected at most {MOST_DEPTH} graphs within each other")
        for node in graph.node:
            if not self.model.needed.intersection(node.output):
                continue
            self.steps.append(Step(node, ""))
            try:
                results = self._results(node, depth)
            except (ModelFileError, MemoryError):
                raise
            except Exception as error:
                # Whatever a node leads to whose inputs or attributes it does not have
                raise ModelFileError(
                    f"{label(node)}: expected inputs and attributes that it has, "
                    f"got {type(error).__name__}: {error}"
                ) from error
            for name, value in zip(node.output, results, strict=False):
                if name:
                    self.known[name] = value
            self.steps[-1] = Step(node, "; ".join(self.described(r) for r in results[:1]))

    def described(self, value: Value) -> str:
        """Return in words what a tensor is."""
        if isinstance(value, Tracked):
            return self.sources.described(value.ids)
        if isinstance(value, Mask):
            return f"steps before the sequences' ends, {value.lengths}"
        if isinstance(value, np.ndarray):
            numbers = str(value.tolist()) if value.size <= 4 and value.ndim <= 1 else ""
            return f"constant {value.shape} {value.dtype} {numbers}".rstrip()
        return value.reason if isinstance(value, Unread) else "nothing"

    def _input(self, info: ValueInfoProto, *, is_first: bool) -> Value:
        """Return the tracked elements of an input."""
        dims = _dims(info)
        sizes = []
        opens = [self.sizes.first, self.sizes.second]
        is_whole = info.type.tensor_type.elem_type in WHOLE
        can_be_features = len(dims) == 2 and not is_whole
        for place, dim in enumerate(dims):
            size, name = _size(dim), _name(dim)
            is_features = can_be_features and place == 1 and size == self.features > 1
            if is_first and place < 2 and not is_features:
                size = opens[place]
                self._symbols.setdefault(name, size)
            elif size is None and is_first:
                size = self.features
            elif size is None:
                size = self._symbols.get(name) if name else None
                is_of_states = place == 0 and len(dims) == 3 and _size(dims[1]) is None
                if size is None:
                    # (layers * directions, batch, hidden), as ONNX has first states
                    size = self._states() if is_of_states else opens[self.sizes.batch_axis]
            sizes.append(size)
        if is_first and not sizes:
            sizes = [*opens, self.features]
        count = 1
        for size in sizes:
            count *= size
        node = NodeProto(op_type="Input", name=info.name)
        self.model.calculator.take(node, 8 * count)
        if not count:
            return Unread(f"{info.name}: expected an input with elements, got none")
        features, steps = count, None
        if is_first and can_be_features and sizes[1] == self.features > 1:
            # One sequence, or one step of a batch
            features, steps = sizes[1], (1, sizes[0])
        elif is_first:
            steps = (sizes[0], sizes[1]) if len(sizes) > 1 else (1, sizes[0])
            features = count // (steps[0] * steps[1])
        source = self.sources.add(
            info.name, count // features, features, steps=steps, is_whole=is_whole
        )
        return Tracked(source.first + np.arange(count).reshape(sizes))

    def _features_of_weights(self) -> int:
        """Return the inputs of the first recurrent node, whose weights are known."""
        for node in self.model.graph.node:
            W = self.known.get(node.input[1]) if len(node.input) > 1 else None
            if node.op_type in RECURRENT and isinstance(W, np.ndarray) and W.ndim == 3:
                return int(W.shape[2])
        return 1

    def _states(self) -> int:
        """Return the number of layers and directions."""
        nodes = (node for node in self.model.graph.node if node.op_type in RECURRENT)
        return sum(DIRECTIONS[direction_of(node)] for node in nodes)

    def _results(self, node: NodeProto, depth: int) -> list[Value]:
        """Return what each output of a node is."""
        inputs: list[Any] = []
        for name in node.input:
            if name not in self.known:
                raise ModelFileError(
                    f"{label(node)}: expected a tensor that is made before it is read, got {name}"
                )
            value = self.known[name]
            if isinstance(value, Unread):
                raise ModelFileError(f"{label(node)}: {value.reason}")
            inputs.append(value)
        if node.domain not in ("", "ai.onnx"):
            raise ModelFileError(f"{label(node)}: expected ONNX's own operators, got {node.domain}")
        if node.op_type == "Constant":
            return self._constant(node)
        if node.op_type == "If":
            return self._branch(node, inputs, depth)
        if node.op_type in RECURRENT:
            return self._recurrent(node, inputs)
        constants = self.constants
        is_constant = all(name in constants for name in node.input)
        if is_constant and node.output[0] in constants:
            # Computed once, however many times the graph is followed
            return [constants.get(name) for name in node.output]
        node, inputs = modern(node, inputs)
        moving = [value for value in inputs if isinstance(value, (Tracked, Mask))]
        if not moving:
            results = self.model.calculator.fold(node, inputs)
            if is_constant:
                constants.update(zip(node.output, results, strict=False))
            return list(results)
        if node.op_type in ("Shape", "Size"):
            (ids,) = (value.ids for value in moving if isinstance(value, Tracked))
            # Not the elements, which would be read
            return list(self.model.calculator.fold(node, [np.broadcast_to(0, ids.shape)]))
        handler = self.HANDLERS.get(node.op_type)
        if handler is None:
            raise ModelFileError(f"{label(node)}: expected operators that crnn's networks have")
        return handler(self, node, inputs)

    def _constant(self, node: NodeProto) -> list[Value]:
        """Return the value of a Constant node."""
        name = node.output[0]
        if name not in self.constants:
            self.constants[name] = _constant_of(node, self.model.folder)
        return [self.constants[name]]

    def _branch(self, node: NodeProto, inputs: list[Any], depth: int) -> list[Value]:
        """Follow the branch of an If that sizes decide."""
        (condition,) = inputs
        if not isinstance(condition, np.ndarray) or condition.size != 1:
            raise ModelFileError(f"{label(node)}: expected a condition that sizes decide")
        name = "then_branch" if condition.item() else "else_branch"
        graph = attribute(node, name)
        if not isinstance(graph, GraphProto):
            raise ModelFileError(f"{label(node)}: expected a graph {name}")
        outside = self.known, self.constants, self.branches
        self.branches = (*self.branches, node.output[0], name)
        within = self.model.constants_within
        if self.branches not in within:
            within[self.branches] = self.constants.new_child(self.model.initializers(graph))
        self.constants = within[self.branches]
        self.known = {**self.known, **self.constants.maps[0]}
        self.follow(graph, depth + 1)
        results = [self.known.get(output.name) for output in graph.output]
        self.known, self.constants, self.branches = outside
        return results

    def _place(self, node: NodeProto, value: Value) -> Place:
        """Return where the elements that a node reads come from."""
        if not isinstance(value, Tracked):
            raise ModelFileError(f"{label(node)}: expected a tensor that the input leads to")
        self.model.calculator.take(node, value.ids.nbytes)
        place = self.sources.place(value.ids)
        if place is None:
            raise ModelFileError(
                f"{label(node)}: expected the outputs of one layer, "
                f"got {self.sources.described(value.ids)}"
            )
        return place

    def _above(self, node: NodeProto, place: Place, part: Affine) -> Source:
        """Return the source of what a part makes of each row of another."""
        if isinstance(place.source.part, Embedding):
            raise ModelFileError(
                f"{label(node)}: expected a recurrent layer that reads the embedding, "
                f"got a change of {place.source.name}"
            )
        if place.source.steps is None:
            raise ModelFileError(
                f"{label(node)}: expected first states and lengths as they are, "
                f"got a change of {place.source.name}"
            )
        below = place.source.part
        is_diagonal = part.weight.ndim == 1
        key = (*self.branches, *node.output)
        # What scales features is part of what it stands behind, unless that has an activation.
        is_own = not is_diagonal or (isinstance(below, Affine) and below.activation is not None)
        if is_own and key not in self.model.counted:
            # Many nodes may share some.
            size = part.weight.size
            self.model.calculator.take(node, 8 * (size * size if is_diagonal else size))
            self.model.counted.add(key)
        return self.sources.above(place.source, part, label(node))

    def _same_place(self, node: NodeProto, place: Place, part: Affine) -> list[Value]:
        """Return the result of a part that keeps each element in its place."""
        source = self._above(node, place, part)
        return [Tracked(Place(source, place.row, place.feature).ids)]

    # Nodes that move elements

    def _moved(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return the elements where a node moves them."""
        arrays: list[Array | None] = []
        for place, value in enumerate(inputs):
            is_data = place == 0 or node.op_type == "Concat"
            if isinstance(value, Mask) or isinstance(value, Tracked) is not is_data:
                raise ModelFileError(
                    f"{label(node)}: expected "
                    + ("elements of the input's tensors" if is_data else "constants")
                    + f" as input {place}, got {self.described(value)}"
                )
            arrays.append(value.ids if isinstance(value, Tracked) else value)
        if node.op_type == "Slice" and self.sizes.are_free:
            self._check_ends(node, arrays)
        return [Tracked(array) for array in self.model.calculator.fold(node, arrays)]

    def _gathered(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return elements that are chosen, or the rows of a table that category numbers choose."""
        table, numbers = inputs
        if not isinstance(table, np.ndarray) or not isinstance(numbers, Tracked):
            return self._moved(node, inputs)
        place = self._place(node, numbers)
        source = place.source
        if not source.is_whole or source.steps is None or source.features > 1:
            raise ModelFileError(
                f"{label(node)}: expected category numbers that are an input of the model, "
                f"got {self.described(numbers)}"
            )
        if table.ndim != 2 or table.dtype.kind != "f" or whole(node, "axis") or not table.size:
            raise ModelFileError(
                f"{label(node)}: expected a table of floats (categories, features), "
                f"got {self.described(table)}"
            )
        self.model.calculator.take(node, 8 * place.row.size * table.shape[1])
        rows = self.sources.above(source, Embedding(table), label(node))
        return [Tracked(rows.ids(place.row))]

    def _check_ends(self, node: NodeProto, arrays: list[Any]) -> None:
        """Raise where a Slice keeps all steps only of short sequences."""
        data, *bounds = arrays
        axes = bounds[2] if len(bounds) > 2 and bounds[2] is not None else np.arange(data.ndim)
        for bound in (np.ravel(array) for array in bounds[:2]):
            sizes = np.array(data.shape)[np.ravel(axes)[: len(bound)]]
            distance = abs(bound.astype(np.float64))
            far = (distance > sizes) & (distance < NO_END)
            if far.any():
                raise ModelFileError(
                    f"{label(node)}: expected sequences of any length, got a slice at "
                    f"{bound[far][0]}"
                )

    def _cast(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        value = inputs[0]
        source = self._place(node, value).source if isinstance(value, Tracked) else None
        to = attribute(node, "to")
        if node.op_type == "CastLike":
            to = self._type_of(node, inputs[1])
            if isinstance(value, np.ndarray):
                return [value if to in FLOATS else value.astype(np.int64)]
        is_given = source is not None and (source.steps is None or source.is_whole)
        if to not in FLOATS and not (is_given and to in WIDE):
            raise ModelFileError(f"{label(node)}: expected a cast to floats")
        return [value]

    def _type_of(self, node: NodeProto, like: Value) -> int:
        """Return the type of a tensor's numbers; what depends on the input is floats."""
        if isinstance(like, np.ndarray):
            return int(helper.np_dtype_to_tensor_dtype(like.dtype))
        source = self._place(node, like).source
        is_whole = source.is_whole or source.steps is None
        return int(TensorProto.INT64 if is_whole else TensorProto.FLOAT)

    def _kept(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return the data of a Dropout, which does nothing outside of training."""
        is_training = inputs[2] if len(inputs) > 2 else None
        if is_training is not None and np.any(is_training):
            raise ModelFileError(f"{label(node)}: expected training_mode=False")
        return [inputs[0], Unread(f"{label(node)}: expected its mask not to be read")]

    def _reduced(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return elements without axes of one element."""
        data, axes = inputs[0], inputs[1] if len(inputs) > 1 else None
        if isinstance(data, Tracked) and isinstance(axes, np.ndarray) and axes.size:
            ids = data.ids
            places = {int(axis) % ids.ndim for axis in axes.ravel()[: ids.ndim]}
            # The sizes of sequences and batches are open.
            if all(ids.shape[place] == 1 for place in places):
                keeps = whole(node, "keepdims", 1)
                return [Tracked(ids if keeps else ids.squeeze(tuple(places)))]
        raise ModelFileError(
            f"{label(node)}: expected operators that crnn's networks have, got one over several "
            "elements"
        )

    # Lengths and masks

    def _compared(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return a mask of the steps before the sequences' ends, t < length."""
        step, length = inputs if node.op_type == "Less" else inputs[::-1]
        if isinstance(step, np.ndarray) and isinstance(length, Tracked):
            source = self._place(node, length).source
            if source.steps is None:
                steps, sequences = np.broadcast_arrays(
                    step.astype(np.int64), length.ids - source.first
                )
                return [Mask(source.name, steps, sequences)]
        raise ModelFileError(f"{label(node)}: expected a comparison of steps with lengths")

    def _reshaped_mask(self, node: NodeProto, mask: Mask, inputs: list[Any]) -> list[Value]:
        step, sequence = (
            self.model.calculator.fold(node, [part, *inputs[1:]])[0] for part in mask[1:]
        )
        return [Mask(mask.lengths, step, sequence)]

    def _unsqueezed(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        if isinstance(inputs[0], Mask):
            return self._reshaped_mask(node, inputs[0], inputs)
        return self._moved(node, inputs)

    def _where(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return outputs whose padding is set to zero, as crnn does."""
        mask, value, padding = inputs
        if isinstance(mask, Mask) and isinstance(padding, np.ndarray) and not padding.any():
            place = self._place(node, value)
            steps = place.source.steps
            layers = [part for part in _parts_of(place.source) if isinstance(part, Layer)]
            if steps is not None and layers and layers[0].lengths == mask.lengths:
                rows = mask.sequence * steps[1] + mask.step
                # Behind the rows of steps are those of last states.
                if np.broadcast_shapes(rows.shape, place.row.shape) == place.row.shape and (
                    np.array_equal(np.broadcast_to(rows, place.row.shape), place.row)
                ):
                    return [value]
        raise ModelFileError(f"{label(node)}: expected zeros past the sequences' ends, or none")

    # Dense layers

    def _product(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return the outputs of a product with constant weights."""
        data, weight, *rest = inputs
        is_constant = isinstance(weight, np.ndarray) and weight.ndim == 2
        if not isinstance(data, Tracked) or not isinstance(weight, np.ndarray) or not is_constant:
            raise ModelFileError(
                f"{label(node)}: expected constant weights of two axes, "
                f"got {self.described(weight)}"
            )
        bias: Any = np.zeros(1, weight.dtype)
        if node.op_type == "Gemm":
            if whole(node, "transA"):
                raise ModelFileError(f"{label(node)}: expected transA=0")
            if whole(node, "transB"):
                weight = weight.T
            alpha, beta = (attribute(node, name, 1.0) for name in ("alpha", "beta"))
            weight = weight if alpha == 1 else weight * np.asarray(alpha, weight.dtype)
            if rest and rest[0] is not None:
                if not isinstance(rest[0], np.ndarray) or rest[0].shape[:-1] not in ((), (1,)):
                    raise ModelFileError(f"{label(node)}: expected a constant bias of one axis")
                bias = rest[0].reshape(-1) * np.asarray(beta, weight.dtype)
        if bias.size not in (1, weight.shape[1]):
            raise ModelFileError(f"{label(node)}: expected {weight.shape[1]} biases")
        bias = np.broadcast_to(bias, weight.shape[1])
        rows = self._rows(node, self._place(node, data), -1, weight.shape[0])
        self.model.calculator.take(node, 8 * rows[1].size * weight.shape[1])
        source = self._above(node, rows[0], Affine(weight.T, bias))
        return [Tracked(source.ids(rows[1]))]

    def _rows(self, node: NodeProto, place: Place, axis: int, features: int) -> tuple[Place, Ids]:
        """Return the place and the rows of a tensor that has all features of a row in an axis."""
        if not -place.row.ndim <= axis < place.row.ndim:
            raise ModelFileError(f"{label(node)}: expected an axis that there is, got {axis}")
        row, feature = (np.moveaxis(array, axis, -1) for array in (place.row, place.feature))
        if (row != row[..., :1]).any():
            place = place.of_last_states()
            row = np.moveaxis(place.row, axis, -1)
        expected = np.arange(place.source.features)
        if len(expected) != features:
            raise ModelFileError(
                f"{label(node)}: expected weights for {place.source.features} features, "
                f"got {features}"
            )
        fits = feature.shape[-1] == features
        if not fits or (feature != expected).any() or (row != row[..., :1]).any():
            raise ModelFileError(
                f"{label(node)}: expected all features of {place.source.name} in one axis, "
                f"got {self.sources.described(place.ids)}"
            )
        return place, row[..., 0]

    def _arithmetic(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return elements plus or times a constant number for each feature."""
        operator = node.op_type
        constants = [value for value in inputs if isinstance(value, np.ndarray)]
        tracked = [value for value in inputs if isinstance(value, Tracked)]
        if len(inputs) != 2 or len(constants) != 1 or constants[0].dtype.kind != "f":
            raise ModelFileError(
                f"{label(node)}: expected one constant of floats, got "
                + " and ".join(self.described(value) for value in inputs)
            )
        place, constant = self._place(node, tracked[0]), constants[0]
        is_second = isinstance(inputs[1], np.ndarray)
        if operator == "Div" and not is_second:
            raise ModelFileError(f"{label(node)}: expected a constant divisor")
        number = self._by_feature(node, place, constant)
        one, zero = np.ones_like(number), np.zeros_like(number)
        sign = 1 if is_second else -1
        if operator == "Add":
            scale, shift = one, number
        elif operator == "Sub":
            scale, shift = sign * one, -sign * number
        else:
            with np.errstate(all="ignore"):
                scale, shift = number if operator == "Mul" else one / number, zero
        return self._same_place(node, place, Affine(scale, shift))

    def _by_feature(self, node: NodeProto, place: Place, constant: Array) -> Array:
        """Return the number that each feature meets, which is the same at all steps."""
        shape = place.row.shape
        try:
            numbers = np.broadcast_to(constant, shape)
        except ValueError:
            raise ModelFileError(
                f"{label(node)}: expected a constant for each feature, got shape {constant.shape} "
                f"beside {shape}"
            ) from None
        dtype = constant.dtype if constant.dtype.kind == "f" else np.dtype(np.float32)
        by_feature = np.zeros(place.source.features, dtype)
        by_feature[place.feature.ravel()] = numbers.ravel()
        if not np.array_equal(by_feature[place.feature], numbers.astype(dtype), equal_nan=True):
            raise ModelFileError(
                f"{label(node)}: expected the same constant at all steps, got {constant.shape}"
            )
        return by_feature

    def _normalized(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Return the outputs of a BatchNormalization, with the means that are part of it."""
        data, *constants = inputs
        if whole(node, "training_mode") or len(constants) != 4:
            raise ModelFileError(f"{label(node)}: expected training_mode=0")
        place = self._place(node, data)
        rank = place.row.ndim
        numbers = []
        for constant in constants:
            is_list = isinstance(constant, np.ndarray) and constant.ndim == 1 and rank > 1
            if not isinstance(constant, np.ndarray) or not is_list:
                raise ModelFileError(f"{label(node)}: expected constants of one axis")
            wide = constant.reshape(-1, *[1] * (rank - 2))
            numbers.append(self._by_feature(node, place, wide))
        scale, bias, mean, variance = numbers
        with np.errstate(all="ignore"):
            deviation = np.sqrt(
                variance + np.asarray(attribute(node, "epsilon", 1e-5), scale.dtype)
            )
            factor = scale / deviation
        return self._same_place(node, place, Affine(factor, bias - mean * factor))

    def _activated(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        place = self._place(node, inputs[0])
        F, name = place.source.features, ACTIVATIONS[node.op_type]
        return self._same_place(node, place, Affine(np.ones(F), np.zeros(F), name))

    def _softmax(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        place = over = self._place(node, inputs[0])
        F, shape = place.source.features, place.row.shape
        axis = whole(node, "axis", -1 if self.model.version >= SOFTMAX_OF_ONE_AXIS else 1)
        if self.model.version < SOFTMAX_OF_ONE_AXIS and -len(shape) <= axis < len(shape):
            flat = (*shape[: axis % len(shape)], -1)
            over = Place(place.source, place.row.reshape(flat), place.feature.reshape(flat))
            axis = -1
        self._rows(node, over, axis, F)
        return self._same_place(node, place, Affine(np.ones(F), np.zeros(F), "softmax"))

    # Recurrent layers

    def _recurrent(self, node: NodeProto, inputs: list[Any]) -> list[Value]:
        """Add a layer, and return what its outputs Y, Y_h and Y_c are."""
        if not 3 <= len(inputs) <= 8:
            raise ModelFileError(f"{label(node)}: expected 3 to 8 inputs, got {len(inputs)}")
        inputs = inputs + [None] * (8 - len(inputs))
        x, _, _, _, lengths, *firsts, peepholes = inputs
        if peepholes is not None:
            raise ModelFileError(f"{label(node)}: expected no peepholes, got an input P")
        cell, direction = cell_of(node), direction_of(node)
        self.layers += 1
        if self.layers > MOST_LAYERS:
            raise ModelFileError(f"expected at most {MOST_LAYERS} layers, got more")
        layout = whole(node, "layout")
        if not isinstance(x, Tracked) or x.ids.ndim != 3:
            raise ModelFileError(
                f"{label(node)}: expected inputs of three axes, got {self.described(x)}"
            )
        if layout:
            x = Tracked(x.ids.swapaxes(0, 1))
        place = self._place(node, x)
        embedding = place.source.part if isinstance(place.source.part, Embedding) else None
        weights = self._weights(node, cell, inputs, embedding)
        place, rows = self._rows(node, place, 2, inputs[1].shape[2])
        source, (T, B) = place.source, rows.shape
        order = self._order(node, source, rows)
        given_lengths = self._lengths(node, lengths, B, T)
        if order < 0:
            if direction == "bidirectional" or given_lengths:
                raise ModelFileError(
                    f"{label(node)}: expected steps in the order of time, got them from the end"
                )
            direction = {"forward": "reverse", "reverse": "forward"}[direction]
        names = ("h", "c") if node.op_type == "LSTM" else ("h",)
        states = tuple(
            self._first_states(node, value, (len(weights), B, weights[0].W_hh.shape[1]), layout)
            for value, _ in zip(firsts, names, strict=False)
        )
        forward = weights[0] if direction != "reverse" else None
        backward = weights[-1] if direction != "forward" else None
        layer = Layer(cell, forward, backward, states, given_lengths, embedding is not None)
        made = self.sources.add(
            label(node), B * T + B, layer.outputs, part=layer, parent=source, steps=(B, T),
            is_recurrent=True,
        )  # fmt: skip
        self.model.calculator.take(node, 8 * made.size)
        # (batch, time, directions, hidden), and (batch, directions, hidden)
        steps = made.ids(made.step_rows[:, ::order]).reshape(B, T, len(weights), -1)
        last = made.ids(made.last_rows).reshape(B, len(weights), -1)
        if layout == 0:
            steps, last = steps.transpose(1, 2, 0, 3), last.transpose(1, 0, 2)
        return [
            Tracked(steps),
            Tracked(last),
            Unread(f"{node.op_type}: expected c_n not to be read"),
        ]

    def _weights(
        self, node: NodeProto, cell: str, inputs: list[Any], embedding: Embedding | None
    ) -> list[Weights]:
        """Return the parameters of each direction; of categories where an embedding is below."""
        key = (*self.branches, *node.output)
        known = self.model.weights.get(key)
        if known is None:
            # Many nodes may share some.
            sizes = [value.nbytes for value in inputs[1:4] if isinstance(value, np.ndarray)]
            self.model.calculator.take(node, sum(sizes))
            known = weights_of(node, cell, inputs)
            if embedding is not None:
                table = embedding.table
                if table.shape[1] != known[0].W_xh.shape[1]:
                    raise ModelFileError(
                        f"{label(node)}: expected weights for {table.shape[1]} features, "
                        f"got {known[0].W_xh.shape[1]}"
                    )
                dtype = np.result_type(known[0].W_xh, np.float32)
                rows = sum(len(one.W_xh) for one in known)
                self.model.calculator.take(node, dtype.itemsize * rows * len(table))
                known = [one._replace(W_xh=of_categories(one.W_xh, table, dtype)) for one in known]
            self.model.weights[key] = known
        return known

    def _order(self, node: NodeProto, source: Source, rows: Ids) -> int:
        """Return 1 where rows (time, batch) are all steps in the order of time, -1 from the end."""
        if source.steps is not None:
            grid = source.step_rows
            # The input's axes are in either order; behind a layer it is known which is time.
            for steps in [grid.T] if source.is_recurrent else [grid.T, grid]:
                for order in (1, -1):
                    if np.array_equal(rows, steps[::order]):
                        return order
        raise ModelFileError(
            f"{label(node)}: expected all steps of {source.name}, "
            f"got {self.sources.described(source.ids(rows))}"
        )

    def _lengths(self, node: NodeProto, value: Value, B: int, T: int) -> str:
        """Return the input that holds the sequences' lengths, or "" where all are whole."""
        if value is None:
            return ""
        if isinstance(value, np.ndarray):
            if value.shape == (B,) and (value == T).all():
                return ""
            raise ModelFileError(
                f"{label(node)}: expected sequence_lens that are an input of the model or {T} "
                f"steps for each of {B} sequences, got {value.ravel()[:8].tolist()}"
            )
        place = self._place(node, value)
        elements = place.row * place.source.features + place.feature
        if place.source.steps is not None or not np.array_equal(elements, np.arange(B)):
            raise ModelFileError(
                f"{label(node)}: expected sequence_lens that are an input of the model, "
                f"got {self.described(value)}"
            )
        return place.source.name

    def _first_states(
        self, node: NodeProto, value: Value, shape: tuple[int, int, int], layout: int
    ) -> FirstState:
        """Return first states that the model holds, or their input; None where they are zero."""
        if value is None:
            return None
        D, B, H = shape
        if isinstance(value, np.ndarray) and value.ndim == 3:
            return constant_states(node, value.swapaxes(0, 1) if layout else value, D, H)
        if isinstance(value, Tracked) and value.ids.ndim == 3:
            place = self._place(node, value)
            elements = place.row * place.source.features + place.feature
            elements = elements.swapaxes(0, 1) if layout else elements
            count = place.source.size
            if place.source.steps is None and elements.shape == shape and count % (B * H) == 0:
                S = count // (B * H)
                # (states, batch, hidden), or by batch first
                for grid in (
                    np.arange(count).reshape(S, B, H),
                    np.arange(count).reshape(B, S, H).swapaxes(0, 1),
                ):
                    first = np.flatnonzero(grid[:, 0, 0] == elements[0, 0, 0])
                    if len(first) and np.array_equal(grid[first[0] : first[0] + D], elements):
                        return StateInput(place.source.name, int(first[0]), S)
        raise ModelFileError(
            f"{label(node)}: expected first states that are an input of the model or constants "
            f"of shape {shape}, got {self.described(value)}"
        )

    # By operator, what reads a node one of whose inputs is tracked
    HANDLERS: ClassVar[dict[str, Callable[..., list[Value]]]] = {
        **dict.fromkeys(MOVING, _moved),
        **dict.fromkeys(REDUCING, _reduced),
        **dict.fromkeys(ACTIVATIONS, _activated),
        **dict.fromkeys(("Cast", "CastLike"), _cast),
        "Gather": _gathered,
        **dict.fromkeys(("Less", "Greater"), _compared),
        **dict.fromkeys(("MatMul", "Gemm"), _product),
        **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
        "Unsqueeze": _unsqueezed,
        "Where": _where,
        "Dropout": _kept,
        "BatchNormalization": _normalized,
        "Softmax": _softmax,
    }


def _parts_of(source: Source) -> Iterator[Any]:
    """Yield the parts that lead to a source, the last one first."""
    below: Source | None = source
    while below is not None:
        yield below.part
        below = below.parent


def _data(graph: GraphProto) -> set[str]:
    """Return the tensors that lead to what the first recurrent node reads."""
    makers = {name: node for node in graph.node for name in node.output}
    names = [node.input[0] for node in graph.node if node.op_type in RECURRENT and node.input][:1]
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found and name in makers:
            names += makers[name].input
        found.add(name)
    return found


def _needed(graph: GraphProto) -> set[str]:
    """Return the tensors that the first output needs, in graphs within it as well."""
    needed = {graph.output[0].name}
    _add_needed(graph, needed, 0)
    return needed


def _add_needed(graph: GraphProto, needed: set[str], depth: int) -> None:
    for node in reversed(graph.node):
        if not needed.intersection(node.output):
            continue
        needed.update(node.input)
        for entry in node.attribute:
            if entry.HasField("g") and depth < MOST_DEPTH:
                needed.update(output.name for output in entry.g.output)
                _add_needed(entry.g, needed, depth + 1)


def _constant_of(node: NodeProto, folder: Folder) -> Value:
    """Return the value of a Constant node."""
    if len(node.attribute) == 1:
        (entry,) = node.attribute
        if entry.name == "value":
            return array_of(entry.t, folder)
        if entry.name in ("value_float", "value_int"):
            is_float = entry.name == "value_float"
            return np.array(entry.f, np.float32) if is_float else np.array(entry.i, np.int64)
        # Not by way of a list, which takes many times as much
        if entry.name == "value_floats":
            return np.fromiter(entry.floats, np.float32)
        if entry.name == "value_ints":
            return np.fromiter(entry.ints, np.int64)
    return Unread(f"{label(node)}: expected numbers")


def _dims(info: ValueInfoProto) -> list[Any]:
    return list(info.type.tensor_type.shape.dim)


def _size(dim: Any) -> int | None:
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else None


def _name(dim: Any) -> str:
    return str(dim.dim_param)
