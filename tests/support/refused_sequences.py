"""Rows of bad lengths, masks and lists of sequences."""

import numpy as np
from refusals import B, T, refusal
from refused_data import X_SHAPE, X, Y

import crnn

LISTS = [x[: 2 + b % 3] for b, x in enumerate(X)], [y[: 2 + b % 3] for b, y in enumerate(Y)]

ROWS = [
    *[
        refusal(
            f"lengths: {case}",
            [
                lambda s, bad=bad: s.net.forward(X, lengths=bad),
                lambda s, bad=bad: s.net.predict(X, lengths=bad),
                lambda s, bad=bad: s.net.loss(X, Y, lengths=bad),
                lambda s, bad=bad: s.net.fit(X, Y, epochs=1, lengths=bad),
            ],
            kind,
            sentence,
        )
        for case, bad, kind, sentence in (
            (
                "too long",
                [5, 2, 7, 1],
                ValueError,
                "lengths: expected numbers from 1 to 6, the steps of x, got 1 to 7",
            ),
            (
                "none",
                [5, 2, 6, 0],
                ValueError,
                "lengths: expected numbers from 1 to 6, the steps of x, got 0 to 6",
            ),
            ("shape", [5, 2, 6], ValueError, "lengths: expected shape (batch=4,), got (3,)"),
            ("floats", [5.0, 2, 6, 1], TypeError, "lengths: expected whole numbers, got float64"),
        )
    ],
    refusal(
        "lengths: with a list",
        [
            lambda s: s.net.predict(LISTS[0], lengths=[1] * B),
            lambda s: s.net.loss(*LISTS, lengths=[1] * B),
        ],
        ValueError,
        "lengths: expected None with a list of sequences, which have their own",
    ),
    *[
        refusal(
            f"mask: {case}",
            [
                lambda s, bad=bad: s.net.loss(X, Y, mask=bad),
                lambda s, bad=bad: s.net.train_step(X, Y, crnn.SGD(0.1), mask=bad),
                lambda s, bad=bad: s.net.fit(X, Y, epochs=1, mask=bad),
            ],
            kind,
            sentence,
        )
        for case, bad, kind, sentence in (
            (
                "shape",
                np.ones((B, 5)),
                ValueError,
                "mask: expected shape (batch=4, time=6), got (4, 5)",
            ),
            (
                "negative",
                -np.ones((B, T)),
                ValueError,
                "mask: expected finite numbers of at least 0, got -1.0",
            ),
            (
                "infinite",
                np.full((B, T), np.inf),
                ValueError,
                "mask: expected finite numbers of at least 0, got inf",
            ),
            (
                "too large for sums",
                np.full((B, T), 1e308),
                ValueError,
                "mask: expected numbers of at most 1e+100, got 1e+308",
            ),
            (
                "zero",
                np.zeros((B, T)),
                ValueError,
                "mask: expected a number above 0 somewhere, got only zeros",
            ),
            ("text", "all", TypeError, "mask: expected numbers, got <U3"),
        )
    ],
    refusal(
        "x in a list: shape of one",
        [
            lambda s: s.net.predict([X[0], X[1, :3, :2]]),
            lambda s: s.net.loss([X[0], X[1, :3, :2]], LISTS[1][:2]),
        ],
        ValueError,
        f"x[1]: x: expected shape {X_SHAPE}, got (3, 2)",
    ),
    refusal(
        "x in a list: a batch",
        lambda s: s.net.predict([X[:2], X[2, :3]]),
        ValueError,
        "x[0]: x: expected one sequence (time, inputs=3), got (2, 6, 3)",
    ),
    refusal(
        "y of a list: an array",
        [lambda s: s.net.loss(LISTS[0], Y), lambda s: s.net.fit(LISTS[0], Y, epochs=1)],
        ValueError,
        "y: expected a list of 4 arrays, as x is, got ndarray",
    ),
    refusal(
        "y of a list: one too few",
        lambda s: s.net.loss(LISTS[0], LISTS[1][:3]),
        ValueError,
        "y: expected a list of 4 arrays, as x is, got list of 3",
    ),
    refusal(
        "y of a list: shape of one",
        lambda s: s.net.loss(LISTS[0], [LISTS[1][0], LISTS[1][0], *LISTS[1][2:]]),
        ValueError,
        "sequence 1: y: expected shape (time=3, outputs=3), got (2, 3)",
    ),
]
