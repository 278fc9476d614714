"""Rows of bad arrays: x, y, states, gradients."""

import numpy as np
from refusals import B, H, I, O, T, changed, refusal

import crnn

rng = np.random.default_rng(0)
X = rng.standard_normal((B, T, I))
Y = rng.standard_normal((B, T, O))
H0 = np.tanh(rng.standard_normal((B, H)))
CLASSES = rng.integers(O, size=(B, T))

NUMBERS = "expected numbers (floats of at most 64 bits, or integers), got "
METHODS = {
    "forward": lambda net, x: net.forward(x),
    "predict": lambda net, x: net.predict(x),
    "loss": lambda net, x: net.loss(x, Y),
    "train_step": lambda net, x: net.train_step(x, Y, crnn.SGD(0.1)),
    "fit": lambda net, x: net.fit(x, Y, epochs=1),
    "forecast": lambda net, x: net.forecast(x, steps=2),
}
TRAINERS = {
    "loss": lambda net, y, loss: net.loss(X, y, loss),
    "train_step": lambda net, y, loss: net.train_step(X, y, crnn.SGD(0.1), loss),
    "fit": lambda net, y, loss: net.fit(X, y, epochs=1, loss=loss),
}

# What comes, the exception, and what the sentence says after the argument's name.
NO_NUMBERS = {
    "nothing": (lambda good: None, TypeError, "expected an array, got None"),
    "text in objects": (
        lambda good: np.array(good.ravel().tolist()[:-1] + ["a"], object).reshape(good.shape),
        TypeError,
        "expected numbers, got the text 'a' at index (...; convert it to numbers...",
    ),
    "complex": (lambda good: good.astype(complex), TypeError, NUMBERS + "complex128; pass..."),
    "text": (lambda good: good.astype(str), TypeError, NUMBERS + "<U32; convert it..."),
}
NOT_FINITE = {
    "nan": (
        lambda good: changed(good, (1, 2, 0), np.nan), ValueError,
        "expected finite numbers, got nan at index (1, 2, 0)",
    ),
    "infinity": (
        lambda good: changed(good, (3, 5, 2), np.inf), ValueError,
        "expected finite numbers, got inf at index (3, 5, 2)",
    ),
    "minus infinity": (
        lambda good: changed(good, (0, 0, 0), -np.inf), ValueError,
        "expected finite numbers, got -inf at index (0, 0, 0)",
    ),
}  # fmt: skip
MASKED = (
    lambda good: np.ma.masked_greater(good, 0.5),
    ValueError,
    "expected an array without gaps, got masked entries; fill them by .filled(0)",
)
EXACT = "expected whole numbers that float64 holds exactly (up to 9007199254740992), got "
WITHIN_FLOAT32 = "expected numbers that float32 can hold, got "


def shape_rows(expected, shapes):
    """Values of other shapes, none of which is broadcast."""
    return {
        f"shape {shape}": (
            lambda good, shape=shape: np.resize(good, shape),
            ValueError,
            f"expected shape {expected}, got {shape}",
        )
        for shape in shapes
    }


# `predict` returns empty arrays.
EMPTY_X = {
    "no steps": (
        lambda x: x[:, :0], ValueError, "expected at least one time step, got shape (4, 0, 3)",
    ),
    "no sequences": (
        lambda x: x[:0], ValueError, "expected at least one sequence, got shape (0, 6, 3)",
    ),
    "one sequence without steps": (
        lambda x: x[0, :0], ValueError, "expected at least one time step, got shape (0, 3)",
    ),
}  # fmt: skip
MISSING_X = {
    case: (
        lambda x, dtype=dtype: changed(x, (1, 2, 0), np.nan).astype(dtype), ValueError,
        "expected finite numbers, got nan at index (1, 2, 0)",
    )
    for case, dtype in {"nan": "f8", "nan in float16": "f2", "nan in float32": "f4"}.items()
}  # fmt: skip
SKIP = "; a step whose input is missing can be left out, by skip=(batch, time) of bools"
X_SHAPE = f"(batch, time, inputs={I}) or (time, inputs={I})"
BAD_X = {
    **NO_NUMBERS,
    **{case: row for case, row in NOT_FINITE.items() if case != "nan"},
    **shape_rows(X_SHAPE, [(), (I,), (1, B, T, I), (B, T, I + 1), (B, T, 1), (B, T, 0)]),
    "bytes": (lambda x: x.astype("S8"), TypeError, NUMBERS + "|S8; convert..."),
    "one string": (lambda x: "sunspots", TypeError, NUMBERS + "<U8; convert..."),
    "date": (
        lambda x: np.zeros(x.shape, "datetime64[D]"), TypeError, NUMBERS + "datetime64[D];...",
    ),
    "time difference": (
        lambda x: np.zeros(x.shape, "timedelta64[s]"), TypeError, NUMBERS + "timedelta64[s];...",
    ),
    "record": (lambda x: np.zeros(x.shape, [("a", "f8")]), TypeError, NUMBERS + "[('a', '<f8')]"),
    "dictionary": (lambda x: {"x": 1}, TypeError, "expected an array of numbers, got dict"),
    "ragged inside": (
        lambda x: [[[1.0, 2.0, 3.0]], [[1.0, 2.0]]], ValueError,
        "expected a rectangular array of numbers, got nested sequences of different lengths",
    ),
    "inexact integer": (
        lambda x: np.full(x.shape, 2**53 + 1), ValueError,
        EXACT + "9007199254740993 to 9007199254740993",
    ),
    "large unsigned integer": (
        lambda x: np.full(x.shape, 2**64 - 1, np.uint64), ValueError,
        EXACT + "18446744073709551615 to 18446744073709551615",
    ),
    "masked": MASKED,
}  # fmt: skip
if np.dtype(np.longdouble).itemsize > 8:
    BAD_X["long double"] = (
        lambda x: x.astype(np.longdouble),
        TypeError,
        NUMBERS + np.dtype(np.longdouble).name + "; use .astype(float)",
    )

NARROW_X = {
    "too large": (
        lambda x: changed(x, (1, 2, 0), 1e39), ValueError,
        WITHIN_FLOAT32 + "1e+39 at index (1, 2, 0)",
    ),
    "just too large": (
        # Half a unit in the last place above the largest float32: rounds to infinity.
        lambda x: changed(x, (1, 2, 0), float(np.finfo("f4").max) + 2.0**103), ValueError,
        WITHIN_FLOAT32 + "3.4028235677973366e+38 at index (1, 2, 0)",
    ),
    "inexact integer": (
        # Of the integers above 2**24, float32 holds the even ones only.
        lambda x: changed(np.ones(x.shape, int), (1, 2, 0), 2**24 + 1), ValueError,
        "expected whole numbers that float32 holds exactly (up to 16777216), got 1 to 16777217",
    ),
}  # fmt: skip

OUTPUTS = f"(batch={B}, time={T}, outputs={O})"
MASK_ADVICE = "; a mask that is 0 there leaves the step out of the loss"
BAD_Y = {
    **NO_NUMBERS,
    **{
        case: (make, kind, sentence + MASK_ADVICE)
        for case, (make, kind, sentence) in NOT_FINITE.items()
    },
    **shape_rows(
        OUTPUTS,
        [(), (3, T, O), (1, T, O), (B, 5, O), (B, 1, O), (B, T, 1), (B, T), (T, O), (0, T, O)],
    ),
    "inexact integer": (
        lambda y: np.full(y.shape, 2**53 + 1),
        ValueError,
        EXACT + "9007199254740993 to 9007199254740993",
    ),
    "masked": MASKED,
}
BAD_CLASSES = {
    "negative": (
        lambda y: changed(y, (1, 2), -1), ValueError,
        "expected class numbers from 0 to 2, got -1 to 2" + MASK_ADVICE,
    ),
    "nan": (
        lambda y: changed(y, (1, 2), np.nan), TypeError,
        "expected integer class numbers, got float64 with NaN" + MASK_ADVICE,
    ),
    "too large": (
        lambda y: changed(y, (1, 2), O), ValueError,
        "expected class numbers from 0 to 2, got 0 to 3",
    ),
    "too large for an index": (
        lambda y: np.full(y.shape, 2**64 - 1, np.uint64), ValueError,
        f"expected class numbers from 0 to 2, got {2**64 - 1} to {2**64 - 1}",
    ),
    "floats": (lambda y: y.astype(float), TypeError, "expected integer class numbers, got float64"),
    "bools": (lambda y: y.astype(bool), TypeError, "expected integer class numbers, got bool"),
    "text": (lambda y: y.astype(str), TypeError, NUMBERS + "<U21; convert it..."),
    "floats in objects": (
        lambda y: y.astype(float).astype(object), TypeError,
        "expected integer class numbers, got float64",
    ),
    "nothing": NO_NUMBERS["nothing"],
    "one-hot": (
        lambda y: np.eye(O, dtype=int)[y], ValueError,
        f"expected shape (batch={B}, time={T}), got (4, 6, 3)",
    ),
    **shape_rows(f"(batch={B}, time={T})", [(3, T), (1, T), (B, 1)]),
    "masked": (lambda y: np.ma.masked_equal(y, 1), *MASKED[1:]),
}  # fmt: skip
STATES = f"(batch={B}, hidden={H})"
BAD_STATES = {
    **NO_NUMBERS,
    **shape_rows(STATES, [(), (3, H), (1, H), (H,), (B, 4), (B, 1), (H, B), (1, B, H)]),
    "nan": (
        lambda h: changed(h, (1, 2), np.nan), ValueError,
        "expected finite numbers, got nan at index (1, 2)",
    ),
    "infinity": (
        lambda h: changed(h, (1, 2), np.inf), ValueError,
        "expected finite numbers, got inf at index (1, 2)",
    ),
}  # fmt: skip
BAD_DY = NO_NUMBERS | shape_rows(OUTPUTS, [(), (3, T, O), (1, T, O), (B, 5, O), (B, T, 1), (T, O)])


def rows_of(label, good, cases, calls, subject):
    """One row a case; `calls` take a network and the bad value.

    The label begins with the argument's name.
    """
    argument = label.split()[0]
    for case, (make, kind, sentence) in cases.items():
        bad = make(good)
        yield refusal(
            f"{label}: {case}",
            [lambda s, call=call, bad=bad: call(subject(s), bad) for call in calls],
            kind,
            f"{argument}: {sentence}",
        )


def with_loss(loss):
    return [lambda net, y, call=call: call(net, y, loss) for call in TRAINERS.values()]


def methods_but(name):
    return [call for method, call in METHODS.items() if method != name]


STATE_TAKERS = [
    lambda net, h0: net.forward(X, h0),
    lambda net, h0: net.predict(X, h0),
    lambda net, h0: net.loss(X, Y, h0=h0),
    lambda net, h0: net.train_step(X, Y, crnn.SGD(0.1), h0=h0),
    lambda net, h0: net.fit(X, Y, epochs=1, h0=h0),
]


def net(s):
    return s.net


def narrow(s):
    return s.narrow


def backward(net, x, dy, dh_n=None):
    return net.backward(net.forward(x), dy, dh_n)


ROWS = [
    *rows_of("x", X, BAD_X, METHODS.values(), net),
    *rows_of("x", X, EMPTY_X, methods_but("predict"), net),
    *rows_of(
        "x", X, {case: (make, kind, said + SKIP) for case, (make, kind, said) in MISSING_X.items()},
        methods_but("forecast"), net,
    ),
    *rows_of("x of forecast", X, MISSING_X, [METHODS["forecast"]], net),
    *rows_of("x of float32", X, NARROW_X, METHODS.values(), narrow),
    *rows_of("y", Y, BAD_Y, [*with_loss("mse"), *with_loss("sse")], net),
    *rows_of("y of float32", Y, {"too large": NARROW_X["too large"]}, with_loss("mse"), narrow),
    *rows_of("y of classes", CLASSES, BAD_CLASSES, with_loss("cross_entropy"), net),
    *rows_of(
        "h0", H0, {case: row for case, row in BAD_STATES.items() if case != "nothing"},
        STATE_TAKERS, net,
    ),
    *rows_of("dy", Y, BAD_DY, [lambda net, dy: backward(net, X, dy)], net),
    *rows_of(
        "dh_n", H0, {case: row for case, row in BAD_STATES.items() if case != "nothing"},
        [lambda net, dh_n: backward(net, X, Y, dh_n)], net,
    ),
    refusal(
        "h0 of one sequence: batch of one",
        [lambda s: s.net.forward(X[0], H0[:1]), lambda s: s.net.predict(X[0], H0[:1])], ValueError,
        "h0: expected shape (hidden=5,), got (1, 5)",
    ),
    refusal(
        "h0: too large for float32",
        [lambda s, call=call: call(s.narrow, changed(H0, (1, 2), 1e39)) for call in STATE_TAKERS],
        ValueError, "h0: expected numbers that float32 can hold, got 1e+39 at index (1, 2)",
    ),
    refusal(
        "h0 of layers: no axis of layers", lambda s: s.network(num_layers=2).predict(X, H0),
        ValueError, "h0: expected shape (states=2, batch=4, hidden=5), got (4, 5)",
    ),
    refusal(
        "h0 of an LSTM: no pair", lambda s: s.lstm.predict(X, H0), TypeError,
        "h0: expected a pair (h, c), got ndarray",
    ),
    refusal(
        "h0 of an LSTM: one of the pair", lambda s: s.lstm.predict(X, (H0,)), ValueError,
        "h0: expected a pair (h, c), got 1 of them",
    ),
    refusal(
        "h0 of an LSTM: shape of c", lambda s: s.lstm.predict(X, (H0, H0[:3])), ValueError,
        "h0[1]: expected shape (batch=4, hidden=5), got (3, 5)",
    ),
    refusal(
        "h0 of an LSTM: nan in c", lambda s: s.lstm.predict(X, (H0, H0 + np.nan)), ValueError,
        "h0[1]: expected finite numbers, got nan at index (0, 0)",
    ),
    refusal(
        "dh_n of an LSTM: no pair", lambda s: backward(s.lstm, X, Y, H0), TypeError,
        "dh_n: expected a pair (h, c), got ndarray",
    ),
    refusal(
        "tape: nothing", lambda s: s.net.backward(None, Y), TypeError,
        "tape: expected a Tape, got NoneType",
    ),
    refusal(
        "tape: another network's",
        lambda s: s.net.backward(s.network(hidden_size=H + 2).forward(X), Y), ValueError,
        "tape: expected one of this network's forward, got another network's",
    ),
]  # fmt: skip
