"""Modules in place of PyTorch's: the same numbers and gradients, and all else of a module."""

import copy
import io
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import (  # noqa: E402
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)
from torch_modules import (  # noqa: E402
    KINDS,
    assert_tensors_close,
    assert_twins,
    first_states,
    tensors_in,
    twins,
    with_gradients,
)

import crnn.torch  # noqa: E402
from crnn.torch.operators import _architecture, _rows, _sizes  # noqa: E402
from crnn.torch.weights import CELLS, params_from  # noqa: E402

kinds = pytest.mark.parametrize("kind", KINDS)

SETTINGS = {
    "num_layers": [1, 2, 3],
    "bias": [True, False],
    "batch_first": [True, False],
    "bidirectional": [True, False],
    "dtype": [torch.float32, torch.float64],
    "form": ["batch", "one", "packed", "packed unsorted"],
    "with states": [True, False],
}


@kinds
@pytest.mark.parametrize("seed", range(60))
def test_same_as_torch_over_a_random_grid_of_arguments(kind, seed):
    rng = np.random.default_rng(seed)
    chosen = {name: values[rng.integers(len(values))] for name, values in SETTINGS.items()}
    form, has_states = chosen.pop("form"), chosen.pop("with states")
    I, H, B, T = (int(n) for n in rng.integers(1, 9, 4))
    if kind == "RNN":
        chosen["nonlinearity"] = ("tanh", "relu")[rng.integers(2)]
    ours, theirs = twins(kind, I, H + 1, seed=seed, **chosen)
    assert repr(ours) == repr(theirs)
    generator = torch.Generator().manual_seed(seed)
    dtype, batch_first = chosen["dtype"], chosen["batch_first"]

    def normal(*shape):
        return torch.randn(shape, dtype=dtype, generator=generator)

    lengths = rng.integers(1, T + 1, B)
    if form == "one":
        x = normal(T, I)
    elif form == "batch":
        x = normal(B, T, I) if batch_first else normal(T, B, I)
    elif form == "packed":
        x = pack_sequence([normal(n, I) for n in sorted(lengths, reverse=True)])
    else:
        x = pack_sequence([normal(n, I) for n in lengths], enforce_sorted=False)
    states = None
    if has_states:
        states = first_states(theirs, None if form == "one" else B, dtype, generator)
    assert_twins(ours, theirs, x, states, seed)


@kinds
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}])
def test_gradcheck(kind, settings):
    torch.manual_seed(1)
    module = getattr(crnn.torch, kind)(3, 4, **settings, dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    states = with_gradients(first_states(module, 2, torch.float64, generator))
    leaves = [x, *(states if kind == "LSTM" else [states]), *module.parameters()]

    def run(x, *others):
        given = others[:2] if kind == "LSTM" else others[0]
        return tuple(tensors_in(module(x, given)))

    assert torch.autograd.gradcheck(run, leaves)


@kinds
def test_features_that_are_not_side_by_side(kind):
    ours, theirs = twins(kind, 3, 5)
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(7, 4, 6, generator=generator)
    for x in (
        wide[..., ::2],
        wide.transpose(0, 2)[:3].permute(2, 1, 0),
        wide[:, :1, :3].expand(7, 4, 3),
    ):
        assert_twins(ours, theirs, x)


@kinds
def test_nothing_is_copied_on_the_way_in(kind):
    """The kernels read the tensors' own memory."""
    module = getattr(crnn.torch, kind)(3, 5)
    x = torch.zeros(6, 2, 3)
    assert np.shares_memory(_rows(x.transpose(0, 1)), x.numpy())
    weights = list(module.parameters())
    params = params_from(_architecture(*_sizes(weights), cell=CELLS[module.mode]), weights)
    assert np.shares_memory(params["W_xh"], module.weight_ih_l0.detach().numpy())
    assert np.shares_memory(params["W_hh"], module.weight_hh_l0.detach().numpy())


@kinds
def test_training_follows_torch(kind):
    ours, theirs = twins(kind, 2, 6, batch_first=True, dtype=torch.float64)
    x, y = torch.randn(5, 9, 2, dtype=torch.float64), torch.randn(5, 9, 6, dtype=torch.float64)
    first = torch.nn.functional.mse_loss(theirs(x)[0], y).item()
    losses = []
    for module in (ours, theirs):
        adam = torch.optim.Adam(module.parameters(), lr=0.02)
        for _ in range(20):
            adam.zero_grad()
            loss = torch.nn.functional.mse_loss(module(x)[0], y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            adam.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert losses[0] < 0.95 * first


@kinds
def test_everything_else_of_a_module(kind):
    module = getattr(crnn.torch, kind)(2, 3, num_layers=2, dropout=0.5)
    assert isinstance(module, torch.nn.RNNBase)
    x = torch.randn(4, 5, 2)
    module.eval()
    expected = module(x)[0]
    for twin in (copy.deepcopy(module), saved(module)):
        assert torch.equal(twin(x)[0], expected)
        assert twin.weight_hh_l1 is not module.weight_hh_l1
    assert module.double()(x.double())[0].dtype == torch.float64
    module.float()
    assert module(x)[0].view(-1, 3).shape == (20, 3)
    with torch.no_grad():
        assert not module(x)[0].requires_grad
    assert torch.allclose(module(x)[0], expected, atol=1e-6)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    assert not module(x)[0].requires_grad
    within = torch.nn.Sequential(module)
    assert list(within.state_dict()) == [f"0.{name}" for name in module.state_dict()]


def saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@kinds
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_first", [True, False])
def test_inference_is_training_without_gradients(kind, layers, batch_first):
    module = getattr(crnn.torch, kind)(3, 5, num_layers=layers, batch_first=batch_first).double()
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    states = first_states(module, 4 if batch_first else 6, torch.float64, None)
    with_graph = tensors_in(module(x, states))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for out, expected in zip(tensors_in(module(x, states)), with_graph, strict=True):
                assert not out.requires_grad
                assert_tensors_close(out, expected, mode.__name__)


@kinds
def test_dropout_between_layers(kind):
    ours, _ = twins(kind, 3, 40, num_layers=2, dropout=0.4)
    x = torch.randn(6, 5, 3)
    torch.manual_seed(5)
    first = ours(x)[0]
    second = ours(x)[0]
    torch.manual_seed(5)
    assert torch.equal(ours(x)[0], first)
    assert not torch.equal(first, second)
    ours.eval()
    assert torch.equal(ours(x)[0], ours(x)[0])
    # Its gradient belongs to the numbers that were left out.
    ours.train().double()
    x = x.double().requires_grad_()

    def run(x):
        torch.manual_seed(7)
        return ours(x)[0]

    assert torch.autograd.gradcheck(run, [x[:2, :1, :].detach().requires_grad_()])


@kinds
def test_backward_twice_and_after_a_change(kind):
    module, x = getattr(crnn.torch, kind)(2, 3), torch.randn(4, 5, 2)
    output = module(x)[0]
    output.sum().backward(retain_graph=True)
    once = module.weight_hh_l0.grad.clone()
    output.sum().backward()
    assert torch.allclose(module.weight_hh_l0.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        output.sum().backward()
    output = module(x)[0]
    with torch.no_grad():
        module.weight_hh_l0 *= 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@kinds
def test_what_is_written_to_outputs_changes_no_gradient(kind):
    module, x = getattr(crnn.torch, kind)(2, 3), torch.randn(4, 5, 2)
    gradients = []
    for spoil in (False, True):
        module.zero_grad()
        output, h_n = module(x)
        loss = (output * 1).sum()
        if spoil:
            output.detach()[...] = 9
            (h_n[0] if kind == "LSTM" else h_n).detach()[...] = 9
        loss.backward()
        gradients.append(module.weight_hh_l0.grad.clone())
    assert torch.equal(*gradients)


@kinds
def test_parameters_that_are_replaced(kind):
    ours, theirs = twins(kind, 3, 5)
    x = torch.randn(4, 2, 3)
    replaced = {name: value * 0.5 for name, value in ours.state_dict().items()}
    results = [
        torch.func.functional_call(module, replaced, (x,))[0].detach() for module in (ours, theirs)
    ]
    assert_tensors_close(*results, "replaced")
    assert not torch.allclose(results[0], ours(x)[0])


def test_dropout_of_everything():
    ours, theirs = twins("GRU", 3, 5, num_layers=2, dropout=1.0)
    x = torch.randn(4, 2, 3)
    assert_tensors_close(ours(x)[0], theirs(x)[0], "dropout")


def test_no_second_derivatives():
    module, x = crnn.torch.RNN(2, 3), torch.randn(4, 5, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad((module(x)[0] ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="got a second derivative"):
        gradient.sum().backward()


def test_padding_of_packed_sequences_is_theirs():
    ours, theirs = twins("LSTM", 3, 4, batch_first=True)
    x = torch.randn(3, 6, 3)
    packed = pack_padded_sequence(x, torch.tensor([2, 6, 3]), True, enforce_sorted=False)
    (a, _), (b, _) = ours(packed), theirs(packed)
    (a, n), (b, m) = (pad_packed_sequence(y, batch_first=True) for y in (a, b))
    assert torch.equal(n, m)
    assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.native
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads as Linux does")
def test_calls_run_on_the_threads_of_pytorch(run_python):
    result = run_python(
        """
import os
import torch
import crnn.torch

torch.set_num_threads(3)
torch.ones(400, 400) @ torch.ones(400, 400)
torch.ones(1 << 20).exp()
before = len(os.listdir("/proc/self/task"))
crnn.set_num_threads(3)
with torch.no_grad():
    crnn.torch.LSTM(64, 128, batch_first=True)(torch.zeros(32, 50, 64))
print(before >= 3, len(os.listdir("/proc/self/task")) - before)
"""
    )
    assert (result.stdout, result.stderr) == ("True 0\n", "")
