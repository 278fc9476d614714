"""The walk through the graph of a model.

The nodes are read in order, and each tensor becomes a value of `crnn.onnx.values`: a constant, the
sequences between two layers, the last states of a layer, or something that the inputs decide, such
as first states and their sizes. Other nodes are refused by name. Nothing is computed but small
changes of the model's own arrays.
"""

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, helper

from crnn import ModelFileError
from crnn.onnx.recurrent import recurrent_results
from crnn.onnx.runtime import runtime_value
from crnn.onnx.sequences import changed_sequences
from crnn.onnx.tensors import FORMATS, Attributes, array_of, attributes_of, is_long_list
from crnn.onnx.values import LastStates, NetworkParts, RuntimeValue, Sequences, Value

NUMBERS = (AttributeProto.FLOAT, AttributeProto.INT)
LISTS = {
    AttributeProto.FLOATS: ("floats", np.dtype(np.float64)),
    AttributeProto.INTS: ("ints", np.dtype(np.int64)),
}


def read_graph(model: ModelProto) -> NetworkParts:
    """Return what of a network a model holds, or raise a ModelFileError that says what else."""
    graph = model.graph
    parts = NetworkParts()
    parts.metadata = {entry.key for entry in model.metadata_props if entry.value == "true"}
    if graph.sparse_initializer:
        raise ModelFileError("expected dense tensors, got a sparse one")
    known: dict[str, Value] = {"": None}
    for tensor in graph.initializer:
        if tensor.data_type in FORMATS and not is_long_list(tensor):
            array = known[tensor.name] = array_of(tensor)
            parts.size += array.size
        else:
            # Texts, bools and the like are not needed, nor are many whole numbers.
            known[tensor.name] = RuntimeValue()
    # An input with a default counts as its default.
    inputs = [info.name for info in graph.input if info.name not in known]
    for number, name in enumerate(inputs):
        known[name] = RuntimeValue(source=name) if number else Sequences(0, ("0", "1", "F"))
    for node in graph.node:
        results = _results(node, known, parts)
        known |= {name: value for name, value in zip(node.output, results, strict=False) if name}
    if graph.output:
        parts.result_name = graph.output[0].name
        parts.result = known.get(parts.result_name)
    return parts


def _results(node: NodeProto, known: dict[str, Value], parts: NetworkParts) -> list[Value]:
    """Return what each output of a node is."""
    for name in node.input:
        if name not in known:
            raise ModelFileError(f"{name}: expected a tensor that is made before it is read")
    inputs, attributes = [known[name] for name in node.input], attributes_of(node)
    if node.domain not in ("", "ai.onnx"):
        raise ModelFileError(f"{node.op_type}: expected ONNX's own operators, got {node.domain}")
    if node.op_type in ("RNN", "GRU", "LSTM"):
        return recurrent_results(node.op_type, inputs, attributes, parts)
    result: Value
    if node.op_type == "Constant":
        result = _constant(attributes, parts)
    elif node.op_type not in ("Shape", "Size") and any(map(_is_moving, inputs)):
        result = changed_sequences(node.op_type, inputs, attributes, parts)
    else:
        result = runtime_value(node.op_type, inputs, attributes, parts)
    if _is_moving(result) and len([name for name in node.output if name]) > 1:
        raise ModelFileError(f"{node.op_type}: expected one result")
    return [result] * len(node.output)


def _is_moving(value: Value) -> bool:
    return isinstance(value, (Sequences, LastStates))


def _constant(attributes: Attributes, parts: NetworkParts) -> Value:
    """Return the value of a Constant node."""
    if "value" in attributes:
        array = array_of(attributes["value"].t)
        parts.size += array.size
        return array
    for attribute in attributes.values():
        if len(attributes) == 1 and attribute.type in LISTS:
            # Not by way of a list, which takes many times as much
            field, dtype = LISTS[attribute.type]
            return np.fromiter(getattr(attribute, field), dtype)
        if len(attributes) == 1 and attribute.type in NUMBERS:
            return np.array(helper.get_attribute_value(attribute))
    # Texts and the like are not needed.
    return RuntimeValue()
