"""`export`: a network, a chain or an estimator as an ONNX model."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from crnn import GRU, LSTM, RNN, Dense, LastStep, Sequential, archive, checks
from crnn.onnx.operators import CATEGORICAL, OPERATORS, TRAINABLE_H0, to_onnx

# From 2022; later versions have the same recurrent operators.
OPSET, IR_VERSION = 17, 8
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}


def export(
    net: RNN | GRU | LSTM | Sequential | Any,
    path: str | os.PathLike[str],
    *,
    lengths: bool = False,
    states: bool = False,
    probabilities: bool = False,
) -> None:
    """Write a network as an ONNX model.

    Its input is ``x`` (batch, time, inputs), floats of the network's dtype. Its outputs are ``y``
    (batch, time, outputs), or (batch, outputs) without `return_sequences`, and the last states
    ``h_n`` (layers * directions, batch, hidden), for an LSTM also ``c_n``. Batch and time are
    symbolic. In a chain of several networks the states of each have its number: ``h_n_0``.

    Parameters
    ----------
    net : RNN, GRU, LSTM or Sequential
        If it is categorical, ``x`` are one-hot vectors in place of the category numbers. Or a
        fitted RNNClassifier or RNNRegressor of `crnn.sklearn`: ``x`` are then features as they are,
        and ``y`` the probabilities of the classes, or the numbers, (batch, outputs).
    path : path-like
        An existing file is replaced, whole or not at all.
    lengths : bool
        Whether there is one more input, ``lengths`` (batch,) of int32: the steps of each sequence.
    states : bool
        Whether the first states are inputs, ``h0`` and for an LSTM ``c0``, shaped as the last ones.
        Without it they are zero, or what the network was trained to start from.
    probabilities : bool
        Whether ``y`` are probabilities: a softmax of the outputs, or the sigmoid of one output.

    Raises
    ------
    TypeError
        It is no network.
    ValueError
        An estimator is not fitted, or has no lengths, states or probabilities of its own.
    OSError
        The file cannot be written.
    """
    lengths, states = checks.boolean("lengths", lengths), checks.boolean("states", states)
    probabilities = checks.boolean("probabilities", probabilities)
    if hasattr(net, "x_scale_") or hasattr(net, "n_networks"):
        if not hasattr(net, "x_scale_"):
            raise ValueError("net: expected a fitted estimator, got one that is not fitted")
        for name, value in (("lengths", lengths), ("states", states)):
            if value:
                raise ValueError(f"{name}: expected False for an estimator, got True")
        if probabilities and not hasattr(net, "classes_"):
            raise ValueError("probabilities: expected a classifier, got a regressor")
        model = _estimator_model(net)
    elif isinstance(net, (RNN, GRU, LSTM, Sequential)):
        model = _network_model(net, lengths, states, probabilities)
    else:
        raise TypeError(
            "net: expected an RNN, GRU, LSTM or Sequential of crnn, or an estimator of "
            f"crnn.sklearn, got {type(net).__name__}"
        )
    onnx.checker.check_model(model)
    archive.write_file(path, lambda file: file.write(model.SerializeToString()))


def _network_model(
    net: RNN | GRU | LSTM | Sequential, lengths: bool, states: bool, probabilities: bool
) -> onnx.ModelProto:
    """Return the model of a network or a chain."""
    graph = _Graph(net.dtype)
    graph.add_input("x", ["batch", "time", net.input_size])
    if lengths:
        graph.add_input("lengths", ["batch"], TensorProto.INT32)
    parts = net.parts if isinstance(net, Sequential) else (net,)
    networks = [part for part in parts if isinstance(part, (RNN, GRU, LSTM))]
    for network in networks:
        checks.no_leak(network.architecture, "ONNX")
    written = 0
    # The output comes first.
    if isinstance(net, Sequential):
        outputs, has_time = net.output_size, net.return_sequences
    else:
        outputs, has_time = net.architecture.outputs, net.return_sequences
    graph.add_output("y", ["batch", *["time"] * has_time, outputs])
    x = "x"
    for number, part in enumerate(parts):
        prefix = f"part{number}_" if len(parts) > 1 else ""
        if isinstance(part, Dense):
            x = graph.add_dense(x, part.weight, part.bias, part.activation, prefix)
        elif isinstance(part, LastStep):
            x = _add_last_step(graph, x, lengths)
        else:
            suffix = f"_{written}" if len(networks) > 1 else ""
            written += 1
            x = _NetworkWriter(graph, part, prefix, suffix, lengths, states).add(x)
    if probabilities:
        x = graph.add_activation(x, "sigmoid" if outputs == 1 else "softmax", "probabilities")
    is_affine = len(parts) > 1 or networks[0].architecture.output_size is not None or probabilities
    if lengths and has_time and is_affine:
        nothing = graph.constant("nothing", np.zeros((), net.dtype))
        x = graph.add("Where", [_add_mask(graph), x, nothing], "unpadded")
    graph.add("Identity", [x], "y")
    architectures = [network.architecture for network in networks]
    metadata = {
        TRAINABLE_H0: not states and any(a.trainable_h0 for a in architectures),
        CATEGORICAL: architectures[0].categorical,
    }
    return graph.model({name: "true" for name, holds in metadata.items() if holds})


def _estimator_model(estimator: Any) -> onnx.ModelProto:
    """Return the model of an estimator: the scales, all its networks, and the mean over these."""
    graph = _Graph(np.dtype(np.float32))
    scale, nets = estimator.x_scale_, estimator.nets_
    graph.add_input("x", ["batch", "time", nets[0].input_size])
    x = graph.add("Cast", ["x"], "x_double", to=TensorProto.DOUBLE)
    x = graph.add("Sub", [x, graph.constant("x_mean", np.float64(scale.mean))], "x_centered")
    x = graph.add("Div", [x, graph.constant("x_deviation", np.float64(scale.deviation))], "x_scale")
    x = graph.add("Cast", [x], "scaled", to=TensorProto.FLOAT)
    is_classifier = hasattr(estimator, "classes_")
    O = len(estimator.classes_) if is_classifier else len(estimator.y_scale_.mean)
    results = []
    for number, net in enumerate(nets):
        prefix = f"net{number}_"
        steps = _NetworkWriter(graph, net, prefix, "", lengths=False, states=False).add(x)
        y = _add_pooling(graph, steps, O, net.architecture.outputs, prefix)
        results.append(graph.add_activation(y, "softmax", f"{prefix}p") if is_classifier else y)
    y = graph.add("Mean", results, "mean")
    if not is_classifier:
        y = graph.add("Cast", [y], "mean_double", to=TensorProto.DOUBLE)
        deviation = graph.constant("y_deviation", np.float64(estimator.y_scale_.deviation))
        y = graph.add("Mul", [y, deviation], "y_scale")
        y = graph.add(
            "Add", [y, graph.constant("y_mean", np.float64(estimator.y_scale_.mean))], "z"
        )
        y = graph.add("Cast", [y], "numbers", to=TensorProto.FLOAT)
    graph.add("Identity", [y], "y")
    graph.add_output("y", ["batch", O])
    return graph.model({})


def _add_pooling(graph: "_Graph", steps: str, O: int, count: int, prefix: str) -> str:
    """Add the output of a sequence: the mean over the steps, weighted, and that of both ends."""

    def columns(start: int, stop: int, name: str) -> str:
        bounds = [
            graph.constant(f"{prefix}{name}_{what}", [number])
            for what, number in (("start", start), ("stop", stop), ("axis", 2))
        ]
        return graph.add("Slice", [steps, *bounds], f"{prefix}{name}")

    scores = columns(count - 1, count, "scores")
    weights = graph.add("Softmax", [scores], f"{prefix}weights", axis=1)
    product = graph.add("Mul", [columns(0, O, "numbers"), weights], f"{prefix}weighted")
    axis = graph.constant(f"{prefix}time", [1])
    y = graph.add("ReduceSum", [product, axis], f"{prefix}pooled", keepdims=0)
    if count > O + 1:
        for name, start, step in (("first", O, 0), ("last", 2 * O, -1)):
            place = graph.constant(f"{prefix}{name}_step", step)
            ends = columns(start, start + O, f"{name}_columns")
            end = graph.add("Gather", [ends, place], f"{prefix}{name}_end", axis=1)
            y = graph.add("Add", [y, end], f"{prefix}with_{name}")
    return y


def _add_last_step(graph: "_Graph", steps: str, lengths: bool) -> str:
    """Add the outputs (batch, features) of each sequence's last step."""
    if not lengths:
        return graph.add("Gather", [steps, graph.constant("end", -1)], "last_step", axis=1)
    counts = graph.add("Cast", ["lengths"], "step_counts", to=TensorProto.INT64)
    ends = graph.add("Sub", [counts, graph.constant("one_step", 1)], "last_steps")
    places = graph.add("Unsqueeze", [ends, graph.constant("place_axis", [1])], "places")
    return graph.add("GatherND", [steps, places], "last_step", batch_dims=1)


def _add_mask(graph: "_Graph") -> str:
    """Add whether 0 <= t < length, as (batch, time, 1)."""
    shape = graph.add("Shape", ["x"], "shape_of_x")
    time = graph.add("Gather", [shape, graph.constant("time_axis", 1)], "T")
    one = graph.constant("one", 1)
    steps = graph.add("Range", [graph.constant("zero", 0), time, one], "numbers")
    ends = graph.add("Cast", ["lengths"], "ends", to=TensorProto.INT64)
    ends = graph.add("Unsqueeze", [ends, graph.constant("of_rows", [1])], "ends_of_rows")
    inside = graph.add("Less", [steps, ends], "inside")
    return graph.add("Unsqueeze", [inside, graph.constant("of_steps", [2])], "counts")


class _Graph:
    """The nodes, constants, inputs and outputs of a model.

    Methods that add nodes return the name of the tensor that the last of them makes.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._real = helper.np_dtype_to_tensor_dtype(dtype)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def add_input(self, name: str, shape: list[Any], kind: int | None = None) -> None:
        info = helper.make_tensor_value_info(name, kind or self._real, shape)
        self._inputs.append(info)

    def add_output(self, name: str, shape: list[Any]) -> None:
        self._outputs.append(helper.make_tensor_value_info(name, self._real, shape))

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.add_node(operator, inputs, [output], **attributes)
        return output

    def add_node(
        self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any
    ) -> None:
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        array = np.asarray(values)
        self._constants[name] = array if array.dtype.kind == "f" else array.astype(np.int64)
        return name

    def add_dense(
        self,
        x: str,
        weight: npt.NDArray[Any],
        bias: npt.NDArray[Any],
        activation: str | None,
        prefix: str,
    ) -> str:
        """Add activation(W x + b) of the features."""
        weights = self.constant(f"{prefix}W_hy", np.ascontiguousarray(weight.T))
        product = self.add("MatMul", [x, weights], f"{prefix}product")
        x = self.add("Add", [product, self.constant(f"{prefix}b_y", bias)], f"{prefix}outputs")
        return self.add_activation(x, activation, f"{prefix}activated") if activation else x

    def add_activation(self, x: str, activation: str, name: str) -> str:
        attributes = {"axis": -1} if activation == "softmax" else {}
        return self.add(ACTIVATIONS[activation], [x], name, **attributes)

    def model(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the model."""
        graph = helper.make_graph(
            self._nodes,
            "crnn",
            self._inputs,
            self._outputs,
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        model = helper.make_model(
            graph,
            producer_name="crnn",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, metadata)
        return model


class _NetworkWriter:
    """Adds the nodes and constants of a network to a graph.

    Names of tensors begin with the prefix; those of states, which are inputs and outputs of the
    model, end in the suffix.
    """

    def __init__(
        self,
        graph: _Graph,
        net: RNN | GRU | LSTM,
        prefix: str,
        suffix: str,
        lengths: bool,
        states: bool,
    ) -> None:
        self._graph, self._net, self._prefix, self._suffix = graph, net, prefix, suffix
        self._architecture = net.architecture
        self._states = ("h", "c")[: net.architecture.cell_row.state_blocks]
        self._has_lengths, self._has_states = lengths, states

    def add(self, x: str) -> str:
        """Add the network, which reads (batch, time, features); return its outputs."""
        architecture, graph, prefix = self._architecture, self._graph, self._prefix
        firsts = [self._first_states(name, x) for name in self._states]
        x = graph.add("Transpose", [x], f"{prefix}x_by_time", perm=[1, 0, 2])
        lasts: list[list[str]] = []
        for layer in range(architecture.num_layers):
            x, last = self._add_layer(layer, x, firsts)
            lasts.append(last)
        # An estimator has no states to go on from.
        for number, name in enumerate(self._states if not prefix.startswith("net") else ()):
            states = [last[number] for last in lasts]
            output = graph.add("Concat", states, f"{name}_n{self._suffix}", axis=0)
            graph.add_output(output, [architecture.num_states, "batch", architecture.hidden_size])
        if architecture.return_sequences:
            x = graph.add("Transpose", [x], f"{prefix}features", perm=[1, 0, 2])
        else:
            x = graph.add("Transpose", [lasts[-1][0]], f"{prefix}by_sequence", perm=[1, 0, 2])
            shape = graph.constant(f"{prefix}flat", [0, architecture.features])
            x = graph.add("Reshape", [x, shape], f"{prefix}features")
        if architecture.output_size is None:
            return x
        params = self._net.params
        return graph.add_dense(x, params["W_hy"], params["b_y"], None, prefix)

    def _first_states(self, name: str, x: str) -> str:
        """Return first states of all layers: an input, trained ones, or "" where they are zero."""
        architecture, graph, prefix = self._architecture, self._graph, self._prefix
        S, H = architecture.num_states, architecture.hidden_size
        if self._has_states:
            given = f"{name}0{self._suffix}"
            graph.add_input(given, [S, "batch", H])
            return given
        if not architecture.trainable_h0:
            return ""
        trained = graph.constant(
            f"{prefix}trained_{name}0", self._net.params[f"{name}0"].reshape(S, 1, H)
        )
        shape = graph.add("Shape", [x], f"{prefix}x_shape_{name}")
        axis = graph.constant(f"{prefix}batch_axis", [0])
        batch = graph.add("Gather", [shape, axis], f"{prefix}batch_size_{name}")
        sizes = [graph.constant(f"{prefix}S", [S]), batch, graph.constant(f"{prefix}H", [H])]
        sizes = [graph.add("Concat", sizes, f"{prefix}first_shape_{name}", axis=0)]
        return graph.add("Expand", [trained, *sizes], f"{prefix}first_{name}")

    def _add_layer(self, layer: int, x: str, firsts: list[str]) -> tuple[str, list[str]]:
        """Add a layer that reads (time, batch, features); return its outputs and last states."""
        architecture, graph, prefix = self._architecture, self._graph, self._prefix
        D, operator = architecture.directions, OPERATORS[architecture.cell]
        by_direction = []
        for state in range(layer * D, (layer + 1) * D):
            suffix = architecture.suffix(state)
            params = (self._net.params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
            by_direction.append(to_onnx(architecture.cell, *params))
        weights = [
            graph.constant(f"{prefix}{name}_l{layer}", np.stack(arrays))
            for name, arrays in zip(("W", "R", "B"), zip(*by_direction, strict=True), strict=True)
        ]
        if architecture.num_layers > 1 and all(firsts):
            bounds = [
                graph.constant(f"{prefix}first_state_l{layer}", [layer * D]),
                graph.constant(f"{prefix}last_state_l{layer}", [(layer + 1) * D]),
                graph.constant(f"{prefix}state_axis", [0]),
            ]
            firsts = [
                graph.add("Slice", [first, *bounds], f"{prefix}first_{name}_l{layer}")
                for name, first in zip(self._states, firsts, strict=True)
            ]
        attributes: dict[str, Any] = {"hidden_size": architecture.hidden_size}
        if D == 2:
            attributes["direction"] = "bidirectional"
        if architecture.cell == "relu":
            attributes["activations"] = ["Relu"] * D
        if operator.linear_before_reset is not None:
            attributes["linear_before_reset"] = operator.linear_before_reset
        outputs = [f"{prefix}outputs_l{layer}"]
        outputs += [f"{prefix}last_{name}_l{layer}" for name in self._states]
        inputs = [x, *weights, "lengths" if self._has_lengths else "", *firsts]
        graph.add_node(operator.name, inputs, outputs, **attributes)
        features = f"{prefix}features_l{layer}"
        if D == 1:
            axis = graph.constant(f"{prefix}direction_axis", [1])
            return graph.add("Squeeze", [outputs[0], axis], features), outputs[1:]
        together = f"{prefix}together_l{layer}"
        together = graph.add("Transpose", [outputs[0]], together, perm=[0, 2, 1, 3])
        side_by_side = graph.constant(f"{prefix}side_by_side", [0, 0, architecture.features])
        return graph.add("Reshape", [together, side_by_side], features), outputs[1:]
