"""Without memory, a step of training or of a stream is taken as a whole or not at all."""

import copy
import gc

import numpy as np
import pytest
from network_problems import FAMILIES, inputs, network, packed, targets

import crnn
from crnn._network import memory
from crnn._training import checkpoints
from crnn.kernels.reference import training


def failing(function, number, before=True):
    """The function, whose call of this number raises MemoryError, before or after its work."""
    calls = 0

    def call(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number and before:
            raise MemoryError
        result = function(*args, **kwargs)
        if calls == number:
            raise MemoryError
        return result

    return call


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"num_layers": 3}], ids=["one layer", "layers"])
@pytest.mark.parametrize("steps", [1, 6, 40])
def test_a_stream_has_read_all_steps_or_none(family, monkeypatch, settings, steps):
    """That of the NumPy kernels."""
    net = network(family=family, trainable_h0=True, implementation="python", **settings)
    x, kernels = inputs(net, 4, steps), net._network.kernels
    expected = net.stream(4).run(x)
    name = "rnn_predict" if steps == 40 else "stream_step"
    for number in range(1, 1 + net.num_layers * (1 if steps == 40 else steps)):
        for before in (True, False):
            stream = net.stream(4)
            state = packed(stream.state)
            with monkeypatch.context() as patch:
                patch.setattr(kernels, name, failing(getattr(kernels, name), number, before))
                with pytest.raises(MemoryError):
                    stream.run(x)
            assert np.array_equal(packed(stream.state), state)
            assert np.array_equal(stream.run(x), expected)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 3}], ids=["one layer", "layers"])
def test_a_compiled_stream_has_read_all_steps_or_none(native, monkeypatch, settings):
    """It takes all memory of a block before it reads the first step."""
    net = network(family="LSTM", trainable_h0=True, implementation="native", **settings)
    x = inputs(net, 4, 40)
    expected = net.stream(4).run(x)
    for number in (1, 2, 3, 4):
        stream = net.stream(4)
        state = packed(stream.state)
        with monkeypatch.context() as patch:
            patch.setattr(np, "empty", failing(np.empty, number, True))
            with pytest.raises(MemoryError):
                stream.run(x)
        assert np.array_equal(packed(stream.state), state)
        assert np.array_equal(stream.run(x), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_a_stream_whose_outputs_have_no_place(family):
    """That of the NumPy kernels."""
    net = network(family=family, num_layers=2, implementation="python")
    stream = net.stream(4)

    class Refused(np.ndarray):
        def reshape(self, *_):
            raise MemoryError

    out = np.zeros((4, net.output_size), net.dtype).view(Refused)
    with pytest.raises(MemoryError):
        stream.step(inputs(net, 4, 1)[:, 0], out)
    assert not packed(stream.state).any()
    stream.reset()


@pytest.mark.parametrize("make", [lambda: crnn.SGD(0.1, momentum=0.9), lambda: crnn.Adam(0.01)])
def test_steps_are_counted_whatever_fails_after_them(build_network, monkeypatch, make):
    """In a kernel call of several steps."""
    x, y = inputs(net := build_network(), 6), targets(net, 6)
    twin = build_network()
    optimizer, other = make(), make()
    with monkeypatch.context() as patch:
        # What is called after the kernel
        patch.setattr(net._network._workspaces, "give", failing(lambda _: None, 2))
        with pytest.raises(MemoryError):
            net.fit(x, y, epochs=2, batch_size=6, optimizer=optimizer, shuffle=False)
    assert optimizer.steps == 2
    for _ in range(2):
        twin.train_step(x, y, other)
    assert optimizer.last_lr == other.last_lr
    assert optimizer.memory.keys() == other.memory.keys()
    # The next step is that of a run to which nothing happened.
    assert net.train_step(x, y, optimizer) == twin.train_step(x, y, other)
    assert net.flat_params.tobytes() == twin.flat_params.tobytes()
    for name, vector in optimizer.memory.items():
        assert vector.tobytes() == other.memory[name].tobytes()


def test_an_optimizer_whose_first_steps_fail_stays_new(build_network, monkeypatch):
    net, other = build_network(), build_network(seed=1)
    x, y = inputs(net, 6), targets(net, 6)
    optimizer = crnn.SGD(0.1, momentum=0.9)
    with monkeypatch.context() as patch:
        patch.setattr(net._network, "train", failing(net._network.train, 1))
        with pytest.raises(MemoryError):
            net.fit(x, y, epochs=1, optimizer=optimizer)
    assert (optimizer.steps, optimizer.last_lr, optimizer.memory) == (0, None, {})
    other.train_step(x, y, optimizer)
    assert optimizer.steps == 1


def test_the_numpy_kernel_counts_whole_steps_alone(monkeypatch):
    net = crnn.RNN(3, 4, 2, seed=0, implementation="python")
    x, y, optimizer = inputs(net, 6), targets(net, 6), crnn.SGD(0.1)
    parts = []
    for number in (1, 2, 3):
        failed = failing(training._STEPS["sgd_step"], number)
        with monkeypatch.context() as patch:
            patch.setitem(training._STEPS, "sgd_step", failed)
            with pytest.raises(MemoryError):
                net.fit(x, y, epochs=3, batch_size=6, optimizer=optimizer)
        parts.append(optimizer.steps)
    assert parts == [0, 1, 3]


def test_lack_of_memory_is_no_damage_of_a_checkpoint(tmp_path, monkeypatch):
    x, y = np.ones((2, 3, 3)), np.ones((2, 3, 2))
    crnn.RNN(3, 4, 2, seed=0).fit(x, y, epochs=1, checkpoint=tmp_path / "run")
    monkeypatch.setattr(checkpoints.copy, "deepcopy", failing(copy.deepcopy, 1))
    with pytest.raises(MemoryError):
        crnn.RNN(3, 4, 2, seed=0).fit(x, y, epochs=2, checkpoint=tmp_path / "run", resume=True)


def test_what_cannot_be_converted_for_lack_of_memory():
    class Full:
        def __array__(self, *_, **__):
            raise MemoryError

    with pytest.raises(MemoryError):
        crnn.RNN(3, 4, 2).predict(Full())


def test_kept_memory_is_given_back_and_counted_anew(monkeypatch):
    monkeypatch.setattr(memory, "_of_this_thread", memory._OfThisThread())
    size, dtype = (1 << 18,), np.dtype(np.uint8)
    kept = memory.empty(size, dtype)
    memory.empty(size, dtype)
    blocks = memory._of_this_thread.blocks
    assert blocks._total == 2 * size[0]
    for part in ("_Block", "_Loan"):
        with monkeypatch.context() as patch:
            patch.setattr(memory, part, failing(getattr(memory, part), 1))
            larger = memory.empty((1 << 20,), dtype)
        assert larger.shape == (1 << 20,)
        assert not blocks._idle
        array = memory.empty(size, dtype)
        assert (blocks._lent, blocks._total) == (size[0], size[0])
        del array
    kept[:] = 1
    del kept
    memory.empty(size, dtype)
    assert blocks._total == size[0]


def test_an_array_for_whose_block_the_queue_has_no_memory(monkeypatch):
    monkeypatch.setattr(memory, "_of_this_thread", memory._OfThisThread())
    size, dtype = (1 << 18,), np.dtype(np.uint8)
    blocks = memory._of_this_thread.blocks

    class Full(memory._Queue):
        def append(self, _):
            raise MemoryError

    blocks._returned = Full()
    array = memory.empty(size, dtype)
    del array
    gc.collect()
    other = memory.empty(size, dtype)
    assert (blocks._lent, blocks._total) == (other.size, other.size)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_models_of_a_fleet_have_taken_whole_steps(implementation, monkeypatch, before, error):
    """Whatever ends a run: Ctrl-C, too."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 4, 3)), rng.normal(size=(7, 5, 4, 2))
    net = crnn.LSTM(3, 5, 2, dtype="float64", implementation=implementation)
    kernels = net._network.kernels
    batches = [slice(0, 2), slice(2, 4), slice(4, 5)] * 2
    for number in (0, 3, 5):
        fleet, twin = crnn.Fleet(net, 7), crnn.Fleet(net, 7)
        optimizer, other = crnn.Adam(0.01), crnn.Adam(0.01)
        kernel, calls = kernels.fleet_train, []

        def train(*arguments, kernel=kernel, calls=calls, number=number):
            calls.append(1)
            is_last = len(calls) == number + 1
            if is_last and before:
                raise error
            kernel(*arguments)
            if is_last:
                raise error

        with monkeypatch.context() as patch:
            patch.setattr(kernels, "fleet_train", train)
            with pytest.raises(error):
                fleet.fit(x, y, epochs=2, batch_size=2, optimizer=optimizer, shuffle=False)
        for batch in batches[: number + (not before)]:
            twin.train_step(x[batch], y[:, batch], other)
        assert fleet.flat_params.tobytes() == twin.flat_params.tobytes()
        assert fleet.history is None
        # The next step is that of a run to which nothing happened.
        losses = fleet.train_step(x, y, optimizer)
        assert losses.tobytes() == twin.train_step(x, y, other).tobytes()
        assert fleet.flat_params.tobytes() == twin.flat_params.tobytes()


@pytest.mark.parametrize("name", ["fleet_gradient", "fleet_predict"])
def test_fleets_without_memory_are_as_before(implementation, monkeypatch, name):
    x, y = np.zeros((5, 4, 3)), np.ones((5, 4, 2))
    net = crnn.GRU(3, 20, 2, implementation=implementation)
    fleet, kernels = crnn.Fleet(net, 3), net._network.kernels
    before, expected = fleet.flat_params.copy(), fleet.loss(x, y)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, name, failing(getattr(kernels, name), 1))
        with pytest.raises(MemoryError):
            fleet.loss(x, y) if name == "fleet_gradient" else fleet.predict(x)
    assert (fleet.flat_params == before).all()
    assert (fleet.loss(x, y) == expected).all()
