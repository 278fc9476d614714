"""Bad input is refused with a reason, and leaves the network untouched; unusual input works.

Every message names the argument, what was expected and what came.
"""

import re

import numpy as np
import pytest

import crnn

# Inputs and outputs have the same size, so that forecast takes part.
B, T, I, H, O = 4, 6, 3, 5, 3
rng = np.random.default_rng(0)
X = rng.standard_normal((B, T, I))
Y = rng.standard_normal((B, T, O))
H0 = np.tanh(rng.standard_normal((B, H)))
CLASSES = rng.integers(O, size=(B, T))

# How messages describe the shape that was expected.
OUTPUTS_SHAPE = "(batch=4, time=6, outputs=3)"
CLASSES_SHAPE = "(batch=4, time=6)"
STATE_SHAPE = "(batch=4, hidden=5)"


@pytest.fixture
def net(build_network):
    return build_network(input_size=I, hidden_size=H, output_size=O, seed=1)


@pytest.fixture
def narrow_net(build_network):
    return build_network(input_size=I, hidden_size=H, output_size=O, dtype="float32", seed=1)


def refuse(net, call, kinds, argument, *fragments):
    """Check that call() is refused, what the message says, and that net is as it was."""
    before = net.flat_params.tobytes()
    with pytest.raises(kinds) as caught:
        call()
    # Not a subclass such as UnicodeError, LinAlgError or a broadcasting error from below.
    assert caught.type in (TypeError, ValueError), caught.type
    message = str(caught.value)
    assert re.search(rf"(?<![\w.]){re.escape(argument)}(?!\w)", message), message
    for fragment in fragments:
        assert fragment in message, f"{fragment!r} not in {message!r}"
    assert net.flat_params.tobytes() == before


def changed(values, index, value):
    values = values.astype(np.result_type(values, type(value)))
    values[index] = value
    return values


METHODS = {
    "forward": lambda net, x: net.forward(x=x),
    "predict": lambda net, x: net.predict(x=x),
    "loss": lambda net, x: net.loss(x=x, y=Y),
    "train_step": lambda net, x: net.train_step(x=x, y=Y, optimizer=crnn.SGD(0.1)),
    "fit": lambda net, x: net.fit(x, Y, epochs=1),
    "forecast": lambda net, x: net.forecast(x, steps=2),
}

# What comes, the error, and what the message says of what was expected and what came.
BAD_X = {
    "no axis": (np.float64(1.0), ValueError, "()"),
    "one axis": (X[0, 0], ValueError, "(3,)"),
    "four axes": (X[np.newaxis], ValueError, "(1, 4, 6, 3)"),
    "one feature too many": (np.concatenate([X, X[..., :1]], axis=-1), ValueError, "3", "4"),
    "one feature, not broadcast": (X[..., :1], ValueError, "3", "1"),
    "no features": (X[..., :0], ValueError, "3", "0"),
    "no steps": (X[:, :0], ValueError, "(4, 0, 3)"),
    "no sequences": (X[:0], ValueError, "(0, 6, 3)"),
    "one sequence without steps": (X[0, :0], ValueError, "(0, 3)"),
    "nothing": (None, TypeError, "None"),
    "object": (X.astype(object), TypeError, "object"),
    "complex": (X.astype(complex), TypeError, "complex128"),
    "text": (X.astype(str), TypeError, "<U"),
    "bytes": (X.astype("S8"), TypeError, "S8"),
    "one string": ("sunspots", TypeError, "<U8"),
    "date": (np.zeros((B, T, I), "datetime64[D]"), TypeError, "datetime64"),
    "time difference": (np.zeros((B, T, I), "timedelta64[s]"), TypeError, "timedelta64"),
    "record": (np.zeros((B, T, I), [("a", "f8")]), TypeError, "a"),
    "ragged": ([[[1.0, 2.0, 3.0]], [[1.0, 2.0]]], (TypeError, ValueError)),
    "dictionary": ({"x": 1}, TypeError),
    "nan": (changed(X, (1, 2, 0), np.nan), ValueError, "finite", "nan"),
    "infinity": (changed(X, (3, 5, 2), np.inf), ValueError, "finite", "inf"),
    "minus infinity": (changed(X, (0, 0, 0), -np.inf), ValueError, "finite", "-inf"),
    "nan in float16": (changed(X, (1, 2, 0), np.nan).astype("f2"), ValueError, "finite", "nan"),
    "nan in float32": (changed(X, (1, 2, 0), np.nan).astype("f4"), ValueError, "finite", "nan"),
    "inexact integer": (
        np.full((B, T, I), 2**53 + 1),
        ValueError,
        "float64",
        "9007199254740993",
    ),
    "large unsigned integer": (
        np.full((B, T, I), 2**64 - 1, np.uint64),
        ValueError,
        "float64",
        "18446744073709551615",
    ),
    "masked": (np.ma.masked_greater(X, 0.5), (TypeError, ValueError), "mask"),
}
if np.dtype(np.longdouble).itemsize > 8:
    BAD_X["long double"] = (X.astype(np.longdouble), TypeError, np.dtype(np.longdouble).name)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", BAD_X)
def test_bad_x(net, method, case):
    x, kinds, *fragments = BAD_X[case]
    refuse(net, lambda: METHODS[method](net, x), kinds, "x", *fragments)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        # The largest float32 is 3.4e38.
        pytest.param(1e39, "1e+39", id="too large"),
        pytest.param(-1.7e308, "-1.7e+308", id="far too large"),
        # Of the integers above 2**24, float32 has the even ones only.
        pytest.param(2**24 + 1, "16777217", id="inexact integer"),
    ],
)
def test_x_beyond_float32(narrow_net, method, value, shown):
    if isinstance(value, int):
        x = np.full((B, T, I), 1)
        x[1, 2, 0] = value
    else:
        x = changed(X, (1, 2, 0), value)
    refuse(narrow_net, lambda: METHODS[method](narrow_net, x), ValueError, "x", "float32", shown)


@pytest.mark.parametrize("method", METHODS)
def test_float64_just_beyond_float32_is_refused_and_just_within_is_not(narrow_net, method):
    largest = float(np.finfo(np.float32).max)
    # Half a unit in the last place more (2**104 there) rounds up, to infinity.
    beyond = largest + 2.0**103
    with np.errstate(over="ignore"):
        assert np.isinf(np.float32(beyond))
    x = changed(X, (1, 2, 0), beyond)
    refuse(narrow_net, lambda: METHODS[method](narrow_net, x), ValueError, "x", "float32")
    narrow_net.predict(x=changed(X, (1, 2, 0), largest))


TRAINERS = {
    "loss": lambda net, y, **options: net.loss(x=X, y=y, **options),
    "train_step": lambda net, y, **options: net.train_step(
        x=X, y=y, optimizer=crnn.SGD(0.1), **options
    ),
    "fit": lambda net, y, **options: net.fit(X, y, epochs=1, **options),
}

BAD_Y = {
    "another batch": (Y[:3], ValueError, OUTPUTS_SHAPE, "(3, 6, 3)"),
    "batch of one, not broadcast": (Y[:1], ValueError, OUTPUTS_SHAPE, "(1, 6, 3)"),
    "another number of steps": (Y[:, :5], ValueError, OUTPUTS_SHAPE, "(4, 5, 3)"),
    "one step, not broadcast": (Y[:, :1], ValueError, OUTPUTS_SHAPE, "(4, 1, 3)"),
    "one output, not broadcast": (Y[..., :1], ValueError, OUTPUTS_SHAPE, "(4, 6, 1)"),
    "no outputs axis": (Y[..., 0], ValueError, OUTPUTS_SHAPE, "(4, 6)"),
    "one sequence": (Y[0], ValueError, OUTPUTS_SHAPE, "(6, 3)"),
    "number": (1.0, ValueError, OUTPUTS_SHAPE, "()"),
    "no sequences": (Y[:0], ValueError, OUTPUTS_SHAPE, "(0, 6, 3)"),
    "nothing": (None, TypeError, "None"),
    "object": (Y.astype(object), TypeError, "object"),
    "complex": (Y.astype(complex), TypeError, "complex128"),
    "text": (Y.astype(str), TypeError, "<U"),
    "nan": (changed(Y, (1, 2, 0), np.nan), ValueError, "finite", "nan"),
    "infinity": (changed(Y, (3, 5, 2), np.inf), ValueError, "finite", "inf"),
    "minus infinity": (changed(Y, (0, 0, 0), -np.inf), ValueError, "finite", "-inf"),
    "inexact integer": (np.full((B, T, O), 2**53 + 1), ValueError, "9007199254740993"),
    "masked": (np.ma.masked_greater(Y, 0.5), (TypeError, ValueError), "mask"),
}


@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("loss", ["mse", "sse"])
@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(net, method, loss, case):
    y, kinds, *fragments = BAD_Y[case]
    refuse(net, lambda: TRAINERS[method](net, y, loss=loss), kinds, "y", *fragments)


@pytest.mark.parametrize("method", TRAINERS)
def test_y_beyond_float32(narrow_net, method):
    y = changed(Y, (1, 2, 0), 1e39)
    refuse(narrow_net, lambda: TRAINERS[method](narrow_net, y), ValueError, "y", "float32", "1e+39")


BAD_CLASSES = {
    "negative": (changed(CLASSES, (1, 2), -1), ValueError, "-1"),
    "too large": (changed(CLASSES, (1, 2), O), ValueError, "3"),
    "too large for an index": (np.full((B, T), 2**64 - 1, np.uint64), ValueError, str(2**64 - 1)),
    "floats": (CLASSES.astype(float), TypeError, "float64"),
    "booleans": (CLASSES.astype(bool), TypeError, "bool"),
    "text": (CLASSES.astype(str), TypeError, "<U"),
    "object": (CLASSES.astype(object), TypeError, "object"),
    "one-hot": (np.eye(O, dtype=int)[CLASSES], ValueError, CLASSES_SHAPE, "(4, 6, 3)"),
    "another batch": (CLASSES[:3], ValueError, CLASSES_SHAPE, "(3, 6)"),
    "batch of one, not broadcast": (CLASSES[:1], ValueError, CLASSES_SHAPE, "(1, 6)"),
    "one step, not broadcast": (CLASSES[:, :1], ValueError, CLASSES_SHAPE, "(4, 1)"),
    "masked": (np.ma.masked_equal(CLASSES, 1), (TypeError, ValueError), "mask"),
    "nothing": (None, TypeError, "None"),
}


@pytest.mark.parametrize("method", TRAINERS)
@pytest.mark.parametrize("case", BAD_CLASSES)
def test_bad_classes(net, method, case):
    y, kinds, *fragments = BAD_CLASSES[case]
    refuse(net, lambda: TRAINERS[method](net, y, loss="cross_entropy"), kinds, "y", *fragments)


BAD_H0 = {
    "another batch": (H0[:3], ValueError, STATE_SHAPE, "(3, 5)"),
    "batch of one, not broadcast": (H0[:1], ValueError, STATE_SHAPE, "(1, 5)"),
    "one state, not broadcast": (H0[0], ValueError, STATE_SHAPE, "(5,)"),
    "another size": (H0[:, :4], ValueError, STATE_SHAPE, "(4, 4)"),
    "one unit, not broadcast": (H0[:, :1], ValueError, STATE_SHAPE, "(4, 1)"),
    "number": (0.0, ValueError, STATE_SHAPE, "()"),
    "transposed": (H0.T, ValueError, STATE_SHAPE, "(5, 4)"),
    "layers axis": (H0[np.newaxis], ValueError, STATE_SHAPE, "(1, 4, 5)"),
    "object": (H0.astype(object), TypeError, "object"),
    "complex": (H0.astype(complex), TypeError, "complex128"),
    "text": (H0.astype(str), TypeError, "<U"),
    "nan": (changed(H0, (1, 2), np.nan), ValueError, "finite", "nan"),
    "infinity": (changed(H0, (1, 2), np.inf), ValueError, "finite", "inf"),
}


@pytest.mark.parametrize("method", ["forward", "predict"])
@pytest.mark.parametrize("case", BAD_H0)
def test_bad_h0(net, method, case):
    h0, kinds, *fragments = BAD_H0[case]
    refuse(net, lambda: getattr(net, method)(x=X, h0=h0), kinds, "h0", *fragments)


@pytest.mark.parametrize("method", ["forward", "predict"])
def test_bad_h0_of_one_sequence(net, method):
    call = getattr(net, method)
    refuse(net, lambda: call(x=X[0], h0=H0[:1]), ValueError, "h0", "(hidden=5,)", "(1, 5)")
    refuse(net, lambda: call(x=X[0], h0=H0[0, :4]), ValueError, "h0", "(hidden=5,)", "(4,)")


@pytest.mark.parametrize("method", ["forward", "predict"])
def test_h0_beyond_float32(narrow_net, method):
    h0 = changed(H0, (1, 2), 1e39)
    call = getattr(narrow_net, method)
    refuse(narrow_net, lambda: call(x=X, h0=h0), ValueError, "h0", "float32", "1e+39")


BAD_DY = {
    "another batch": (Y[:3], ValueError, OUTPUTS_SHAPE, "(3, 6, 3)"),
    "batch of one, not broadcast": (Y[:1], ValueError, OUTPUTS_SHAPE, "(1, 6, 3)"),
    "another number of steps": (Y[:, :5], ValueError, OUTPUTS_SHAPE, "(4, 5, 3)"),
    "one output, not broadcast": (Y[..., :1], ValueError, OUTPUTS_SHAPE, "(4, 6, 1)"),
    "one sequence": (Y[0], ValueError, OUTPUTS_SHAPE, "(6, 3)"),
    "number": (1.0, ValueError, OUTPUTS_SHAPE, "()"),
    "nothing": (None, TypeError, "None"),
    "object": (Y.astype(object), TypeError, "object"),
    "complex": (Y.astype(complex), TypeError, "complex128"),
    "text": (Y.astype(str), TypeError, "<U"),
}


@pytest.mark.parametrize("case", BAD_DY)
def test_bad_dy(net, case):
    dy, kinds, *fragments = BAD_DY[case]
    tape = net.forward(x=X)
    refuse(net, lambda: net.backward(tape=tape, dy=dy), kinds, "dy", *fragments)


@pytest.mark.parametrize("case", [case for case in BAD_H0 if case not in ("nan", "infinity")])
def test_bad_dh_n(net, case):
    dh_n, kinds, *fragments = BAD_H0[case]
    tape = net.forward(x=X)
    refuse(net, lambda: net.backward(tape=tape, dy=Y, dh_n=dh_n), kinds, "dh_n", *fragments)


def test_bad_tape(net, build_network):
    refuse(net, lambda: net.backward(tape=None, dy=Y), TypeError, "tape", "None")
    other = build_network(input_size=I, hidden_size=H + 2, output_size=O)
    refuse(
        net, lambda: net.backward(tape=other.forward(x=X), dy=Y), (TypeError, ValueError), "tape"
    )


BAD_OPTIONS = {
    "unknown loss": ({"loss": "mae"}, "loss", "mse", "sse", "cross_entropy", "mae"),
    "loss of another type": ({"loss": 2}, "loss", "mse", "2"),
    "no loss": ({"loss": None}, "loss", "mse", "None"),
    "negative clip_norm": ({"clip_norm": -1.0}, "clip_norm", "-1.0"),
    "nan clip_norm": ({"clip_norm": np.nan}, "clip_norm", "nan"),
    "text clip_norm": ({"clip_norm": "1"}, "clip_norm", "'1'"),
    "negative clip_value": ({"clip_value": -0.5}, "clip_value", "-0.5"),
    "nan clip_value": ({"clip_value": np.nan}, "clip_value", "nan"),
    "text clip_value": ({"clip_value": "1"}, "clip_value", "'1'"),
    "both clips": ({"clip_norm": 1.0, "clip_value": 1.0}, "clip_norm", "clip_value"),
    "optimizer by name": ({"optimizer": "sgd"}, "optimizer", "SGD", "str"),
    "optimizer class": ({"optimizer": crnn.SGD}, "optimizer", "SGD", "type"),
    "learning rate as optimizer": ({"optimizer": 0.1}, "optimizer", "SGD", "float"),
}
BAD_FIT_OPTIONS = {
    "no epochs": ({"epochs": 0}, "epochs", "0"),
    "negative epochs": ({"epochs": -1}, "epochs", "-1"),
    "fraction of epochs": ({"epochs": 1.5}, "epochs", "1.5"),
    "text epochs": ({"epochs": "3"}, "epochs", "'3'"),
    "true epochs": ({"epochs": True}, "epochs", "True"),
    "no batch": ({"batch_size": 0}, "batch_size", "0"),
    "negative batch": ({"batch_size": -2}, "batch_size", "-2"),
    "fraction of a batch": ({"batch_size": 2.5}, "batch_size", "2.5"),
    "negative seed": ({"seed": -1}, "seed", "-1"),
    "text seed": ({"seed": "zero"}, "seed", "zero"),
    "validation without y": ({"validation_data": X}, "validation_data"),
    "validation with three": ({"validation_data": (X, Y, Y)}, "validation_data"),
    "validation of a number": ({"validation_data": 3}, "validation_data", "pair", "int"),
    "validation features": ({"validation_data": (X[..., :2], Y)}, "validation_data", "2"),
    "validation y": ({"validation_data": (X, Y[:1])}, "validation_data", "(1, 6, 3)"),
    "validation nan": ({"validation_data": (X, Y * np.nan)}, "validation_data", "nan"),
    "validation text": ({"validation_data": (X.astype(str), Y)}, "validation_data", "<U"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_option_of_a_training_step(net, case):
    options, *fragments = BAD_OPTIONS[case]
    options = {"optimizer": crnn.SGD(0.1)} | options
    refuse(
        net,
        lambda: net.train_step(x=X, y=Y, **options),
        (TypeError, ValueError),
        *fragments,
    )


@pytest.mark.parametrize("case", BAD_OPTIONS | BAD_FIT_OPTIONS)
def test_bad_option_of_fit(net, case):
    options, *fragments = (BAD_OPTIONS | BAD_FIT_OPTIONS)[case]
    options = {"epochs": 2} | options
    refuse(net, lambda: net.fit(X, Y, **options), (TypeError, ValueError), *fragments)


@pytest.mark.parametrize("case", ["unknown loss", "loss of another type", "no loss"])
def test_bad_option_of_loss(net, case):
    options, *fragments = BAD_OPTIONS[case]
    refuse(net, lambda: net.loss(x=X, y=Y, **options), (TypeError, ValueError), *fragments)


def test_training_step_without_optimizer(net):
    refuse(
        net,
        lambda: net.train_step(x=X, y=Y, optimizer=None),
        (TypeError, ValueError),
        "optimizer",
        "None",
    )


@pytest.mark.parametrize(
    ("steps", "shown"), [(0, "0"), (-1, "-1"), (2.5, "2.5"), ("2", "'2'"), (None, "None")]
)
def test_bad_steps_of_a_forecast(net, steps, shown):
    refuse(net, lambda: net.forecast(X, steps=steps), (TypeError, ValueError), "steps", shown)


def test_forecast_needs_outputs_like_inputs(build_network):
    net = build_network(input_size=3, hidden_size=5, output_size=2)
    refuse(net, lambda: net.forecast(X, steps=2), ValueError, "forecast", "2 outputs", "3 inputs")
    hidden = build_network(input_size=3, hidden_size=5, output_size=None)
    refuse(
        hidden, lambda: hidden.forecast(X, steps=2), ValueError, "forecast", "5 outputs", "3 inputs"
    )


@pytest.mark.parametrize(
    ("options", "kinds", "fragments"),
    [
        ({"lr": -0.1}, ValueError, ["lr", "-0.1"]),
        ({"lr": np.nan}, ValueError, ["lr", "nan"]),
        ({"lr": np.inf}, ValueError, ["lr", "inf"]),
        ({"lr": -np.inf}, ValueError, ["lr", "-inf"]),
        ({"lr": "0.1"}, TypeError, ["lr", "'0.1'"]),
        ({"lr": None}, TypeError, ["lr", "None"]),
        ({"lr": 0.1j}, TypeError, ["lr", "0.1j"]),
        ({"lr": [0.1]}, TypeError, ["lr", "0.1"]),
        ({"lr": 0.1, "momentum": -0.5}, ValueError, ["momentum", "-0.5"]),
        ({"lr": 0.1, "momentum": np.nan}, ValueError, ["momentum", "nan"]),
        ({"lr": 0.1, "momentum": np.inf}, ValueError, ["momentum", "inf"]),
        ({"lr": 0.1, "momentum": "0.5"}, TypeError, ["momentum", "'0.5'"]),
        ({"lr": 0.1, "nesterov": True}, ValueError, ["nesterov", "momentum"]),
        ({"lr": 0.1, "momentum": 0.9, "nesterov": "no"}, TypeError, ["nesterov", "'no'"]),
    ],
)
def test_bad_optimizer_options(net, options, kinds, fragments):
    refuse(net, lambda: crnn.SGD(**options), kinds, *fragments)


@pytest.mark.parametrize(
    ("options", "kinds", "fragments"),
    [
        ({"input_size": 0}, ValueError, ["input_size", "0"]),
        ({"input_size": -3}, ValueError, ["input_size", "-3"]),
        ({"hidden_size": 0}, ValueError, ["hidden_size", "0"]),
        ({"hidden_size": 2.5}, TypeError, ["hidden_size", "2.5"]),
        ({"hidden_size": 2.0}, TypeError, ["hidden_size", "2.0"]),
        ({"hidden_size": "5"}, TypeError, ["hidden_size", "'5'"]),
        ({"hidden_size": True}, TypeError, ["hidden_size", "True"]),
        ({"hidden_size": None}, TypeError, ["hidden_size", "None"]),
        ({"output_size": 0}, ValueError, ["output_size", "0"]),
        ({"output_size": -1}, ValueError, ["output_size", "-1"]),
        ({"dtype": "float16"}, (TypeError, ValueError), ["dtype", "float32", "float64", "float16"]),
        ({"dtype": "int32"}, (TypeError, ValueError), ["dtype", "float32", "float64", "int32"]),
        ({"dtype": "float"}, None, []),
        ({"dtype": "flaot"}, (TypeError, ValueError), ["dtype", "float32", "float64", "flaot"]),
        ({"dtype": ">f4"}, (TypeError, ValueError), ["dtype", ">f4"]),
        ({"dtype": None}, (TypeError, ValueError), ["dtype", "float32", "None"]),
        ({"init": "glorot"}, ValueError, ["init", "orthogonal", "uniform", "glorot"]),
        ({"init": None}, (TypeError, ValueError), ["init", "orthogonal", "None"]),
        ({"seed": -1}, (TypeError, ValueError), ["seed", "-1"]),
        ({"seed": "zero"}, (TypeError, ValueError), ["seed", "zero"]),
        ({"seed": 1.5}, (TypeError, ValueError), ["seed", "1.5"]),
    ],
)
def test_bad_network_options(net, implementation, options, kinds, fragments):
    good = {"input_size": I, "hidden_size": H, "output_size": O, "implementation": implementation}
    if kinds is None:
        crnn.RNN(**(good | options))
    else:
        refuse(net, lambda: crnn.RNN(**(good | options)), kinds, *fragments)


def test_unknown_implementation(net):
    refuse(
        net,
        lambda: crnn.RNN(I, H, O, implementation="fortran"),
        ValueError,
        "implementation",
        "native",
        "python",
        "fortran",
    )


def test_optimizer_of_another_network(net, build_network):
    other, optimizer = build_network(input_size=I, output_size=O, seed=2), crnn.SGD(0.1)
    other.train_step(x=X, y=Y, optimizer=optimizer)
    for call in (
        lambda: net.train_step(x=X, y=Y, optimizer=optimizer),
        lambda: net.fit(X, Y, epochs=1, optimizer=optimizer),
    ):
        before = other.flat_params.tobytes()
        refuse(net, call, ValueError, "optimizer")
        assert other.flat_params.tobytes() == before


def test_refused_training_leaves_the_optimizer_alone(net, build_network):
    x = changed(X, (1, 2, 0), np.nan)
    optimizer, twin_optimizer = (crnn.SGD(0.1, momentum=0.9) for _ in range(2))
    twin = build_network(input_size=I, hidden_size=H, output_size=O, seed=1)
    net.train_step(x=X, y=Y, optimizer=optimizer)
    refuse(net, lambda: net.train_step(x=x, y=Y, optimizer=optimizer), ValueError, "x")
    net.train_step(x=X, y=Y, optimizer=optimizer)
    twin.train_step(x=X, y=Y, optimizer=twin_optimizer)
    twin.train_step(x=X, y=Y, optimizer=twin_optimizer)
    assert net.flat_params.tobytes() == twin.flat_params.tobytes()


@pytest.mark.usefixtures("both_kernels")
def test_the_same_refusals_in_both():
    """Messages are those of the network, whichever kernels it uses."""
    messages = []
    for name in ("native", "python"):
        net = crnn.RNN(I, H, O, dtype="float64", seed=0, implementation=name)
        said = []
        for x, *_ in BAD_X.values():
            with pytest.raises((TypeError, ValueError)) as caught:
                net.forward(x=x)
            said.append((caught.type, str(caught.value)))
        for y, *_ in BAD_CLASSES.values():
            with pytest.raises((TypeError, ValueError)) as caught:
                net.loss(x=X, y=y, loss="cross_entropy")
            said.append((caught.type, str(caught.value)))
        messages.append(said)
    assert messages[0] == messages[1]


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def every_other(values):
    large = np.full([2 * size for size in values.shape], np.nan)
    view = large[tuple(slice(None, None, 2) for _ in values.shape)]
    view[...] = values
    return view


def backwards(values):
    index = tuple(slice(None, None, -1) for _ in values.shape)
    return values[index].copy()[index]


def unaligned(values):
    buffer = np.zeros(values.nbytes + 1, np.uint8)
    view = buffer[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    assert not view.flags.aligned
    return view


def memory_mapped(values, folder):
    path = folder / "values.npy"
    np.save(path, values)
    return np.load(path, mmap_mode="r")


UNUSUAL = {
    "read-only": read_only,
    "every other": every_other,
    "backwards": backwards,
    "Fortran order": np.asfortranarray,
    "byte-swapped": lambda values: values.astype(values.dtype.newbyteorder()),
    "unaligned": unaligned,
    "list": lambda values: values.tolist(),
    "masked array without a mask": lambda values: np.ma.array(values),
    "masked array with no entry masked": lambda values: np.ma.array(values, mask=False),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [*UNUSUAL, "memory-mapped"])
def test_unusual_arrays_work(build_network, tmp_path, dtype, case):
    def make(values):
        if case == "memory-mapped":
            return memory_mapped(values, tmp_path)
        return UNUSUAL[case](values)

    def results(convert):
        net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype, seed=1)
        x, h0, y = (convert(values.astype(dtype)) for values in (X, H0, Y))
        tape = net.forward(x=x, h0=h0)
        grads = net.backward(tape=tape, dy=y, dh_n=h0)
        net.train_step(x=x, y=y, optimizer=crnn.SGD(0.1))
        net.fit(x, y, epochs=2, batch_size=3, seed=0, validation_data=(x, y))
        arrays = [tape.y, tape.h, grads.flat, grads.x, grads.h0, net.flat_params]
        arrays += [net.predict(x=x, h0=h0), net.forecast(x, steps=3)]
        return [*arrays, np.array([net.loss(x=x, y=y)])]

    if case == "memory-mapped":
        # One file serves one array at a time.
        paths = iter(range(3))

        def make(values):
            folder = tmp_path / str(next(paths))
            folder.mkdir()
            return memory_mapped(values, folder)

    for actual, expected in zip(results(make), results(np.array), strict=True):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(
            actual,
            expected,
            # Equal up to rounding, for strides may decide which of two equal ways is taken.
            rtol=1e-4 if dtype == "float32" else 1e-11,
            atol=1e-6 if dtype == "float32" else 1e-14,
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["bool", "int8", "uint8", "int64", "uint64", "float16"])
def test_exact_numbers_of_other_types_work(build_network, dtype, given):
    net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype, seed=1)
    x = np.random.default_rng(2).integers(2, size=(B, T, I))
    expected = net.forward(x=x.astype(dtype))
    tape = net.forward(x=x.astype(given))
    assert tape.y.dtype == dtype
    assert np.array_equal(tape.y, expected.y)
    assert net.loss(x=x.astype(given), y=x.astype(given)) == net.loss(
        x=x.astype(dtype), y=x.astype(dtype)
    )


def test_largest_exact_integers_work(net, narrow_net):
    for network, largest in ((net, 2**53), (narrow_net, 2**24)):
        x = np.full((B, T, I), largest)
        expected = network.predict(x=x.astype(network.dtype))
        assert np.array_equal(network.predict(x=x), expected)
        assert np.array_equal(network.predict(x=-x), network.predict(x=-x.astype(network.dtype)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_of_either_width_convert(build_network, dtype):
    net = build_network(input_size=I, hidden_size=H, output_size=O, dtype=dtype, seed=1)
    for other in ("float16", "float32", "float64"):
        x, h0 = X.astype(other), H0.astype(other)
        tape = net.forward(x=x, h0=h0)
        expected = net.forward(x=x.astype(dtype), h0=h0.astype(dtype))
        assert tape.y.dtype == tape.h.dtype == dtype
        assert np.array_equal(tape.y, expected.y)
        grads = net.backward(tape=tape, dy=Y.astype(other))
        assert grads.flat.dtype == grads.x.dtype == dtype
    # Numbers too small for float32 become zero without a warning: that is no overflow.
    assert np.array_equal(net.predict(x=X * 0.0), net.predict(x=np.full(X.shape, 1e-320)))


def test_unexpected_keyword(net):
    with pytest.raises(TypeError, match="learning_rate"):
        net.fit(X, Y, epochs=1, learning_rate=0.1)
    with pytest.raises(TypeError, match="batch_first"):
        crnn.RNN(I, H, O, batch_first=True)
