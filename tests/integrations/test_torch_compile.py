"""crnn's modules in `torch.compile` and `torch.export`: the same numbers as without."""

import shutil

import pytest

torch = pytest.importorskip("torch")

from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402
from torch.export import Dim, export  # noqa: E402
from torch_modules import (  # noqa: E402
    assert_tensors_close,
    first_states,
    results_and_gradients,
    tensors_in,
)

import crnn.torch  # noqa: E402

# PyTorch's own compiler imports what PyTorch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

inductor = pytest.param(
    "inductor",
    marks=pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "clang++"))), reason="needs a C++ compiler"
    ),
)

I, H = 3, 5


@pytest.fixture(autouse=True)
def reset():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(module, backend, **settings):
    """The compiled module, and how often it was compiled."""
    counter = CompileCounterWithBackend(backend)
    return torch.compile(module, backend=counter, fullgraph=True, **settings), counter


def assert_same(module, twin, x, states=None):
    results, gradients = results_and_gradients(twin, x, states, seed=2)
    expected, expected_gradients = results_and_gradients(module, x, states, seed=2)
    for result, wanted in zip(tensors_in(results), tensors_in(expected), strict=True):
        torch.testing.assert_close(result, wanted, rtol=0, atol=0)
    wanted = {name.removeprefix("_orig_mod."): g for name, g in gradients.items()}
    assert wanted.keys() == expected_gradients.keys()
    for name, gradient in wanted.items():
        assert_tensors_close(gradient, expected_gradients[name], name)


@pytest.mark.parametrize(
    ("kind", "settings", "backend"),
    [
        ("RNN", {"nonlinearity": "relu", "num_layers": 2}, "aot_eager"),
        ("GRU", {"bidirectional": True, "batch_first": True, "num_layers": 2}, "aot_eager"),
        pytest.param(
            "LSTM", {"num_layers": 2, "batch_first": True}, *inductor.values, marks=inductor.marks
        ),
    ],
)
def test_one_graph_for_all_sizes(kind, settings, backend):
    torch.manual_seed(0)
    module = getattr(crnn.torch, kind)(I, H, **settings)
    twin, counter = compiled(module, backend, dynamic=True)
    counts = []
    for B, T in ((7, 11), (9, 13), (11, 6)):
        x = torch.randn(B, T, I)
        batch = B if module.batch_first else T
        assert_same(module, twin, x, first_states(module, batch, torch.float32))
        counts.append(counter.frame_count)
    assert counts[0] == counts[-1]
    with torch.no_grad():
        x = torch.randn(4, 7, I)
        torch.testing.assert_close(twin(x), module(x), rtol=0, atol=0)


def test_axes_marked_as_dynamic():
    module = crnn.torch.GRU(I, H)
    twin, counter = compiled(module, "aot_eager")
    for T, B in ((4, 7), (2, 9), (6, 3)):
        x = torch.randn(T, B, I)
        torch._dynamo.mark_dynamic(x, 0)
        torch._dynamo.mark_dynamic(x, 1)
        assert torch.equal(twin(x)[0], module(x)[0])
    assert counter.frame_count == 1


def test_training_in_a_model():
    torch.manual_seed(1)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = crnn.torch.LSTM(I, H, batch_first=True)
            self.linear = torch.nn.Linear(H, 1)

        def forward(self, x):
            return self.linear(self.layer(x)[0][:, -1])

    model = Model()
    twin = Model()
    twin.load_state_dict(model.state_dict())
    step, counter = compiled(twin, "aot_eager")
    x, y = torch.randn(6, 4, I), torch.randn(6, 1)
    for network, run in ((model, model), (twin, step)):
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(5):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(run(x), y).backward()
            optimizer.step()
    assert counter.frame_count == 1
    for name, value in twin.state_dict().items():
        assert_tensors_close(value, model.state_dict()[name], name)


@pytest.mark.parametrize("backend", ["aot_eager", inductor])
def test_dropout_is_reproducible(backend):
    module = crnn.torch.GRU(I, 40, num_layers=2, dropout=0.5)
    twin, _ = compiled(module, backend)
    x, runs = torch.randn(4, 2, I), []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        runs.append(twin(x)[0])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    if backend == "aot_eager":
        torch.manual_seed(5)
        assert torch.equal(runs[0], module(x)[0])


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
def test_export(kind, strict):
    module = getattr(crnn.torch, kind)(I, H, 2, bidirectional=True, batch_first=True)
    sizes = {0: Dim("batch"), 1: Dim("time")}
    program = export(module, (torch.randn(4, 7, I),), dynamic_shapes=(sizes,), strict=strict)
    operators = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert operators.count(torch.ops.crnn.layers.default) == 1
    exported = program.module()
    for B, T in ((4, 7), (2, 9)):
        x = torch.randn(B, T, I)
        for result, wanted in zip(tensors_in(exported(x)), tensors_in(module(x)), strict=True):
            assert torch.equal(result, wanted)
    exported(x)[0].square().sum().backward()
    module(x)[0].square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in exported.named_parameters()}
    for name, parameter in module.named_parameters():
        assert torch.equal(gradients[name], parameter.grad)


def test_exported_to_a_file(tmp_path):
    module, x = crnn.torch.LSTM(I, H).eval(), torch.randn(6, 2, I)
    path = tmp_path / "program.pt2"
    torch.export.save(export(module, (x,)), path)
    assert torch.equal(torch.export.load(path).module()(x)[0], module(x)[0])
