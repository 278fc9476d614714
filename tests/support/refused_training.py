"""Rows of bad settings of training steps and of fit."""

import numpy as np
from refusals import B, T, refusal
from refused_data import CLASSES, X, Y

import crnn
from crnn.losses import MSE, CrossEntropy, Huber

LOSS = (
    "loss: expected 'mse', 'sse', 'cross_entropy', 'binary_cross_entropy', 'huber' or an object "
    "with the methods value and gradient, got "
)


def step_rows():
    """Settings that train_step and fit share."""
    positive = "expected a finite number above 0, got "
    optimizer = "optimizer: expected one such as crnn.SGD or crnn.Adam, got "
    cases = {
        "clip_norm=-1.0": ({"clip_norm": -1.0}, ValueError, f"clip_norm: {positive}-1.0"),
        "clip_norm=nan": ({"clip_norm": np.nan}, ValueError, f"clip_norm: {positive}nan"),
        "clip_norm='1'": ({"clip_norm": "1"}, TypeError, "clip_norm: expected a number, got '1'"),
        "clip_value=-0.5": ({"clip_value": -0.5}, ValueError, f"clip_value: {positive}-0.5"),
        "clip_value=nan": ({"clip_value": np.nan}, ValueError, f"clip_value: {positive}nan"),
        "clip_value='1'": (
            {"clip_value": "1"}, TypeError, "clip_value: expected a number, got '1'",
        ),
        "both clips": (
            {"clip_norm": 1.0, "clip_value": 1.0}, ValueError,
            "clip_norm: expected only one of clip_norm and clip_value, got both",
        ),
        "optimizer='sgd'": ({"optimizer": "sgd"}, TypeError, optimizer + "str"),
        "optimizer=SGD": ({"optimizer": crnn.SGD}, TypeError, optimizer + "type"),
        "optimizer=0.1": ({"optimizer": 0.1}, TypeError, optimizer + "float"),
    }  # fmt: skip
    for name, (settings, kind, sentence) in cases.items():
        yield refusal(
            name,
            [
                lambda s, o=settings: s.net.train_step(X, Y, **{"optimizer": crnn.SGD(0.1)} | o),
                lambda s, o=settings: s.net.fit(X, Y, epochs=1, **o),
            ],
            kind,
            sentence,
        )
    yield refusal(
        "train_step without optimizer", lambda s: s.net.train_step(X, Y, None), TypeError,
        optimizer + "NoneType",
    )  # fmt: skip
    for loss in ("mae", 2, None, Huber, MSE().value):
        yield refusal(
            f"loss={getattr(loss, '__name__', loss)}",
            [
                lambda s, loss=loss: s.net.loss(X, Y, loss),
                lambda s, loss=loss: s.net.train_step(X, Y, crnn.SGD(0.1), loss),
                lambda s, loss=loss: s.net.fit(X, Y, epochs=1, loss=loss),
            ],
            ValueError,
            LOSS + "...",
        )
    for value, rate in (("nan", np.nan), ("-1.0", -1.0)):
        yield refusal(
            f"schedule that gives {value}",
            [
                lambda s, rate=rate: s.net.train_step(X, Y, crnn.SGD(lambda step: rate)),
                lambda s, rate=rate: s.net.fit(
                    X, Y, epochs=1, optimizer=crnn.SGD(lambda step: rate)
                ),
            ],
            ValueError,
            f"lr(0): expected a finite number of at least 0, got {value}",
        )
    yield refusal(
        "schedule that gives text", lambda s: s.net.train_step(X, Y, crnn.SGD(lambda step: "fast")),
        TypeError, "lr(0): expected a number, got 'fast'",
    )  # fmt: skip


def count(y_hat, y):
    return len(y)


def loss(y_hat, y):
    return 0.0


def fit_rows():
    whole = "expected a whole number, got "
    pair = "validation_data: expected a pair (x, y), or a dictionary with the keys x, y,...got a "
    plain = (
        "validation_data: expected a dictionary with the keys x, y, lengths...resets, because fit "
    )
    ragged = tuple([a[: 2 + b % 3] for b, a in enumerate(values)] for values in (X, Y))
    named = "metrics: expected 'accuracy', 'mae' or a function, got "
    seeds = "seed: expected a whole number of at least 0, got "
    share = "validation_fraction: expected a finite number above 0 and below 1, got "
    cases = [
        ({"epochs": 0}, ValueError, "epochs: expected at least 1, got 0"),
        ({"epochs": -1}, ValueError, "epochs: expected at least 1, got -1"),
        ({"epochs": 1.5}, TypeError, f"epochs: {whole}1.5"),
        ({"epochs": "3"}, TypeError, f"epochs: {whole}'3'"),
        ({"epochs": True}, TypeError, f"epochs: {whole}True"),
        ({"batch_size": 0}, ValueError, "batch_size: expected at least 1, got 0"),
        ({"batch_size": -2}, ValueError, "batch_size: expected at least 1, got -2"),
        ({"batch_size": 2.5}, TypeError, f"batch_size: {whole}2.5"),
        ({"seed": -1}, ValueError, f"{seeds}-1"),
        ({"seed": "zero"}, TypeError, f"{seeds}'zero'"),
        ({"shuffle": 1}, TypeError, "shuffle: expected True or False, got 1"),
        ({"progress": "yes"}, TypeError, "progress: expected True or False, got 'yes'"),
        ({"bptt": 0}, ValueError, "bptt: expected at least 1, got 0"),
        ({"validation_data": X}, TypeError, pair + "ndarray"),
        ({"validation_data": (X, Y, Y)}, TypeError, pair + "tuple of 3"),
        ({"validation_data": 3}, TypeError, pair + "int"),
        (
            {"validation_data": (X, Y), "lengths": [6, 5, 4, 3]}, ValueError,
            plain + "has lengths, got a tuple, which has no place for it",
        ),
        (
            {"validation_data": [X, Y], "mask": np.ones((B, T))}, ValueError,
            plain + "has mask, got a list...",
        ),
        (
            {"validation_data": ragged, "lengths": [6] * 4, "mask": np.ones((B, T))}, ValueError,
            plain + "has lengths, got a tuple...",
        ),
        (
            {"validation_data": ragged, "mask": np.ones((B, T))}, ValueError,
            plain + "has mask, got a tuple...",
        ),
        (
            {"validation_data": {"x": X, "y": Y, "masks": None}}, ValueError,
            "validation_data: expected the keys x, y, lengths...resets, got 'masks'",
        ),
        (
            {"validation_data": {"x": X, "Y": Y}}, ValueError,
            "validation_data: expected the keys x, y, lengths...resets, got 'Y'",
        ),
        (
            {"validation_data": {"x": X, "mask": np.ones((B, T))}}, ValueError,
            "validation_data: expected the keys x and y, got no y",
        ),
        (
            {"validation_data": {"x": X, "y": Y, "lengths": [1, 2]}}, ValueError,
            "validation_data: lengths: expected shape (batch=4,), got (2,)",
        ),
        (
            {"validation_data": {"x": X, "y": Y, "mask": np.zeros((B, T))}}, ValueError,
            "validation_data: mask: expected a number above 0 somewhere, got only zeros",
        ),
        (
            {"validation_data": (X[..., :2], Y)}, ValueError,
            "validation_data: x: expected shape (batch, time, inputs=3)..., got (4, 6, 2)",
        ),
        (
            {"validation_data": (X, Y[:1])}, ValueError,
            "validation_data: y: expected shape (batch=4, time=6, outputs=3), got (1, 6, 3)",
        ),
        (
            {"validation_data": (X, Y * np.nan)}, ValueError,
            "validation_data: y: expected finite numbers, got nan at index (0, 0, 0); a mask...",
        ),
        (
            {"validation_data": (X.astype(str), Y)}, TypeError,
            "validation_data: x: expected numbers...got <U32; convert...",
        ),
        ({"validation_fraction": 0}, ValueError, share + "0"),
        ({"validation_fraction": 1.0}, ValueError, share + "1.0"),
        (
            {"validation_fraction": "0.1"}, TypeError,
            "validation_fraction: expected a number, got '0.1'",
        ),
        (
            {"validation_fraction": 0.5, "validation_data": (X, Y)}, ValueError,
            "validation_fraction: expected only one of validation_fraction and...got both",
        ),
        ({"min_delta": -0.1}, ValueError, "min_delta: expected a finite number..., got -0.1"),
        ({"min_delta": "0.1"}, TypeError, "min_delta: expected a number, got '0.1'"),
        (
            {"monitor": "val_loss", "metrics": ["mae", count]}, ValueError,
            "monitor: expected 'loss', 'mae' or 'count', which the run records, got 'val_loss'",
        ),
        (
            {"monitor": "mae", "metrics": ["mae"], "validation_fraction": 0.5}, ValueError,
            "monitor: expected 'loss', 'val_loss' or 'val_mae', which the run records, got 'mae'",
        ),
        ({"monitor": 3}, ValueError, "monitor: expected 'loss', which the run records, got 3"),
        (
            {"monitor": "count", "metrics": [count]}, ValueError,
            "monitor: expected ('count', 'max') or ('count', 'min'), for..., got 'count'",
        ),
        (
            {"monitor": ("count", "best"), "metrics": [count]}, ValueError,
            "monitor: expected ('count', 'max') or ('count', 'min')..., got ('count', 'best')",
        ),
        ({"patience": 0}, ValueError, "patience: expected at least 1, got 0"),
        ({"patience": 0.5}, TypeError, f"patience: {whole}0.5"),
        ({"metrics": ["f1"]}, ValueError, named + "'f1'"),
        ({"metrics": [3]}, ValueError, named + "3"),
        (
            {"metrics": "mae"}, TypeError,
            "metrics: expected a list of names and functions, got 'mae'",
        ),
        (
            {"metrics": count}, TypeError,
            "metrics: expected a list of names and functions, got <function...",
        ),
        ({"metrics": [count, "mae", count]}, ValueError, "metrics: expected different names..."),
        # Early stopping would follow it in place of the loss.
        ({"metrics": [loss]}, ValueError, "metrics: expected names other than 'loss', which..."),
        ({"metrics": ["accuracy"]}, ValueError, "metrics: expected a loss of classes...got MSE..."),
        ({"callbacks": print}, TypeError, "callbacks: expected a list of functions, got <..."),
        ({"callbacks": [1]}, TypeError, "callbacks: expected a list of functions, got [1]"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every: expected at least 1, got 0"),
        (
            {"resume": True}, ValueError,
            "resume: expected a checkpoint with it, got checkpoint=None",
        ),
        ({"resume": 1}, TypeError, "resume: expected True or False, got 1"),
        ({"checkpoint": 3}, TypeError, "checkpoint: expected a path, got 3"),
        ({"learning_rate": 0.1}, TypeError, "...unexpected keyword argument 'learning_rate'"),
    ]  # fmt: skip
    for number, (settings, kind, sentence) in enumerate(cases):
        yield refusal(
            f"fit({', '.join(settings)}) {number}",
            lambda s, settings=settings: s.net.fit(X, Y, **{"epochs": 2} | settings),
            kind,
            sentence,
        )
    yield refusal(
        "bptt: in both directions",
        lambda s: s.network(bidirectional=True).fit(X, Y, epochs=1, bptt=3),
        ValueError,
        "bptt: expected None unless the network reads in one direction and has an output for each "
        "step, got 3",
    )
    yield refusal(
        "validation_fraction of one sequence",
        lambda s: s.net.fit(X[0], Y[0], epochs=1, validation_fraction=0.5),
        ValueError,
        "validation_fraction: expected two sequences or more, got 1",
    )
    yield refusal(
        "mae of classes",
        lambda s: s.net.fit(X, CLASSES, epochs=1, loss="cross_entropy", metrics=["mae"]),
        ValueError,
        "metrics: expected a loss of numbers with 'mae'...",
    )
    for name, part in (("training", slice(2)), ("validation", slice(2, None))):
        mask = np.ones((B, T))
        mask[part] = 0
        yield refusal(
            f"no step counts in {name}",
            lambda s, mask=mask: s.net.fit(X, Y, epochs=1, mask=mask, validation_fraction=0.5),
            ValueError,
            "...y: expected a step that counts...",
        )
    yield refusal(
        "balanced classes outside fit",
        [
            lambda s: s.net.loss(X, CLASSES, CrossEntropy("balanced")),
            lambda s: s.net.train_step(X, CLASSES, crnn.SGD(0.1), CrossEntropy("balanced")),
        ],
        ValueError,
        "class_weight: expected numbers, got 'balanced', which only fit can turn into numbers "
        "because it has all training targets",
    )
    yield refusal(
        "a table of integers is one sequence",
        [
            lambda s: s.network(return_sequences=False).fit(
                CLASSES[:, :3], CLASSES[:, 0], epochs=1, loss="cross_entropy"
            ),
            lambda s: s.network(return_sequences=False).loss(
                CLASSES[:, :3], CLASSES[:, 0], loss="cross_entropy"
            ),
        ],
        ValueError,
        "y: expected shape (), got (4,), because x (4, 3) is one sequence",
    )
    weightless = CrossEntropy(class_weight=[1, 1, 0])
    yield refusal(
        "no class counts",
        [
            lambda s: s.net.loss(X, np.full((B, T), 2), weightless),
            lambda s: s.net.train_step(X, np.full((B, T), 2), crnn.SGD(0.1), weightless),
            lambda s: s.net.fit(X, np.full((B, T), 2), epochs=1, loss=weightless),
        ],
        ValueError,
        "y: expected a step that counts...",
    )


ROWS = [*step_rows(), *fit_rows()]
