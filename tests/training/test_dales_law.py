"""The example of a network that obeys Dale's law."""

import numpy as np
import pytest
from scripts import module_of

import crnn


@pytest.fixture(scope="module")
def example():
    return module_of("examples/dales_law.py")


def test_evidence_is_stronger_for_the_choice(example):
    x, y, coherence = example.trials(400, np.random.default_rng(0))
    stimulus = x[:, example.FIXATION : -example.DECISION]
    difference = (stimulus[..., 1] - stimulus[..., 0]).mean(axis=1)
    assert (y == y[:, :1]).all()
    strong = np.abs(coherence) > 0.5
    assert ((difference > 0) == y[:, 0])[strong].all()
    assert ((coherence > 0) == y[:, 0])[coherence != 0].all()
    assert not x[:, : example.FIXATION].any()
    assert not x[:, -example.DECISION :].any()


def test_a_trained_network_obeys_dales_law(example):
    net, rng = example.network(0), np.random.default_rng(1)
    before = net.W_hh.copy()
    optimizer = crnn.Adam(example.RATE, constraints=example.constraints())
    for _ in range(5):
        x, y, _ = example.trials(8, rng)
        net.train_step(x, y, optimizer, "cross_entropy")
    excitatory = example.signs() > 0
    assert (net.W_hh[:, excitatory] >= 0).all()
    assert (net.W_hh[:, ~excitatory] <= 0).all()
    assert not np.diag(net.W_hh).any()
    assert (net.W_xh >= 0).all()
    assert (net.W_hy >= 0).all()
    assert not net.W_hy[:, ~excitatory].any()
    assert (net.W_hh != before).mean() > 0.9
