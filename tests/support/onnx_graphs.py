"""Graphs as exporters write them, node by node."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx_models import H, I, O, node

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


class Graph:
    """Nodes and constants of a model, added one by one; each method returns a tensor's name."""

    def __init__(self):
        self.rng = np.random.default_rng(3)
        self.nodes, self.constants = [], {}

    def add(self, operator, *inputs, outputs=1, **attributes):
        inputs = [self.constant(i) if not isinstance(i, str) else i for i in inputs]
        names = [f"{operator}_{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value):
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def random(self, *shape):
        return self.constant(self.rng.normal(0, 0.5, shape))

    def recurrent(self, operator, x, inputs, hidden=H, D=1, *, first=(), lengths="", **attributes):
        G = GATES[operator]
        weights = [
            self.random(D, G * hidden, inputs),
            self.random(D, G * hidden, hidden),
            self.random(D, 2 * G * hidden),
        ]
        if D == 2:
            attributes["direction"] = "bidirectional"
        return self.add(
            operator, x, *weights, lengths, *first, outputs=3 if operator == "LSTM" else 2,
            hidden_size=hidden, **attributes,
        )  # fmt: skip

    def dense(self, x, inputs, outputs=O):
        product = self.add("MatMul", x, self.random(inputs, outputs))
        return self.add("Add", product, self.random(outputs))

    def model(self, result, shape=("batch", "time", I), inputs=(), version=17):
        infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape), *inputs]
        graph = helper.make_graph(
            self.nodes, "graph", infos,
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", version)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def of_exporter():
    """A graph with zeros, sliced weights and a last step, as exporters write them."""
    graph = Graph()
    batch = graph.add("Slice", graph.add("Shape", "x"), np.array([0]), np.array([1]))
    sizes = graph.add("Concat", np.array([1]), batch, np.array([H]), axis=0)
    zeros = graph.add("Cast", graph.add("Expand", 0.0, sizes), to=TensorProto.FLOAT)
    whole = graph.random(3 * H, I)
    gates = [graph.add("Slice", whole, np.array([g * H]), np.array([g * H + H])) for g in (1, 0, 2)]
    W = graph.add("Unsqueeze", graph.add("Concat", *gates, axis=0), np.array([0]))
    x = graph.add("Transpose", graph.dense("x", I, I), perm=[1, 0, 2])
    Y, _ = graph.add(
        "GRU", x, W, graph.random(1, 3 * H, H), "", "", zeros, outputs=2, hidden_size=H
    )
    last = graph.add("Gather", graph.add("Squeeze", Y, np.array([1])), np.array(-1), axis=0)
    hidden = graph.add("Relu", graph.dense(last, H, 3))
    return graph.model(graph.add("Softmax", graph.dense(hidden, 3), axis=-1))
