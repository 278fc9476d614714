"""Embeddings in ONNX models: networks that read category numbers."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from memory import peak_of  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from onnx_graphs import GATES, Graph  # noqa: E402
from onnx_models import H, I, assert_outputs_close, run_in_onnxruntime  # noqa: E402

import crnn.onnx  # noqa: E402
from crnn.embeddings import of_categories  # noqa: E402

# Categories, sequences and steps
N, B, T = 9, 3, 7


def model_of(graph, result, kind=TensorProto.INT64, shape=("batch", "time"), inputs=()):
    model = graph.model(result, shape=shape, inputs=inputs)
    model.graph.input[0].type.tensor_type.elem_type = kind
    return model


def words():
    return np.random.default_rng(2).integers(N, size=(B, T))


def layer(graph, operator, numbers, *, D=1, table=None, **settings):
    """An embedding and a recurrent layer, (batch, time, features)."""
    table = graph.random(N, I) if table is None else table
    x = graph.add("Transpose", graph.add("Gather", table, numbers), perm=[1, 0, 2])
    Y = graph.recurrent(operator, x, I, D=D, **settings)[0]
    by_batch = graph.add("Transpose", Y, perm=[2, 0, 1, 3])
    return graph.add("Reshape", by_batch, np.array([0, 0, D * H]))


def check(model, x=None, feed=None, **settings):
    net, x = crnn.onnx.load(model), words() if x is None else x
    (theirs,) = run_in_onnxruntime(model, feed or {"x": x}).values()
    assert_outputs_close({"y": net.predict(x, **settings)}, {"y": theirs}, "float32")
    assert net.categorical
    assert net.input_size == N
    return net


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("has_head", [False, True])
def test_recurrent_layers_that_read_an_embedding(operator, D, has_head):
    graph = Graph()
    steps = layer(graph, operator, "x", D=D)
    if has_head:
        steps = graph.add("Tanh", graph.dense(steps, D * H))
    check(model_of(graph, steps))


def test_casts_squeezes_and_a_step():
    """As Keras and tf2onnx write them, with the batch that a model is for."""
    graph = Graph()
    numbers = graph.add("Cast", graph.add("Squeeze", "x", np.array([2])), to=TensorProto.INT64)
    y = graph.add("Gather", layer(graph, "LSTM", numbers, D=2), np.array(-1), axis=1)
    model = model_of(graph, graph.dense(y, 2 * H), TensorProto.INT32, (B, T, 1))
    net = check(model, feed={"x": words()[..., None].astype(np.int32)})
    assert isinstance(net[1], crnn.LastStep)


def test_fixed_sizes():
    """As many steps as features: the input's axes are still those of sequences and steps."""
    graph, steps = Graph(), words()[:, :I]
    check(model_of(graph, layer(graph, "GRU", "x"), shape=("batch", I)), steps)


def test_two_nodes_of_one_direction_each():
    graph = Graph()
    x = graph.add("Transpose", graph.add("Gather", graph.random(N, I), "x"), perm=[1, 0, 2])
    both = [graph.recurrent("GRU", x, I, direction=name)[0] for name in ("forward", "reverse")]
    steps = graph.add("Squeeze", graph.add("Concat", *both, axis=3), np.array([1]))
    net = check(model_of(graph, graph.add("Transpose", steps, perm=[1, 0, 2])))
    assert net.bidirectional


def test_layers_above_and_lengths():
    graph = Graph()
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"])
    x = graph.add("Transpose", graph.add("Gather", graph.random(N, I), "x"), perm=[1, 0, 2])
    Y = graph.recurrent("LSTM", x, I, lengths="lengths")[0]
    x = graph.add("Squeeze", Y, np.array([1]))
    h = graph.recurrent("LSTM", x, H, lengths="lengths")[1]
    model = model_of(
        graph, graph.dense(graph.add("Squeeze", h, np.array([0])), H), inputs=[lengths]
    )
    steps = np.array([2, 7, 4], np.int32)
    net = check(model, feed={"x": words(), "lengths": steps}, lengths=steps)
    assert net.num_layers == 2


def test_products_are_rounded_once():
    rng = np.random.default_rng(0)
    for rows, count, n in ((12, 3, 5), (4, 40, 7), (1, 1, 1)):
        W, table = (rng.normal(size=(m, count)).astype(np.float32) for m in (rows, n))
        exact = np.einsum("rc,nc->rn", W.astype(np.longdouble), table.astype(np.longdouble))
        np.testing.assert_array_equal(of_categories(W, table, "float32"), exact.astype("float32"))


def test_a_bound_on_the_product(tmp_path):
    """A table and a kernel of some MB have a product of some GB."""
    graph = Graph()
    table, H = graph.constant(np.zeros((500_000, 1), np.float32)), 300
    x = graph.add("Transpose", graph.add("Gather", table, "x"), perm=[1, 0, 2])
    weights = [np.zeros((1, 4 * H, columns), np.float32) for columns in (1, H)]
    Y, _, _ = graph.add("LSTM", x, *weights, outputs=3, hidden_size=H)
    model = model_of(graph, graph.add("Squeeze", Y, np.array([1])))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)

    def load():
        with pytest.raises(crnn.ModelFileError, match=r"LSTM of .*expected constants of at most"):
            crnn.onnx.load(path)

    assert peak_of(load) < 100 << 20


def scaled(graph):
    e = graph.add("Gather", graph.random(N, I), "x")
    return graph.recurrent("GRU", graph.add("Mul", e, 2.0), I)[0]


def dense(graph):
    e = graph.add("Gather", graph.random(N, 6), "x")
    return graph.recurrent("GRU", graph.dense(e, 6, I), I)[0]


def of_sums(graph):
    numbers = graph.add("Add", "x", np.array(1))
    return graph.recurrent("GRU", graph.add("Gather", graph.random(N, I), numbers), I)[0]


def other_axis(graph):
    x = graph.add("Gather", graph.random(I, N), "x", axis=1)
    return graph.recurrent("GRU", graph.add("Transpose", x, perm=[2, 1, 0]), I)[0]


def other_size(graph):
    return graph.recurrent("GRU", graph.add("Gather", graph.random(N, I + 1), "x"), I)[0]


def whole_numbers(graph):
    table = graph.constant(np.ones((N, I), np.int64))
    return graph.recurrent("GRU", graph.add("Gather", table, "x"), I)[0]


def of_features(graph):
    numbers = graph.add("Cast", graph.add("Gather", graph.random(N, I), "x"), to=TensorProto.INT64)
    return graph.recurrent("GRU", graph.add("Gather", graph.random(N, I), numbers), I)[0]


REFUSED = {
    scaled: r"^model: Mul of .*: expected a recurrent layer that reads the embedding, got a change",
    dense: r"^model: MatMul of .*: expected a recurrent layer that reads the embedding, got a cha",
    of_sums: r"^model: Add of .*: expected one constant of floats, got all steps of x and constant",
    other_axis: r"^model: Gather of .*: expected a table of floats \(categories, features\), got c",
    other_size: r"^model: GRU of .*: expected weights for 5 features, got 4",
    whole_numbers: r"^model: Gather of .*: expected a table of floats \(categories, features\), go",
    of_features: r"^model: Cast of .*: expected a cast to floats",
}


@pytest.mark.parametrize("make", REFUSED)
def test_refusals(make):
    graph = Graph()
    model = model_of(graph, graph.add("Squeeze", make(graph), np.array([1])))
    with pytest.raises(crnn.ModelFileError, match=REFUSED[make]):
        crnn.onnx.load(model)


def test_other_numbers_and_settings():
    graph = Graph()
    model = model_of(graph, layer(graph, "GRU", "x"))
    with pytest.raises(crnn.ModelFileError, match="categorical: expected True with a model that"):
        crnn.onnx.load(model, categorical=False)
    assert crnn.onnx.load(model, categorical=True).categorical
    graph = Graph()
    pairs = graph.add("Reshape", graph.add("Gather", graph.random(N, 2), "x"), np.array([0, 0, 4]))
    model = model_of(graph, graph.recurrent("GRU", pairs, 4)[0], shape=("batch", "time", 2))
    with pytest.raises(crnn.ModelFileError, match=r"Gather of .*: expected category numbers that"):
        crnn.onnx.load(model)
    graph = Graph()
    numbers = graph.add("Cast", "x", to=TensorProto.INT64)
    model = model_of(graph, layer(graph, "GRU", numbers), TensorProto.FLOAT)
    with pytest.raises(crnn.ModelFileError, match=r"Cast of .*: expected a cast to floats"):
        crnn.onnx.load(model)
