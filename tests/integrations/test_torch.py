"""Modules in place of PyTorch's: the same numbers and gradients, and all else of a module."""

import copy
import io
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import (  # noqa: E402
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

import crnn  # noqa: E402
import crnn.torch  # noqa: E402

KINDS = ["RNN", "GRU", "LSTM"]
kinds = pytest.mark.parametrize("kind", KINDS)

# Of the largest number in an array
TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-12}


def twins(kind, *sizes, seed=0, **settings):
    """PyTorch's module and crnn's, with the same weights."""
    torch.manual_seed(seed)
    theirs = getattr(torch.nn, kind)(*sizes, **settings)
    ours = getattr(crnn.torch, kind)(*sizes, **settings)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def flat(results):
    """All tensors in what a module returned."""
    found = []
    for result in results:
        if isinstance(result, PackedSequence):
            found.append(result.data)
        elif isinstance(result, tuple):
            found.extend(result)
        else:
            found.append(result)
    return found


def assert_close(actual, expected, label):
    assert actual.shape == expected.shape, label
    assert actual.dtype == expected.dtype, label
    actual, expected = actual.detach(), expected.detach()
    limit = TOLERANCE[expected.dtype] * max(float(expected.abs().max()), 1e-30)
    assert float((actual - expected).abs().max()) <= limit, label


def first_states(module, batch, dtype, generator):
    """Random states, or a pair; `batch` None: without that axis."""
    of = module.num_layers * (2 if module.bidirectional else 1)
    shape = (of, module.hidden_size) if batch is None else (of, batch, module.hidden_size)
    parts = [torch.randn(shape, dtype=dtype, generator=generator) for _ in range(2)]
    return tuple(parts) if module.mode == "LSTM" else parts[0]


def with_gradients(states):
    if states is None:
        return None
    if isinstance(states, tuple):
        return tuple(part.clone().requires_grad_() for part in states)
    return states.clone().requires_grad_()


def check(ours, theirs, x, states, generator):
    """The same outputs and states, and gradients for inputs, states and parameters."""
    found = []
    for module in (ours, theirs):
        module.zero_grad()
        inputs = (
            PackedSequence(x.data.clone().requires_grad_(), *x[1:])
            if isinstance(x, PackedSequence)
            else x.clone().requires_grad_()
        )
        leaf = inputs.data if isinstance(x, PackedSequence) else inputs
        given = with_gradients(states)
        results = module(inputs, given)
        assert type(results[0]) is type(x)
        state = generator.get_state()
        loss = sum((out * torch.randn(out.shape, dtype=out.dtype, generator=generator)).sum()
                   for out in flat(results))  # fmt: skip
        generator.set_state(state)
        loss.backward()
        grads = {"x": leaf.grad}
        if given is not None:
            for number, part in enumerate(given if isinstance(given, tuple) else (given,)):
                grads[f"state {number}"] = part.grad
        grads |= {name: parameter.grad for name, parameter in module.named_parameters()}
        found.append((results, flat(results), grads))
    (results, outs, grads), (expected_results, expected_outs, expected_grads) = found
    for number, (out, expected) in enumerate(zip(outs, expected_outs, strict=True)):
        assert_close(out, expected, f"result {number}")
    assert grads.keys() == expected_grads.keys()
    for name, expected in expected_grads.items():
        assert_close(grads[name], expected, name)
    if isinstance(x, PackedSequence):
        for ours_part, theirs_part in zip(results[0][1:], expected_results[0][1:], strict=True):
            assert (ours_part is None) == (theirs_part is None)
            assert ours_part is None or torch.equal(ours_part, theirs_part)


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
    check(ours, theirs, x, states, generator)


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
        return tuple(flat(module(x, given)))

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
        check(ours, theirs, x, None, generator)


@kinds
def test_nothing_is_copied_on_the_way_in(kind):
    """The kernels read the tensors' own memory."""
    module = getattr(crnn.torch, kind)(3, 5)
    x = torch.zeros(6, 2, 3)
    assert np.shares_memory(crnn.torch._rows(x.transpose(0, 1)), x.numpy())
    weights = [tensor.detach().numpy() for tensor in module._flat_weights]
    params = crnn.torch._parameters(module._architecture(), weights)
    assert np.shares_memory(params["W_xh"], module.weight_ih_l0.detach().numpy())
    assert np.shares_memory(params["W_hh"], module.weight_hh_l0.detach().numpy())


@kinds
def test_training_with_an_optimiser_follows_torch(kind):
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
    assert isinstance(module, getattr(torch.nn, kind))
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
    with_graph = flat(module(x, states))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for out, expected in zip(flat(module(x, states)), with_graph, strict=True):
                assert not out.requires_grad
                assert_close(out, expected, mode.__name__)


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
    assert_close(*results, "replaced")
    assert not torch.allclose(results[0], ours(x)[0])


def test_dropout_of_everything():
    ours, theirs = twins("GRU", 3, 5, num_layers=2, dropout=1.0)
    x = torch.randn(4, 2, 3)
    assert_close(ours(x)[0], theirs(x)[0], "dropout")


def test_no_second_derivatives():
    module, x = crnn.torch.RNN(2, 3), torch.randn(4, 5, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad((module(x)[0] ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


def test_bad_input():
    module = crnn.torch.LSTM(3, 4)
    x = torch.zeros(5, 2, 3)
    zero = torch.zeros(1, 2, 4)
    cases = [
        ((x.double(),), ValueError, r"input: expected torch.float32 as the weights are"),
        ((x.long(),), ValueError, r"input: expected a tensor of float32 or float64 on a CPU"),
        ((x.to("meta"),), ValueError, r"input: expected a tensor of float32 or float64 on a CPU"),
        ((x[0, 0],), ValueError, r"input: expected 2 or 3 axes, got 1"),
        ((x[..., :2],), RuntimeError, r"input: expected 3 features, got 2"),
        ((x[:0],), RuntimeError, r"input: expected at least one step and one sequence"),
        ((x, zero), TypeError, r"hx: expected a pair \(h, c\), got Tensor"),
        ((x, (zero, zero[..., :3])), RuntimeError, r"hx\[1\]: expected torch.float32 of shape"),
        ((x, (zero.double(), zero)), RuntimeError, r"hx\[0\]: expected torch.float32 of shape"),
    ]
    for arguments, kind, message in cases:
        with pytest.raises(kind, match=f"^{message}"):
            module(*arguments)
    with pytest.raises(ValueError, match=r"^proj_size: expected 0, got 2"):
        crnn.torch.LSTM(3, 4, proj_size=2)


FORMS = list(itertools.product(KINDS, (1, 3), (True, False), (torch.float32, torch.float64)))


@pytest.mark.parametrize(("kind", "layers", "both", "dtype"), FORMS)
@pytest.mark.parametrize("has_linear", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_there_and_back(kind, layers, both, dtype, has_linear, bias):
    torch.manual_seed(3)
    settings = {"num_layers": layers, "bidirectional": both, "dtype": dtype, "bias": bias}
    module = getattr(torch.nn, kind)(3, 5, **settings)
    linear = torch.nn.Linear(10 if both else 5, 2, bias=bias, dtype=dtype) if has_linear else None
    net = crnn.from_torch(module, linear)
    assert type(net) is getattr(crnn, kind)
    x = torch.randn(4, 7, 3, dtype=dtype)
    expected = module(x.transpose(0, 1))[0].transpose(0, 1)
    expected = linear(expected) if has_linear else expected
    assert_close(torch.from_numpy(net.predict(x.numpy())), expected.detach(), "predictions")
    again, last = net.to_torch()
    assert again.batch_first
    assert (last is None) is not has_linear
    outputs = again(x)[0] if last is None else last(again(x)[0])
    assert_close(outputs.detach(), expected.detach(), "back again")
    # Copies, each way
    before = net.flat_params.copy()
    with torch.no_grad():
        again.weight_hh_l0.zero_()
        module.weight_hh_l0.zero_()
    assert np.array_equal(net.flat_params, before)


def test_what_one_side_does_not_have():
    with pytest.raises(
        TypeError, match=r"^module: expected a torch.nn.RNN, GRU or LSTM, got Linear"
    ):
        crnn.from_torch(torch.nn.Linear(2, 3))
    with pytest.raises(TypeError, match=r"^linear: expected a torch.nn.Linear, got RNN"):
        crnn.from_torch(torch.nn.RNN(2, 3), torch.nn.RNN(2, 3))
    with pytest.raises(ValueError, match=r"^linear: expected in_features=6, got 3"):
        crnn.from_torch(torch.nn.RNN(2, 3, bidirectional=True), torch.nn.Linear(3, 1))
    with pytest.raises(ValueError, match=r"^module: expected proj_size=0, got 2"):
        crnn.from_torch(torch.nn.LSTM(2, 3, proj_size=2))
    with pytest.raises(
        ValueError, match=r"^module: expected weights of float32 or float64 on a CPU"
    ):
        crnn.from_torch(torch.nn.RNN(2, 3, dtype=torch.float16))
    with pytest.raises(ValueError, match=r"^to_torch: expected reset_after=True"):
        crnn.GRU(2, 3, reset_after=False).to_torch()
    with pytest.raises(ValueError, match=r"^to_torch: expected trainable_h0=False"):
        crnn.RNN(2, 3, trainable_h0=True).to_torch()


def test_relu_and_dropout_are_kept():
    module = torch.nn.RNN(2, 3, num_layers=2, nonlinearity="relu", dropout=0.25)
    net = crnn.from_torch(module)
    assert (net.nonlinearity, net.dropout) == ("relu", 0.25)
    assert (net.to_torch()[0].nonlinearity, net.to_torch()[0].dropout) == ("relu", 0.25)


def test_padding_of_packed_sequences_is_theirs():
    ours, theirs = twins("LSTM", 3, 4, batch_first=True)
    x = torch.randn(3, 6, 3)
    packed = pack_padded_sequence(x, torch.tensor([2, 6, 3]), True, enforce_sorted=False)
    (a, _), (b, _) = ours(packed), theirs(packed)
    (a, n), (b, m) = (pad_packed_sequence(y, batch_first=True) for y in (a, b))
    assert torch.equal(n, m)
    assert torch.allclose(a, b, atol=1e-6)
