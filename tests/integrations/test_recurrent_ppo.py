"""The example with stable-baselines3-contrib: crnn's policy computes what the library's does."""

import copy

import numpy as np
import pytest
from scripts import module_of

pytest.importorskip("sb3_contrib")
torch = pytest.importorskip("torch")

from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy  # noqa: E402

ROWS, STEPS, I, H = 3, 6, 4, 5


@pytest.fixture(scope="module")
def example():
    return module_of("examples/recurrent_ppo.py")


@pytest.mark.parametrize("steps", [1, STEPS])
@pytest.mark.parametrize("layers", [1, 2])
def test_sequences_are_processed_as_by_the_library(example, steps, layers):
    layer = torch.nn.LSTM(I, H, layers)
    twin = example.computed_by_crnn(copy.deepcopy(layer))
    features = torch.randn(ROWS * steps, I)
    starts = torch.zeros(ROWS, steps)
    starts[0, 0] = starts[1, steps // 2] = starts[2, -1] = 1
    results = []
    for policy, lstm in ((RecurrentActorCriticPolicy, layer), (example.Policy, twin)):
        torch.manual_seed(0)
        states = tuple(torch.randn(layers, ROWS, H, requires_grad=True) for _ in range(2))
        x = features.clone().requires_grad_()
        y, (h, c) = policy._process_sequence(x, states, starts.flatten(), lstm)
        (y.square().sum() + h.sum() - (c**3).sum()).backward()
        tensors = (y, h, c, x.grad, *(s.grad for s in states), *(p.grad for p in lstm.parameters()))
        results.append([tensor.detach().numpy() for tensor in tensors])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_learning_is_that_of_the_library(example):
    """The same rollout and the same updates, which move every parameter."""
    # Adam would divide a gradient that is zero but for rounding by its own size.
    settings = {
        "policy_kwargs": {"lstm_hidden_size": H, "optimizer_class": torch.optim.SGD},
        "n_steps": 32, "batch_size": 64, "n_epochs": 2, "learning_rate": 1.0, "vf_coef": 1e-3,
    }  # fmt: skip
    learned = []
    for policy in example.POLICIES.values():
        model = example.model_of(policy, 0, **settings)
        torch.manual_seed(0)
        before = copy.deepcopy(model.policy.state_dict())
        model.learn(256)
        after = model.policy.state_dict()
        assert all(not torch.equal(after[name], before[name]) for name in before)
        learned.append(after)
    for other in learned[1:]:
        for name, tensor in learned[0].items():
            np.testing.assert_allclose(other[name], tensor, rtol=1e-3, atol=1e-5, err_msg=name)
