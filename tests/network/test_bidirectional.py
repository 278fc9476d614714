"""Predictions of bidirectional networks in parts and blocks: against `forward`, which has none."""

import numpy as np
import pytest
from network_problems import LENGTHS, SKIP, B, inputs, packed, random_state, unpacked

from crnn._network import bidirectional, blocks

SETTINGS = {
    "outputs": {},
    "layers of categories": {"num_layers": 3, "categorical": True},
    "no output layer": {"num_layers": 2, "output_size": None},
    "one output": {"num_layers": 2, "return_sequences": False},
}


@pytest.fixture(params=[3, 7])
def in_blocks(monkeypatch, request):
    """Blocks of so many of the seven steps, and parts of two sequences."""
    monkeypatch.setattr(blocks, "BLOCK_SCALARS", 0)
    monkeypatch.setattr(blocks, "BLOCK_STEPS", request.param)
    monkeypatch.setattr(bidirectional, "HANDED_SCALARS", 0)
    monkeypatch.setattr(bidirectional, "PART_SEQUENCES", 2)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"lengths": LENGTHS},
        # The last part has no live step, and padding that no sequence of the part reaches.
        {"lengths": np.array([7, 4, 3, 1]), "skip": SKIP | (np.ones(7) == [[0], [0], [1], [1]])},
        {"skip": SKIP},
    ],
    ids=lambda given: " and ".join(given) or "whole",
)
def test_blocks_and_parts(network_of, in_blocks, settings, given):
    net = network_of(bidirectional=True, **settings)
    x, h0 = inputs(net), unpacked(net, random_state(net))
    tape = net.forward(x, h0, **given)
    y, h_n = net.predict(x, h0, return_state=True, **given)
    np.testing.assert_allclose(y, tape.y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(packed(h_n), packed(tape.h_n), rtol=1e-12, atol=1e-13)


def test_lengths_of_zero(network_of, in_blocks):
    net = network_of(bidirectional=True, num_layers=2)
    x, h0 = inputs(net), random_state(net)
    y, h_n = net.predict(x, unpacked(net, h0), return_state=True, lengths=[3, 0, 0, 0])
    single = net.forward(x[0, :3], unpacked(net, h0[:, 0]))
    np.testing.assert_allclose(y[0, :3], single.y, rtol=1e-12, atol=1e-13)
    assert not y[0, 3:].any()
    assert not y[1:].any()
    np.testing.assert_array_equal(packed(h_n)[:, 1:], h0[:, 1:])
    assert len(y) == B
