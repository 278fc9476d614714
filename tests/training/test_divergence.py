"""Steps that are not finite, or are interrupted, are not taken."""

import _thread
import itertools
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from network_problems import DTYPES

import crnn

N, T, I, O = 7, 5, 3, 2


def data(dtype="float64", seed=0, n=N):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, T, I)).astype(dtype),
        rng.standard_normal((n, T, O)).astype(dtype),
    )


def step_until_divergence(net, optimizer, x, y):
    """Count the whole steps; give the parameters before the one that failed, and its error."""
    for steps, part in enumerate(itertools.cycle([slice(0, 3), slice(3, 6), slice(6, 7)])):
        before = net.flat_params.tobytes()
        try:
            net.train_step(x=x[part], y=y[part], optimizer=optimizer)
        except crnn.DivergenceError as error:
            return steps, before, error
    return None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_divergence_restores_the_parameters_of_before_the_step(build_network, dtype, momentum):
    x, y = data(dtype)
    # Learning rates that overflow the dtype at once and after some steps.
    for lr in (1e300, 1e30, 1e6):
        net = build_network(dtype=dtype)
        with pytest.raises(crnn.DivergenceError) as caught:
            net.fit(
                x, y, epochs=500, batch_size=3, optimizer=crnn.SGD(lr, momentum=momentum),
                shuffle=False,
            )  # fmt: skip
        error = caught.value
        assert isinstance(error, ArithmeticError)
        assert np.isfinite(net.flat_params).all()
        assert f"epoch {error.epoch}" in str(error)
        assert f"step {error.step}" in str(error)

        # The same training step by step, as far as it goes, ends at the same parameters.
        twin = build_network(dtype=dtype)
        optimizer = crnn.SGD(lr, momentum=momentum)
        steps, before, step_error = step_until_divergence(twin, optimizer, x, y)
        assert step_error.epoch is None
        assert twin.flat_params.tobytes() == before
        assert net.flat_params.tobytes() == before
        # Both count from one, the steps on through the epochs; an epoch has three.
        assert (error.epoch, error.step) == (steps // 3 + 1, steps + 1)


def test_a_step_that_overflows_the_parameters_is_not_kept(build_network):
    # Loss and gradient are finite here; only lr times gradient is not.
    net = build_network()
    before = net.flat_params.tobytes()
    x, y = data()
    with pytest.raises(crnn.DivergenceError):
        net.train_step(x=x, y=100 * y, optimizer=crnn.SGD(lr=1e308))
    assert net.flat_params.tobytes() == before


def test_divergence_of_parameters_that_are_not_finite(build_network):
    net = build_network()
    net.W_hy[0, 1] = np.nan
    before = net.flat_params.tobytes()
    x, y = data()
    with pytest.raises(crnn.DivergenceError):
        net.train_step(x=x, y=y, optimizer=crnn.SGD(lr=0.1))
    assert net.flat_params.tobytes() == before


@pytest.mark.parametrize(
    "make",
    [
        lambda lr: crnn.SGD(lr), lambda lr: crnn.SGD(lr, momentum=0.9), lambda lr: crnn.RMSprop(lr),
        lambda lr: crnn.Adam(lr),
    ],
    ids=["sgd", "momentum", "rmsprop", "adam"],
)  # fmt: skip
def test_training_can_go_on_after_divergence(build_network, make):
    # The optimizer too is as before the step: its memory holds nothing of the failed one.
    x, y = data()
    results = []
    for fails in (True, False):
        net, optimizer = build_network(), make(0.1)
        net.train_step(x=x, y=y, optimizer=optimizer)
        if fails:
            optimizer.lr = 1e308
            with pytest.raises(crnn.DivergenceError):
                net.train_step(x=x, y=1e150 * y, optimizer=optimizer)
            optimizer.lr = 0.1
        assert optimizer.steps == 1
        net.train_step(x=x, y=y, optimizer=optimizer)
        results.append(net.flat_params.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "make",
    [lambda lr: crnn.SGD(lr), lambda lr: crnn.SGD(lr, momentum=0.9), lambda lr: crnn.Adam(lr)],
    ids=["sgd", "momentum", "adam"],
)
def test_a_first_step_that_fails_leaves_the_optimizer_new(build_network, make):
    """It may serve another network then."""
    x, y = data()
    net, other = build_network(), build_network(seed=1)
    optimizer = make(1e308)
    with pytest.raises(crnn.DivergenceError):
        net.train_step(x, 1e150 * y, optimizer)
    assert optimizer.steps == 0
    optimizer.lr = 0.01
    before = other.loss(x, y)
    for _ in range(5):
        other.train_step(x, y, optimizer)
    assert other.loss(x, y) < before


def test_refused_training_leaves_the_optimizer_alone(build_network):
    x, y = data()
    results = []
    for is_refused in (True, False):
        net, optimizer = build_network(), crnn.SGD(0.1, momentum=0.9)
        net.train_step(x, y, optimizer)
        if is_refused:
            with pytest.raises(ValueError, match=r"^x: expected finite numbers"):
                net.train_step(x * np.nan, y, optimizer)
        net.train_step(x, y, optimizer)
        results.append(net.flat_params.tobytes())
    assert results[0] == results[1]


PACKAGE = str(Path(crnn.__file__).parent)


# The kernels' checks of their arguments change nothing, and are most of the lines that run.
CHECKS = str(Path(crnn.__file__).parent / "kernels" / "contracts.py")


def interrupted_after(lines, function):
    """Call function and raise KeyboardInterrupt before one line of the package's Python code.

    Python delivers a signal between two instructions of Python code, never inside a compiled
    kernel or a NumPy call, so that the lines stand for the places where Ctrl-C can arrive.
    Gives whether the interrupt came before the function ended.
    """
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) or file == CHECKS:
            return None
        if event == "line":
            seen += 1
            if seen > lines:
                raise KeyboardInterrupt
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(previous)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_ctrl_c_anywhere_leaves_whole_steps(build_network, monkeypatch, momentum):
    # One step in a kernel call: then each of them can be the last.
    monkeypatch.setattr("crnn._training.loop.CALL_SECONDS", 0.0)
    # Few and short sequences, for a run of the whole is needed for every place of an interrupt.
    x, y = data(n=3)
    x, y = x[:, :2], y[:, :2]
    parts = [slice(0, 2), slice(2, 3)] * 2

    whole_steps = []
    net, optimizer = build_network(), crnn.SGD(0.1, momentum=momentum)
    whole_steps.append(net.flat_params.tobytes())
    for part in parts:
        net.train_step(x=x[part], y=y[part], optimizer=optimizer, clip_norm=1.0)
        whole_steps.append(net.flat_params.tobytes())
    assert len(set(whole_steps)) == 5

    reached = []
    # A prime number of lines at a time meets other lines of the loop in each of its rounds, in a
    # fraction of the time that every line would take.
    for lines in itertools.count(0, 13):
        net, optimizer = build_network(), crnn.SGD(0.1, momentum=momentum)

        def fit(net=net, optimizer=optimizer):
            net.fit(
                x, y, epochs=2, batch_size=2, optimizer=optimizer, clip_norm=1.0, shuffle=False,
                validation_data=(x[:1], y[:1]),
            )  # fmt: skip

        interrupted = interrupted_after(lines, fit)
        assert net.flat_params.tobytes() in whole_steps, f"torn after {lines} lines"
        reached.append(whole_steps.index(net.flat_params.tobytes()))
        if not interrupted:
            break
    # The last whole step: later interrupts keep more steps, and each count was seen.
    assert reached == sorted(reached)
    assert set(reached) == set(range(5))


@pytest.fixture
def interruptible():
    """Python's own answer to Ctrl-C, which a shell takes away from what runs in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_arrives_between_steps(build_network):
    x, y = data()
    net, twin = build_network(), build_network()
    # The timer stands for a user; after 0.1 s some hundreds or thousands of steps are done.
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        # Far more epochs than fit into that time, yet no eternity should Ctrl-C be passed over.
        net.fit(x, y, epochs=100_000, batch_size=3, optimizer=crnn.SGD(1e-6), shuffle=False)
    timer.join()

    optimizer = crnn.SGD(1e-6)
    parts = itertools.cycle([slice(0, 3), slice(3, 6), slice(6, 7)])
    after = net.flat_params.tobytes()
    # Generous for a twin that is stepped one call at a time.
    for part in itertools.islice(parts, 200_000):
        if twin.flat_params.tobytes() == after:
            break
        twin.train_step(x=x[part], y=y[part], optimizer=optimizer)
    else:
        pytest.fail("the parameters are those after no number of whole steps")


@pytest.mark.native
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_an_epoch_of_many_steps_leaves_the_optimizer_whole():
    """A kernel call takes many of them, and whatever it returned would be lost to the signal."""
    x, y = data(n=30_000)
    optimizer, other = (crnn.Adam(crnn.schedules.exponential(1e-5, factor=0.99)) for _ in range(2))
    net, twin = (crnn.GRU(I, 6, O, dtype="float64", implementation="native") for _ in range(2))
    twin.flat_params[...] = net.flat_params
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, epochs=100_000, batch_size=3, optimizer=optimizer, shuffle=False)
    timer.join()

    assert optimizer.steps > 0
    for step in range(optimizer.steps):
        part = slice(step % 10_000 * 3, step % 10_000 * 3 + 3)
        twin.train_step(x=x[part], y=y[part], optimizer=other)
    assert net.flat_params.tobytes() == twin.flat_params.tobytes()
    assert optimizer.last_lr == other.last_lr
    for name, values in optimizer.memory.items():
        assert values.tobytes() == other.memory[name].tobytes()


class Interrupted:
    """Kernels after whose steps of an optimizer Ctrl-C comes: what they return is lost."""

    def __init__(self, kernels):
        self._kernels = kernels

    def __getattr__(self, name):
        def call(*arguments):
            getattr(self._kernels, name)(*arguments)
            raise KeyboardInterrupt

        return call


@pytest.mark.parametrize(
    "make",
    [
        lambda: crnn.SGD(0.1),
        lambda: crnn.SGD(0.1, momentum=0.9),
        lambda: crnn.RMSprop(0.1, momentum=0.9),
        lambda: crnn.Adam(0.1),
    ],
    ids=["SGD", "momentum", "RMSprop", "Adam"],
)
def test_ctrl_c_right_after_a_step_does_not_lose_it(kernels, make):
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((3, 5))
    results = []
    for is_interrupted in (True, False):
        theta, optimizer = np.ones(5), make()
        for number, gradient in enumerate(gradients, 1):
            if is_interrupted:
                with pytest.raises(KeyboardInterrupt):
                    optimizer.step(Interrupted(kernels), theta, gradient)
            else:
                assert optimizer.step(kernels, theta, gradient)
            assert (optimizer.steps, optimizer.last_lr) == (number, 0.1)
        results.append([theta.tobytes(), *(v.tobytes() for v in optimizer.memory.values())])
    assert results[0] == results[1]


def test_ctrl_c_right_after_a_step_with_dropout(build_network, monkeypatch):
    """The step was taken, so the next one draws the masks after its own."""
    x, y = data()
    net, twin = (build_network(num_layers=2, dropout=0.5) for _ in range(2))
    optimizer, other = crnn.SGD(0.1), crnn.SGD(0.1)
    take = optimizer.step

    def step(*arguments):
        take(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(optimizer, "step", step)
    with pytest.raises(KeyboardInterrupt):
        net.train_step(x, y, optimizer)
    monkeypatch.undo()
    twin.train_step(x, y, other)
    net.train_step(x, y, optimizer)
    twin.train_step(x, y, other)
    assert net.flat_params.tobytes() == twin.flat_params.tobytes()
