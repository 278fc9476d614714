"""Training of leaky networks: what steps do to a leak, in every way to train."""

import numpy as np
import pytest
from network_problems import inputs, step_gradient, targets

import crnn
from crnn.constraints import L1, NonNegative

EACH = np.array([0.1, 0.9, 0.4, 1.0, 0.7])
OPTIMIZERS = {
    "sgd": lambda: crnn.SGD(0.05, momentum=0.9, weight_decay=0.5),
    "rmsprop": lambda: crnn.RMSprop(0.05, momentum=0.9, weight_decay=0.5),
    "adam": lambda: crnn.Adam(0.05, weight_decay=0.5),
    "adamw": lambda: crnn.AdamW(0.05, weight_decay=0.5),
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


@optimizers
@pytest.mark.parametrize("leak", [0.3, EACH], ids=["one", "each"])
def test_a_fixed_leak_stays(build_network, optimizer, leak):
    net = build_network(leak=leak)
    x, y = inputs(net), targets(net)
    net.leak[0] = 0.45  # that of the moment, not that of the constructor
    before, weights = net.leak.copy(), net.W_hh.copy()
    net.train_step(x, y, optimizer())
    net.fit(x, y, epochs=2, batch_size=2, optimizer=optimizer())
    net.fit(x, y, epochs=2, bptt=3, optimizer=optimizer())
    trainer = net.trainer(optimizer(), time=x.shape[1], batch_size=len(x))
    trainer.train_step(x, y)
    trainer.sync()
    assert net.leak.tobytes() == before.tobytes()
    assert not np.array_equal(net.W_hh, weights)


@pytest.mark.parametrize("family", [crnn.SGD, crnn.RMSprop, crnn.Adam, crnn.AdamW])
def test_a_trained_leak_stays_from_0_to_1(build_network, family):
    net = build_network(leak=EACH, trainable_leak=True)
    x, y = inputs(net), targets(net)
    _, gradient = step_gradient(net, x, y)
    assert gradient[45:50].all()
    seen = []
    for _ in range(30):
        net.train_step(x, y, family(3.0 if family is crnn.SGD else 0.3), clip_norm=1.0)
        seen.append(net.leak.copy())
    assert np.min(seen) >= 0
    assert np.max(seen) <= 1
    assert not np.array_equal(seen[0], EACH)
    assert np.isin(seen, [0.0, 1.0]).any()


def test_training_finds_a_time_constant():
    """A leaky integrator of its input, whose leak is known."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 60, 1)).astype("f4")
    teacher = crnn.RNN(1, 1, 1, leak=0.2, nonlinearity="relu", seed=0)
    net = crnn.RNN(1, 1, 1, leak=0.9, trainable_leak=True, nonlinearity="relu", seed=0)
    for one in (teacher, net):
        one.W_xh[...], one.W_hh[...], one.W_hy[...] = 1, 0, 1
    net.fit(x, teacher.predict(x), epochs=300, batch_size=16, optimizer=crnn.Adam(0.02))
    assert net.leak[0] == pytest.approx(0.2, abs=0.05)


def test_lbfgs(build_network):
    net = build_network(leak=0.3)
    x, y = inputs(net), targets(net)
    before = net.loss(x, y)
    net.fit(x, y, epochs=5, optimizer=crnn.LBFGS())
    assert net.leak.tolist() == [0.3]
    assert net.loss(x, y) < before
    trained = build_network(leak=0.9, trainable_leak=True)
    trained.fit(x, y, epochs=20, optimizer=crnn.LBFGS())
    assert trained.loss(x, y) < before
    assert 0 <= trained.leak[0] <= 1
    assert trained.leak[0] != 0.9


@pytest.mark.parametrize("leak", [0.3, EACH], ids=["one", "each"])
@pytest.mark.parametrize("trained", [False, True], ids=["fixed", "trained"])
def test_fleets(build_network, leak, trained):
    """Each model is as it would be alone, whose leaks are those of the first network."""
    first = build_network(leak=leak, trainable_leak=trained, output_size=2)
    fleet = crnn.Fleet(first, n=3, seed=5)
    x, y = inputs(first), targets(first)
    alone = [
        crnn.RNN(
            3, 5, 2, leak=leak, trainable_leak=trained, seed=int(seed), dtype="float64",
            implementation=first.implementation,
        )
        for seed in fleet.seeds
    ]  # fmt: skip
    decay = np.array([0.0, 0.5, 0.1])
    optimizer = crnn.SGD(0.1, momentum=0.9)
    for _ in range(5):
        fleet.train_step(x, y, optimizer, weight_decay=decay)
    for net, row, strength in zip(alone, fleet.flat_params, decay, strict=True):
        own = crnn.SGD(0.1, momentum=0.9, weight_decay=strength)
        for _ in range(5):
            net.train_step(x, y, own)
        np.testing.assert_allclose(row, net.flat_params, rtol=0, atol=1e-10)
        assert np.array_equal(net.leak, np.broadcast_to(leak, net.leak.shape)) is not trained


def test_fleets_of_other_leaks(build_network):
    fleet = crnn.Fleet(build_network(leak=0.3), n=2)
    fleet[1].leak[...] = 0.8
    x, y = inputs(fleet[0]), targets(fleet[0])
    fleet.train_step(x, y, crnn.SGD(0.1))
    assert [net.leak.tolist() for net in fleet] == [[0.3], [0.8]]
    with pytest.raises(ValueError, match=r"^weight_decay: expected 0 for models with different"):
        fleet.train_step(x, y, crnn.SGD(0.1), weight_decay=[0.0, 0.1])
    with pytest.raises(ValueError, match=r"^network: expected .* and no noise, got"):
        crnn.Fleet(build_network(noise=0.1), n=2)


def test_a_fixed_leak_may_change_between_steps_of_an_optimizer_with_constraints(build_network):
    net = build_network(leak=0.3)
    x, y = inputs(net), targets(net)
    optimizer = crnn.SGD(0.1, constraints={"W_hh": NonNegative()})
    net.train_step(x, y, optimizer)
    net.leak[...] = 0.75
    net.train_step(x, y, optimizer)
    assert net.leak.tolist() == [0.75]
    assert net.W_hh.min() == 0


def test_fixed_leaks_of_fleets_with_constraints(build_network):
    fleet = crnn.Fleet(build_network(leak=0.25), n=2)
    x, y = inputs(fleet[0]), targets(fleet[0])
    optimizer = crnn.SGD(0.1, constraints={"W_hh": NonNegative(), "leak": L1(0.5)})
    fleet[1].leak[...] = 0.75
    fleet.train_step(x, y, optimizer)
    assert [net.leak.tolist() for net in fleet] == [[0.25], [0.75]]
    # The constraints compiled for the step before are as they were.
    for leak in (0.25, 0.5):
        for net in fleet:
            net.leak[...] = leak
        fleet.train_step(x, y, optimizer, weight_decay=0.5)
        assert [net.leak.tolist() for net in fleet] == [[leak], [leak]]


@pytest.mark.parametrize("leak", [0.25, [0.25, 0.5, 0.25, 0.25, 0.25]], ids=["one", "each"])
def test_what_a_fleet_says_about_its_leaks(build_network, leak, tmp_path):
    fleet = crnn.Fleet(build_network(leak=leak, trainable_leak=True), n=3)
    fleet.save(tmp_path / "fleet.npz")
    for one in (fleet, crnn.load(tmp_path / "fleet.npz")):
        assert f"leak={leak}, trainable_leak=True), n=3" in repr(one)
    fleet[2].leak[-1] = 0.75
    largest = np.max(fleet.flat_params[:, 45 : 45 + np.size(leak)])
    assert f", leak=0.25 to {largest}, trainable_leak=True), n=3" in repr(fleet)
    assert f", leak={fleet[2].leak.tolist() if np.ndim(leak) else 0.75}, " in repr(fleet[[2]])
