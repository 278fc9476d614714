"""PyTorch's modules beside crnn's, and how near their results have to be."""

import torch
from torch.nn.utils.rnn import PackedSequence

import crnn.torch

KINDS = ("RNN", "GRU", "LSTM")

# As a share of the largest number in an array
TOLERANCES = {torch.float32: 3e-5, torch.float64: 1e-12}


def twins(kind, *sizes, seed=0, **settings):
    """crnn's module and PyTorch's, with the same weights."""
    torch.manual_seed(seed)
    theirs = getattr(torch.nn, kind)(*sizes, **settings)
    ours = getattr(crnn.torch, kind)(*sizes, **settings)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def tensors_in(results):
    """All tensors in what a module returned."""
    tensors = []
    for result in results:
        if isinstance(result, PackedSequence):
            tensors.append(result.data)
        elif isinstance(result, tuple):
            tensors.extend(result)
        else:
            tensors.append(result)
    return tensors


def assert_tensors_close(actual, expected, label=""):
    assert actual.shape == expected.shape, label
    assert actual.dtype == expected.dtype, label
    actual, expected = actual.detach(), expected.detach()
    if not expected.numel():
        return
    limit = TOLERANCES[expected.dtype] * max(float(expected.abs().max()), 1e-30)
    assert float((actual - expected).abs().max()) <= limit, label


def first_states(module, batch, dtype, generator=None):
    """Random states, for an LSTM a pair; `batch` None: without that axis."""
    layers = module.num_layers * (2 if module.bidirectional else 1)
    shape = (layers, module.hidden_size) if batch is None else (layers, batch, module.hidden_size)
    parts = [torch.randn(shape, dtype=dtype, generator=generator) for _ in range(2)]
    return tuple(parts) if module.mode == "LSTM" else parts[0]


def with_gradients(states):
    """Copies of states that take gradients."""
    if states is None:
        return None
    if isinstance(states, tuple):
        return tuple(part.clone().requires_grad_() for part in states)
    return states.clone().requires_grad_()


def results_and_gradients(module, x, states, seed):
    """What a module returns, and by name the gradients of a random sum of all of it."""
    module.zero_grad()
    if isinstance(x, PackedSequence):
        leaf = x.data.clone().requires_grad_()
        inputs = PackedSequence(leaf, *x[1:])
    else:
        leaf = inputs = x.clone().requires_grad_()
    given = with_gradients(states)
    results = module(inputs, given)
    assert type(results[0]) is type(x)
    generator = torch.Generator().manual_seed(seed)
    loss = 0
    for out in tensors_in(results):
        loss += (out * torch.randn(out.shape, dtype=out.dtype, generator=generator)).sum()
    loss.backward()
    gradients = {"x": leaf.grad}
    if given is not None:
        for number, part in enumerate(given if isinstance(given, tuple) else (given,)):
            gradients[f"state {number}"] = part.grad
    gradients |= {name: parameter.grad for name, parameter in module.named_parameters()}
    return results, gradients


def assert_twins(ours, theirs, x, states=None, seed=0):
    """The same outputs and states, and gradients of inputs, states and parameters."""
    results, gradients = results_and_gradients(ours, x, states, seed)
    expected, expected_gradients = results_and_gradients(theirs, x, states, seed)
    pairs = zip(tensors_in(results), tensors_in(expected), strict=True)
    for number, (actual, wanted) in enumerate(pairs):
        assert_tensors_close(actual, wanted, f"result {number}")
    assert gradients.keys() == expected_gradients.keys()
    for name, wanted in expected_gradients.items():
        assert_tensors_close(gradients[name], wanted, name)
    if isinstance(x, PackedSequence):
        for actual, wanted in zip(results[0][1:], expected[0][1:], strict=True):
            assert (actual is None) == (wanted is None)
            assert actual is None or torch.equal(actual, wanted)
