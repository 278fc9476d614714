"""Rows of bad settings of networks, optimizers, schedules and losses."""

import numpy as np
from refusals import H, I, refusal
from refused_data import X

import crnn
from crnn.losses import MSE, SSE, BinaryCrossEntropy, CrossEntropy, Huber


def network_rows():
    whole = "expected a whole number, got "
    dtypes = "dtype: expected 'float32' or 'float64', got "
    inits = "init: expected 'orthogonal' or 'uniform', got "
    seeds = "seed: expected a whole number of at least 0, got "
    cases = [
        ("RNN", {"input_size": 0}, ValueError, "input_size: expected at least 1, got 0"),
        ("RNN", {"input_size": -3}, ValueError, "input_size: expected at least 1, got -3"),
        ("RNN", {"hidden_size": 0}, ValueError, "hidden_size: expected at least 1, got 0"),
        ("RNN", {"hidden_size": 2.5}, TypeError, f"hidden_size: {whole}2.5"),
        ("RNN", {"hidden_size": 2.0}, TypeError, f"hidden_size: {whole}2.0"),
        ("RNN", {"hidden_size": "5"}, TypeError, f"hidden_size: {whole}'5'"),
        ("RNN", {"hidden_size": True}, TypeError, f"hidden_size: {whole}True"),
        ("RNN", {"hidden_size": None}, TypeError, f"hidden_size: {whole}None"),
        ("RNN", {"output_size": 0}, ValueError, "output_size: expected at least 1, got 0"),
        ("RNN", {"output_size": -1}, ValueError, "output_size: expected at least 1, got -1"),
        ("RNN", {"num_layers": 0}, ValueError, "num_layers: expected at least 1, got 0"),
        ("RNN", {"bidirectional": 1}, TypeError, "bidirectional: expected True or False, got 1"),
        (
            "RNN", {"return_sequences": None}, TypeError,
            "return_sequences: expected True or False, got None",
        ),
        ("RNN", {"trainable_h0": 0}, TypeError, "trainable_h0: expected True or False, got 0"),
        ("RNN", {"categorical": 1}, TypeError, "categorical: expected True or False, got 1"),
        (
            "RNN", {"dropout": 1.0, "num_layers": 2}, ValueError,
            "dropout: expected a finite number of at least 0 and below 1, got 1.0",
        ),
        ("RNN", {"dropout": 0.1}, ValueError, "dropout: expected 0 with one layer...got 0.1"),
        ("RNN", {"dtype": "float16"}, ValueError, f"{dtypes}'float16'"),
        ("RNN", {"dtype": "int32"}, ValueError, f"{dtypes}'int32'"),
        ("RNN", {"dtype": "flaot"}, ValueError, f"{dtypes}'flaot'"),
        ("RNN", {"dtype": ">f4"}, ValueError, f"{dtypes}'>f4'"),
        ("RNN", {"dtype": None}, ValueError, f"{dtypes}None"),
        ("RNN", {"init": "glorot"}, ValueError, f"{inits}'glorot'"),
        ("RNN", {"init": None}, ValueError, f"{inits}None"),
        ("RNN", {"seed": -1}, ValueError, f"{seeds}-1"),
        ("RNN", {"seed": "zero"}, TypeError, f"{seeds}'zero'"),
        ("RNN", {"seed": 1.5}, TypeError, f"{seeds}1.5"),
        ("RNN", {"seed": True}, TypeError, f"{seeds}True"),
        (
            "RNN", {"nonlinearity": "elu"}, ValueError,
            "nonlinearity: expected 'tanh' or 'relu', got 'elu'",
        ),
        ("RNN", {"nonlinearity": 1}, ValueError, "nonlinearity: expected 'tanh' or 'relu', got 1"),
        (
            "GRU", {"reset_after": "yes"}, TypeError,
            "reset_after: expected True or False, got 'yes'",
        ),
        ("LSTM", {"forget_bias": "one"}, TypeError, "forget_bias: expected a number, got 'one'"),
        (
            "LSTM", {"forget_bias": np.inf}, ValueError,
            "forget_bias: expected a finite number, got inf",
        ),
        (
            "LSTM", {"forget_bias": 1e300}, ValueError,
            "forget_bias: expected a number that float32 can hold, got 1e+300",
        ),
        ("RNN", {"batch_first": True}, TypeError, "...unexpected keyword argument 'batch_first'"),
    ]  # fmt: skip
    for family, settings, kind, sentence in cases:
        (name, value), *_ = settings.items()

        def make(s, family=family, settings=settings):
            sizes = {"input_size": I, "hidden_size": H, "implementation": s.implementation}
            return getattr(crnn, family)(**sizes | settings)

        yield refusal(f"{family}({name}={value!r})", make, kind, sentence)
    yield refusal(
        "RNN(implementation='fortran')", lambda s: crnn.RNN(I, H, implementation="fortran"),
        ValueError, "implementation: expected 'native' or 'python', got 'fortran'",
    )  # fmt: skip


def method_rows():
    for steps, kind, sentence in (
        (0, ValueError, "steps: expected at least 1, got 0"),
        (-1, ValueError, "steps: expected at least 1, got -1"),
        (2.5, TypeError, "steps: expected a whole number, got 2.5"),
        ("2", TypeError, "steps: expected a whole number, got '2'"),
        (None, TypeError, "steps: expected a whole number, got None"),
    ):
        yield refusal(
            f"forecast(steps={steps!r})", lambda s, steps=steps: s.net.forecast(X, steps), kind,
            sentence,
        )  # fmt: skip
    for outputs, shown in ((2, 2), (None, 5)):
        yield refusal(
            f"forecast of {shown} outputs",
            lambda s, outputs=outputs: s.network(output_size=outputs).forecast(X, 2),
            ValueError,
            "forecast: expected a network with as many outputs as inputs, "
            f"got {shown} outputs and 3 inputs",
        )
    yield refusal(
        "forecast in both directions", lambda s: s.network(bidirectional=True).forecast(X, 2),
        ValueError, "forecast: expected a network that reads in one...",
    )  # fmt: skip
    yield refusal(
        "predict(return_state=1)", lambda s: s.net.predict(X, return_state=1), TypeError,
        "return_state: expected True or False, got 1",
    )  # fmt: skip
    yield refusal(
        "checkpoint_every in both directions",
        lambda s: s.network(bidirectional=True).forward(X, checkpoint_every=3),
        ValueError,
        "checkpoint_every: expected None with bidirectional=True...got 3",
    )
    yield refusal(
        "forward(checkpoint_every=0)", lambda s: s.net.forward(X, checkpoint_every=0), ValueError,
        "checkpoint_every: expected at least 1, got 0",
    )  # fmt: skip
    yield refusal(
        "astype('int8')", lambda s: s.net.astype("int8"), ValueError,
        "dtype: expected 'float32' or 'float64', got 'int8'",
    )  # fmt: skip
    yield refusal(
        "astype of a number that float32 cannot hold",
        lambda s: crnn.LSTM(
            I, H, forget_bias=1e300, dtype="float64", implementation=s.implementation
        ).astype("float32"),
        ValueError,
        "dtype: expected one that holds all parameters, got float32",
    )


def optimizer_rows():
    bound = "expected a finite number of at least 0"
    cases = [
        (crnn.SGD, {"lr": -0.1}, ValueError, f"lr: {bound}, got -0.1"),
        (crnn.SGD, {"lr": np.nan}, ValueError, f"lr: {bound}, got nan"),
        (crnn.SGD, {"lr": np.inf}, ValueError, f"lr: {bound}, got inf"),
        (crnn.SGD, {"lr": "0.1"}, TypeError, "lr: expected a number, got '0.1'"),
        (crnn.SGD, {"lr": None}, TypeError, "lr: expected a number, got None"),
        (crnn.SGD, {"lr": 0.1j}, TypeError, "lr: expected a number, got 0.1j"),
        (crnn.SGD, {"lr": [0.1]}, TypeError, "lr: expected a number, got [0.1]"),
        (crnn.SGD, {"momentum": -0.5}, ValueError, f"momentum: {bound} and below 1, got -0.5"),
        (crnn.SGD, {"momentum": np.nan}, ValueError, f"momentum: {bound} and below 1, got nan"),
        (crnn.SGD, {"momentum": "0.5"}, TypeError, "momentum: expected a number, got '0.5'"),
        (crnn.SGD, {"nesterov": True}, ValueError, "nesterov: expected a momentum above 0..."),
        (
            crnn.SGD, {"nesterov": "no", "momentum": 0.9}, TypeError,
            "nesterov: expected True or False, got 'no'",
        ),
        (crnn.SGD, {"weight_decay": -0.1}, ValueError, f"weight_decay: {bound}, got -0.1"),
        (crnn.RMSprop, {"lr": np.nan}, ValueError, f"lr: {bound}, got nan"),
        (crnn.RMSprop, {"alpha": 1.5}, ValueError, "alpha: expected a finite number..., got 1.5"),
        (crnn.RMSprop, {"momentum": 1}, ValueError, f"momentum: {bound} and below 1, got 1"),
        (crnn.RMSprop, {"eps": -1e-8}, ValueError, "eps: expected a finite number above 0, got..."),
        (crnn.Adam, {"lr": -1}, ValueError, f"lr: {bound}, got -1"),
        (crnn.Adam, {"beta1": 1.0}, ValueError, f"beta1: {bound} and below 1, got 1.0"),
        (crnn.AdamW, {"beta2": -0.1}, ValueError, f"beta2: {bound} and below 1, got -0.1"),
        (crnn.Adam, {"eps": 0}, ValueError, "eps: expected a finite number above 0, got 0"),
    ]  # fmt: skip
    for optimizer, settings, kind, sentence in cases:
        yield refusal(
            f"{optimizer.__name__}({settings})",
            lambda s, o=optimizer, settings=settings: o(**{"lr": 0.1} | settings), kind, sentence,
        )  # fmt: skip
    schedules = crnn.schedules
    for name, call, sentence in (
        ("exponential", lambda s: schedules.exponential(0.1, 0), "factor: expected..."),
        ("steps", lambda s: schedules.steps(0.1, 0.5, 0), "every: expected at least 1, got 0"),
        ("cosine", lambda s: schedules.cosine(-1, 3), "lr: expected a finite number..., got -1"),
        ("cosine to", lambda s: schedules.cosine(0.1, 3, final=-1), "final: expected..., got -1"),
        ("warmup", lambda s: schedules.warmup(0.1, 0), "steps: expected at least 1, got 0"),
    ):
        yield refusal(f"schedule {name}", call, ValueError, sentence)


BALANCED = "class_weight: expected numbers, got 'balanced', which only fit can turn into..."


def loss_rows():
    A = np.zeros((2, 3, 4))
    ones = np.ones((2, 3), int)
    cases = {
        "negative weight": (MSE(), A, A, [[1, -1, 1], [1, 1, 1]], "weights: ...at least 0..."),
        "nan weight": (Huber(), A, A, np.full((2, 3), np.nan), "weights: expected finite..."),
        "weights of zero": (MSE(), A, A, np.zeros((2, 3)), "weights: expected a number above 0..."),
        "weights of outputs": (
            SSE(), A, A, np.ones((2, 3, 4)),
            "weights: expected shape (batch=2, time=3), got (2, 3, 4)",
        ),
        "class weights of zero": (
            CrossEntropy(class_weight=[1, 0, 0, 0]), A, ones, None,
            "y: expected a step that counts in the loss...",
        ),
        "class weights of other classes": (
            CrossEntropy(class_weight=[1, 2]), A, ones, None,
            "class_weight: expected shape (outputs=4,), got (2,)",
        ),
        "class weights of a class too many": (
            CrossEntropy(class_weight={4: 2}), A, ones, None,
            "class_weight: expected classes from 0 to 3, got 4",
        ),
        "balanced classes outside fit": (
            CrossEntropy(class_weight="balanced"), A, ones, None, BALANCED,
        ),
        "balanced classes, smoothed, outside fit": (
            CrossEntropy("balanced", 0.1), A, ones, None, BALANCED,
        ),
        "shapes": (
            MSE(), A, A[:, :2], None,
            "y: expected shape (batch=2, time=3, outputs=4), got (2, 2, 4)",
        ),
        "axes": (MSE(), A[0, 0], A[0, 0], None, "y_hat: expected shape..., got (4,)"),
        "nan": (MSE(), A + np.nan, A, None, "y_hat: expected finite numbers, got nan at index..."),
        "probability": (
            BinaryCrossEntropy(), A, A + 2, None, "y: expected numbers from 0 to 1, got 2...",
        ),
        "class": (
            CrossEntropy(), A, np.full((2, 3), 4), None,
            "y: expected class numbers from 0 to 3, got 4 to 4",
        ),
    }  # fmt: skip
    for name, (loss, y_hat, y, weights, sentence) in cases.items():
        yield refusal(
            f"loss object: {name}",
            [
                lambda s, a=(y_hat, y, weights), loss=loss: loss.value(*a),
                lambda s, a=(y_hat, y, weights), loss=loss: loss.gradient(*a),
            ],
            ValueError,
            sentence,
        )
    for delta, kind in ((0, ValueError), (-1, ValueError), (np.nan, ValueError), ("1", TypeError)):
        yield refusal(
            f"Huber({delta!r})", lambda s, delta=delta: Huber(delta), kind, "delta: expected..."
        )
    for weights, kind in (
        ([0, 0], ValueError),
        ([1, -1], ValueError),
        ([1, np.nan], ValueError),
        ([[1, 2]], ValueError),
        ([], ValueError),
        (["a"], TypeError),
        ("equal", ValueError),
        ({0.5: 1}, TypeError),
        ({True: 1}, TypeError),
        ({-1: 1}, ValueError),
        ({0: -1}, ValueError),
        ({0: "1"}, TypeError),
        ({0: np.inf}, ValueError),
        ({0: 1e308}, ValueError),
    ):
        yield refusal(
            f"CrossEntropy({weights!r})",
            lambda s, weights=weights: CrossEntropy(class_weight=weights),
            kind,
            "class_weight...: expected...",
        )
    for smoothing, kind in ((-0.1, ValueError), (1, ValueError), ("0.1", TypeError)):
        yield refusal(
            f"label_smoothing={smoothing!r}",
            lambda s, smoothing=smoothing: CrossEntropy(label_smoothing=smoothing),
            kind,
            "label_smoothing: expected a...number...",
        )


ROWS = [*network_rows(), *method_rows(), *optimizer_rows(), *loss_rows()]
