"""A network as an ONNX model."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from crnn import archive as files, checks
from crnn.base import RecurrentNetwork
from crnn.onnx.operators import OPERATORS, TRAINABLE, to_onnx

if TYPE_CHECKING:
    from crnn.checks import Array
    from crnn._network.architecture import Architecture

# Of 2022; its recurrent operators are those of all versions since.
OPSET, IR_VERSION = 17, 8


def export(net: RecurrentNetwork, path: str | os.PathLike[str], *, lengths: bool = False) -> None:
    """Write a network as an ONNX model.

    Its inputs are ``x`` (batch, time, inputs), floats of the network's dtype, and the first states
    ``h0`` (layers * directions, batch, hidden), of an LSTM ``c0`` too, which may be left out: they
    are then zero, or what the network was trained to start from. Its outputs are ``y`` (batch,
    time, outputs), or (batch, outputs) without `return_sequences`, and the last states ``h_n`` and
    ``c_n``, shaped as the first ones. Batch and time are symbolic.

    Parameters
    ----------
    net : RNN, GRU or LSTM
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
    if not isinstance(net, RecurrentNetwork):
        raise TypeError(f"net: expected an RNN, GRU or LSTM of crnn, got {type(net).__name__}")
    model = _Graph(net, checks.boolean("lengths", lengths)).model()
    onnx.checker.check_model(model)
    files.write_file(path, lambda file: file.write(model.SerializeToString()))


class _Graph:
    """The nodes and constants of a model, as they come."""

    def __init__(self, net: RecurrentNetwork, has_lengths: bool) -> None:
        self._net = net
        self._of: Architecture = net._network.architecture
        self._has_lengths = has_lengths
        self._nodes: list[Any] = []
        self._constants: dict[str, Array] = {}

    def model(self) -> Any:
        """Return the model."""
        of, real = self._of, helper.np_dtype_to_tensor_dtype(self._net.dtype)
        states = ("h", "c")[: of.blocks.states]
        for name in states:
            self._first_states(name)
        x = self._node("Transpose", ["x"], "x_by_time", perm=[1, 0, 2])
        lasts: list[list[str]] = []
        for layer in range(of.num_layers):
            x, last = self._layer(layer, x)
            lasts.append(last)
        for number, name in enumerate(states):
            parts = [last[number] for last in lasts]
            self._node("Concat", parts, f"{name}_n", axis=0)
        if of.return_sequences:
            x = self._node("Transpose", [x], "features", perm=[1, 0, 2])
        else:
            x = self._node("Transpose", [lasts[-1][0]], "by_sequence", perm=[1, 0, 2])
            x = self._node("Reshape", [x, self._constant("flat", [0, of.features])], "features")
        self._outputs(x)
        axes: dict[str, list[Any]] = {
            "x": ["batch", "time", of.input_size],
            "y": ["batch", "time", of.outputs],
        }
        if not of.return_sequences:
            axes["y"] = ["batch", of.outputs]
        of_first: list[Any] = ["states_given", "batch_given", of.hidden_size]
        of_last: list[Any] = [of.states, "batch", of.hidden_size]
        infos = {
            name: helper.make_tensor_value_info(name, real, shape)
            for name, shape in (
                axes
                | {f"{name}0": of_first for name in states}
                | {f"{name}_n": of_last for name in states}
            ).items()
        }
        if self._has_lengths:
            infos["lengths"] = helper.make_tensor_value_info(
                "lengths", TensorProto.INT32, ["batch"]
            )
        given = ["x", *(["lengths"] if self._has_lengths else []), *(f"{s}0" for s in states)]
        graph = helper.make_graph(
            self._nodes,
            "crnn",
            [infos[name] for name in given],
            [infos[name] for name in ("y", *(f"{name}_n" for name in states))],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        model = helper.make_model(
            graph,
            producer_name="crnn",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        if of.trainable_h0:
            helper.set_model_props(model, dict([TRAINABLE]))
        return model

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, values: Any) -> str:
        array = np.asarray(values)
        self._constants[name] = array if array.dtype.kind == "f" else array.astype(np.int64)
        return name

    def _first_states(self, name: str) -> None:
        """Make h0 or c0 an input with a default of one sequence, and repeat it where needed."""
        of, net = self._of, self._net
        default = np.zeros((of.states, 1, of.hidden_size), net.dtype)
        if of.trainable_h0:
            default[:, 0] = net.params[f"{name}0"].reshape(of.states, of.hidden_size)
        self._constant(f"{name}0", default)
        if "first_shape" not in {node.output[0] for node in self._nodes}:
            shape = self._node("Shape", ["x"], "x_shape")
            batch = self._node("Gather", [shape, self._constant("batch_axis", [0])], "batch_size")
            ends = self._constant("states", [of.states]), self._constant("H", [of.hidden_size])
            self._node("Concat", [ends[0], batch, ends[1]], "first_shape", axis=0)
        self._node("Expand", [f"{name}0", "first_shape"], f"first_{name}")

    def _layer(self, layer: int, x: str) -> tuple[str, list[str]]:
        """Add a layer that reads (time, batch, features); return its outputs and last states."""
        of, net = self._of, self._net
        operator, D = OPERATORS[of.cell], of.directions
        sides = []
        for state in range(layer * D, (layer + 1) * D):
            suffix = of.suffix(state)
            parameters = (net.params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
            sides.append(to_onnx(of.cell, *parameters))
        names = [
            self._constant(f"{name}_l{layer}", np.stack(arrays))
            for name, arrays in zip(("W", "R", "B"), zip(*sides, strict=True), strict=True)
        ]
        states = ("h", "c")[: of.blocks.states]
        firsts = [f"first_{name}" for name in states]
        if of.num_layers > 1:
            bounds = [
                self._constant(f"first_state_l{layer}", [layer * D]),
                self._constant(f"last_state_l{layer}", [(layer + 1) * D]),
                self._constant("state_axis", [0]),
            ]
            firsts = [
                self._node("Slice", [f"first_{name}", *bounds], f"first_{name}_l{layer}")
                for name in states
            ]
        settings: dict[str, Any] = {"hidden_size": of.hidden_size}
        if D == 2:
            settings["direction"] = "bidirectional"
        if of.cell == "relu":
            settings["activations"] = ["Relu"] * D
        if operator.linear_before_reset is not None:
            settings["linear_before_reset"] = operator.linear_before_reset
        outputs = [f"outputs_l{layer}", *(f"last_{name}_l{layer}" for name in states)]
        lengths = "lengths" if self._has_lengths else ""
        self._nodes.append(
            helper.make_node(operator.name, [x, *names, lengths, *firsts], outputs, **settings)
        )
        if D == 1:
            axis = self._constant("direction_axis", [1])
            return self._node("Squeeze", [outputs[0], axis], f"features_l{layer}"), outputs[1:]
        together = self._node("Transpose", [outputs[0]], f"together_l{layer}", perm=[0, 2, 1, 3])
        side_by_side = self._constant("side_by_side", [0, 0, of.features])
        return self._node("Reshape", [together, side_by_side], f"features_l{layer}"), outputs[1:]

    def _outputs(self, features: str) -> None:
        """Add the output layer, and zeros past the sequences' ends."""
        of, net = self._of, self._net
        clears = self._has_lengths and of.return_sequences and of.output_size is not None
        result = "y_unmasked" if clears else "y"
        if of.output_size is None:
            self._node("Identity", [features], result)
        else:
            product = self._node(
                "MatMul",
                [features, self._constant("W_hy", np.ascontiguousarray(net.params["W_hy"].T))],
                "product",
            )
            self._node("Add", [product, self._constant("b_y", net.params["b_y"])], result)
        if clears:
            # 0 <= t < length, as (batch, time, 1)
            steps = self._node("Gather", ["x_shape", self._constant("time_axis", 1)], "T")
            one = self._constant("one", 1)
            numbers = self._node("Range", [self._constant("zero", 0), steps, one], "numbers")
            ends = self._node("Cast", ["lengths"], "ends", to=TensorProto.INT64)
            of_rows = self._constant("of_rows", [1])
            ends = self._node("Unsqueeze", [ends, of_rows], "ends_of_rows")
            inside = self._node("Less", [numbers, ends], "inside")
            inside = self._node("Unsqueeze", [inside, self._constant("of_steps", [2])], "counts")
            nothing = self._constant("nothing", np.zeros((), net.dtype))
            self._node("Where", [inside, result, nothing], "y")
