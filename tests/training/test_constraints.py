"""Constraints: parameters stay within them, whatever trains the network."""

import numpy as np
import pytest

import crnn
from crnn._network.architecture import Architecture

I, H, O, T, B = 3, 5, 2, 7, 6
OPTIMIZERS = {
    "momentum": lambda: crnn.SGD(0.3, momentum=0.9),
    "rmsprop": lambda: crnn.RMSprop(0.05),
    "adamw": lambda: crnn.AdamW(0.05, weight_decay=0.5),
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS)


class OwnSGD(crnn.SGD):
    """Its steps are taken one by one."""


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((B, T, I)), 3 * rng.standard_normal((B, T, O))


def by_fit(net, optimizer):
    net.fit(*data(), epochs=4, batch_size=4, optimizer=optimizer)


def by_chunks(net, optimizer):
    net.fit(*data(), epochs=4, bptt=3, optimizer=optimizer)


def by_steps(net, optimizer):
    for seed in range(5):
        net.train_step(*data(seed), optimizer)


def by_trainer(net, optimizer):
    trainer = net.trainer(optimizer, time=T, batch_size=B)
    for seed in range(5):
        trainer.train_step(*data(seed))
    trainer.sync()


def by_learner(net, optimizer):
    learner = net.learner(optimizer)
    x, y = data()
    for x_t, y_t in zip(x[0], y[0], strict=True):
        learner.step(x_t, y_t)


@pytest.mark.parametrize("train", [by_fit, by_chunks, by_steps, by_trainer, by_learner])
@optimizers
def test_limits_of_an_architecture(build_network, monkeypatch, optimizer, train):
    limits = {"b_h": (0.25, 0.25), "W_hy": (-np.inf, 0.125), "W_hh": (-0.0625, np.inf)}
    monkeypatch.setattr(Architecture, "parameter_limits", lambda _: limits)
    net = build_network(I, H, O)
    free = {name: values.copy() for name, values in net.params.items()}
    train(net, OPTIMIZERS[optimizer]())
    assert (net.b_h == 0.25).all()
    assert net.W_hy.max() <= 0.125 < free["W_hy"].max()
    assert net.W_hh.min() >= -0.0625 > free["W_hh"].min()
    assert (net.W_xh != free["W_xh"]).all()


def test_limits_of_an_architecture_in_a_fleet(implementation, monkeypatch):
    monkeypatch.setattr(Architecture, "parameter_limits", lambda _: {"b_h": (0.25, 0.25)})
    fleet = crnn.Fleet(crnn.GRU(I, H, O, implementation=implementation), n=20, seed=0)
    fleet.fit(*data(), epochs=2, optimizer=crnn.Adam(0.1), l1=np.linspace(0, 1, 20))
    for net in fleet:
        assert (net.b_h == 0.25).all()
    assert (fleet[19].W_hh == 0).mean() > (fleet[1].W_hh == 0).mean()
