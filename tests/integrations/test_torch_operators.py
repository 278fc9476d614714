"""crnn's layers as operators of PyTorch: its own checks, and its transforms of functions."""

import pytest

torch = pytest.importorskip("torch")

from torch.func import functional_call, grad, jacrev, jvp, vmap  # noqa: E402
from torch_modules import (  # noqa: E402
    KINDS,
    assert_tensors_close,
    assert_twins,
    first_states,
    tensors_in,
    twins,
)

import crnn.torch  # noqa: E402
from crnn.torch import operators  # noqa: E402

kinds = pytest.mark.parametrize("kind", KINDS)

CELLS = {"RNN": "tanh", "GRU": "gru", "LSTM": "lstm"}
B, T, I, H = 3, 5, 2, 4

# Of the results of `opcheck`
CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)


def check(operator, *arguments):
    assert torch.library.opcheck(operator, arguments) == dict.fromkeys(CHECKS, "SUCCESS")


@pytest.mark.parametrize(
    ("kind", "settings", "has_states", "lengths", "has_resets", "seed"),
    [
        ("RNN", {}, False, None, False, None),
        ("RNN", {"num_layers": 2}, True, None, True, None),
        ("GRU", {"num_layers": 2, "bidirectional": True}, True, [5, 3, 2], False, 7),
        ("LSTM", {"num_layers": 2, "bias": False}, True, None, False, 7),
        ("LSTM", {"num_layers": 2}, True, [5, 3, 2], True, 7),
    ],
)
def test_opcheck(kind, settings, has_states, lengths, has_resets, seed):
    module = getattr(torch.nn, kind)(I, H, **settings)
    x = torch.randn(B, T, I)
    hx = first_states(module, B, torch.float32) if has_states else ()
    hx = list(hx if isinstance(hx, tuple) else (hx,))
    weights = [parameter.detach() for parameter in module.parameters()]
    lengths, seed = (None if n is None else torch.tensor(n) for n in (lengths, seed))
    layers = (CELLS[kind], module.num_layers, module.bidirectional)
    resets = torch.rand(B, T) < 0.4 if has_resets else None
    rest = (lengths, resets, seed, *layers, 0.5)
    check(operators.layers_inference, x, hx, weights, *rest)
    if lengths is None:  # past a sequence's end the numbers of a tape are any
        check(operators.layers_training, x, hx, weights, *rest)
    results, tape = operators.layers_training(x, hx, weights, *rest)
    gradients = [torch.randn_like(result) for result in results]
    for wants_dx in (True, False):
        check(
            operators.layers_backward, gradients, x, len(hx), weights, lengths, resets, tape,
            *layers, seed is not None, wants_dx,
        )  # fmt: skip
        gradients[-1] = None
    tensors = [[tensor.clone().requires_grad_() for tensor in list_] for list_ in (hx, weights)]
    check(operators.layers, x.clone().requires_grad_(), *tensors, *rest)


def stacked(module, count):
    """Parameters of several modules side by side, by name."""
    return {
        name: torch.stack([parameter.detach() * (n + 1) / count for n in range(count)])
        for name, parameter in module.named_parameters()
    }


@kinds
def test_vmap_over_weights(kind):
    module = getattr(crnn.torch, kind)(I, H, num_layers=2, batch_first=True)
    params, x = stacked(module, 3), torch.randn(B, T, I)

    def run(params, x):
        return functional_call(module, params, (x,))[0]

    def loss(params, x):
        return run(params, x).square().sum()

    together = vmap(run, in_dims=(0, None))(params, x)
    gradients = vmap(grad(loss), in_dims=(0, None))(params, x)
    assert together.shape == (3, B, T, H)
    for n in range(3):
        alone = {name: values[n].clone().requires_grad_() for name, values in params.items()}
        torch.testing.assert_close(together[n], run(alone, x).detach(), rtol=0, atol=0)
        loss(alone, x).backward()
        for name, values in alone.items():
            assert_tensors_close(gradients[name][n], values.grad, name)


@kinds
def test_gradients_for_each_sequence(kind):
    module = getattr(crnn.torch, kind)(I, H)
    params = {name: parameter.detach() for name, parameter in module.named_parameters()}
    x = torch.randn(T, B, I)

    def loss(params, sequence):
        return functional_call(module, params, (sequence,))[0].square().sum()

    gradients = vmap(grad(loss), in_dims=(None, 1))(params, x)
    loss_of_all = module(x)[0].square().sum()
    loss_of_all.backward()
    for name, parameter in module.named_parameters():
        assert_tensors_close(gradients[name].sum(0), parameter.grad, name)


def test_jacobian():
    module, x = crnn.torch.GRU(I, H).double(), torch.randn(T, I, dtype=torch.float64)
    jacobian = jacrev(lambda x: module(x)[0])(x)
    expected = torch.autograd.functional.jacobian(lambda x: module(x)[0], x)
    assert jacobian.shape == (T, H, T, I)
    assert_tensors_close(jacobian, expected)


@kinds
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of PyTorch's own code
def test_second_derivatives_and_forward_mode_are_refused(kind):
    module, x = getattr(crnn.torch, kind)(I, H), torch.randn(T, B, I)

    def loss(x):
        return module(x)[0].square().sum()

    expected = "crnn.torch: expected first derivatives alone, got a second derivative"
    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match=expected):
        first.sum().backward()
    assert_tensors_close(first, torch.autograd.grad(loss(leaf), leaf)[0])
    with pytest.raises(RuntimeError, match=expected):
        grad(lambda x: grad(loss)(x).sum())(x)
    with pytest.raises(RuntimeError, match=expected):
        torch.func.hessian(loss)(x)
    with pytest.raises(RuntimeError, match=r"got a derivative in forward mode"):
        jvp(loss, (x,), (x,))


@kinds
def test_shapes_alone(kind):
    """On the meta device, and in fake mode."""
    module = getattr(crnn.torch, kind)(I, H, num_layers=2, bidirectional=True, device="meta")
    theirs = getattr(torch.nn, kind)(I, H, num_layers=2, bidirectional=True)
    expected = tensors_in(theirs(torch.zeros(T, B, I)))
    results = tensors_in(module(torch.zeros(T, B, I, device="meta")))
    assert all(result.device.type == "meta" for result in results)
    assert [result.shape for result in results] == [result.shape for result in expected]
    with torch._subclasses.FakeTensorMode():
        module = getattr(crnn.torch, kind)(I, H, num_layers=2, bidirectional=True)
        results = tensors_in(module(torch.zeros(T, B, I)))
        sum(result.sum() for result in results).backward()
        assert module.weight_hh_l1.grad.shape == module.weight_hh_l1.shape
        with pytest.raises(ValueError, match=r"got torch\.float32 on cuda$"):
            module(torch.zeros(T, B, I, device="cuda"))
    assert [result.shape for result in results] == [result.shape for result in expected]


@kinds
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}])
def test_no_sequence(kind, settings):
    ours, theirs = twins(kind, I, H, **settings)
    assert_twins(ours, theirs, torch.zeros(T, 0, I))
    with torch.no_grad():
        assert ours(torch.zeros(T, 0, I))[0].shape == theirs(torch.zeros(T, 0, I))[0].shape
