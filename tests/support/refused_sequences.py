"""Rows of bad lengths, masks and lists of sequences."""

import numpy as np
from refusals import B, I, T, changed, refusal
from refused_data import X_SHAPE, X, Y

import crnn

MISSING = changed(X, (1, 2, 0), np.nan)
KNOWN = changed(np.ones((B, T)), (1, 2), 0.0)
LISTS = [x[: 2 + b % 3] for b, x in enumerate(X)], [y[: 2 + b % 3] for b, y in enumerate(Y)]

ROWS = [
    *[
        refusal(
            f"lengths: {case}",
            [
                lambda s, bad=bad: s.net.forward(X, lengths=bad),
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
    *[
        refusal(
            f"lengths of predict: {case}",
            lambda s, bad=bad: s.net.predict(X, lengths=bad),
            ValueError,
            f"lengths: expected {sentence}",
        )
        for case, bad, sentence in (
            ("too long", [5, 2, 7, 1], "numbers from 0 to 6, the steps of x, got 1 to 7"),
            ("negative", [5, 2, -1, 1], "numbers from 0 to 6, the steps of x, got -1 to 5"),
            ("shape", [5, 2, 6], "shape (batch=4,), got (3,)"),
            ("empty", [], "shape (batch=4,), got (0,)"),
        )
    ],
    *[
        refusal(
            f"lengths of one sequence: {case}",
            [
                # No more than the features: those would be cut, not the steps.
                lambda s, n=n: s.net.predict(X[0], lengths=[2] * n),
                lambda s, n=n: s.net.forward(X[0], lengths=[2] * n),
                lambda s, n=n: s.net.loss(X[0], Y[0], lengths=[2] * n),
                lambda s, n=n: s.net.fit(X[0], Y[0], epochs=1, lengths=[2] * n),
            ],
            ValueError,
            "lengths: expected None with one sequence, x without a batch axis, got x (6, 3)",
        )
        for case, n in (("one", 1), ("as many as steps", T))
    ],
    refusal(
        "lengths where there are no steps",
        lambda s: s.net.loss(X[:, :0], Y[:, :0], lengths=[0] * B),
        ValueError,
        "x: expected at least one time step, got shape (4, 0, 3)",
    ),
    *[
        refusal(
            f"{name}: {case}",
            [
                lambda s, bad=bad, name=name: s.net.forward(X, **{name: bad}),
                lambda s, bad=bad, name=name: s.net.predict(X, **{name: bad}),
                lambda s, bad=bad, name=name: s.net.loss(X, Y, **{name: bad}),
                lambda s, bad=bad, name=name: s.net.train_step(X, Y, crnn.SGD(0.1), **{name: bad}),
                lambda s, bad=bad, name=name: s.net.fit(X, Y, epochs=1, **{name: bad}),
            ],
            kind,
            f"{name}: expected {sentence}",
        )
        for name in ("skip", "resets")
        for case, bad, kind, sentence in (
            ("shape", np.zeros((B, 5), bool), ValueError, "shape (batch=4, time=6), got (4, 5)"),
            ("one row", np.zeros(T, bool), ValueError, "shape (batch=4, time=6), got (6,)"),
            # A mask means the opposite.
            ("numbers", np.ones((B, T)), TypeError, "bools, got float64"),
            ("text", "all", ValueError, "shape (batch=4, time=6), got ()"),
            (
                "missing",
                changed(np.full((B, T), False, object), (1, 2), None),
                ValueError,
                "bools, got missing values among them",
            ),
        )
    ],
    refusal(
        "resets of both directions",
        lambda s: crnn.RNN(I, 2, bidirectional=True).predict(X, resets=np.zeros((B, T), bool)),
        ValueError,
        "resets: expected None with bidirectional=True, which reads sequences from both ends, got "
        "bools",
    ),
    refusal(
        "resets and skip",
        lambda s: s.net.predict(X, skip=np.zeros((B, T), bool), resets=np.zeros((B, T), bool)),
        ValueError,
        "resets: expected None with skip, got bools for both",
    ),
    refusal(
        "skip of one sequence: a batch of one",
        lambda s: s.net.predict(X[0], skip=np.zeros((1, T), bool)),
        ValueError,
        "skip: expected shape (time=6,), got (1, 6)",
    ),
    refusal(
        "skip with x of no sequences",
        lambda s: s.net.predict(X[0, 0], skip=np.zeros(I, bool)),
        ValueError,
        f"x: expected shape {X_SHAPE}, got (3,)",
    ),
    refusal(
        "skip of a list: an array",
        [
            lambda s: s.net.predict(LISTS[0], skip=np.zeros((B, T), bool)),
            lambda s: s.net.loss(*LISTS, skip=np.zeros((B, T), bool)),
        ],
        ValueError,
        "skip: expected a list of 4 arrays, as x is, got ndarray",
    ),
    refusal(
        "skip of a list: shape of one",
        [
            lambda s: s.net.predict(LISTS[0], skip=[np.zeros(T, bool)] * B),
            lambda s: s.net.loss(*LISTS, skip=[np.zeros(T, bool)] * B),
        ],
        ValueError,
        "x[0]: skip: expected shape (time=2,), got (6,)",
    ),
    refusal(
        "skip of a list: None for one",
        lambda s: s.net.predict(LISTS[0], skip=[None] * B),
        TypeError,
        "x[0]: skip: expected an array, got None",
    ),
    refusal(
        "x: nan with a mask",
        [
            lambda s: s.net.loss(MISSING, Y, mask=KNOWN),
            lambda s: s.net.train_step(MISSING, Y, crnn.SGD(0.1), mask=KNOWN),
            lambda s: s.net.fit(MISSING, Y, epochs=1, mask=KNOWN),
        ],
        ValueError,
        "x: expected finite numbers, got nan at index (1, 2, 0); the mask weights the loss only, "
        "and masked steps are read: a step whose input is missing can be left out, by "
        "skip=(batch, time) of bools",
    ),
    *[
        refusal(
            f"lists of nothing: {case}",
            [
                lambda s, x=x: s.net.loss(x, [Y[0, :2]] * len(x)),
                lambda s, x=x: s.net.fit(x, [Y[0, :2]] * len(x), epochs=1),
            ],
            ValueError,
            sentence,
        )
        for case, x, sentence in (
            ("no sequences", [], "x: expected at least one sequence, got an empty list"),
            (
                "no steps",
                [X[0, :2], X[0, :0]],
                "x[1]: x: expected at least one time step, got shape (0, 3)",
            ),
            (
                "an empty list in it",
                [X[0, :2], []],
                "x[1]: x: expected at least one time step, got shape (0, 3)",
            ),
        )
    ],
    refusal(
        "x of categories: nan",
        lambda s: s.categorical.predict([0, np.nan]),
        TypeError,
        "x: expected whole numbers from 0 to 2, because the network is made with "
        "categorical=True, got float64 with NaN; a step whose input is missing can be left out, "
        "by skip=(batch, time) of bools",
    ),
    refusal(
        "lists of nothing: categories",
        lambda s: s.categorical.predict([]),
        ValueError,
        "x: expected an array (batch, time) or (time,) of whole numbers where there is nothing in "
        "it, got an empty list, which may be no sequences or one of no steps",
    ),
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
            ("text", "all", TypeError, "mask: expected numbers...got <U3; convert..."),
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
