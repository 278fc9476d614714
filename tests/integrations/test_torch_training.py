"""What PyTorch does to modules that train: autocast, checkpoints, hooks, and other weights."""

import copy
import gc
import pickle

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils import parametrizations, parametrize  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_modules import (  # noqa: E402
    KINDS,
    assert_tensors_close,
    first_states,
    tensors_in,
    twins,
)

import crnn.torch  # noqa: E402

kinds = pytest.mark.parametrize("kind", KINDS)

B, T, I, H = 3, 5, 2, 4


def gradients(module, run, x):
    """By name, of a loss that reads all results."""
    module.zero_grad()
    sum(result.square().sum() for result in tensors_in(run(x))).backward()
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def assert_same_gradients(actual, expected):
    assert actual.keys() == expected.keys()
    for name, gradient in actual.items():
        if expected[name] is None:
            assert gradient is None, name
        else:
            assert_tensors_close(gradient, expected[name], name)


@kinds
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_computes_in_float32(kind, dtype):
    module = getattr(crnn.torch, kind)(I, H)
    x, states = torch.randn(T, B, I).to(dtype), first_states(module, B, dtype)
    wide = tuple(h.float() for h in states) if kind == "LSTM" else states.float()
    expected = tensors_in(module(x.float(), wide))
    with torch.autocast("cpu", dtype):
        results = tensors_in(module(x, states))
        assert torch.equal(module(x.float(), wide)[0], expected[0])
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == torch.float32
        assert torch.equal(result, wanted)
    leaf = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype):
        linear = torch.nn.Linear(H, 1)
        loss = linear(module(leaf)[0]).float().square().sum()
    loss.backward()
    assert leaf.grad.dtype == dtype
    assert leaf.grad.abs().max() > 0
    with pytest.raises(ValueError, match="expected a tensor of float32 or float64"):
        module(x)


@kinds
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoint(kind, use_reentrant):
    module = getattr(crnn.torch, kind)(I, 20, num_layers=2, dropout=0.5)
    x = torch.randn(T, B, I).requires_grad_()
    torch.manual_seed(1)
    expected = gradients(module, lambda x: module(x)[:1], x)
    torch.manual_seed(1)
    actual = gradients(
        module, lambda x: [checkpoint(lambda x: module(x)[0], x, use_reentrant=use_reentrant)], x
    )
    assert_same_gradients(actual, expected)


@kinds
def test_weights_computed_from_others(kind):
    x, found = torch.randn(T, B, I), []
    for module in twins(kind, I, H):
        parametrizations.weight_norm(module, "weight_hh_l0")
        parametrizations.weight_norm(module, "weight_ih_l0", dim=1)
        assert parametrize.is_parametrized(module, "weight_hh_l0")
        found.append((module(x)[0], gradients(module, module, x)))
    assert_tensors_close(found[0][0], found[1][0])
    assert set(found[0][1]) >= {"parametrizations.weight_hh_l0.original0", "bias_hh_l0"}
    assert_same_gradients(found[0][1], found[1][1])


@kinds
def test_frozen_parameters(kind):
    ours, theirs = twins(kind, I, H, num_layers=2)
    x = torch.randn(T, B, I)
    for module in (ours, theirs):
        for name in ("weight_hh_l0", "bias_ih_l0", "weight_ih_l1"):
            getattr(module, name).requires_grad_(False)
    expected = gradients(theirs, theirs, x)
    assert expected["weight_hh_l0"] is None
    assert_same_gradients(gradients(ours, ours, x), expected)


@kinds
def test_states_of_a_backward_pass(kind):
    """The last states alone lead to a loss, and to one of the next sequences."""
    ours, theirs = twins(kind, I, H, num_layers=2)
    x = torch.randn(T, B, I)

    def last(module):
        return lambda x: [module(x)[1]]

    def last_of_two(module):
        return lambda x: [module(x, module(x)[1])[1]]

    def cell_alone(module):
        return lambda x: [module(x)[1][-1]]

    for run in (last, last_of_two, cell_alone):
        expected = gradients(theirs, run(theirs), x)
        assert_same_gradients(gradients(ours, run(ours), x), expected)


@kinds
def test_hooks_and_copies(kind):
    module, x, called = getattr(crnn.torch, kind)(I, H), torch.randn(T, B, I), []
    x.requires_grad_()
    module.register_forward_hook(lambda *_: called.append("forward"))
    module.register_full_backward_hook(lambda *_: called.append("backward"))
    module.weight_hh_l0.register_hook(lambda gradient: 2 * gradient)
    module.register_state_dict_pre_hook(lambda *_: called.append("state_dict"))
    module.register_load_state_dict_post_hook(lambda *_: called.append("load"))
    doubled = gradients(module, module, x)["weight_hh_l0"]
    module.load_state_dict(module.state_dict())
    assert called == ["forward", "backward", "state_dict", "load"]
    twin = getattr(crnn.torch, kind)(I, H)
    twin.load_state_dict(module.state_dict())
    assert_tensors_close(doubled, 2 * gradients(twin, twin, x)["weight_hh_l0"])
    for again in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        assert_same_gradients(gradients(again, again, x), gradients(twin, twin, x))


@pytest.mark.skipif(not torch.distributed.is_available(), reason="a build without it")
@kinds
def test_distributed(kind, tmp_path):
    """The hooks by which one process of one averages gradients."""
    module, x = getattr(crnn.torch, kind)(I, H), torch.randn(T, B, I)
    expected = gradients(module, module, x)
    torch.distributed.init_process_group(
        "gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1
    )
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(module)
        assert_same_gradients(gradients(module, parallel, x), expected)
    finally:
        # PyTorch may wait for ever where the last to let the group go is the module.
        parallel = None
        gc.collect()
        torch.distributed.destroy_process_group()
