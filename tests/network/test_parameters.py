"""Parameters: their shapes, their views of one flat vector, copies and other dtypes."""

import copy
import pickle

import numpy as np
import pytest
from network_problems import ARCHITECTURES, DTYPES, B, H, I, O, T, inputs, random_state, targets

import crnn

SHAPES = {"W_xh": (H, I), "W_hh": (H, H), "b_h": (H,), "W_hy": (O, H), "b_y": (O,)}
architectures = pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_have_the_shapes_of_the_formulas(build_network, dtype):
    net = build_network(dtype=dtype)
    assert list(net.params) == list(SHAPES)
    assert {name: values.shape for name, values in net.params.items()} == SHAPES
    assert {values.dtype for values in net.params.values()} == {np.dtype(dtype)}
    assert net.flat_params.shape == (sum(int(np.prod(shape)) for shape in SHAPES.values()),)
    assert net.flat_params.dtype == dtype
    assert (net.input_size, net.hidden_size, net.output_size) == (I, H, O)
    assert net.dtype == np.dtype(dtype)


def test_names_and_shapes_of_a_deep_network(implementation):
    net = crnn.LSTM(
        I, H, O, num_layers=2, bidirectional=True, trainable_h0=True, implementation=implementation
    )
    shapes = {name: values.shape for name, values in net.params.items()}
    assert shapes == {
        "W_xh": (4 * H, I),
        "W_hh": (4 * H, H),
        "b_h": (4 * H,),
        "W_xh_reverse": (4 * H, I),
        "W_hh_reverse": (4 * H, H),
        "b_h_reverse": (4 * H,),
        "W_xh_l1": (4 * H, 2 * H),
        "W_hh_l1": (4 * H, H),
        "b_h_l1": (4 * H,),
        "W_xh_l1_reverse": (4 * H, 2 * H),
        "W_hh_l1_reverse": (4 * H, H),
        "b_h_l1_reverse": (4 * H,),
        "W_hy": (O, 2 * H),
        "b_y": (O,),
        "h0": (4, H),
        "c0": (4, H),
    }
    assert list(shapes) == list(net.params)
    gru = crnn.GRU(I, H, implementation=implementation)
    assert {name: values.shape for name, values in gru.params.items()} == {
        "W_xh": (3 * H, I),
        "W_hh": (3 * H, H),
        "b_h": (4 * H,),
    }
    before = crnn.GRU(I, H, reset_after=False, implementation=implementation)
    assert before.b_h.shape == (3 * H,)


@architectures
def test_flat_vector_is_under_the_views_in_order(network_of, settings):
    net = network_of(**settings)
    net.flat_params[...] = np.arange(net.flat_params.size)
    expected = np.concatenate([values.ravel() for values in net.params.values()])
    assert np.array_equal(expected, np.arange(expected.size))
    for name, values in net.params.items():
        assert np.shares_memory(values, net.flat_params), name
        assert np.shares_memory(getattr(net, name), values), name
        assert getattr(net, name).shape == values.shape


def test_assigning_into_a_view_changes_the_network(build_network):
    net = build_network()
    x = inputs(net)
    before = net.predict(x)
    net.b_y[...] += 0.5
    np.testing.assert_allclose(net.predict(x), before + 0.5, rtol=1e-14)
    net.params["b_y"][1] -= 0.5
    np.testing.assert_allclose(net.predict(x), before + np.array([0.5, 0.0]), rtol=1e-14)
    net.flat_params[...] = 0.0
    assert np.array_equal(net.predict(x), np.zeros((B, T, O)))


@pytest.mark.parametrize("name", SHAPES)
def test_a_parameter_cannot_be_replaced(build_network, name):
    net = build_network()
    before = net.flat_params.tobytes()
    with pytest.raises(AttributeError) as caught:
        setattr(net, name, np.zeros(SHAPES[name]))
    assert f"{name}[...]" in str(caught.value)
    assert net.flat_params.tobytes() == before
    assert np.shares_memory(getattr(net, name), net.flat_params)


def test_flat_parameters_cannot_be_replaced(build_network):
    net = build_network()
    before = net.flat_params
    with pytest.raises(AttributeError):
        net.flat_params = np.zeros(before.size)
    assert np.shares_memory(net.flat_params, before)
    with pytest.raises((AttributeError, TypeError)):
        net.params["W_xh"] = np.zeros((H, I))
    assert np.shares_memory(net.params["W_xh"], before)


def test_augmented_assignment_changes_the_parameters_and_raises_nothing(build_network):
    net = build_network()
    before = net.flat_params.copy()
    net.W_hh *= 2
    net.params["W_hh"] *= 2
    net.flat_params *= 2
    net.flat_params /= 2
    expected = before.copy()
    expected[H * I : H * I + H * H] *= 4
    assert np.array_equal(net.flat_params, expected)
    with pytest.raises(TypeError, match="W_hh"):
        net.params["W_hh"] = np.zeros((H, H))


def test_views_stay_views_after_training(build_network):
    net = build_network()
    W_hh, flat = net.W_hh, net.flat_params
    before = W_hh.copy()
    net.fit(inputs(net), targets(net), epochs=2)
    assert np.shares_memory(net.W_hh, W_hh)
    assert np.shares_memory(net.flat_params, flat)
    assert not np.array_equal(W_hh, before)


@pytest.mark.parametrize("output_size", [O, None], ids=["outputs", "hidden states"])
def test_a_network_without_output_layer(build_network, output_size):
    net = build_network(output_size=output_size)
    assert hasattr(net, "W_hy") == hasattr(net, "b_y") == (output_size is not None)
    assert net.output_size == output_size
    x, h0 = inputs(net), random_state(net)
    tape = net.forward(x, h0)
    if output_size is None:
        assert np.array_equal(tape.y, tape.h[:, 1:])
    assert list(net.backward(tape, np.ones_like(tape.y))) == list(net.params)


@architectures
def test_copies_and_pickles_are_whole_and_apart(network_of, settings):
    net = network_of(**settings)
    x = inputs(net)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(twin) == repr(net)
        assert np.array_equal(twin.predict(x), net.predict(x))
        assert np.shares_memory(twin.W_hh, twin.flat_params)
        assert not np.shares_memory(twin.flat_params, net.flat_params)
        assert twin.implementation == net.implementation


@architectures
def test_other_dtypes(network_of, settings):
    net = network_of(dtype="float32", **settings)
    x = inputs(net)
    wide = net.astype("float64")
    assert wide.dtype == "float64"
    assert wide.implementation == net.implementation
    assert np.array_equal(wide.flat_params, net.flat_params)
    np.testing.assert_allclose(wide.predict(x), net.predict(x), rtol=0, atol=1e-5)
    assert np.array_equal(wide.astype("float32").flat_params, net.flat_params)
    wide.flat_params[...] = 0
    assert net.flat_params.any()


@architectures
def test_representation_is_a_call_that_makes_such_a_network(network_of, settings):
    net = network_of(**settings)
    again = eval(repr(net), {name: getattr(crnn, name) for name in ("RNN", "GRU", "LSTM")})
    assert repr(again) == repr(net)
    assert {name: values.shape for name, values in again.params.items()} == {
        name: values.shape for name, values in net.params.items()
    }


def test_representation(implementation):
    net = crnn.RNN(2, 8, 1, implementation=implementation)
    assert repr(net) == (
        "RNN(input_size=2, hidden_size=8, output_size=1, dtype='float32', "
        f"implementation={implementation!r})"
    )


@pytest.mark.parametrize("dtype", [np.float64, np.dtype("float64"), "float64", "f8", float])
def test_dtype_in_any_spelling(implementation, dtype):
    net = crnn.RNN(I, H, O, dtype=dtype, implementation=implementation)
    assert net.flat_params.dtype == np.float64


def test_sizes_may_be_numpy_integers(implementation):
    net = crnn.RNN(np.int64(I), np.int32(H), np.uint8(O), implementation=implementation)
    assert net.W_hy.shape == (O, H)
