"""`np.seterr`: what a user set changes no number, raises nothing, and stays as it was."""

import network_problems
import numpy as np
import pytest
from network_problems import CELLS, network

import crnn
from crnn.kernels import contracts

B, T, I, O = 5, 6, 3, 4
OPTIMIZERS = {
    "sgd": lambda: crnn.SGD(1e-3, momentum=0.9, nesterov=True, weight_decay=1e-300),
    "rmsprop": lambda: crnn.RMSprop(1e-3, momentum=0.5, eps=1e-300),
    "adam": lambda: crnn.Adam(1e-3, weight_decay=1e-3),
    "adamw": lambda: crnn.AdamW(crnn.schedules.cosine(1e-3, 3), weight_decay=1e-3),
}
LOSSES = {
    "mse": "mse",
    "sse": "sse",
    "huber": crnn.losses.Huber(1e-30),
    "binary_cross_entropy": "binary_cross_entropy",
    "cross_entropy": "cross_entropy",
    "class weights": crnn.losses.CrossEntropy([1e-200, 1, 1e-310, 2]),
    "smoothing": crnn.losses.CrossEntropy("balanced", label_smoothing=1e-200),
}
MASK = np.where(np.arange(B * T).reshape(B, T) % 7, 1.0, 1e-310)


def extremes(dtype, *shape):
    """Numbers of all magnitudes, and of both signs; numbers around 1 among them."""
    info, rng = np.finfo(dtype), np.random.default_rng(len(shape))
    magnitudes = [info.smallest_subnormal, info.tiny, info.eps**3, 1e-9, 1.0, 1.0, 30.0, 3e3]
    with np.errstate(all="ignore"):
        return (rng.choice(magnitudes, shape) * rng.standard_normal(shape)).astype(dtype)


def everything(implementation, cell, dtype):
    """The bytes of many results."""
    results = []
    for number, (name, loss) in enumerate(LOSSES.items()):
        is_of_classes = name in ("cross_entropy", "class weights", "smoothing")
        settings = [{}, {"num_layers": 2, "dropout": 0.3}, {"return_sequences": False}][number % 3]
        shape = (B,) if "return_sequences" in settings else (B, T)
        y = extremes("float64", *shape, O)
        if name == "binary_cross_entropy":
            y = np.abs(y) % 1
        metrics = ["mae"]
        if is_of_classes:
            y, metrics = np.arange(np.prod(shape)).reshape(shape) % O, ["accuracy"]
        net = network(I, 5, O, dtype=dtype, implementation=implementation, **CELLS[cell] | settings)
        net.flat_params[::3] = extremes(dtype, net.flat_params[::3].size)
        results += [net.astype("float32").flat_params]
        x = extremes("float64", B, T, I)
        if dtype == "float32":
            x[0, 0, 0] = 1e-42  # no normal number of float32
        tape = net.forward(x)
        results += [tape.y, net.backward(tape, extremes(dtype, *tape.y.shape)).flat]
        optimizer = OPTIMIZERS[list(OPTIMIZERS)[number % 4]]()
        mask = MASK[:, 0] if "return_sequences" in settings else MASK
        lengths = [T, 2, T, 3, T] if number % 2 else None
        try:
            history = net.fit(
                x, y, epochs=3, batch_size=2, optimizer=optimizer, loss=loss, mask=mask, seed=1,
                lengths=lengths, clip_norm=1e-30, metrics=metrics, validation_fraction=0.4,
                patience=2, bptt=4 if len(shape) == 2 else None,
            )  # fmt: skip
            results += [history.loss, history.val_loss, history.grad_norm]
        except crnn.DivergenceError as error:
            results.append(np.frombuffer(str(error).encode(), np.uint8))
        results += [net.flat_params, net.predict(x, lengths=lengths)]
        results.extend(net.predict([x[0], x[1, :2]]))
        stream = net.stream() if len(shape) == 2 else None
        if stream is not None:
            results += [stream.run(x[0, :2]), stream.step(x[0, 2])]
    return [np.asarray(result).tobytes() for result in results]


def outcome(net, x, y, **options):
    """What a run records, or the error that it ends with; and the parameters."""
    try:
        history = net.fit(x, y, epochs=2, metrics=["mae"], **options)
        return [history.loss, history.metrics["mae"], net.flat_params]
    except crnn.DivergenceError as error:
        return [np.frombuffer(str(error).encode(), np.uint8), net.flat_params]


def beyond_the_range(implementation, cell, dtype):
    """The bytes of results that overflow, or would in the way that they are computed."""
    huge = 0.9 * float(np.finfo(dtype).max)
    results = []
    for settings in (
        {"bidirectional": True},
        {"num_layers": 2, "trainable_h0": True},
        {"return_sequences": False},
        {"num_layers": 2, "bidirectional": True, "dropout": 0.3},
    ):
        shape = (B, O) if "return_sequences" in settings else (B, T, O)
        net = network(I, 5, O, dtype=dtype, implementation=implementation, **CELLS[cell] | settings)
        x, y, lengths = np.full((B, T, I), huge), np.full(shape, huge), [1, 2, 3, 4, T]
        for ends in (None, lengths):
            net.flat_params[...] = huge
            results.append(net.forward(x, lengths=ends).y)
            net.flat_params[...] = 0.3
            tape = net.forward(np.ones_like(x), lengths=ends)
            dh_n = np.full(np.shape(tape.h_n), huge)
            dh_n = tuple(dh_n) if cell == "lstm" else dh_n
            results.append(net.backward(tape, y, dh_n).flat)
        for loss, rate in (("sse", 1e30), ("huber", 1e-3)):
            results += outcome(net, x, y, loss=loss, optimizer=crnn.SGD(rate), lengths=lengths)
            results += outcome(net, np.ones_like(x), y, loss=loss, optimizer=crnn.SGD(rate))
    return [np.asarray(result).tobytes() for result in results]


@pytest.mark.parametrize("function", [everything, beyond_the_range])
@pytest.mark.parametrize(
    ("cell", "dtype"),
    [
        ("tanh", "float32"),
        ("relu", "float64"),
        ("gru", "float64"),
        ("gru reset before", "float32"),
        ("lstm", "float32"),
        ("lstm", "float64"),
    ],
)
def test_results_do_not_depend_on_it(implementation, cell, dtype, function):
    expected = function(implementation, cell, dtype)
    with np.errstate(all="raise"):
        assert function(implementation, cell, dtype) == expected
        assert set(np.geterr().values()) == {"raise"}


def test_numpy_kernels_ignore_seterr(monkeypatch):
    """Every kernel that checks arrays: matmul raises flags on some processors, at any numbers."""
    seen, check = {}, contracts.check

    def checking(kernel, *args, **kwargs):
        seen.setdefault(kernel, set()).update(np.geterr().values())
        check(kernel, *args, **kwargs)

    monkeypatch.setattr(contracts, "check", checking)
    with np.errstate(all="warn"):
        everything("python", "lstm", "float64")
        net = network_problems.network(implementation="python")
        x, y = np.ones((2, 3, 3)), np.ones((2, 3, 2))
        net.train_step(x, y, crnn.SGD(0.1), clip_norm=1)
        net.train_step(x, y, crnn.SGD(0.1), clip_value=1e-3)
        net.fit(x, y, epochs=1)
        net._network.kernels.constrain(net.flat_params, None)
        net.fit(x, y, epochs=1, clip_value=1e-3, mask=np.ones((2, 3)))
        assert set(np.geterr().values()) == {"warn"}
    assert set(seen) == set(contracts.ARGUMENTS)
    # Optimizers' steps check before they are quiet: behind a step nothing may fail.
    steps = {"sgd_step", "rmsprop_step", "adam_step"}
    assert all(seen[kernel] == {"ignore"} for kernel in set(seen) - steps)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "bool"])
def test_weights_of_all_kinds(build_network, dtype):
    """Their limit is no number of the small floats."""
    net, x, y = build_network(I, 5, O), np.ones((B, T, I)), np.arange(B * T).reshape(B, T) % O
    mask, factors = (MASK == 1).astype(dtype), np.array([1, 0, 1, 1], dtype)
    found = []
    for kind in (np.asarray, np.float64):
        with np.errstate(all="raise"):
            loss = crnn.losses.CrossEntropy(kind(factors))
            found.append(net.loss(x, y, loss, mask=kind(mask)))
    assert found[0] == found[1]
