"""A network from an ONNX model, of whatever tool wrote it.

The nodes are walked through in order, and each tensor is known by what it is: an array of numbers,
the sequences on their way from layer to layer, the last states of a layer, or something that comes
of the inputs at run time, as first states and their sizes do. What the walk does not know is
refused by name. Nothing is computed but small changes of the model's own arrays.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper

from crnn import networks as cells
from crnn.checks import Array
from crnn.errors import ModelFileError
from crnn.onnx.operators import OPERATORS, TRAINABLE, from_onnx

NUMBERS: dict[int, tuple[np.dtype[Any], str]] = {
    TensorProto.FLOAT: (np.dtype("<f4"), "float_data"),
    TensorProto.DOUBLE: (np.dtype("<f8"), "double_data"),
    TensorProto.INT64: (np.dtype("<i8"), "int64_data"),
    TensorProto.INT32: (np.dtype("<i4"), "int32_data"),
}

# What makes first states, masks and shapes at run time
OF_SIZES = {
    *("Shape", "Size", "Cast", "Expand", "ConstantOfShape", "Range", "Less", "Mul", "Add", "Sub"),
    *("Div", "Max", "Min", "ReduceMax", "Equal", "Where", "Tile", "Not", "GreaterOrEqual"),
    *("Gather", "Slice", "Split", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Transpose"),
    "Identity",
}


class Given(NamedTuple):
    """Something of run time."""

    repeated: Array | None = None
    """The numbers that it repeats, where it does."""
    source: str = ""
    """The input of the model that it is, or is a part of."""
    part: tuple[int, int] | None = None
    """Which rows of it; None: all."""
    mask: str = ""
    """What it is of a mask past the sequences' ends: "ends", "steps" or "inside"."""


class Steps(NamedTuple):
    """Sequences: the inputs, or the outputs of so many layers."""

    layers: int
    axes: tuple[str, ...]
    """What each axis is: "T", "B", "D" of directions, "F" of features; of the inputs "0", "1"."""
    stage: int = 0
    """1 after the product of the output layer, 2 after its bias."""


class Last(NamedTuple):
    """What the last states of so many layers' topmost one become."""

    layers: int
    axes: tuple[str, ...]
    stage: int = 0


class Layer(NamedTuple):
    """A recurrent node."""

    cell: str
    sides: list[tuple[Array, Array, Array]]
    """W_xh, W_hh and b_h by direction."""
    firsts: list[Array | Given | None]
    """h_0, and of an LSTM c_0, (directions, hidden); an input of the model; or None, for zero."""
    lengths: str
    """The input of the model that holds the sequences' lengths, or "" for none."""


def load(path_or_model: Any, *, implementation: str | None = None) -> Any:
    """Return the network that an ONNX model computes.

    Models of one or several RNN, GRU or LSTM nodes above each other, with or without an output
    layer of MatMul and Add, or Gemm, are read: forward or bidirectional, either layout, both forms
    of GRU, RNN with Tanh or Relu. First states that are the model's inputs are given to `predict`
    as ``h0``; those that are part of it become a trainable h0. The network takes (batch, time,
    features), whatever the model's layout is.

    Nothing in a model is executed, other files that it names are not opened, and no more room is
    made than its own tensors take: models of unknown origin may be tried.

    Parameters
    ----------
    path_or_model : path-like or onnx.ModelProto
    implementation : {"native", "python"}, optional
        As of `crnn.RNN`.

    Returns
    -------
    crnn.RNN, GRU or LSTM

    Raises
    ------
    ModelFileError
        The model is damaged, or computes something that crnn's networks do not: it says what.
    OSError
        It cannot be opened.
    """
    model, where = path_or_model, "model"
    if not isinstance(model, onnx.ModelProto):
        where = os.fspath(path_or_model)
        content = Path(where).read_bytes()
        model = onnx.ModelProto()
        try:
            model.ParseFromString(content)
        except Exception as error:  # of the protocol buffers' own kinds
            raise ModelFileError(f"{where}: expected an ONNX model, got {error}") from error
    try:
        walk = _Walk(model)
        return walk.network(implementation)
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error.__cause__
    except MemoryError:
        raise
    except Exception as error:
        # A damaged model leads to whatever its bytes say.
        raise ModelFileError(
            f"{where}: expected a sound ONNX model, got one that is damaged "
            f"({type(error).__name__}: {error})"
        ) from error


def _array(tensor: Any) -> Array:
    """Return the numbers of a tensor, whose size is looked at before room is made."""
    name = tensor.name or "a constant"
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelFileError(f"{name}: expected numbers in the model, got some in another file")
    dtype, field = NUMBERS[tensor.data_type]
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise ModelFileError(f"{name}: expected a shape, got {shape}")
    # Not NumPy's product, which could overflow
    count = 1
    for size in shape:
        count *= size
    values = tensor.raw_data or getattr(tensor, field)
    has = len(values) // dtype.itemsize if tensor.raw_data else len(values)
    if has != count or (tensor.raw_data and len(values) % dtype.itemsize):
        raise ModelFileError(f"{name}: expected {count} numbers of shape {shape}, got {has}")
    flat = np.frombuffer(values, dtype) if tensor.raw_data else np.array(values, dtype)
    array: Array = flat.reshape(shape).astype(dtype.newbyteorder("="))
    return array


class _Walk:
    """What is found on the way through a graph."""

    def __init__(self, model: Any) -> None:
        graph = self._graph = model.graph
        # What `export` says, where a trainable state is zero still
        self._is_trained = any(
            (entry.key, entry.value) == TRAINABLE for entry in model.metadata_props
        )
        self._known: dict[str, Any] = {"": None}
        self._layers: list[Layer] = []
        self._output: tuple[Array, Array | None] | None = None
        self._stage = 0
        self._numbers = 0
        if graph.sparse_initializer:
            raise ModelFileError("expected dense tensors, got a sparse one")
        for tensor in graph.initializer:
            # Words, switches and halves are of no use here.
            is_read = tensor.data_type in NUMBERS
            self._known[tensor.name] = _array(tensor) if is_read else Given()
            self._numbers += self._known[tensor.name].size if is_read else 0
        # An input with a default is what the default is, unless the user gives another.
        inputs = [info.name for info in graph.input if info.name not in self._known]
        for number, name in enumerate(inputs):
            self._known[name] = Given(source=name) if number else Steps(0, ("0", "1", "F"))
        for node in graph.node:
            self._take(node)

    def network(self, implementation: str | None) -> Any:
        """Return the network of it all."""
        if not self._layers:
            raise ModelFileError("expected an RNN, GRU or LSTM node, got none")
        result = self._known.get(self._graph.output[0].name) if self._graph.output else None
        if not isinstance(result, (Steps, Last)) or result.layers != len(self._layers):
            raise ModelFileError(
                "expected a first output that is made of the last layer's states, "
                f"got {self._graph.output[0].name if self._graph.output else 'none'!r}"
            )
        of = self._layers[0]
        for layer in self._layers[1:]:
            for what, ours, theirs in (
                ("cell", of.cell, layer.cell),
                ("hidden_size", of.sides[0][1].shape, layer.sides[0][1].shape),
                ("directions", len(of.sides), len(layer.sides)),
            ):
                if ours != theirs:
                    raise ModelFileError(
                        f"{what}: expected all layers alike, got {ours} and {theirs}"
                    )
        if result.stage != self._stage:
            raise ModelFileError(
                "expected a first output behind all of the output layer, "
                f"got {self._graph.output[0].name!r}"
            )
        if len({layer.lengths for layer in self._layers}) > 1:
            raise ModelFileError("sequence_lens: expected the same at all layers")
        W_xh, W_hh, _ = of.sides[0]
        features, output_size = len(of.sides) * W_hh.shape[1], None
        if self._output is not None:
            output_size = self._output[0].shape[0]
            if self._output[0].shape[1] != features or not output_size:
                raise ModelFileError(
                    f"expected an output layer of {features} features, "
                    f"got weights of shape {self._output[0].shape}"
                )
        sides = [side for layer in self._layers for side in layer.sides]
        if sum(W.size + R.size for W, R, _ in sides) > self._numbers:
            raise ModelFileError("expected each layer to have weights of its own")
        self._check_inputs_of_states(len(of.sides))
        trains = self._is_trained or any(
            isinstance(first, np.ndarray) for layer in self._layers for first in layer.firsts
        )
        settings: dict[str, Any] = {
            "num_layers": len(self._layers),
            "bidirectional": len(of.sides) == 2,
            "return_sequences": isinstance(result, Steps),
            "trainable_h0": trains,
            "dtype": W_xh.dtype.name,
            "init": "uniform",
            "implementation": implementation,
        }
        net = cells.of_cell(of.cell, W_xh.shape[1], W_hh.shape[1], output_size, **settings)
        self._fill(net)
        return net

    def _check_inputs_of_states(self, D: int) -> None:
        """See to it that first states that are inputs are so of all layers, and in order."""
        firsts = [first for layer in self._layers for first in layer.firsts if first is not None]
        found = [first for first in firsts if isinstance(first, Given)]
        if not found:
            return
        states = len(self._layers[0].firsts)
        sources: list[str] = []
        for k in range(states):
            of_kind = [layer.firsts[k] for layer in self._layers]
            parts = [(first.source, first.part) for first in of_kind if isinstance(first, Given)]
            names = {source for source, _ in parts}
            rows = [(n * D, n * D + D) for n in range(len(of_kind))]
            in_order = len(names) == 1 and [part for _, part in parts] == rows
            alone = len(names) == len(of_kind) and not any(part for _, part in parts)
            if len(parts) != len(of_kind) or not (in_order or alone):
                raise ModelFileError(
                    "expected first states of all layers, one after another, in an input"
                )
            sources += names
        if len(set(sources)) < len(sources) or len(found) != len(firsts):
            raise ModelFileError("expected first states of h and of c in inputs of their own")

    def _fill(self, net: Any) -> None:
        architecture = net._network.architecture
        states = [side for layer in self._layers for side in layer.sides]
        for state, arrays in enumerate(states):
            for name, array in zip(("W_xh", "W_hh", "b_h"), arrays, strict=True):
                self._assign(net, name + architecture.suffix(state), array)
        if self._output is not None:
            W_hy, b_y = self._output
            self._assign(net, "W_hy", W_hy)
            if b_y is not None:
                self._assign(net, "b_y", b_y)
            else:
                net.b_y[...] = 0
        if architecture.trainable_h0:
            H = architecture.hidden_size
            for number, name in enumerate(("h0", "c0")[: architecture.blocks.states]):
                rows = [
                    first if isinstance(first, np.ndarray) else np.zeros((len(layer.sides), H))
                    for layer in self._layers
                    for first in (layer.firsts[number],)
                ]
                self._assign(net, name, np.concatenate(rows).reshape(net.params[name].shape))

    def _assign(self, net: Any, name: str, array: Array) -> None:
        if array.shape != net.params[name].shape:
            raise ModelFileError(
                f"{name}: expected shape {net.params[name].shape}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ModelFileError(f"{name}: expected finite numbers")
        net.params[name][...] = array

    def _take(self, node: Any) -> None:
        """Find out what a node's results are."""
        attributes = {a.name: a for a in node.attribute}
        inputs = [self._find(name) for name in node.input]
        if node.domain not in ("", "ai.onnx"):
            raise ModelFileError(
                f"{node.op_type}: expected ONNX's own operators, got {node.domain}"
            )
        if node.op_type in ("RNN", "GRU", "LSTM"):
            self._recurrent(node, inputs, attributes)
            return
        if node.op_type == "Constant":
            if "value" not in attributes:
                values = [helper.get_attribute_value(a) for a in node.attribute]
                result: Any = np.array(values[0]) if len(values) == 1 else Given()
            else:
                result = _array(attributes["value"].t)
                self._numbers += result.size
        else:
            moving = [i for i in inputs if isinstance(i, (Steps, Last))]
            if not moving or node.op_type in ("Shape", "Size"):
                result = self._of_sizes(node, inputs, attributes)
            else:
                result = self._moved(node, inputs, attributes)
        if isinstance(result, (Steps, Last)) and len([name for name in node.output if name]) > 1:
            raise ModelFileError(f"{node.op_type}: expected one result")
        for name in node.output:
            if name:
                self._known[name] = result

    def _find(self, name: str) -> Any:
        if name not in self._known:
            raise ModelFileError(f"{name}: expected a tensor that is made before it is read")
        return self._known[name]

    def _of_sizes(self, node: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
        """Return what arrays and things of run time become: arrays only by changes of shape."""
        if node.op_type not in OF_SIZES:
            raise ModelFileError(f"{node.op_type}: expected operators that crnn's networks have")
        array = inputs[0] if inputs and isinstance(inputs[0], np.ndarray) else None
        others = inputs[1:]
        constants = all(isinstance(i, np.ndarray) for i in inputs)
        perm = attributes.get("perm")
        if node.op_type == "ConstantOfShape":
            value = _array(attributes["value"].t) if "value" in attributes else np.zeros(1, "f4")
            return Given(value)
        if array is not None and constants:
            if node.op_type == "Identity":
                return array
            if node.op_type == "Transpose":
                return array.transpose(None if perm is None else list(perm.ints))
            if node.op_type in ("Squeeze", "Unsqueeze", "Reshape") and array.size:
                return self._reshaped(node.op_type, array, others, attributes)
            if node.op_type == "Slice":
                return Given(self._slice(array, others))
        found = self._of_mask(node, inputs)
        if found is not None:
            return found
        first = inputs[0] if inputs else None
        if node.op_type in ("Expand", "Tile") and array is not None:
            return Given(array)
        if not isinstance(first, Given):
            return Given()
        if node.op_type in ("Expand", "Identity"):
            return first
        if node.op_type == "Slice" and first.source and first.part is None:
            return first._replace(part=self._bounds(others))
        if node.op_type == "Slice" and first.repeated is not None:
            return Given(self._slice(first.repeated, others))
        if node.op_type in ("Unsqueeze", "Squeeze", "Transpose", "Tile"):
            # Of zeros the axes do not matter.
            zeros = first.repeated is not None and not first.repeated.any()
            return Given(first.repeated if zeros else None)
        return Given()

    def _reshaped(
        self, operator: str, array: Array, others: list[Any], attributes: dict[str, Any]
    ) -> Array:
        axes = others[0] if others else attributes["axes"].ints if "axes" in attributes else None
        if operator == "Reshape":
            wanted = [int(size) for size in others[0]]
            sizes = [array.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
            return array.reshape(sizes)
        if operator == "Squeeze":
            return np.squeeze(array, None if axes is None else tuple(int(a) for a in axes))
        if axes is None or len(axes) > 4:
            raise ModelFileError("Unsqueeze: expected some axes")
        return np.expand_dims(array, tuple(int(a) for a in axes))

    def _of_mask(self, node: Any, inputs: list[Any]) -> Given | None:
        """Return what part of a mask past the sequences' ends this is, if it is one.

        Whether t < length, as (batch, time, 1): Less(Range(0, T, 1), Unsqueeze(lengths)).
        """
        first = inputs[0] if inputs else None
        axes = inputs[1] if len(inputs) > 1 else None
        axis = axes.tolist() if isinstance(axes, np.ndarray) else None
        if node.op_type == "Cast" and isinstance(first, Given) and first.source:
            return first
        if node.op_type == "Range" and len(inputs) == 3:
            start, _, step = inputs
            if isinstance(start, np.ndarray) and isinstance(step, np.ndarray):
                return Given(mask="steps") if (start.item(), step.item()) == (0, 1) else None
        if node.op_type == "Unsqueeze" and isinstance(first, Given):
            if first.source and first.part is None and axis == [1]:
                return first._replace(mask="ends")
            return first if first.mask == "inside" and axis == [2] else None
        if node.op_type == "Less" and [getattr(i, "mask", "") for i in inputs] == ["steps", "ends"]:
            return Given(source=inputs[1].source, mask="inside")
        return None

    def _bounds(self, others: list[Any]) -> tuple[int, int]:
        """Return which rows a Slice takes."""
        if not all(isinstance(o, np.ndarray) and o.size == 1 for o in others) or len(others) < 3:
            raise ModelFileError("Slice: expected constant bounds of one axis")
        start, end, axis = (int(o.reshape(-1)[0]) for o in others[:3])
        if axis != 0 or len(others) > 3:
            raise ModelFileError(f"Slice: expected the first axis, in steps of 1, got axis {axis}")
        return start, end

    def _slice(self, array: Array, others: list[Any]) -> Array:
        """Return the states of one layer among those of all."""
        start, end = self._bounds(others)
        if array.ndim and array.shape[0] == 1:
            # Repeated for all of them
            return array
        if not 0 <= start < end <= len(array):
            raise ModelFileError(f"Slice: expected rows of {len(array)}, got {start} to {end}")
        return array[start:end]

    def _moved(self, node: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
        """Return what a node makes of sequences or last states."""
        operator = node.op_type
        value = next(i for i in inputs if isinstance(i, (Steps, Last)))
        if operator == "Identity" or (operator == "Dropout" and inputs[2:] in ([], [None])):
            # Outside training, dropout leaves all as it is.
            return value
        if operator == "Where" and len(inputs) == 3:
            inside, values, nothing = inputs
            if (
                getattr(inside, "mask", "") == "inside"
                and self._layers
                and inside.source == self._layers[-1].lengths
                and values is value
                and value.axes == ("B", "T", "F")
                and isinstance(nothing, np.ndarray)
                and not nothing.any()
            ):
                # Zeros past the sequences' ends, as crnn's outputs have there too
                return value
        if operator in ("MatMul", "Gemm", "Add"):
            return self._outputs(operator, value, inputs, attributes)
        if value.stage:
            raise ModelFileError(f"{operator}: expected nothing after the output layer")
        if operator == "Transpose":
            perm = list(attributes["perm"].ints) if "perm" in attributes else None
            axes = value.axes[::-1] if perm is None else tuple(value.axes[i] for i in perm)
            return value._replace(axes=axes)
        if operator == "Squeeze":
            return self._squeezed(value, inputs, attributes)
        if operator == "Reshape":
            return self._merged(value, inputs[1])
        if operator in ("Gather", "Slice") and isinstance(value, Steps):
            return self._last_step(operator, value, inputs, attributes)
        if operator == "Concat" and isinstance(value, Last):
            # Of the last states of all layers, one of the model's outputs
            return Given()
        raise ModelFileError(f"{operator}: expected operators that crnn's networks have")

    def _squeezed(self, value: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
        axes = inputs[1] if len(inputs) > 1 else attributes["axes"].ints if attributes else None
        place = value.axes.index("D") if "D" in value.axes else -1
        one = len(self._layers[value.layers - 1].sides) == 1 if value.layers else False
        if (
            not one
            or place < 0
            or axes is None
            or [int(a) % len(value.axes) for a in axes] != [place]
        ):
            raise ModelFileError("Squeeze: expected the one direction of a layer to be taken out")
        return value._replace(axes=tuple(axis for axis in value.axes if axis != "D"))

    def _merged(self, value: Any, shape: Any) -> Any:
        """Lay both directions' features side by side, or take out the one direction."""
        H = self._layers[value.layers - 1].sides[0][1].shape[1] if value.layers else 0
        D = len(self._layers[value.layers - 1].sides) if value.layers else 0
        if (
            isinstance(shape, np.ndarray)
            and value.axes[-2:] == ("D", "F")
            and len(shape) == len(value.axes) - 1
            and int(shape[-1]) in (-1, D * H)
            # A size that is left to be found may stand for a batch or for time, not for two axes.
            and sum(int(size) not in (0, D * H) for size in shape) <= 1
        ):
            return value._replace(axes=(*value.axes[:-2], "F"))
        raise ModelFileError("Reshape: expected both directions' features side by side")

    def _last_step(
        self, operator: str, value: Steps, inputs: list[Any], attributes: dict[str, Any]
    ) -> Last:
        """Return the states that the last step leaves: of layers that read forward alone."""
        axis, index = attributes["axis"].i if "axis" in attributes else 0, inputs[1]
        one = value.layers and len(self._layers[value.layers - 1].sides) == 1
        if (
            operator != "Gather"
            or not one
            # There a short sequence has zeros.
            or self._layers[value.layers - 1].lengths
            or value.axes[axis] != "T"
            or not isinstance(index, np.ndarray)
            or index.ndim
            or int(index) != -1
        ):
            raise ModelFileError(
                f"{operator}: expected the last step of a layer that reads forward"
            )
        return Last(value.layers, tuple(a for a in value.axes if a != "T"))

    def _outputs(
        self, operator: str, value: Any, inputs: list[Any], attributes: dict[str, Any]
    ) -> Any:
        """Take the output layer, or its bias."""
        arrays = [i for i in inputs if isinstance(i, np.ndarray)]
        if not value.layers or value.axes[-1] != "F" or "D" in value.axes:
            raise ModelFileError(f"{operator}: expected an output layer above the recurrent layers")
        if operator == "Add":
            if self._output is None or self._stage != 1 or value.stage != 1:
                raise ModelFileError("Add: expected the bias of an output layer")
            if len(arrays) != 1 or arrays[0].size != len(self._output[0]):
                raise ModelFileError("Add: expected one constant vector")
            self._output, self._stage = (self._output[0], arrays[0].reshape(-1)), 2
            return value._replace(stage=2)
        if self._output is not None:
            raise ModelFileError(f"{operator}: expected one output layer, got two")
        if len(arrays) != len(inputs) - 1 or arrays[0].ndim != 2 or inputs[0] is not value:
            raise ModelFileError(f"{operator}: expected constant weights of two axes")
        weights, bias = arrays[0].T, None
        if operator == "Gemm":
            if attributes.get("transA") is not None and attributes["transA"].i:
                raise ModelFileError("Gemm: expected transA=0")
            for name in ("alpha", "beta"):
                if name in attributes and attributes[name].f != 1:
                    raise ModelFileError(f"Gemm: expected {name}=1, got {attributes[name].f}")
            if "transB" in attributes and attributes["transB"].i:
                weights = arrays[0]
            if len(arrays) > 1:
                bias = np.broadcast_to(arrays[1].reshape(-1), len(weights))
        self._output, self._stage = (weights, bias), 1 if bias is None else 2
        return value._replace(stage=self._stage)

    def _recurrent(self, node: Any, inputs: list[Any], attributes: dict[str, Any]) -> None:
        """Take a recurrent layer."""
        operator = node.op_type
        inputs = inputs + [None] * (8 - len(inputs))
        x, W, R, B, lengths, *firsts, peepholes = inputs
        cell = _cell_of(operator, attributes)
        layout = attributes["layout"].i if "layout" in attributes else 0
        expected = ("T", "B", "F") if layout == 0 else ("B", "T", "F")
        if not isinstance(x, Steps) or x.layers != len(self._layers) or x.stage:
            raise ModelFileError(f"{operator}: expected layers one above the other")
        if x.layers == 0:
            if x.axes[-1] != "F" or len(x.axes) != 3:
                raise ModelFileError(f"{operator}: expected inputs of three axes, got {x.axes}")
        elif x.axes != expected:
            raise ModelFileError(f"{operator}: expected axes {expected}, got {x.axes}")
        if peepholes is not None:
            raise ModelFileError(f"{operator}: expected no peepholes, got an input P")
        if lengths is not None and not (
            isinstance(lengths, Given) and lengths.source and not lengths.mask
        ):
            raise ModelFileError(
                f"{operator}: expected sequence_lens that are an input of the model"
            )
        for name, array in (("W", W), ("R", R)):
            if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind != "f":
                raise ModelFileError(f"{operator}: expected constant floats {name} of three axes")
        gates, (D, rows, H) = len(OPERATORS[cell].gates), R.shape
        directions = 2 if _text(attributes, "direction", "forward") == "bidirectional" else 1
        if directions != D or rows != gates * H or W.shape[:2] != (D, rows) or 0 in W.shape:
            raise ModelFileError(
                f"{operator}: expected W and R of {directions} directions and {gates} gates, "
                f"got shapes {W.shape} and {R.shape}"
            )
        if B is None:
            B = np.zeros((D, 2 * rows), W.dtype)
        if not isinstance(B, np.ndarray) or B.shape != (D, 2 * rows):
            raise ModelFileError(f"{operator}: expected a constant B of shape {(D, 2 * rows)}")
        if "hidden_size" in attributes and attributes["hidden_size"].i != H:
            raise ModelFileError(
                f"{operator}: expected hidden_size={H}, as R is, got {attributes['hidden_size'].i}"
            )
        features = self._features(x.layers)
        if features is not None and W.shape[2] != features:
            raise ModelFileError(f"{operator}: expected W of {features} inputs, got {W.shape[2]}")
        sides = [from_onnx(cell, W[d], R[d], B[d]) for d in range(D)]
        states = 2 if operator == "LSTM" else 1
        found = [_first(operator, first, D, H, layout) for first in firsts[:states]]
        source = "" if lengths is None else lengths.source
        self._layers.append(Layer(cell, sides, found, source))
        axes = ("T", "D", "B", "F") if layout == 0 else ("B", "T", "D", "F")
        results = [
            Steps(len(self._layers), axes),
            Last(len(self._layers), ("D", "B", "F") if layout == 0 else ("B", "D", "F")),
            # c_n, which no output layer reads
            Given(),
        ]
        for name, result in zip(node.output, results, strict=False):
            if name:
                self._known[name] = result

    def _features(self, layers: int) -> int | None:
        if layers == 0:
            return None
        sides = self._layers[layers - 1].sides
        features: int = len(sides) * sides[0][1].shape[1]
        return features


def _text(attributes: dict[str, Any], name: str, default: str) -> str:
    return attributes[name].s.decode("utf-8", "replace") if name in attributes else default


def _cell_of(operator: str, attributes: dict[str, Any]) -> str:
    """Return crnn's name of what a node computes at each step, or raise why there is none."""
    direction = _text(attributes, "direction", "forward")
    if direction not in ("forward", "bidirectional"):
        raise ModelFileError(
            f"{operator}: expected direction forward or bidirectional, got {direction}"
        )
    if "clip" in attributes:
        raise ModelFileError(f"{operator}: expected no clip, got {attributes['clip'].f:g}")
    for name in ("activation_alpha", "activation_beta"):
        if name in attributes and attributes[name].floats:
            raise ModelFileError(f"{operator}: expected no {name}")
    if "input_forget" in attributes and attributes["input_forget"].i:
        raise ModelFileError(f"{operator}: expected input_forget=0, got 1")
    known = {"hidden_size", "direction", "activations", "layout", "linear_before_reset"}
    known |= {"activation_alpha", "activation_beta", "input_forget", "output_sequence"}
    for name in attributes:
        if name not in known:
            raise ModelFileError(f"{operator}: expected attributes that it has, got {name}")
    before = attributes["linear_before_reset"].i if "linear_before_reset" in attributes else 0
    directions = 2 if direction == "bidirectional" else 1
    names = None
    if "activations" in attributes:
        if attributes["activations"].type != AttributeProto.STRINGS:
            raise ModelFileError(f"{operator}: expected activations by name")
        names = [s.decode("utf-8", "replace") for s in attributes["activations"].strings]
    for cell, of in OPERATORS.items():
        is_form = of.linear_before_reset is None or of.linear_before_reset == before
        if of.name == operator and is_form:
            usual = list(of.activations) * directions
            if names == usual or (names is None and cell != "relu"):
                return cell
    raise ModelFileError(
        f"{operator}: expected its usual activations, got {', '.join(names or [])}"
    )


def _first(operator: str, value: Any, D: int, H: int, layout: int) -> Array | Given | None:
    """Return the first states (D, H) that a model holds, or its input; None where they are zero."""
    if value is None or (isinstance(value, Given) and value.source and not value.mask):
        first: Array | Given | None = value
        return first
    if not isinstance(value, np.ndarray) and getattr(value, "repeated", None) is None:
        raise ModelFileError(
            f"{operator}: expected first states that are an input of the model, or constants"
        )
    array = value if isinstance(value, np.ndarray) else value.repeated
    if not array.any():
        return None
    if array.ndim == 3 and layout == 1:
        array = array.transpose(1, 0, 2)
    if array.ndim == 3 and array.shape[0] == 1:
        array = np.broadcast_to(array, (D, *array.shape[1:]))
    if array.ndim != 3 or array.shape[0] != D or array.shape[2] != H or not array.shape[1]:
        raise ModelFileError(
            f"{operator}: expected first states of shape ({D}, batch, {H}), got {array.shape}"
        )
    if (array != array[:, :1]).any():
        raise ModelFileError(f"{operator}: expected the same first states for all sequences")
    return np.array(array[:, 0])
