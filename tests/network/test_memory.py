"""Memory of large arrays: reused from call to call, and never while an array in it is in use."""

import sys
import threading

import network_problems
import numpy as np
import pytest

import crnn
from crnn._network import memory

# Arrays of more than `memory.SMALLEST_BLOCK` bytes
SIZES = {"input_size": 40, "hidden_size": 48, "output_size": 30}
B, T = 16, 60
LENGTHS = np.random.default_rng(3).integers(1, T + 1, B)
FLOAT = np.dtype(np.float32)
LARGE = (memory.SMALLEST_BLOCK,)
"""The shape of an array that is large enough for a block."""


@pytest.fixture
def blocks(monkeypatch):
    """The blocks of this thread, of which there are none yet."""
    own = memory._Blocks()
    monkeypatch.setattr(memory._of_this_thread, "blocks", own)
    return own


def large_network(implementation, family="LSTM", **settings):
    return network_problems.network(
        **SIZES, family=family, dtype="float32", implementation=implementation, **settings
    )


def faults_of(call):
    """Return the page faults of the least disturbed of several calls."""
    import resource  # not there on Windows

    counts = []
    for _ in range(12):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        call()
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(counts)


SHAPES = {
    "one layer": {},
    "layers": {"num_layers": 2, "dropout": 0.2},
    "both directions": {"num_layers": 2, "bidirectional": True},
    "one output": {"return_sequences": False},
    "categories": {"categorical": True},
}


@pytest.mark.native
@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize("settings", SHAPES.values(), ids=SHAPES)
def test_no_page_faults_once_memory_is_there(settings, lengths):
    net = large_network("native", **settings)
    x = network_problems.inputs(net, B, T)
    y = network_problems.targets(net, B, T)
    optimizer = crnn.SGD(1e-3)

    def forward_and_backward():
        tape = net.forward(x, lengths=lengths)
        net.backward(tape, y)

    assert faults_of(lambda: net.predict(x, lengths=lengths)) == 0
    assert faults_of(lambda: net.loss(x, y, lengths=lengths)) == 0
    assert faults_of(lambda: net.train_step(x, y, optimizer, lengths=lengths)) == 0
    assert faults_of(forward_and_backward) == 0


def test_results_that_are_kept_stay_as_they_are(implementation):
    net = large_network(implementation, num_layers=2, bidirectional=True)
    x, dy = network_problems.inputs(net, B, T), network_problems.targets(net, B, T)
    results, copies = [], []
    for number in range(3):
        tape = net.forward(x + number)
        gradients = net.backward(tape, dy)
        arrays = [net.predict(x + number), tape.y, tape.h, tape.c, gradients.flat, gradients.x]
        results += arrays[:1] + [array[1:] for array in arrays[1:]]
        copies += [array.copy() for array in results[-len(arrays) :]]
    for array, values in zip(results, copies, strict=True):
        assert np.array_equal(array, values)


def test_memory_returns_with_the_last_view_of_it(blocks):
    array = memory.empty((3, *LARGE), FLOAT)
    address, view = array.ctypes.data, array[1:, ::2]
    assert address % memory.ALIGNMENT == 0
    assert array.flags.carray
    del array
    other = memory.zeros((3, *LARGE), FLOAT)
    assert not np.shares_memory(other, view)
    assert not other.any()
    del view
    assert memory.copy(other).ctypes.data == address


def test_another_thread_may_drop_an_array(blocks):
    arrays = [memory.empty(LARGE, FLOAT)]
    address = arrays[0].ctypes.data
    others = []
    thread = threading.Thread(target=lambda: others.append(memory.empty(LARGE, FLOAT).ctypes.data))
    thread.start()
    thread.join()
    thread = threading.Thread(target=arrays.clear)
    thread.start()
    thread.join()
    assert others != [address]
    assert memory.empty(LARGE, FLOAT).ctypes.data == address


def test_no_more_is_kept_than_was_in_use(blocks):
    size = LARGE[0] * FLOAT.itemsize
    kept = [memory.empty(LARGE, FLOAT) for _ in range(4)]
    assert blocks._total == 4 * size
    del kept
    # Larger than any of the blocks: two of them make room for it.
    large = memory.empty((2, *LARGE), FLOAT)
    assert blocks._total == 4 * size
    # Much smaller than what is left: a block of its own.
    del large
    memory.empty((memory.SMALLEST_BLOCK // FLOAT.itemsize,), FLOAT)
    assert blocks._total <= 4 * size


def test_very_large_arrays_are_not_kept(blocks):
    array = memory.empty((memory.MOST_MEMORY + 1,), np.dtype(np.uint8))
    assert array.base is None
    assert blocks._total == 0
    most = memory.empty((memory.MOST_MEMORY,), np.dtype(np.uint8))
    assert memory.empty(LARGE, FLOAT).base is None
    del most


def test_small_arrays_come_from_numpy(blocks):
    array = memory.empty((3, 5), FLOAT)
    assert (array.shape, array.dtype) == ((3, 5), FLOAT)
    assert array.base is None


def test_a_handler_of_a_signal_may_come_at_any_moment(blocks):
    """As a finalizer may: here while a block is taken from the idle ones."""

    class Idle(list):
        results = None

        def remove(self, block):
            if self.results is None:
                self.results = []
                self.results.append(memory.zeros(LARGE, FLOAT))
            super().remove(block)

    memory.empty(LARGE, FLOAT)
    blocks._idle = Idle()
    array = memory.empty(LARGE, FLOAT)
    (other,) = blocks._idle.results
    assert not np.shares_memory(array, other)
    del array, other
    assert memory.empty(LARGE, FLOAT).base is not None


def test_an_exception_of_a_handler_loses_no_count(blocks):
    class Idle(list):
        def append(self, block):
            raise KeyboardInterrupt

    memory.empty(LARGE, FLOAT)
    blocks._idle = Idle()
    with pytest.raises(KeyboardInterrupt):
        memory.empty(LARGE, FLOAT)
    array = memory.empty(LARGE, FLOAT)
    assert blocks._lent == blocks._total == array.nbytes
