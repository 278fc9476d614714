"""Rows of bad input of streams, and of data that is not of the network's kind of inputs."""

import pickle

import numpy as np
from refusals import B, I, T, refusal
from refused_data import NUMBERS, X, Y

import crnn

BAD_STEPS = {
    "size": ([1.0, 2.0], ValueError, "expected shape (inputs=3,), got (2,)"),
    "axes": (np.ones((1, 3)), ValueError, "expected shape (inputs=3,), got (1, 3)"),
    "nan": ([1.0, np.nan, 2.0], ValueError, "expected finite numbers, got nan at index (1,)"),
    "nan in place": (
        np.array([1, 2, np.inf], np.float32), ValueError,
        "expected finite numbers, got inf at index (2,)",
    ),
    "too large": (
        [1.0, 1e300, 2.0], ValueError,
        "expected numbers that float32 can hold, got 1e+300 at index (1,)",
    ),
    "string": ("abc", TypeError, NUMBERS + "<U3; convert..."),
    "none": (None, TypeError, "expected an array, got None"),
    "complex": (np.ones(3, complex), TypeError, NUMBERS + "complex128; pass..."),
}  # fmt: skip
GOOD = np.ones(3, np.float32)


def assign(stream, state):
    stream.state = state


def read_only(values):
    values.flags.writeable = False
    return values


def step_to(stream, x, out):
    before = np.copy(out) if isinstance(out, np.ndarray) else None
    try:
        stream.step(x, out=out)
    finally:
        if before is not None:
            assert np.array_equal(out, before)


def off_by_a_byte():
    return np.frombuffer(bytearray(9), np.uint8)[1:].view(np.float32)


BAD_OUT = {
    "size": (lambda: np.zeros(3, np.float32), ValueError),
    "axes": (lambda: np.zeros((1, 2), np.float32), ValueError),
    "dtype": (lambda: np.zeros(2), TypeError),
    "byte order": (lambda: np.zeros(2, ">f4"), TypeError),
    "strides": (lambda: np.zeros(4, np.float32)[::2], ValueError),
    "read-only": (lambda: read_only(np.zeros(2, np.float32)), ValueError),
    "off by a byte": (off_by_a_byte, ValueError),
    "list": (lambda: [0.0, 0.0], TypeError),
    "string": (lambda: "y", TypeError),
    "memoryview": (lambda: memoryview(GOOD), TypeError),
}
# One layer has a stream of its own in the compiled kernels.
NETWORKS = {"one layer": {}, "layers": {"num_layers": 2}}


def rows():
    for network, settings in NETWORKS.items():
        for name, (x, kind, sentence) in BAD_STEPS.items():
            yield refusal(
                f"stream of {network}: x: {name}",
                [
                    lambda s, x=x, settings=settings: s.stream(**settings).step(x),
                    lambda s, x=x, settings=settings: step_to(
                        s.stream(**settings), x, np.full(2, 7, np.float32)
                    ),
                ],
                kind,
                f"x: {sentence}",
            )
        for name, (make, kind) in BAD_OUT.items():
            yield refusal(
                f"stream of {network}: out: {name}",
                [
                    # x as it is, and to be converted
                    lambda s, make=make, x=x, settings=settings: step_to(
                        s.stream(**settings), x, make()
                    )
                    for x in (GOOD, np.ones(3))
                ],
                kind,
                "out: expected a writable C-contiguous float32 array of shape (2,), got...",
            )
        for name, batch, which, kind, sentence in (
            ("one sequence", None, [True], ValueError,
             "expected None with one sequence, a stream without batch_size"),
            ("shape", 2, [True], ValueError, "expected shape (batch=2,), got (1,)"),
            ("numbers", 2, [0, 1], TypeError, "expected bools, got int64"),
        ):  # fmt: skip
            yield refusal(
                f"stream of {network}: which: {name}",
                lambda s, b=batch, w=which, settings=settings: s.stream(b, **settings).reset(w),
                kind,
                f"which: {sentence}",
            )
        block = np.ones((2, 4, 3), np.float32)
        last = block.copy()
        last[1, 3, 2] = np.inf
        shape = "(batch=2, time, inputs=3)"
        for name, x, sentence in (
            ("batch", np.ones((3, 4, 3)), f"x: expected shape {shape}, got (3, 4, 3)"),
            ("no batch axis", np.ones((4, 3)), f"x: expected shape {shape}, got (4, 3)"),
            ("no steps", block[:1, :0], f"x: expected shape {shape}, got (1, 0, 3)"),
            ("nan", block * np.nan, "x: expected finite numbers, got nan at index (0, 0, 0)"),
            ("last", last, "x: expected finite numbers, got inf at index (1, 3, 2)"),
        ):
            yield refusal(
                f"stream of {network}: block: {name}",
                lambda s, x=x, settings=settings: s.stream(2, **settings).run(x),
                ValueError,
                sentence,
            )
        axes = "states=2, batch=2" if settings else "batch=2"
        states = {
            "shape": (
                np.ones(5), ValueError, f"state: expected shape ({axes}, hidden=5), got (5,)",
            ),
            "nan": (
                np.full((2, 2, 5) if settings else (2, 5), np.nan), ValueError,
                "state: expected finite numbers, got nan at index (0,...",
            ),
            "none": (None, TypeError, "state: expected an array, got None"),
        }  # fmt: skip
        for name, (state, kind, sentence) in states.items():
            yield refusal(
                f"stream of {network}: state: {name}",
                lambda s, state=state, settings=settings: assign(s.stream(2, **settings), state),
                kind,
                sentence,
            )
        yield refusal(
            f"stream of {network}: pickle",
            lambda s, settings=settings: pickle.dumps(s.stream(**settings)),
            TypeError,
            "stream: expected to stay in its process...",
        )
    h = np.ones((2, 5))
    for name, state, kind, sentence in (
        ("none", None, TypeError, "state: expected a pair (h, c), got None..."),
        ("no pair", np.ones((2, 2, 5)), TypeError, "state: expected a pair (h, c), got ndarray"),
        ("three", (h, h, h), ValueError, "state: expected a pair (h, c), got 3 of them"),
        (
            "shape of h", (np.ones(5), h), ValueError,
            "state[0]: expected shape (batch=2, hidden=5), got (5,)",
        ),
        (
            "shape of c", (h, np.ones((2, 4))), ValueError,
            "state[1]: expected shape (batch=2, hidden=5), got (2, 4)",
        ),
        (
            "nan in c", (h, h * np.nan), ValueError,
            "state[1]: expected finite numbers, got nan at index (0, 0)",
        ),
    ):  # fmt: skip
        yield refusal(
            f"stream of an LSTM: state: {name}",
            lambda s, state=state: assign(s.stream(2, family="LSTM"), state), kind, sentence,
        )  # fmt: skip
    for batch_size, kind, sentence in (
        (0, ValueError, "expected at least 1, got 0"),
        (-1, ValueError, "expected at least 1, got -1"),
        (1.5, TypeError, "expected a whole number, got 1.5"),
        (True, TypeError, "expected a whole number, got True"),
        ("2", TypeError, "expected a whole number, got '2'"),
        ([2], TypeError, "expected a whole number, got [2]"),
    ):
        yield refusal(
            f"stream(batch_size={batch_size!r})",
            lambda s, batch_size=batch_size: s.net.stream(batch_size),
            kind,
            f"batch_size: {sentence}",
        )
    yield refusal(
        "stream in both directions", lambda s: s.network(bidirectional=True).stream(), ValueError,
        "stream: expected a network that reads in one direction...",
    )  # fmt: skip


NUMBERS_FROM_0 = (
    "x: expected whole numbers from 0 to 2, because the network is made with categorical=True, got "
)
CATEGORIES = np.random.default_rng(1).integers(I, size=(B, T))


def category_rows():
    methods = {
        "forward": lambda net, x: net.forward(x),
        "predict": lambda net, x: net.predict(x),
        "loss": lambda net, x: net.loss(x, Y),
        "train_step": lambda net, x: net.train_step(x, Y, crnn.SGD(0.1)),
        "fit": lambda net, x: net.fit(x, Y, epochs=1),
    }
    for name, x, kind, sentence in (
        ("floats", CATEGORIES.astype(float), TypeError, NUMBERS_FROM_0 + "float64"),
        ("features", X, TypeError, NUMBERS_FROM_0 + "float64"),
        ("bools", CATEGORIES > 0, TypeError, NUMBERS_FROM_0 + "bool"),
        ("text", CATEGORIES.astype(str), TypeError, "x: expected numbers...got <U21; convert..."),
        (
            "list of floats", CATEGORIES.astype(float).tolist(), TypeError,
            NUMBERS_FROM_0 + "float64",
        ),
        (
            "too large", CATEGORIES + 1, ValueError,
            "x: expected class numbers from 0 to 2, got 1 to 3",
        ),
        (
            "negative", CATEGORIES - 1, ValueError,
            "x: expected class numbers from 0 to 2, got -1 to 1",
        ),
        (
            "one-hot", np.eye(I, dtype=int)[CATEGORIES], ValueError,
            "x: expected shape (batch, time) or (time,), got (4, 6, 3)",
        ),
        (
            "masked", np.ma.masked_equal(CATEGORIES, 1), ValueError,
            "x: expected an array without gaps...",
        ),
    ):  # fmt: skip
        yield refusal(
            f"categories: {name}",
            [lambda s, x=x, call=call: call(s.categorical, x) for call in methods.values()],
            kind,
            sentence,
        )
    yield refusal(
        "categories: floats in a list",
        [
            lambda s: s.categorical.predict([[0, 1], [0.0, 1.0, 2.0]]),
            lambda s: s.categorical.loss([[0, 1], [0.0, 1.0, 2.0]], [Y[0, :2], Y[0, :3]]),
        ],
        TypeError,
        "x[1]: " + NUMBERS_FROM_0 + "float64",
    )
    for network, settings in NETWORKS.items():
        settings = {"categorical": True, **settings}
        for name, x, kind, sentence in (
            ("float", 1.0, TypeError, NUMBERS_FROM_0 + "float64"),
            ("too large", 3, ValueError, "x: expected class numbers from 0 to 2, got 3 to 3"),
            ("one-hot", [0, 1, 0], ValueError, "x: expected shape (), got (3,)"),
            ("bool", True, TypeError, NUMBERS_FROM_0 + "bool"),
        ):
            yield refusal(
                f"stream of {network}: categories: {name}",
                lambda s, x=x, settings=settings: s.stream(**settings).step(x), kind, sentence,
            )  # fmt: skip
        yield refusal(
            f"stream of {network}: categories: block of floats",
            lambda s, settings=settings: s.stream(**settings).run([0.0, 1.0]),
            TypeError,
            NUMBERS_FROM_0 + "float64",
        )
    yield refusal(
        "features: category numbers",
        [lambda s, call=call: call(s.net, CATEGORIES) for call in methods.values()],
        ValueError,
        "x: expected shape (batch, time, inputs=3) or (time, inputs=3), got (4, 6); a network "
        "reads category numbers if it is made with categorical=True",
    )


ROWS = [*rows(), *category_rows()]
