"""fit: history, shuffling, validation, the progress bar, divergence, Ctrl-C, optimizers."""

import _thread
import itertools
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import crnn

N, T, I, O = 7, 5, 3, 2


def data(dtype="float64", seed=0, n=N):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((n, T, I)).astype(dtype),
        rng.standard_normal((n, T, O)).astype(dtype),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_history_has_one_entry_an_epoch(build_network, dtype):
    net = build_network(dtype=dtype)
    x, y = data(dtype)
    history = net.fit(x, y, epochs=3, batch_size=2, seed=0)
    assert isinstance(history, crnn.History)
    assert len(history.loss) == len(history.grad_norm) == 3
    assert all(type(value) is float for value in history.loss + history.grad_norm)
    assert history.val_loss == []
    history = net.fit(x, y, epochs=2, seed=0, validation_data=data(dtype, seed=1))
    assert len(history.val_loss) == 2
    assert all(type(value) is float for value in history.val_loss)


def test_loss_is_that_before_each_step(build_network):
    net = build_network()
    x, y = data()
    before = net.loss(x=x, y=y)
    history = net.fit(x, y, epochs=2, batch_size=N, optimizer=crnn.SGD(0.1), shuffle=False)
    assert history.loss[0] == pytest.approx(before, rel=1e-14)
    assert history.loss[1] < before


@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
def test_loss_of_an_epoch_weighs_the_last_smaller_batch(build_network, loss):
    net = build_network()
    x, y = data()
    if loss == "cross_entropy":
        y = np.random.default_rng(1).integers(O, size=(N, T))
    # No learning, so that the epoch's loss is that of all the data at once.
    history = net.fit(x, y, epochs=1, batch_size=3, optimizer=crnn.SGD(0.0), loss=loss)
    assert history.loss == pytest.approx([net.loss(x=x, y=y, loss=loss)], rel=1e-13)


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 1e-3}, {"clip_value": 1e-4}])
def test_gradient_norm_is_the_mean_over_the_steps_before_clipping(build_network, clip):
    net = build_network()
    x, y = data()
    norms = []
    for part in (slice(0, 3), slice(3, 6), slice(6, 7)):
        tape = net.forward(x=x[part])
        norms.append(np.linalg.norm(net.backward(tape=tape, dy=tape.y - y[part]).flat))
    history = net.fit(
        x,
        y,
        epochs=1,
        batch_size=3,
        optimizer=crnn.SGD(0.0),
        loss="sse",
        shuffle=False,
        **clip,
    )
    assert history.grad_norm == pytest.approx([np.mean(norms)], rel=1e-13)


def test_training_learns(build_network):
    # A delay of one step, which only the recurrence can bridge.
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (40, 12, 1)).astype("float32")
    y = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    net = build_network(input_size=1, hidden_size=8, output_size=1, dtype="float32", seed=3)
    before = net.loss(x=x, y=y)
    optimizer = crnn.SGD(lr=0.1, momentum=0.9)
    net.fit(x, y, epochs=80, batch_size=8, optimizer=optimizer, clip_norm=1.0, seed=1)
    # Without memory the best answer is zero, with the mean square of y as its loss: about 0.3.
    assert net.loss(x=x, y=y) < 0.05 * np.mean(y**2) < before


def test_default_optimizer_trains(build_network):
    net = build_network()
    x, y = data()
    history = net.fit(x, y, epochs=20, seed=0)
    assert history.loss[-1] < history.loss[0]


def test_one_sequence_is_a_batch_of_one(build_network):
    one, batch = build_network(), build_network()
    x, y = data()
    first = one.fit(x[0], y[0], epochs=2, optimizer=crnn.SGD(0.1))
    second = batch.fit(x[:1], y[:1], epochs=2, optimizer=crnn.SGD(0.1))
    assert first.loss == second.loss
    assert one.flat_params.tobytes() == batch.flat_params.tobytes()


def test_fit_is_training_steps_in_order(build_network):
    fitted, stepped = build_network(), build_network()
    x, y = data()
    fitted.fit(
        x,
        y,
        epochs=2,
        batch_size=3,
        optimizer=crnn.SGD(0.1, momentum=0.5),
        clip_norm=0.3,
        shuffle=False,
    )
    optimizer = crnn.SGD(0.1, momentum=0.5)
    for _, part in itertools.product(range(2), (slice(0, 3), slice(3, 6), slice(6, 7))):
        stepped.train_step(x=x[part], y=y[part], optimizer=optimizer, clip_norm=0.3)
    np.testing.assert_allclose(fitted.flat_params, stepped.flat_params, rtol=1e-13)


def test_batch_size_defaults_to_32(build_network):
    # With more sequences than that, so that the default decides where the batches end.
    x, y = data(n=45)
    results = []
    for options in ({}, {"batch_size": 32}, {"batch_size": 45}):
        net = build_network()
        net.fit(x, y, epochs=1, shuffle=False, optimizer=crnn.SGD(0.1), **options)
        results.append(net.flat_params.tobytes())
    assert results[0] == results[1] != results[2]


def train(net, **options):
    x, y = data()
    history = net.fit(x, y, epochs=3, batch_size=2, optimizer=crnn.SGD(0.1), **options)
    return history.loss, net.flat_params.tobytes()


def test_seed_decides_the_order(build_network):
    assert train(build_network(), seed=1) == train(build_network(), seed=1)
    assert train(build_network(), seed=1) != train(build_network(), seed=2)
    assert train(build_network(), seed=1) != train(build_network(), shuffle=False)


def test_shuffling_is_the_default(build_network):
    assert train(build_network(), seed=1) == train(build_network(), seed=1, shuffle=True)


def test_without_shuffling_the_seed_does_not_matter(build_network):
    unshuffled = train(build_network(), shuffle=False)
    assert unshuffled == train(build_network(), shuffle=False, seed=1)


def test_seed_of_the_network_decides_too(implementation):
    def run(seed):
        return train(crnn.RNN(I, 5, O, seed=seed, implementation=implementation))

    assert run(0) == run(0)

    # Two networks of equal parameters and unequal seeds meet the data in unequal orders.
    results = []
    for seed in (0, 1):
        net = crnn.RNN(I, 5, O, dtype="float64", seed=seed, implementation=implementation)
        net.flat_params[...] = np.linspace(-0.5, 0.7, net.flat_params.size)
        results.append(train(net))
    assert results[0] != results[1]


def test_every_epoch_has_an_order_of_its_own_and_every_sequence_once(build_network):
    # Without learning the loss of a step shows which sequences were in its batch. Seen here by
    # the gradient norm: its mean over batches of two depends on who met whom.
    net = build_network()
    x, y = data()
    history = net.fit(x, y, epochs=4, batch_size=2, optimizer=crnn.SGD(0.0), loss="sse", seed=0)
    assert history.loss == pytest.approx([net.loss(x=x, y=y, loss="sse")] * 4, rel=1e-13)
    assert len(set(history.grad_norm)) > 1


def test_one_sequence_follows_its_target(build_network):
    # Targets that only their own input explains: shuffling one without the other would show.
    net = build_network()
    x, _ = data(n=20)
    y = net.predict(x)
    history = net.fit(x, y, epochs=3, batch_size=3, optimizer=crnn.SGD(0.1), seed=0)
    # Rounding may differ with the rows of a batch.
    assert max(history.loss) < 1e-28


def test_validation_loss_is_that_after_each_epoch(build_network):
    net, twin = build_network(), build_network()
    x, y = data()
    x_val, y_val = data(seed=1, n=45)
    optimizer, twin_optimizer = crnn.SGD(0.1), crnn.SGD(0.1)
    history = net.fit(
        x, y, epochs=3, optimizer=optimizer, shuffle=False, validation_data=(x_val, y_val)
    )
    expected = []
    for _ in range(3):
        twin.fit(x, y, epochs=1, optimizer=twin_optimizer, shuffle=False)
        expected.append(twin.loss(x=x_val, y=y_val))
    assert history.val_loss == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("loss", ["sse", "cross_entropy"])
def test_validation_uses_the_same_loss(build_network, loss):
    net = build_network()
    x, y = data()
    x_val, y_val = data(seed=1, n=3)
    if loss == "cross_entropy":
        rng = np.random.default_rng(2)
        y, y_val = rng.integers(O, size=(N, T)), rng.integers(O, size=(3, T))
    history = net.fit(
        x, y, epochs=1, optimizer=crnn.SGD(0.01), loss=loss, validation_data=(x_val, y_val)
    )
    assert history.val_loss == pytest.approx([net.loss(x=x_val, y=y_val, loss=loss)], rel=1e-13)


def test_validation_does_not_change_the_training(build_network):
    with_validation = train(build_network(), seed=1, validation_data=data(seed=1))
    assert with_validation == train(build_network(), seed=1)


def test_no_bar_without_a_terminal(build_network, capsys):
    x, y = data()
    build_network().fit(x, y, epochs=2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_bar_on_request(build_network, capsys):
    pytest.importorskip("tqdm")
    x, y = data()
    build_network().fit(x, y, epochs=3, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3/3" in captured.err
    assert "loss" in captured.err


def test_a_bar_on_a_terminal_and_none_when_refused(build_network, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    x, y = data()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    build_network().fit(x, y, epochs=3)
    assert "3/3" in capsys.readouterr().err
    build_network().fit(x, y, epochs=3, progress=False)
    assert capsys.readouterr().err == ""


def hide_tqdm(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tqdm"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("tqdm", "tqdm.auto", "tqdm.std"):
        monkeypatch.setitem(sys.modules, name, None)


def test_tqdm_is_not_needed(build_network, capsys, monkeypatch):
    hide_tqdm(monkeypatch)
    x, y = data()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert len(build_network().fit(x, y, epochs=2).loss) == 2
    assert len(build_network().fit(x, y, epochs=2, progress=False).loss) == 2
    capsys.readouterr()


def test_a_bar_asked_for_without_tqdm_says_what_to_install(build_network, monkeypatch):
    hide_tqdm(monkeypatch)
    net = build_network()
    before = net.flat_params.tobytes()
    x, y = data()
    with pytest.raises(ImportError, match="tqdm"):
        net.fit(x, y, epochs=2, progress=True)
    assert net.flat_params.tobytes() == before


def test_the_bar_does_not_change_the_training(build_network, capsys):
    pytest.importorskip("tqdm")
    assert train(build_network(), seed=1, progress=True) == train(build_network(), seed=1)
    capsys.readouterr()


def step_until_divergence(net, optimizer, x, y):
    """Count the whole steps; give the parameters before the one that failed, and its error."""
    for steps, part in enumerate(itertools.cycle([slice(0, 3), slice(3, 6), slice(6, 7)])):
        before = net.flat_params.tobytes()
        try:
            net.train_step(x=x[part], y=y[part], optimizer=optimizer)
        except crnn.DivergenceError as error:
            return steps, before, error
    return None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_divergence_restores_the_parameters_of_before_the_step(build_network, dtype, momentum):
    x, y = data(dtype)
    # Learning rates that overflow the dtype at once and after some steps.
    for lr in (1e300, 1e30, 1e6):
        net = build_network(dtype=dtype)
        with pytest.raises(crnn.DivergenceError) as caught:
            net.fit(
                x,
                y,
                epochs=500,
                batch_size=3,
                optimizer=crnn.SGD(lr, momentum=momentum),
                shuffle=False,
            )
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


def test_training_can_go_on_after_divergence(build_network):
    # The optimizer too is as before the step: its velocity holds nothing of the failed one.
    x, y = data()
    results = []
    for fails in (True, False):
        net, optimizer = build_network(), crnn.SGD(0.1, momentum=0.9)
        net.train_step(x=x, y=y, optimizer=optimizer)
        if fails:
            optimizer.lr = 1e308
            with pytest.raises(crnn.DivergenceError):
                net.train_step(x=x, y=100 * y, optimizer=optimizer)
            optimizer.lr = 0.1
        net.train_step(x=x, y=y, optimizer=optimizer)
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


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_ctrl_c_anywhere_leaves_whole_steps(build_network, momentum):
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
    for lines in itertools.count(0, 7):
        net, optimizer = build_network(), crnn.SGD(0.1, momentum=momentum)

        def fit(net=net, optimizer=optimizer):
            net.fit(
                x,
                y,
                epochs=2,
                batch_size=2,
                optimizer=optimizer,
                clip_norm=1.0,
                shuffle=False,
                validation_data=(x[:1], y[:1]),
            )

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
def test_ctrl_c_arrives_soon_and_between_steps(build_network):
    x, y = data()
    net, twin = build_network(), build_network()
    # The timer stands for a user; after 0.2 s some hundreds or thousands of steps are done.
    timer = threading.Timer(0.2, _thread.interrupt_main)
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


def test_optimizer_of_another_network_is_refused(build_network):
    x, y = data()
    first, second = build_network(seed=0), build_network(seed=1)
    optimizer = crnn.SGD(0.1, momentum=0.9)
    first.fit(x, y, epochs=1, optimizer=optimizer)
    before = first.flat_params.tobytes(), second.flat_params.tobytes()
    with pytest.raises(ValueError, match="optimizer"):
        second.fit(x, y, epochs=1, optimizer=optimizer)
    with pytest.raises(ValueError, match="optimizer"):
        second.train_step(x=x, y=y, optimizer=optimizer)
    assert (first.flat_params.tobytes(), second.flat_params.tobytes()) == before
    # It still serves its own.
    first.fit(x, y, epochs=1, optimizer=optimizer)


def test_optimizer_without_momentum_serves_one_network_too(build_network):
    x, y = data()
    optimizer = crnn.SGD(0.1)
    build_network(seed=0).train_step(x=x, y=y, optimizer=optimizer)
    with pytest.raises(ValueError, match="optimizer"):
        # The first network is gone by now; a new one must not pass for it by its address.
        build_network(seed=1).train_step(x=x, y=y, optimizer=optimizer)


def test_each_fit_without_optimizer_has_its_own(build_network):
    x, y = data()
    for seed in range(2):
        net = build_network(seed=seed)
        net.fit(x, y, epochs=1)
        net.fit(x, y, epochs=1)
