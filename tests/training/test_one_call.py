"""Epochs whose steps are taken several in a kernel call: as if they were taken one by one."""

import numpy as np
import pytest
from network_problems import DTYPES, inputs, targets

import crnn
from crnn._training import loop


# Steps of a user's own class are taken one by one.
class OwnSGD(crnn.SGD):
    pass


class OwnRMSprop(crnn.RMSprop):
    pass


class OwnAdam(crnn.Adam):
    pass


class OwnAdamW(crnn.AdamW):
    pass


OPTIMIZERS = {
    "sgd": (crnn.SGD, OwnSGD, {"weight_decay": 0.01}),
    "nesterov": (crnn.SGD, OwnSGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (crnn.RMSprop, OwnRMSprop, {"momentum": 0.5, "alpha": 0.9}),
    "adam": (crnn.Adam, OwnAdam, {"beta1": 0.8, "weight_decay": 0.01}),
    "adamw": (crnn.AdamW, OwnAdamW, {"beta2": 0.99}),
}
N = 23


def trained(net, optimizer, classes=False, **settings):
    """All that a run leaves: parameters, history, and the optimizer's state."""
    x, y = inputs(net, N), targets(net, N, classes=classes)
    history = net.fit(x, y, epochs=3, optimizer=optimizer, seed=4, **({"batch_size": 5} | settings))
    memory = {name: values.tobytes() for name, values in optimizer.memory.items()}
    state = (memory, optimizer.steps, optimizer.last_lr)
    return net.flat_params.tobytes(), vars(history), state


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_bits_of_steps_one_by_one(network_of, optimizer):
    first, second, settings = OPTIMIZERS[optimizer]
    results = [trained(network_of(), kind(0.01, **settings)) for kind in (first, second)]
    assert results[0] == results[1]
    assert results[0][2][1] == 15


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 1}, {"batch_size": N}, {"batch_size": 100}, {"shuffle": False},
        {"clip_norm": 0.1}, {"clip_value": 0.01, "shuffle": False}, {"loss": "sse"},
        {"loss": "cross_entropy", "batch_size": 7},
    ],
    ids=str,
)  # fmt: skip
def test_settings_and_a_schedule(build_network, dtype, settings):
    results = []
    for kind in (crnn.Adam, OwnAdam):
        net = build_network(family="GRU", dtype=dtype)
        lr = crnn.schedules.exponential(0.01, factor=0.9)
        classes = settings.get("loss") == "cross_entropy"
        results.append(trained(net, kind(lr), classes, **settings))
    assert results[0] == results[1]
    assert len(set(results[0][1]["lr"])) == 3


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_how_many_steps_a_call_takes_changes_no_bit(build_network, monkeypatch, seconds):
    expected = trained(build_network(), crnn.SGD(0.1, momentum=0.9))
    monkeypatch.setattr(loop, "CALL_SECONDS", seconds)
    assert trained(build_network(), crnn.SGD(0.1, momentum=0.9)) == expected


def test_calls_are_short(build_network, monkeypatch):
    """Ctrl-C waits for the end of one. By this clock a step takes a third of a call's time."""
    net, calls = build_network(), []
    train, now = type(net._network).train, 0.0

    def counted(network, x, y, rows, batch_size, *others, **named):
        nonlocal now
        steps = -(-len(rows) // batch_size)
        calls.append(steps)
        now += steps * loop.CALL_SECONDS / 3.01
        train(network, x, y, rows, batch_size, *others, **named)

    monkeypatch.setattr(type(net._network), "train", counted)
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
    net.fit(inputs(net, 40), targets(net, 40), epochs=2, batch_size=4, optimizer=crnn.SGD(0.01))
    assert calls == [1, 3, 3, 3, 3, 3, 3, 1]


def test_steps_of_a_users_class_are_its_own(build_network):
    seen = []

    class Counting(crnn.SGD):
        def step(self, kernels, theta, dtheta):
            seen.append(np.linalg.norm(dtheta))
            return super().step(kernels, theta, dtheta)

    net = build_network()
    history = net.fit(inputs(net), targets(net), epochs=2, batch_size=3, optimizer=Counting(0.01))
    assert len(seen) == 4
    assert history.grad_norm == pytest.approx([np.mean(seen[:2]), np.mean(seen[2:])], rel=1e-14)


@pytest.mark.parametrize("culprit", ["loss", "norm", "parameters"])
def test_divergence_in_the_middle_of_an_epoch(build_network, culprit):
    results = []
    for kind in (crnn.SGD, OwnSGD):
        net = build_network()
        x, y = inputs(net, N), targets(net, N)
        lr = 0.01
        if culprit == "loss":
            y[13] = 1e200
        elif culprit == "norm":
            # The loss is finite, and each element of the gradient, but not the sum of their squares
            # in units of the largest.
            y[13] *= 1e150
            net.W_hy[...] *= 1e170
        else:
            lr = lambda step: 1e308 if step == 12 else 0.01  # noqa: E731
        optimizer = kind(lr, momentum=0.9)
        with pytest.raises(crnn.DivergenceError) as caught:
            net.fit(x, y, epochs=3, batch_size=5, optimizer=optimizer, loss="sse", shuffle=False)
        memory = optimizer.memory.get("velocity", np.empty(0)).tobytes()
        results.append((net.flat_params.tobytes(), memory, optimizer.steps, optimizer.last_lr))
        results[-1] += (str(caught.value), caught.value.epoch, caught.value.step)
    assert results[0] == results[1]
