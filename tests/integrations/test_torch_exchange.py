"""Networks with the weights of PyTorch's modules, and modules with the weights of networks."""

import network_problems
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_modules import KINDS, assert_tensors_close  # noqa: E402

import crnn  # noqa: E402
from crnn.torch import from_torch, to_torch  # noqa: E402


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("has_linear", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_there_and_back(kind, num_layers, bidirectional, dtype, has_linear, bias):
    torch.manual_seed(3)
    settings = {"num_layers": num_layers, "bidirectional": bidirectional, "dtype": dtype}
    module, linear = getattr(torch.nn, kind)(3, 5, bias=bias, **settings), None
    if has_linear:
        linear = torch.nn.Linear(10 if bidirectional else 5, 2, bias=bias, dtype=dtype)
    net = from_torch(module, linear)
    assert type(net) is getattr(crnn, kind)
    x = torch.randn(4, 7, 3, dtype=dtype)
    expected = module(x.transpose(0, 1))[0].transpose(0, 1)
    expected = linear(expected) if has_linear else expected
    assert_tensors_close(torch.from_numpy(net.predict(x.numpy())), expected, "predictions")
    again, last = to_torch(net)
    assert again.batch_first
    assert (last is None) is not has_linear
    outputs = again(x)[0] if last is None else last(again(x)[0])
    assert_tensors_close(outputs, expected, "back again")
    # Copies, each way
    before = net.flat_params.copy()
    with torch.no_grad():
        again.weight_hh_l0.zero_()
        module.weight_hh_l0.zero_()
    assert np.array_equal(net.flat_params, before)


def test_relu_and_dropout_are_kept():
    module = torch.nn.RNN(2, 3, num_layers=2, nonlinearity="relu", dropout=0.25)
    net = from_torch(module)
    assert (net.nonlinearity, net.dropout) == ("relu", 0.25)
    again, _ = to_torch(net)
    assert (again.nonlinearity, again.dropout) == ("relu", 0.25)


@pytest.mark.filterwarnings("ignore:dropout option adds dropout")
def test_dropout_that_one_layer_does_not_use():
    assert from_torch(torch.nn.GRU(2, 3, dropout=0.5)).dropout == 0


def test_categories_are_one_hot_vectors_in_torch():
    net = network_problems.network(categorical=True)
    module, linear = to_torch(net)
    words = network_problems.inputs(net)
    x = torch.nn.functional.one_hot(torch.from_numpy(words), net.input_size).double()
    expected = linear(module(x)[0])
    for reader in (net, from_torch(module, linear, categorical=True)):
        assert reader.categorical
        assert_tensors_close(torch.from_numpy(reader.predict(words)), expected)


def test_the_implementation_is_the_one_asked_for(implementation):
    net = from_torch(torch.nn.RNN(2, 3), implementation=implementation)
    assert net.implementation == implementation
