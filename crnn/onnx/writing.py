"""`export`: a network as an ONNX model."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from crnn import GRU, LSTM, RNN, archive, checks
from crnn.onnx.operators import CATEGORICAL, OPERATORS, TRAINABLE_H0, to_onnx

# From 2022; later versions have the same recurrent operators.
OPSET, IR_VERSION = 17, 8


def export(net: RNN | GRU | LSTM, path: str | os.PathLike[str], *, lengths: bool = False) -> None:
    """Write a network as an ONNX model.

    Its inputs are ``x`` (batch, time, inputs), floats of the network's dtype, and the first states
    ``h0`` (layers * directions, batch, hidden), for an LSTM also ``c0``. The states may be left
    out: they are then zero, or what the network was trained to start from. Its outputs are ``y``
    (batch, time, outputs), or (batch, outputs) without `return_sequences`, and the last states
    ``h_n`` and ``c_n``, shaped as the first ones. Batch and time are symbolic.

    Parameters
    ----------
    net : RNN, GRU or LSTM
        If it is categorical, ``x`` are one-hot vectors in place of the category numbers.
    path : path-like
        An existing file is replaced, whole or not at all.
    lengths : bool
        Whether there is one more input, ``lengths`` (batch,) of int32: the steps of each sequence.

    Raises
    ------
    TypeError
        It is no network.
    OSError
        The file cannot be written.
    """
    if not isinstance(net, (RNN, GRU, LSTM)):
        raise TypeError(f"net: expected an RNN, GRU or LSTM of crnn, got {type(net).__name__}")
    model = _GraphWriter(net, checks.boolean("lengths", lengths)).model()
    onnx.checker.check_model(model)
    archive.write_file(path, lambda file: file.write(model.SerializeToString()))


class _GraphWriter:
    """Collects the nodes and constants of a network's model.

    Methods that add nodes return the name of the tensor that the last of them makes.
    """

    def __init__(self, net: RNN | GRU | LSTM, has_lengths: bool) -> None:
        self._net = net
        self._architecture = net.architecture
        self._states = ("h", "c")[: net.architecture.cell_row.state_blocks]
        self._has_lengths = has_lengths
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[Any]] = {}

    def model(self) -> onnx.ModelProto:
        """Return the model."""
        architecture = self._architecture
        self._add_first_states()
        x = self._node("Transpose", ["x"], "x_by_time", perm=[1, 0, 2])
        lasts: list[list[str]] = []
        for layer in range(architecture.num_layers):
            x, last = self._add_layer(layer, x)
            lasts.append(last)
        for number, name in enumerate(self._states):
            self._node("Concat", [last[number] for last in lasts], f"{name}_n", axis=0)
        if architecture.return_sequences:
            x = self._node("Transpose", [x], "features", perm=[1, 0, 2])
        else:
            x = self._node("Transpose", [lasts[-1][0]], "by_sequence", perm=[1, 0, 2])
            shape = self._constant("flat", [0, architecture.features])
            x = self._node("Reshape", [x, shape], "features")
        self._add_outputs(x)
        inputs, outputs = self._interface()
        graph = helper.make_graph(
            self._nodes,
            "crnn",
            inputs,
            outputs,
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        model = helper.make_model(
            graph,
            producer_name="crnn",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        metadata = {TRAINABLE_H0: architecture.trainable_h0, CATEGORICAL: architecture.categorical}
        helper.set_model_props(model, {name: "true" for name, holds in metadata.items() if holds})
        return model

    def _interface(self) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
        """Return the model's inputs and outputs, with their types and shapes."""
        architecture = self._architecture
        real = helper.np_dtype_to_tensor_dtype(self._net.dtype)
        describe = helper.make_tensor_value_info
        inputs = [describe("x", real, ["batch", "time", architecture.input_size])]
        if self._has_lengths:
            inputs.append(describe("lengths", TensorProto.INT32, ["batch"]))
        steps = ["batch", "time"] if architecture.return_sequences else ["batch"]
        outputs = [describe("y", real, [*steps, architecture.outputs])]
        for name in self._states:
            H = architecture.hidden_size
            inputs.append(describe(f"{name}0", real, ["states_given", "batch_given", H]))
            outputs.append(describe(f"{name}_n", real, [architecture.num_states, "batch", H]))
        return inputs, outputs

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, values: npt.ArrayLike) -> str:
        array = np.asarray(values)
        self._constants[name] = array if array.dtype.kind == "f" else array.astype(np.int64)
        return name

    def _add_first_states(self) -> None:
        """Make h0 and c0 inputs with a default of one sequence, repeated to the batch."""
        architecture, H = self._architecture, self._architecture.hidden_size
        for name in self._states:
            default = np.zeros((architecture.num_states, 1, H), self._net.dtype)
            if architecture.trainable_h0:
                trained = self._net.params[f"{name}0"]
                default[:, 0] = trained.reshape(architecture.num_states, H)
            self._constant(f"{name}0", default)
            if name == "h":
                shape = self._node("Shape", ["x"], "x_shape")
                axis = self._constant("batch_axis", [0])
                batch = self._node("Gather", [shape, axis], "batch_size")
                states = self._constant("states", [architecture.num_states])
                sizes = [states, batch, self._constant("H", [H])]
                self._node("Concat", sizes, "first_shape", axis=0)
            self._node("Expand", [f"{name}0", "first_shape"], f"first_{name}")

    def _add_layer(self, layer: int, x: str) -> tuple[str, list[str]]:
        """Add a layer that reads (time, batch, features); return its outputs and last states."""
        architecture, D = self._architecture, self._architecture.directions
        operator = OPERATORS[architecture.cell]
        by_direction = []
        for state in range(layer * D, (layer + 1) * D):
            suffix = architecture.suffix(state)
            params = (self._net.params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
            by_direction.append(to_onnx(architecture.cell, *params))
        weights = [
            self._constant(f"{name}_l{layer}", np.stack(arrays))
            for name, arrays in zip(("W", "R", "B"), zip(*by_direction, strict=True), strict=True)
        ]
        firsts = [f"first_{name}" for name in self._states]
        if architecture.num_layers > 1:
            bounds = [
                self._constant(f"first_state_l{layer}", [layer * D]),
                self._constant(f"last_state_l{layer}", [(layer + 1) * D]),
                self._constant("state_axis", [0]),
            ]
            firsts = [
                self._node("Slice", [first, *bounds], f"{first}_l{layer}") for first in firsts
            ]
        attributes: dict[str, Any] = {"hidden_size": architecture.hidden_size}
        if D == 2:
            attributes["direction"] = "bidirectional"
        if architecture.cell == "relu":
            attributes["activations"] = ["Relu"] * D
        if operator.linear_before_reset is not None:
            attributes["linear_before_reset"] = operator.linear_before_reset
        outputs = [f"outputs_l{layer}", *(f"last_{name}_l{layer}" for name in self._states)]
        inputs = [x, *weights, "lengths" if self._has_lengths else "", *firsts]
        self._nodes.append(helper.make_node(operator.name, inputs, outputs, **attributes))
        if D == 1:
            axis = self._constant("direction_axis", [1])
            return self._node("Squeeze", [outputs[0], axis], f"features_l{layer}"), outputs[1:]
        together = self._node("Transpose", [outputs[0]], f"together_l{layer}", perm=[0, 2, 1, 3])
        side_by_side = self._constant("side_by_side", [0, 0, architecture.features])
        return self._node("Reshape", [together, side_by_side], f"features_l{layer}"), outputs[1:]

    def _add_outputs(self, features: str) -> None:
        """Add the output layer, and zeros past the sequences' ends."""
        architecture, params = self._architecture, self._net.params
        if architecture.output_size is None:
            self._node("Identity", [features], "y")
            return
        is_padded = self._has_lengths and architecture.return_sequences
        result = "y_unmasked" if is_padded else "y"
        weights = self._constant("W_hy", np.ascontiguousarray(params["W_hy"].T))
        product = self._node("MatMul", [features, weights], "product")
        self._node("Add", [product, self._constant("b_y", params["b_y"])], result)
        if is_padded:
            mask = self._add_mask()
            padding = self._constant("nothing", np.zeros((), self._net.dtype))
            self._node("Where", [mask, result, padding], "y")

    def _add_mask(self) -> str:
        """Add whether 0 <= t < length, as (batch, time, 1)."""
        time = self._node("Gather", ["x_shape", self._constant("time_axis", 1)], "T")
        one = self._constant("one", 1)
        steps = self._node("Range", [self._constant("zero", 0), time, one], "numbers")
        ends = self._node("Cast", ["lengths"], "ends", to=TensorProto.INT64)
        ends = self._node("Unsqueeze", [ends, self._constant("of_rows", [1])], "ends_of_rows")
        inside = self._node("Less", [steps, ends], "inside")
        return self._node("Unsqueeze", [inside, self._constant("of_steps", [2])], "counts")
