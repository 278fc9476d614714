"""forecast: outputs fed back as inputs."""

import numpy as np
import pytest
from network_problems import DTYPES, inputs

F = 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_are_fed_back(network_of, assert_close, dtype):
    net = network_of(F, output_size=F, dtype=dtype, num_layers=2)
    x = inputs(net)
    y, h = net.predict(x, return_state=True)
    expected = [y[:, -1]]
    for _ in range(4):
        y_t, h = net.predict(expected[-1][:, np.newaxis], h, return_state=True)
        expected.append(y_t[:, 0])
    assert_close(net.forecast(x, steps=5), np.stack(expected, axis=1), dtype=dtype)


def test_one_sequence(network_of, assert_close):
    net = network_of(F, output_size=F)
    x = inputs(net)
    alone = net.forecast(x[1], steps=4)
    assert_close(alone, net.forecast(x, steps=4)[1], dtype="float64")


def test_one_step_is_the_last_output(network_of, assert_close):
    net = network_of(F, output_size=F)
    x = inputs(net)
    one = net.forecast(x, steps=1)
    assert_close(one, net.predict(x)[:, -1:], dtype="float64")
    # A longer forecast begins like a shorter one.
    assert_close(net.forecast(x, steps=7)[:, :1], one, dtype="float64")


def test_without_output_layer(build_network, assert_close):
    net = build_network(4, 4, None)
    x = inputs(net)
    y = net.predict(x)
    second = net.predict(y[:, -1:], y[:, -1])
    expected = np.concatenate([y[:, -1:], second], axis=1)
    assert_close(net.forecast(x, steps=2), expected, dtype="float64")


def test_the_network_stays_as_it_was(network_of):
    net = network_of(F, output_size=F)
    before = net.flat_params.tobytes()
    net.forecast(inputs(net), steps=3)
    assert net.flat_params.tobytes() == before
