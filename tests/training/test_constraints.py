"""Constraints: parameters stay within them, whatever trains the network."""

import contextlib
import copy
import itertools
import pickle
import re

import numpy as np
import pytest

import crnn
from crnn._network.architecture import Architecture
from crnn.constraints import L1, Bounds, Mask, MaxNorm, NonNegative, Sign

I, H, O, T, B = 3, 5, 2, 7, 6
OPTIMIZERS = {
    "momentum": lambda **others: crnn.SGD(0.03, momentum=0.9, **others),
    "rmsprop": lambda **others: crnn.RMSprop(0.05, **others),
    "adamw": lambda **others: crnn.AdamW(0.05, weight_decay=0.5, **others),
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


TRAININGS = [by_fit, by_chunks, by_steps, by_trainer, by_learner]


@pytest.mark.parametrize("train", TRAININGS)
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


def constraints():
    """One of each kind, several of a parameter."""
    signs = [1, 1, -1, 0, -1]
    mask = np.random.default_rng(3).random((H, H)) < 0.6
    return {
        "W_hh": [Sign(signs), Mask(mask), MaxNorm(0.4, axis=0)],
        "W_xh": NonNegative(),
        "b_h": Bounds(-0.125, np.linspace(-0.125, 0.125, H)),
        "W_hy": [MaxNorm(0.3), L1(0.02)],
    }


def meets(net):
    """Whether a network meets these constraints."""
    mask = np.random.default_rng(3).random((H, H)) < 0.6
    return (
        (net.W_hh[:, :2] >= 0).all()
        and (net.W_hh[:, [2, 4]] <= 0).all()
        and (net.W_hh[~mask] == 0).all()
        and np.linalg.norm(net.W_hh, axis=0).max() <= 0.4 * (1 + 1e-12)
        and (net.W_xh >= 0).all()
        and (net.b_h >= -0.125).all()
        and (net.b_h <= np.linspace(-0.125, 0.125, H)).all()
        and np.linalg.norm(net.W_hy, axis=1).max() <= 0.3 * (1 + 1e-12)
    )


@pytest.mark.parametrize("train", TRAININGS)
@optimizers
def test_what_trains_a_network_meets_its_constraints(build_network, optimizer, train):
    net = build_network(I, H, O)
    assert not meets(net)
    train(net, OPTIMIZERS[optimizer](constraints=constraints()))
    assert meets(net)
    assert (net.W_hh != 0).any()


@pytest.mark.parametrize("family", ["GRU", "LSTM"])
def test_parameters_of_several_layers(build_network, family):
    net = build_network(I, H, O, family=family, num_layers=2, bidirectional=True)
    limits = {
        "W_hh_l1_reverse": Mask(np.eye(len(net.W_hh), H)),
        "b_y": Bounds(high=-0.5),
        "W_xh": MaxNorm(1.5, axis=None),
    }
    net.fit(*data(), epochs=2, constraints=limits)
    assert np.count_nonzero(net.W_hh_l1_reverse) == H
    assert (net.b_y <= -0.5).all()
    assert np.linalg.norm(net.W_xh) <= 1.5 * (1 + 1e-12)
    assert np.count_nonzero(net.W_hh_l1) == net.W_hh_l1.size


def test_a_step_is_followed_by_what_each_constraint_says(build_network):
    free, net = build_network(I, H, O), build_network(I, H, O)
    x, y = data()
    free.train_step(x, y, crnn.SGD(0.1))
    limits = {
        "W_xh": Bounds(low=-0.2),
        "W_hh": Sign([1, -1, 0, 0, 1]),
        "b_h": L1(0.5),
        "W_hy": MaxNorm(0.6),
        "b_y": Mask([1, 0]),
    }
    net.train_step(x, y, crnn.SGD(0.1), constraints=limits)
    np.testing.assert_array_equal(net.W_xh, np.maximum(free.W_xh, -0.2))
    expected = free.W_hh.copy()
    expected[:, [0, 4]] = np.maximum(expected[:, [0, 4]], 0)
    expected[:, 1] = np.minimum(expected[:, 1], 0)
    np.testing.assert_array_equal(net.W_hh, expected)
    shrunk = np.sign(free.b_h) * np.maximum(np.abs(free.b_h) - 0.1 * 0.5, 0)
    np.testing.assert_allclose(net.b_h, shrunk, rtol=1e-14)
    norms = np.linalg.norm(free.W_hy, axis=1, keepdims=True)
    assert (norms > 0.6).any()
    np.testing.assert_allclose(net.W_hy, free.W_hy * np.minimum(1, 0.6 / norms), rtol=1e-14)
    np.testing.assert_array_equal(net.b_y, free.b_y * [1, 0])


def test_fit_starts_within_constraints(build_network):
    net = build_network(I, H, O)
    projected = build_network(I, H, O)
    projected.W_hh[...] = np.maximum(projected.W_hh, 0)
    x, y = data()
    history = net.fit(
        x, y, epochs=1, batch_size=B, optimizer=crnn.SGD(0.0), shuffle=False,
        constraints={"W_hh": [NonNegative()]},
    )  # fmt: skip
    assert net.flat_params.tobytes() == projected.flat_params.tobytes()
    assert history.loss[0] == pytest.approx(projected.loss(x, y), rel=1e-14)


@pytest.mark.parametrize("kind", [crnn.SGD, OwnSGD])
def test_the_same_bits_from_the_optimizer_and_from_fit(build_network, kind):
    results = []
    for of_optimizer in (True, False):
        net = build_network(I, H, O)
        optimizer = kind(0.1, constraints=constraints() if of_optimizer else None)
        others = {} if of_optimizer else {"constraints": constraints()}
        net.fit(*data(), epochs=3, batch_size=4, optimizer=optimizer, **others)
        results.append(net.flat_params.tobytes())
    assert results[0] == results[1]
    assert meets(net)


def test_an_optimizer_with_constraints_is_copied_and_pickled(build_network):
    net = build_network(I, H, O)
    optimizer = crnn.SGD(0.1, momentum=0.9, constraints=constraints())
    net.train_step(*data(), optimizer)
    for twin in (copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))):
        twin[0].train_step(*data(1), twin[1])
        assert meets(twin[0])
    assert repr(crnn.SGD(0.1, constraints={"b_h": Bounds(high=1)})) == (
        "SGD(lr=0.1, momentum=0, nesterov=False, constraints={'b_h': Bounds(low=-inf, high=1.0)})"
    )


def test_one_optimizer_for_networks_of_several_shapes(build_network):
    """What is compiled is for one network: each gets its own."""
    optimizer = crnn.SGD(0.1, constraints={"W_hh": NonNegative()})
    for hidden_size in (H, H + 1):
        net = build_network(I, hidden_size, O)
        with contextlib.suppress(ValueError):  # it belongs to the first
            net.train_step(*data(), optimizer)
        limits = optimizer.constraints.compiled(net._network)
        assert limits.lower.shape == net.flat_params.shape


class Doubling(crnn.SGD):
    """A user's own optimizer."""

    def step(self, kernels, theta, dtheta):
        return super().step(kernels, theta, 2 * dtheta)


class DoublingWithConstraints(crnn.SGD):
    def step(self, kernels, theta, dtheta, constraints=None):
        return super().step(kernels, theta, 2 * dtheta, constraints)


def test_steps_of_a_users_own_class(build_network):
    net = build_network(I, H, O)
    with pytest.raises(TypeError, match=r"^optimizer: expected one whose step takes constraints, "):
        net.train_step(*data(), Doubling(0.1), constraints=constraints())
    net.train_step(*data(), DoublingWithConstraints(0.1), constraints=constraints())
    assert meets(net)
    sentence = "takes constraints, which keep the leak of this network in place, got Doubling$"
    with pytest.raises(TypeError, match=sentence):
        build_network(I, H, O, leak=0.5).train_step(*data(), Doubling(0.1))


def test_a_step_that_is_not_taken_changes_nothing(build_network):
    net = build_network(I, H, O)
    before = net.flat_params.copy()
    x, y = data()
    with pytest.raises(crnn.DivergenceError):
        net.train_step(x, 1e200 * y, crnn.SGD(0.1), constraints=constraints())
    assert net.flat_params.tobytes() == before.tobytes()


MEETS = "expected constraints that a number of float64 meets, got a least value of"
NUMBERS = "expected numbers (floats of at most 64 bits, or integers)"
TEXT = "convert it to numbers, by astype(float), pandas.get_dummies or to codes"
REFUSED = {
    "no dictionary": (
        lambda: [NonNegative()],
        "constraints: expected a dictionary of constraints by the names of parameters, got list",
    ),
    "name": (
        lambda: {"W": NonNegative()},
        "constraints: expected names among W_xh, W_hh, b_h, W_hy, b_y, got 'W'",
    ),
    "no constraint": (
        lambda: {"b_h": [NonNegative(), 3]},
        "constraints['b_h']: expected constraints such as crnn.constraints.NonNegative(), got 3",
    ),
    "shape of a mask": (
        lambda: {"W_hh": Mask([1, 0])},
        "constraints['W_hh']: values: expected shape (5, 5), got (2,)",
    ),
    "shape of signs": (
        lambda: {"W_hh": Sign([1, -1])},
        "constraints['W_hh']: signs: expected shape (5,) or (5, 5), got (2,)",
    ),
    "shape of bounds": (
        lambda: {"b_h": Bounds(low=np.zeros((5, 5)))},
        "constraints['b_h']: low: expected shape (5,), got (5, 5)",
    ),
    "numbers of a mask": (lambda: Mask([1, 0.5]), "values: expected 0 or 1, got 0.5"),
    "numbers of signs": (lambda: Sign([1, np.nan]), "signs: expected -1, 0 or 1, got nan"),
    "nan": (lambda: Bounds(high=[np.nan]), "high: expected numbers, got nan"),
    "text": (
        lambda: Bounds("0.5"),
        f"low: {NUMBERS}, got <U3; {TEXT}",
    ),
    "no mask": (lambda: Mask(None), "values: expected an array, got None"),
    "complex numbers": (
        lambda: Bounds(np.array([1j])),
        f"low: {NUMBERS}, got complex128; pass the real and the imaginary part as two numbers",
    ),
    "limit": (lambda: MaxNorm(0), "limit: expected a finite number above 0, got 0"),
    "strength": (lambda: L1(-1), "strength: expected a finite number of at least 0, got -1"),
    "axis": (
        lambda: {"b_h": MaxNorm(1, axis=1)},
        "constraints['b_h']: axis: expected one of the shape (5,), got 1",
    ),
    "nothing left": (
        lambda: {"W_hh": [NonNegative(), Bounds(high=np.diag([1, 1, -2, 1, 1]))]},
        f"constraints['W_hh']: {MEETS} 0 and a largest of -2 at (2, 2)",
    ),
    "norm and bounds": (
        lambda: {"b_y": [Bounds(low=[-1, 0.1]), MaxNorm(2)]},
        "constraints['b_y']: expected bounds that 0 meets beside MaxNorm, got others",
    ),
    "infinite": (
        lambda: {"b_y": Bounds(low=np.inf)},
        f"constraints['b_y']: {MEETS} inf and a largest of inf at (0,)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_constraints_expect(build_network, case):
    limits, sentence = REFUSED[case]
    net = build_network(I, H, O)
    before = net.flat_params.tobytes()
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(sentence)}$"):
        net.fit(*data(), epochs=1, constraints=limits())
    assert net.flat_params.tobytes() == before


def test_bounds_beyond_the_range_of_float32(build_network):
    net = build_network(I, H, O, dtype="float32")
    net.fit(*data(), epochs=1, constraints={"b_h": [Bounds(-1e300, 1e300), L1(1e300)]})
    assert (net.b_h == 0).all()
    with pytest.raises(ValueError, match=r"^constraints\['b_h'\]: expected constraints that a num"):
        net.fit(*data(), epochs=1, constraints={"b_h": Bounds(low=1e300)})


def test_constraints_of_both_optimizer_and_fit(build_network):
    net = build_network(I, H, O)
    optimizer = crnn.SGD(0.1, constraints={"b_h": NonNegative()})
    with pytest.raises(ValueError, match=r"^constraints: expected none beside those of the optim"):
        net.fit(*data(), epochs=1, optimizer=optimizer, constraints={"b_y": L1(1)})


def test_checkpoints_know_the_constraints(build_network, tmp_path):
    def run(epochs, limits, path):
        net = build_network(I, H, O)
        net.fit(
            *data(), epochs=epochs, batch_size=4, constraints=limits, checkpoint=path, resume=True
        )
        return net

    whole = run(4, constraints(), tmp_path / "whole")
    run(2, constraints(), tmp_path / "run")
    for other in (None, constraints() | {"b_y": L1(1)}):
        with pytest.raises(crnn.ModelFileError, match="constraints: expected those of this run"):
            run(4, other, tmp_path / "run")
    resumed = run(4, constraints(), tmp_path / "run")
    assert resumed.flat_params.tobytes() == whole.flat_params.tobytes()


def test_a_learner_keeps_its_constraints_in_copies_and_pickles_but_in_no_file(
    build_network, tmp_path
):
    learner = build_network(I, H, O).learner(crnn.SGD(0.1), constraints=constraints())
    assert meets(learner.net)
    x, y = data()
    for twin in (learner.copy(), pickle.loads(pickle.dumps(learner))):
        for x_t, y_t in zip(x[0], y[0], strict=True):
            twin.step(x_t, y_t)
        assert meets(twin.net)
    with pytest.raises(TypeError, match=r"^save: expected a learner without constraints, which n"):
        learner.save(tmp_path / "learner")


def test_a_trainer_brings_its_copy_within_constraints(build_network):
    net = build_network(I, H, O)
    before = net.flat_params.tobytes()
    trainer = net.trainer(crnn.SGD(0.1), time=T, batch_size=B, constraints=constraints())
    assert net.flat_params.tobytes() == before
    trainer.sync()
    assert meets(net)


# L-BFGS


def test_lbfgs_ends_where_no_parameter_can_go_further(build_network):
    x = np.random.default_rng(1).standard_normal((20, 15, 2))
    y = build_network(2, 3, 1, seed=5).predict(x)
    limits = {
        "W_hh": [Sign([1, 0, -1]), Bounds(-0.3, 0.3)],
        "W_xh": Mask([[1, 0], [0, 1], [1, 1]]),
        "W_hy": NonNegative(),
    }
    net = build_network(2, 3, 1, seed=6)
    optimizer = crnn.LBFGS(constraints=limits)
    history = net.fit(x, y, epochs=300, optimizer=optimizer)
    assert all(after <= before for before, after in itertools.pairwise(history.loss))
    bounds, theta = optimizer.constraints.compiled(net._network), net.flat_params
    assert ((theta >= bounds.lower) & (theta <= bounds.upper)).all()
    tape = net.forward(x)
    gradient = net.backward(tape, 2 * (tape.y - y) / y.size).flat
    # The conditions of Karush, Kuhn and Tucker
    further = np.clip(theta - gradient, bounds.lower, bounds.upper) - theta
    assert np.abs(further).max() < 1e-6
    assert np.abs(gradient).max() > 1e-3


def test_lbfgs_refuses_what_it_does_not_project_on(build_network):
    for limits in ({"b_h": L1(1)}, {"b_h": MaxNorm(1)}):
        with pytest.raises(ValueError, match=r"^constraints: expected Mask, Sign, Bounds or NonN"):
            build_network(I, H, O).fit(*data(), epochs=1, optimizer=crnn.LBFGS(constraints=limits))


# Fleets


@optimizers
def test_models_of_a_fleet_meet_what_networks_alone_do(implementation, assert_close, optimizer):
    fleet = crnn.Fleet(
        crnn.RNN(I, H, O, dtype="float64", implementation=implementation), n=5, seed=0
    )
    nets = [copy.deepcopy(net) for net in fleet]
    x, y = data()
    options = {"epochs": 3, "batch_size": 4, "shuffle": False, "constraints": constraints()}
    fleet.fit(x, y, optimizer=OPTIMIZERS[optimizer](), **options)
    for model, net in zip(fleet, nets, strict=True):
        net.fit(x, y, optimizer=OPTIMIZERS[optimizer](), **options)
        assert meets(model)
        assert_close(model.flat_params, net.flat_params, dtype="float64")
    fleet.train_step(x, y, OPTIMIZERS[optimizer](constraints={"b_y": NonNegative()}))
    assert (fleet[4].b_y >= 0).all()


def test_a_fleet_has_one_penalty(implementation):
    fleet = crnn.Fleet(crnn.RNN(I, H, O, implementation=implementation), n=2, seed=0)
    with pytest.raises(ValueError, match=r"^l1: expected none beside L1 among the constraints, "):
        fleet.fit(*data(), epochs=1, l1=1.0, constraints={"b_h": L1(1)})
    fleet.fit(*data(), epochs=1, l1=[0, 1e9], constraints={"b_h": NonNegative()})
    assert (fleet[1].W_hh == 0).all()
    assert (fleet[0].W_hh != 0).all()
    assert (fleet[1].b_h >= 0).all()


def test_models_whose_data_are_bad_stay_outside_of_constraints(implementation):
    fleet = crnn.Fleet(crnn.RNN(I, H, O, implementation=implementation), n=3, seed=0)
    before = fleet.flat_params[1].tobytes()
    x, y = (np.stack([values] * 3) for values in data())
    x[1, 0, 0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="model 1"):
        fleet.fit(x, y, epochs=1, constraints=constraints())
    assert fleet.flat_params[1].tobytes() == before
    assert (fleet[0].W_xh >= 0).all()
