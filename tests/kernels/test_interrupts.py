"""Ctrl-C in a long call of a compiled kernel: the call ends early, and the next one is right."""

import _thread
import signal
import threading
import time

import kernel_problems as problems
import numpy as np
import pytest
from kernel_problems import Problem

import crnn

pytestmark = pytest.mark.native

# Calls of some tenths of a second and more: one sequence, few sequences whose units members share,
# and many.
ROW = {"T": 1_500_000, "B": 1, "I": 1, "H": 32, "O": 1}
UNITS = {"T": 8000, "B": 2, "I": 8, "H": 512, "O": 4}
ROWS = {"T": 8000, "B": 16, "I": 8, "H": 128, "O": 4}
SIZES = {"row": ROW, "units": UNITS, "rows": ROWS}


@pytest.fixture(autouse=True)
def interruptible():
    """Python's own answer to Ctrl-C, which a shell takes away from what runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def large_problem(cell, *, T, B, I, H, O):
    """A problem of so many steps, without the arrays that only its checks need.

    A tanh layer gets four times as many: it has a fourth or a third of the others' work.
    """
    T *= 4 if cell == "tanh" else 1
    p = Problem(cell, "float32", T=1, B=B, I=I, H=H, O=O)
    rng = np.random.default_rng(0)
    p.T = T
    p.x, p.y = (rng.standard_normal((B, T, n), np.float32) for n in (I, p.outputs))
    p.dh = np.broadcast_to(p.dh, (B, T, H))
    return p


def interrupt(call, was_met):
    """Make a call and interrupt it a little later, as often as needed to meet the call itself."""
    for delay in 0.02 * 1.5 ** np.arange(15):
        timer = threading.Timer(delay, _thread.interrupt_main)

        def call_and_wait(timer=timer):
            timer.start()
            call()
            timer.join()
            time.sleep(0.1)  # where it comes after the call, it comes here

        with pytest.raises(KeyboardInterrupt):
            call_and_wait()
        timer.join()
        if was_met():
            return
    pytest.fail("no interrupt came during the call")


def check_next_call(native, cell):
    """The threads are free, and numbers are those of one thread, which the test is left with."""
    p = Problem(cell, "float32", T=60, B=40, I=8, H=96, O=4)
    several = problems.gradient(native, p)[2]
    native.set_num_threads(1)
    alone = problems.gradient(native, p)[2]
    assert several.tobytes() == alone.tobytes()


@pytest.fixture
def two_threads(set_num_threads):
    set_num_threads(2)


sizes = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
cells = pytest.mark.parametrize("cell", ["tanh", "gru", "lstm"])


@sizes
@cells
@pytest.mark.usefixtures("two_threads")
def test_predict(native, cell, sizes):
    p = large_problem(cell, **sizes)
    y, h_n = p.empty(p.B, p.T, p.O), p.empty(*p.h0.shape)
    workspace = p.empty(native.predict_workspace_size(cell, p.T, p.B, p.I, p.H, p.O, p.dtype))

    def call():
        y.fill(np.nan)
        native.rnn_predict(
            cell, p.x, None, p.theta, p.H, p.O, y, h_n, None, False, None, None, workspace
        )

    interrupt(call, lambda: np.isfinite(y[0, 0]).all())
    assert np.isnan(y[:, -1]).all()
    assert np.isnan(h_n).all()
    check_next_call(native, cell)


@pytest.mark.parametrize("sizes", [UNITS, ROWS | {"T": 5000}], ids=["units", "rows"])
@cells
@pytest.mark.usefixtures("two_threads")
def test_gradient(native, cell, sizes):
    p = large_problem(cell, **sizes)
    dtheta = p.empty(len(p.theta))
    workspace = p.empty(native.gradient_workspace_size(cell, p.T, p.B, p.I, p.H, p.O, p.dtype))

    def call():
        dtheta.fill(np.nan)
        native.rnn_gradient(cell, p.x, p.y, p.theta, dtheta, p.H, p.O, "mse", 1e-6, None, workspace)

    interrupt(call, lambda: np.isfinite(dtheta).any())
    # Clipping is the last thing that a call does; the numbers may be anything.
    assert not np.isclose(np.linalg.norm(dtheta), 1e-6, rtol=1e-3)
    check_next_call(native, cell)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_entropies(native, loss):
    rng = np.random.default_rng(0)
    y_hat = rng.standard_normal((1, 3_000_000, 4), np.float32)
    classes = loss == "cross_entropy"
    y = rng.integers(4, size=(1, 3_000_000)) if classes else rng.random(y_hat.shape, np.float32)
    dy = np.empty_like(y_hat)

    def call():
        dy.fill(np.nan)
        getattr(native, loss)(y_hat, y, None, dy)

    interrupt(call, lambda: np.isfinite(dy[0, 0]).all())
    assert np.isnan(dy[0, -1]).all()


def test_looking_changes_no_bit(native):
    """Only the main thread looks for signals, between parts of a loss and of sums."""
    p = Problem("gru", "float32", T=70_001, B=1, I=2, H=5, O=3, loss="cross_entropy")
    results = []
    thread = threading.Thread(target=lambda: results.append(problems.gradient(native, p)))
    thread.start()
    thread.join()
    results.append(problems.gradient(native, p))
    (loss, norm, dtheta), (other_loss, other_norm, other_dtheta) = results
    assert (loss, norm) == (other_loss, other_norm)
    assert dtheta.tobytes() == other_dtheta.tobytes()


@pytest.mark.parametrize("sizes", [ROW | {"T": 400_000}, ROWS | {"T": 5000}], ids=["row", "rows"])
@pytest.mark.usefixtures("two_threads")
def test_layers(native, sizes):
    p = large_problem("tanh", **(sizes | {"O": 0}))
    h = p.empty(p.B, p.T + 1, p.H)
    h[:, 0] = 0
    W = p.params
    workspace = p.empty(native.layer_workspace_size("tanh", p.T, p.B, p.I, p.H, p.dtype))

    def forward():
        h[:, 1:].fill(np.nan)
        native.rnn_forward(
            "tanh", p.x, W["W_xh"], W["W_hh"], W["b_h"], h, None, None, False, None, None, workspace
        )

    interrupt(forward, lambda: np.isfinite(h[0, 1]).all())
    assert np.isnan(h[:, -1]).all()
    forward()
    da = p.empty(p.B, p.T, p.H)
    d = {name: values.copy() for name, values in p.before.items() if name in W}
    dstate = p.dstate.copy()

    def backward():
        da.fill(np.nan)
        d["W_hh"][...] = p.before["W_hh"]
        native.rnn_backward(
            "tanh", p.x, h, None, W["W_xh"], W["W_hh"], W["b_h"], p.dh, da, dstate, d["W_xh"],
            d["W_hh"], d["b_h"], None, None, False, None, None, None, workspace,
        )  # fmt: skip

    def met_recurrence():
        """Whether it has begun, and weight gradients, which come last, have not."""
        return not np.isnan(da).all() and np.array_equal(d["W_hh"], p.before["W_hh"])

    interrupt(backward, met_recurrence)
    check_next_call(native, "tanh")


@pytest.mark.usefixtures("two_threads")
def test_stream_keeps_its_state(native):
    p = large_problem("lstm", **ROW)
    stream = native.Stream("lstm", [p.theta], p.I, p.H, p.O, None, None)
    stream.step(p.x[0, 0])
    before, x = stream.state, p.x[0]
    started = threading.Event()

    def call():
        started.set()
        stream.run(x)

    interrupt(call, started.is_set)
    assert np.array_equal(stream.state, before)
    stream.run(x[:10])
    assert not np.array_equal(stream.state, before)


def test_a_handler_that_returns(native):
    """The call goes on to its end, and its numbers are those of a call by itself.

    The handler computes as Python does elsewhere, with denormals.
    """
    p = large_problem("tanh", **(ROW | {"T": 500_000}))
    expected = problems.predict(native, p)[0]
    seen, denormal = [], 5e-324
    signal.signal(signal.SIGINT, lambda *_: seen.append(denormal * len(p.x)))
    timer = threading.Timer(0.02, _thread.interrupt_main)
    timer.start()
    y = problems.predict(native, p)[0]
    timer.join()
    assert y.tobytes() == expected.tobytes()
    assert seen == [denormal]


def test_a_handler_does_not_wait_for_its_own_call(native):
    """`use_openmp` waits for running calls."""
    p = large_problem("tanh", **(ROW | {"T": 500_000}))
    signal.signal(signal.SIGINT, lambda *_: native.use_openmp(None))
    for delay in (0.02, 0.1, 0.5, 2.0):  # as often as needed to meet the call
        timer = threading.Timer(delay, _thread.interrupt_main)
        timer.start()
        try:
            problems.predict(native, p)
        except RuntimeError as error:
            refusal = str(error)
            break
        finally:
            timer.join()
    else:
        pytest.fail("no signal came during the call")
    assert "a handler of a signal" in refusal


def test_another_thread_runs_to_the_end(native):
    """Python delivers signals to the main thread alone."""
    p = large_problem("tanh", **(ROW | {"T": 80_000}))
    ends = []
    thread = threading.Thread(target=lambda: ends.append(problems.predict(native, p)[1]))
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    thread.join()
    assert np.isfinite(ends[0]).all()


@pytest.mark.parametrize(("hidden_size", "n"), [(12, 500), (40, 160)], ids=["lanes", "alone"])
@pytest.mark.usefixtures("two_threads")
def test_each_model_of_a_fleet_has_taken_its_step_or_not(hidden_size, n):
    """And the next step goes on from there."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 1000, 3)), rng.normal(size=(8, 1000, 2))
    net = crnn.RNN(3, hidden_size, 2, implementation="native")
    optimizer, other = crnn.Adam(0.01), crnn.Adam(0.01)
    fleet, twin = crnn.Fleet(net, n), crnn.Fleet(net, n)
    before = fleet.flat_params.copy()
    interrupt(
        lambda: fleet.train_step(x, y, optimizer), lambda: (fleet.flat_params != before).any()
    )
    has_moved = (fleet.flat_params != before).any(axis=1)
    rows = []
    for _ in range(2):
        twin.train_step(x, y, other)
        rows.append(twin.flat_params.copy())
    assert fleet.flat_params[has_moved].tobytes() == rows[0][has_moved].tobytes()
    fleet.train_step(x, y, optimizer)
    expected = np.where(has_moved[:, None], rows[1], rows[0])
    assert fleet.flat_params.tobytes() == expected.tobytes()
