"""What several threads do at a time, each job a function of a way to make networks.

A job computes alone what each thread has to find, lets the threads work side by side for so many
rounds, and asserts that each has found it, to the bit. The suite runs a few rounds of each;
`tests/proofs/threads.py` runs many, and under ThreadSanitizer.
"""

import contextlib
import copy
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from network_problems import inputs, packed, targets

import crnn

THREADS = 4
# Sequences, steps and sizes: arrays large enough for kept memory, and some millions of
# multiply-adds a call, work enough for a team
B, T = 16, 60
SIZES = {"input_size": 24, "hidden_size": 48, "output_size": 20, "dtype": "float32"}
BUSY = "stream: expected one thread at a time, got a call while another thread is in it"


def side_by_side(work, threads=THREADS):
    """Call work(number) in so many threads at once, and return what they return."""
    start = threading.Barrier(threads)

    def begin(number):
        start.wait(timeout=60)
        return work(number)

    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(begin, range(threads)))


def assert_same_bits(actual, expected):
    if isinstance(expected, (list, tuple)):
        for a, e in zip(actual, expected, strict=True):
            assert_same_bits(a, e)
        return
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert np.array_equal(actual, expected)


def repeat(calls, rounds):
    """Each thread makes its own call so often; the first results come from one thread."""
    expected = [call() for call in calls]

    def work(number):
        for _ in range(rounds):
            assert_same_bits(calls[number](), expected[number])

    side_by_side(work, len(calls))


def predict_with_one_network(make, rounds):
    """Each thread has data of other sizes; some come with lengths, some as a list."""
    net = make()
    x = [inputs(net, B + number, T - number, seed=number) for number in range(THREADS)]
    lengths = np.arange(B + 1) * 7 % T
    calls = [
        lambda: net.predict(x[0], return_state=True),
        lambda: net.predict(x[1], lengths=lengths),
        lambda: net.predict([row[: T - 2 * n] for n, row in enumerate(x[2])]),
        lambda: net.predict(x[3][0]),
    ]
    repeat(calls, rounds)


def differentiate_one_network(make, rounds):
    """Each thread has tapes of its own."""
    net = make()

    def call(number):
        x = inputs(net, B - number, T, seed=number)
        dy = targets(net, B - number, T)

        def passes():
            tape = net.forward(x)
            gradients = net.backward(tape, dy)
            return tape.y, gradients.flat

        return passes

    repeat([call(number) for number in range(THREADS)], rounds)


def train_their_own_networks(make, rounds):
    """In one kernel call each, and step by step."""
    nets = [make(seed=number) for number in range(THREADS)]

    def call(net):
        x, y = inputs(net, 2 * B, T), targets(net, 2 * B, T)
        lengths = np.arange(2 * B) * 7 % T + 1

        def fit():
            twin = copy.deepcopy(net)
            history = twin.fit(x, y, epochs=2, batch_size=B, optimizer=crnn.Adam(0.01), seed=0)
            loss = twin.train_step(x, y, crnn.SGD(0.01), lengths=lengths, clip_norm=1.0)
            return twin.flat_params, history.loss, loss

        return fit

    repeat([call(net) for net in nets], rounds)


def step_their_own_streams(make, rounds):
    """Streams of one network, one of which is a copy of another."""
    net = make()
    x = inputs(net, B, T // 2)
    first = net.stream(B)
    first.step(x[:, 0])
    streams = [first, first.copy(), net.stream(B), net.stream(B)]
    starts = [stream.state for stream in streams]

    def call(number):
        stream = streams[number]

        def run():
            stream.state = starts[number]
            y = [stream.step(np.ascontiguousarray(x[:, t])) for t in range(T // 2)]
            return y, stream.run(x), packed(stream.state)

        return run

    repeat([call(number) for number in range(THREADS)], rounds)


def share_one_stream(make, rounds):
    """A call is whole or refused: the state is that of the steps that were not refused."""
    net = make()
    x = np.repeat(inputs(net, B, 1), 3, axis=1)
    stream = net.stream(B)
    end = time.monotonic() + 60

    def work(number):
        steps, said = 0, set()
        calls = {
            0: lambda: stream.step(x[:, 0]),
            3: lambda: stream.run(x),
            "state": lambda: stream.state,
            "copy": stream.copy,
        }
        for taken, call in list(calls.items()) * (10 * rounds):
            while time.monotonic() < end:
                try:
                    call()
                except RuntimeError as error:
                    said.add(str(error))
                    time.sleep(0)
                else:
                    steps += 1 if taken == 0 else taken if isinstance(taken, int) else 0
                    break
        return steps, said

    counts, said = zip(*side_by_side(work), strict=True)
    assert set().union(*said) <= {BUSY}
    steps = sum(counts)
    assert steps == THREADS * 10 * rounds * 4, "a thread was refused for a minute"
    _, expected = net.predict(np.repeat(x[:, :1], steps, axis=1), return_state=True)
    assert_same_bits(packed(stream.state), packed(expected))


def drop_one_anothers_arrays(make, rounds):
    """The last array in a block of kept memory goes in another thread than the block's."""
    net = make()
    x = [inputs(net, B, T, seed=number) for number in range(THREADS)]
    expected = [net.predict(x_n) for x_n in x]
    handed = [queue.SimpleQueue() for _ in range(THREADS)]

    def work(number):
        kept = []
        for n in range(rounds):
            # Other numbers each round, so that an array shows what was written over it.
            handed[(number + 1) % THREADS].put(net.predict(x[(number + n) % THREADS]))
            kept.append((handed[number].get(timeout=20), expected[(number - 1 + n) % THREADS]))
            for y, expected_y in kept:
                assert_same_bits(y, expected_y)
            del kept[:-2]

    side_by_side(work)


def change_the_number_of_threads(make, rounds):
    """One thread does, while the others predict."""
    net = make()
    x = [inputs(net, B, T, seed=number) for number in range(THREADS)]
    expected = [net.predict(x_n) for x_n in x]
    before = crnn.get_num_threads()

    def work(number):
        for n in range(rounds):
            if number == 0:
                crnn.set_num_threads(1 + n % 3)
            assert_same_bits(net.predict(x[number]), expected[number])

    with contextlib.ExitStack() as stack:
        stack.callback(crnn.set_num_threads, before)
        side_by_side(work)


JOBS = {
    job.__name__: job
    for job in (
        predict_with_one_network,
        differentiate_one_network,
        train_their_own_networks,
        step_their_own_streams,
        share_one_stream,
        drop_one_anothers_arrays,
        change_the_number_of_threads,
    )
}
