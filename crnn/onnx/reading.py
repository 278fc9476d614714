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

from crnn import cells
from crnn.checks import Array
from crnn.errors import ModelFileError
from crnn.onnx.operators import OPERATORS, from_onnx

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


# Of them, what keeps numbers as they are
MOVES = {
    *("Gather", "Slice", "Split", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Transpose"),
    *("Identity", "Expand"),
}


class Given(NamedTuple):
    """Something of run time."""

    repeated: Array | None = None
    """The numbers that it repeats, where it does."""
    is_input: bool = False
    """Whether it is an input of the model, or parts of some, as they are."""


class Steps(NamedTuple):
    """Sequences: the inputs, or the outputs of so many layers."""

    layers: int
    axes: tuple[str, ...]
    """What each axis is: "T", "B", "D" of directions, "F" of features; of the inputs "0", "1"."""
    is_output: bool = False


class Last(NamedTuple):
    """What the last states of so many layers' topmost one become."""

    layers: int
    axes: tuple[str, ...]
    is_output: bool = False


class Layer(NamedTuple):
    """A recurrent node."""

    cell: str
    sides: list[tuple[Array, Array, Array]]
    """W_xh, W_hh and b_h by direction."""
    firsts: list[Array | None]
    """h_0, and of an LSTM c_0, (directions, hidden); None: given at run time, or zero."""


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
        walk = _Walk(model.graph)
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
    if tensor.data_type not in NUMBERS:
        # Of words and switches nothing is made here.
        kind = TensorProto.DataType.Name(tensor.data_type)
        raise ModelFileError(f"{name}: expected floats or whole numbers, got {kind}")
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

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._known: dict[str, Any] = {"": None}
        self._layers: list[Layer] = []
        self._output: tuple[Array, Array | None] | None = None
        self._has_lengths = False
        if graph.sparse_initializer:
            raise ModelFileError("expected dense tensors, got a sparse one")
        for tensor in graph.initializer:
            self._known[tensor.name] = _array(tensor)
        for number, info in enumerate(graph.input):
            default = self._known.get(info.name)
            if number == 0 and default is None:
                self._known[info.name] = Steps(0, ("0", "1", "F"))
            else:
                # An input with a default is what the default is, unless the user gives another.
                self._known[info.name] = Given(default, default is None)
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
        W_xh, W_hh, _ = of.sides[0]
        output_size = None
        if self._output is not None:
            output_size = self._output[0].shape[0]
        trains = any(first is not None and first.any() for x in self._layers for first in x.firsts)
        settings: dict[str, Any] = {
            "num_layers": len(self._layers),
            "bidirectional": len(of.sides) == 2,
            "return_sequences": isinstance(result, Steps),
            "trainable_h0": trains,
            "dtype": W_xh.dtype.name,
            "init": "uniform",
            "implementation": implementation,
        }
        family = next(f for f in cells.FAMILIES.values() if of.cell in f._SETTINGS)
        net = family(
            W_xh.shape[1], W_hh.shape[1], output_size, **settings, **family._SETTINGS[of.cell]
        )
        self._fill(net)
        return net

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
                    np.zeros((architecture.directions, H)) if first is None else first
                    for first in (layer.firsts[number] for layer in self._layers)
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
        else:
            moving = [i for i in inputs if isinstance(i, (Steps, Last))]
            if not moving or node.op_type in ("Shape", "Size"):
                result = self._of_sizes(node, inputs, attributes)
            else:
                result = self._moved(node, inputs, attributes)
        for name in node.output:
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
        is_input = isinstance(inputs[0], Given) and inputs[0].is_input if inputs else False
        if node.op_type in ("Expand", "Tile", "Identity") and not is_input:
            repeated = array if array is not None else getattr(inputs[0], "repeated", None)
            return Given(repeated)
        if node.op_type == "Slice" and isinstance(inputs[0], Given) and not is_input:
            repeated = inputs[0].repeated
            if repeated is None or repeated.size <= 1:
                return Given(repeated)
            return Given(self._slice(repeated, others))
        # The first of its inputs is what it moves; of Concat all are.
        parts = inputs if node.op_type == "Concat" else inputs[:1]
        if node.op_type in MOVES and all(isinstance(i, Given) and i.is_input for i in parts):
            return Given(is_input=True)
        if node.op_type in ("Unsqueeze", "Squeeze", "Transpose") and isinstance(inputs[0], Given):
            repeated = inputs[0].repeated
            return Given(repeated if repeated is not None and not repeated.any() else None)
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

    def _slice(self, array: Array, others: list[Any]) -> Array:
        """Return the states of one layer among those of all."""
        if not all(isinstance(o, np.ndarray) and o.size == 1 for o in others) or len(others) < 3:
            raise ModelFileError("Slice: expected constant bounds of one axis")
        start, end, axis = (int(o.reshape(-1)[0]) for o in others[:3])
        if axis != 0 or len(others) > 3:
            raise ModelFileError(f"Slice: expected the first axis, in steps of 1, got axis {axis}")
        return array[start:end]

    def _moved(self, node: Any, inputs: list[Any], attributes: dict[str, Any]) -> Any:
        """Return what a node makes of sequences or last states."""
        operator, value = node.op_type, inputs[0]
        if operator in ("Add", "MatMul", "Mul", "Where") and not isinstance(value, (Steps, Last)):
            value = inputs[1]
        if operator == "Identity" or (operator == "Dropout" and len(node.output) >= 1):
            return value
        if (
            operator == "Where"
            and self._has_lengths
            and isinstance(inputs[0], Given)
            and not self._has_numbers(inputs[2])
        ):
            # Zeros past the sequences' ends, as crnn's outputs have there too
            return inputs[1]
        if operator in ("MatMul", "Gemm", "Add") and isinstance(value, (Steps, Last)):
            return self._outputs(operator, value, inputs, attributes)
        if value.is_output:
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

    def _has_numbers(self, value: Any) -> bool:
        return not isinstance(value, np.ndarray) or bool(value.any())

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
        features = {-1, D * H}
        if (
            isinstance(shape, np.ndarray)
            and value.axes[-2:] == ("D", "F")
            and len(shape) == len(value.axes) - 1
            and int(shape[-1]) in features
            # A size that is left to be found may stand for a batch or for time, not for two axes.
            and sum(int(size) not in (0, D * H) for size in shape) <= 1
        ):
            return value._replace(axes=(*value.axes[:-2], "F"))
        if D == 1 and isinstance(shape, Given) and len(value.axes) == 4:
            raise ModelFileError("Reshape: expected a constant shape")
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
            if self._output is None or self._output[1] is not None or not value.is_output:
                raise ModelFileError("Add: expected the bias of an output layer")
            if len(arrays) != 1 or arrays[0].size != arrays[0].shape[-1]:
                raise ModelFileError("Add: expected one constant vector")
            self._output = self._output[0], arrays[0].reshape(-1)
            return value
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
        self._output = weights, bias
        return value._replace(is_output=True)

    def _recurrent(self, node: Any, inputs: list[Any], attributes: dict[str, Any]) -> None:
        """Take a recurrent layer."""
        operator = node.op_type
        inputs = inputs + [None] * (8 - len(inputs))
        x, W, R, B, lengths, *firsts, peepholes = inputs
        cell = _cell_of(operator, attributes)
        layout = attributes["layout"].i if "layout" in attributes else 0
        expected = ("T", "B", "F") if layout == 0 else ("B", "T", "F")
        if not isinstance(x, Steps) or x.layers != len(self._layers) or x.is_output:
            raise ModelFileError(f"{operator}: expected layers one above the other")
        if x.layers == 0:
            if x.axes[-1] != "F" or len(x.axes) != 3:
                raise ModelFileError(f"{operator}: expected inputs of three axes, got {x.axes}")
        elif x.axes != expected:
            raise ModelFileError(f"{operator}: expected axes {expected}, got {x.axes}")
        if peepholes is not None:
            raise ModelFileError(f"{operator}: expected no peepholes, got an input P")
        if lengths is not None and not (isinstance(lengths, Given) and lengths.is_input):
            raise ModelFileError(
                f"{operator}: expected sequence_lens that are an input of the model"
            )
        self._has_lengths |= lengths is not None
        for name, array in (("W", W), ("R", R)):
            if not isinstance(array, np.ndarray) or array.ndim != 3:
                raise ModelFileError(f"{operator}: expected a constant {name} of three axes")
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
        self._layers.append(Layer(cell, sides, found))
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


def _first(operator: str, value: Any, D: int, H: int, layout: int) -> Array | None:
    """Return the first states (D, H) that a model holds; None where they are zero or given."""
    if value is None or (isinstance(value, Given) and value.is_input):
        return None
    if not isinstance(value, np.ndarray) and getattr(value, "repeated", None) is None:
        raise ModelFileError(
            f"{operator}: expected first states that are an input of the model, or constants"
        )
    array = value if isinstance(value, np.ndarray) else value.repeated
    if not array.any():
        return None
    if array.ndim == 3 and layout == 1:
        array = array.transpose(1, 0, 2)
    if array.ndim != 3 or array.shape[0] != D or array.shape[2] != H or not array.shape[1]:
        raise ModelFileError(
            f"{operator}: expected first states of shape ({D}, batch, {H}), got {array.shape}"
        )
    if (array != array[:, :1]).any():
        raise ModelFileError(f"{operator}: expected the same first states for all sequences")
    first: Array = array[:, 0]
    return first
