"""Streams and threads: a stream is one thread's at a time, and different ones run side by side."""

import contextlib
import copy
import signal
import threading
import time

import numpy as np
import pytest
from network_problems import I, inputs
from stream_problems import in_steps, state_of

import crnn

BUSY = "stream: expected one thread at a time, got a call while another thread is in it"


def calls_of(net, stream, x, out):
    """Everything that uses a stream's state, by name."""
    state = state_of(net)
    return {
        "step": lambda: stream.step(x[0]),
        "step to out": lambda: stream.step(x[0], out=out),
        "run": lambda: stream.run(x[:2]),
        "state": lambda: stream.state,
        "assign": lambda: setattr(stream, "state", state),
        "reset": stream.reset,
        "copy": stream.copy,
        "copy.copy": lambda: copy.copy(stream),
    }


def run_unless_refused(stream, x, result):
    """What the other thread does: the looks of the main thread may come just when it enters."""
    end = time.monotonic() + 30  # or never, if the refusals have another reason
    while not result and time.monotonic() < end:
        with contextlib.suppress(RuntimeError):
            result.append(stream.run(x))


def test_second_thread_is_refused(network_of_family):
    """While one thread is in a stream; and what that thread computes does not suffer."""
    net = network_of_family(16, 128, 8, dtype="float32")
    out = np.full(8, 7, np.float32)
    steps, all_came = 4000, False
    while not all_came:
        stream, x, result = net.stream(), inputs(net, None, steps), []
        twin = stream.copy()
        calls, said = calls_of(net, stream, x, out), {}
        thread = threading.Thread(target=run_unless_refused, args=(stream, x, result))
        thread.start()
        seen = False
        while thread.is_alive() and not seen:
            time.sleep(0.001)  # out of the stream, or the thread might never come in
            try:
                _ = stream.state  # disturbs nothing if the thread is not in there yet
            except RuntimeError:
                seen = True
        for name, call in calls.items():
            if thread.is_alive():
                try:
                    call()
                except RuntimeError as error:
                    said[name] = str(error)
                else:
                    # It may have left meanwhile, but not be in there still.
                    assert not thread.is_alive(), f"{name}: not refused"
        twin_y = twin.step(x[0])  # its own: nobody is in there
        all_came = thread.is_alive()
        thread.join()
        steps *= 2
        assert steps < 1 << 20, f"no thread in the stream for long enough: {said}"
    assert said == dict.fromkeys(calls, BUSY)
    assert np.array_equal(out, np.full(8, 7))
    expected = net.predict(x)
    assert np.array_equal(result[0], expected)
    assert np.array_equal(twin_y, expected[0])
    stream.reset()
    assert np.array_equal(stream.run(x[:50]), net.predict(x[:50]))


def test_one_stream_of_several_threads_moves_once_a_step(network_of_family):
    """Each step is either refused or whole: the state is that of so many steps."""
    # Of 8 sequences, enough work that a step lets go of the GIL.
    net, x, counts = (
        network_of_family(16, 128, 8, dtype="float32"),
        np.full((8, 16), 0.3, np.float32),
        [],
    )
    stream = net.stream(8)

    def work():
        made, end = 0, time.monotonic() + 30
        while made < 50 and time.monotonic() < end:
            try:
                stream.step(x)
                made += 1
            except RuntimeError:
                time.sleep(0.0001)
        counts.append(made)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [50] * 3
    made = sum(counts)
    # So many steps that a state which does not settle tells them apart.
    _, h_n = net.predict(np.repeat(x[:, None], made, 1), return_state=True)
    assert np.array_equal(stream.state, h_n)


def test_streams_of_several_threads(network_of_family):
    net = network_of_family(I, 24, 2, dtype="float32")
    x = inputs(net, None, 200)
    expected = net.predict(x)
    results = {}

    def work(number):
        results[number] = in_steps(net.stream(), x)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for y in results.values():
        assert np.array_equal(y, expected)


@pytest.mark.native
def test_copies_while_another_thread_gives_parameters(native):
    """Each copy has all of the old ones or all of the new ones."""
    nets = [
        crnn.LSTM(3, 40, 2, num_layers=2, seed=seed, implementation="native") for seed in (0, 1)
    ]
    x = np.random.default_rng(0).standard_normal((4, 3)).astype("f")
    stream, results = nets[0].stream(), []

    def give():
        for number in range(200):
            with contextlib.suppress(RuntimeError):  # the other thread is copying
                stream.take_parameters(nets[number % 2].flat_params)

    giver = threading.Thread(target=give)
    giver.start()
    while giver.is_alive():
        with contextlib.suppress(RuntimeError):
            results.append(stream.copy().run(x).tobytes())
    giver.join()
    assert {net.predict(x).tobytes() for net in nets} >= set(results)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers")
@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_stream_is_free_after_an_interrupt(network_of_family, num_layers):
    """At whatever moment of a step the exception comes."""
    net = network_of_family(num_layers=num_layers)
    stream, x = net.stream(), inputs(net, None, 1)[0]

    def interrupt(*_):
        raise KeyboardInterrupt

    def step_until(delay):
        # Again after a second: Python ignores an exception that comes inside of a finalizer.
        signal.setitimer(signal.ITIMER_REAL, delay, 1)
        while True:
            stream.step(x)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(200):
            with pytest.raises(KeyboardInterrupt):
                step_until(1e-4 + 1e-6 * number)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert np.isfinite(stream.step(x)).all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
