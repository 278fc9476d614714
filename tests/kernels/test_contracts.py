"""What the kernels accept and refuse, alike in both implementations: type and sentence.

A refused call writes nothing.
"""

import inspect
import re

import numpy as np
import pytest
from kernel_problems import DTYPES, Problem

from crnn.kernels import cells

# Arguments in order. Of the arrays, ! is written, ? may be None, and those with ~ may have gaps
# between their rows.
SIGNATURES = {
    "rnn_forward": "cell x?~ W_xh W_hh b_h h!~ gates!~ lengths? reverse resets? start? workspace!",
    "rnn_backward": "cell x?~ h~ gates~ W_xh W_hh b_h dh?~ da! dstate! dW_xh! dW_hh! db_h! "
    "dx!?~ lengths? reverse resets? start? dstart!? workspace!",
    "output_forward": "h~ W_hy b_y y!~ lengths? workspace!",
    "output_backward": "h~ W_hy dy dW_hy! db_y! dh!~ lengths? workspace!",
    "rnn_gradient": "cell x~ y theta dtheta! hidden_size output_size loss max_norm max_value "
    "workspace!",
    "rnn_train": "cell x y rows batch_size theta! hidden_size output_size loss max_norm max_value "
    "optimizer memory settings constraints steps! rates losses! norms! workspace!",
    "rnn_predict": "cell x~ h0? theta hidden_size output_size y!~ h_n!? lengths? reverse "
    "resets? start? workspace!",
    "stream_parameters": "cell theta input_size hidden_size output_size batch",
    "stream_step": "cell parameters x h h_next! y! output_size workspace!",
    "mse": "y_hat y weights? dy!?",
    "sse": "y_hat y weights? dy!?",
    "cross_entropy": "y_hat y weights? dy!?",
    "binary_cross_entropy": "y_hat y weights? dy!?",
    "huber": "y_hat y weights? delta dy!?",
    "all_finite": "values",
    "global_norm": "values",
    "clip_norm": "values! max_norm",
    "clip_value": "values! limit",
    "sgd_step": "theta! dtheta velocity!? lr momentum nesterov weight_decay steps!? constraints",
    "rmsprop_step": "theta! dtheta square! velocity!? lr alpha eps momentum weight_decay steps!? "
    "constraints",
    "adam_step": "theta! dtheta mean! square! step lr beta1 beta2 eps weight_decay decoupled "
    "steps!? constraints",
    "constrain": "values! constraints",
    "layer_workspace_size": "cell T B I H dtype",
    "output_workspace_size": "T B H O dtype",
    "gradient_workspace_size": "cell T B I H O dtype",
    "train_workspace_size": "cell T B I H O dtype",
    "predict_workspace_size": "cell T B I H O dtype",
    "stream_workspace_size": "cell B I H O dtype",
    "is_kernel_ready": "array like shape",
    "set_num_threads": "n",
    "get_num_threads": "",
    "use_openmp": "addresses",
}
ARGUMENTS = {
    kernel: {word.rstrip("!?~"): word for word in words.split()}
    for kernel, words in SIGNATURES.items()
}
# Arrays that fix sizes or dtype of others: where these are spoilt, others do not fit.
MEASURES = {"x", "h", "y_hat", "theta", "W_hy", "values", "rows"}


@pytest.mark.parametrize("kernel", SIGNATURES)
def test_signature(kernels, kernel):
    parameters = inspect.signature(getattr(kernels, kernel)).parameters.values()
    assert [p.name for p in parameters] == list(ARGUMENTS[kernel])
    assert all(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def test_the_table_of_cells():
    assert {name: tuple(cell) for name, cell in cells.CELLS.items()} == {
        "tanh": ("tanh", 1, 1, 1, 1, 0, 0, 0),
        "relu": ("relu", 1, 1, 1, 1, 0, 0, 0),
        "gru": ("gru", 3, 4, 4, 1, 4, 0, 0),
        "gru_reset_before": ("gru_reset_before", 3, 3, 3, 1, 4, 0, 0),
        "lstm": ("lstm", 4, 4, 4, 2, 4, 0, 0),
        "leaky_tanh": ("leaky_tanh", 1, 1, 1, 1, 1, 0, 1),
        "leaky_tanh_trained": ("leaky_tanh", 1, 1, 2, 1, 1, 0, 1),
        "leaky_tanh_each": ("leaky_tanh", 1, 1, 1, 1, 1, 1, 0),
        "leaky_tanh_each_trained": ("leaky_tanh", 1, 1, 2, 1, 1, 1, 0),
        "leaky_relu": ("leaky_relu", 1, 1, 1, 1, 1, 0, 1),
        "leaky_relu_trained": ("leaky_relu", 1, 1, 2, 1, 1, 0, 1),
        "leaky_relu_each": ("leaky_relu", 1, 1, 1, 1, 1, 1, 0),
        "leaky_relu_each_trained": ("leaky_relu", 1, 1, 2, 1, 1, 1, 0),
    }


# The calls to be spoilt: every kernel of arrays, and those that go another way without an output
# layer or with classes. An LSTM has all arrays, of different numbers of blocks.
VARIANTS = {
    "rnn_gradient": [("mse", 4), ("sse", 0), ("cross_entropy", 4), ("cross_entropy", 0)],
    "rnn_train": [("mse", 4), ("sse", 0), ("cross_entropy", 4)],
    "rnn_predict": [("mse", 4), ("mse", 0)],
    "stream_parameters": [("mse", 4), ("mse", 0)],
    "stream_step": [("mse", 4), ("mse", 0)],
    "cross_entropy": [("cross_entropy", 4)],
}
NO_ARRAYS = ("is_kernel_ready", "set_num_threads", "get_num_threads", "use_openmp")
CALLS = [
    (kernel, loss, O)
    for kernel in SIGNATURES
    if kernel not in NO_ARRAYS and not kernel.endswith("_workspace_size")
    for loss, O in VARIANTS.get(kernel, [("mse", 4)])
]


def calls_with(*names):
    """Parametrize over the calls that have one of these arguments, and over those."""
    cases = [(call, name) for call in CALLS for name in names if name in ARGUMENTS[call[0]]]
    ids = [f"{name} of {_name_of(call)}" for call, name in cases]
    return pytest.mark.parametrize(("call", "name"), cases, ids=ids)


def _name_of(call):
    kernel, loss, O = call
    return f"{kernel}, {loss}, O={O}" if kernel in VARIANTS else kernel


calls = pytest.mark.parametrize("call", CALLS, ids=_name_of)


def workspace_size(kernels, kernel, O, dtype="float64"):
    T, B, I, H = 3, 5, 2, 7
    if kernel.startswith("output"):
        return kernels.output_workspace_size(T, B, H, O, dtype)
    if kernel == "stream_step":
        return kernels.stream_workspace_size("lstm", B, I, H, O, dtype)
    if kernel in ("rnn_gradient", "rnn_predict"):
        size_of = getattr(kernels, kernel.removeprefix("rnn_") + "_workspace_size")
        return size_of("lstm", T, B, I, H, O, dtype)
    if kernel == "rnn_train":
        return kernels.train_workspace_size("lstm", T, 2, I, H, O, dtype)
    return kernels.layer_workspace_size("lstm", T, B, I, H, dtype)


def good_arguments(kernels, call, dtype="float64"):
    """Arguments that the kernel accepts, by name."""
    kernel, loss, O = call
    p = Problem("lstm", dtype, T=3, B=5, I=2, H=7, O=O, loss=loss)
    rng = np.random.default_rng(0)
    h = p.h0
    arrays = p.params | {
        "x": p.x,
        "y": p.y,
        "h": rng.standard_normal((5, 4, 14)).astype(dtype),
        "gates": rng.standard_normal((5, 3, 28)).astype(dtype),
        "h0": p.h0,
        "h_n": h.copy(),
        "theta": p.theta,
        "dtheta": p.theta.copy(),
        "dy": p.dy,
        "dh": p.dh,
        "da": rng.standard_normal((5, 3, 28)).astype(dtype),
        "dx": p.x.copy(),
        "dstate": p.dstate,
        "lengths": np.array([2, 0, 3, 1, 3], np.intp),
        "resets": rng.random((5, 3)) < 0.3,
        "start": h[0].copy(),
        "dstart": np.zeros_like(h),
        "y_hat": rng.standard_normal((5, 3, p.outputs)).astype(dtype),
        "weights": rng.uniform(0.5, 1, (5, 3)),
        "rows": np.array([3, 0, 1, 4, 0, 2], np.intp),
        "steps": np.array([2], np.intp),
        "rates": np.array([0.1, 0.2, 0.3]),
        "losses": np.full(3, np.nan),
        "norms": np.full(3, np.nan),
        # A little more than any needs, for NumPy needs none and an empty array has no strides.
        "workspace": np.full(20_000, 0.25, dtype),
    }
    arrays |= {"d" + name: values.copy() for name, values in p.before.items()}
    if kernel.startswith("output"):
        arrays["h"] = rng.standard_normal((5, 3, 7)).astype(dtype)
    if kernel == "stream_step":
        arrays["parameters"] = kernels.stream_parameters("lstm", p.theta, 2, 7, O, 5)
        arrays |= {"x": p.x[:, 0].copy(), "h": h, "h_next": h.copy(), "y": p.dy[:, 0].copy()}
    if kernel.endswith("_step") and kernel != "stream_step":
        arrays |= dict(
            zip(("theta", "dtheta", "velocity", "mean"), p.dy[:4, 0].copy(), strict=True)
        )
        arrays["square"] = arrays["mean"] ** 2
    arrays["values"] = p.dy[0, 0].copy()
    numbers = {"cell": "lstm", "loss": loss, "max_norm": 1.0, "max_value": 0.5, "limit": 1.0}
    numbers |= {"batch": 5, "input_size": 2, "hidden_size": 7, "output_size": O, "delta": 1.0}
    numbers["reverse"] = False
    numbers |= {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.01, "alpha": 0.9}
    numbers |= {"eps": 1e-8, "step": 3, "beta1": 0.9, "beta2": 0.99, "decoupled": True}
    numbers |= {"batch_size": 2, "optimizer": "sgd_step", "constraints": None}
    numbers["memory"] = {"velocity": p.theta / 2}
    numbers["settings"] = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    return {name: (arrays | numbers)[name] for name in ARGUMENTS[kernel]}


def arrays_of(arguments):
    return {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}


def refusal(all_kernels, call, changes):
    """Type and sentence of what all implementations raise where the call is changed like this."""
    said = []
    for kernels in all_kernels:
        arguments = good_arguments(kernels, call)
        for name, change in changes.items():
            arguments[name] = change(arguments[name]) if callable(change) else change
        before = {name: array.tobytes() for name, array in arrays_of(arguments).items()}
        with pytest.raises((TypeError, ValueError)) as caught:
            getattr(kernels, call[0])(**arguments)
        said.append((caught.type, str(caught.value)))
        after = {name: array.tobytes() for name, array in arrays_of(arguments).items()}
        assert after == before, f"written in spite of: {caught.value}"
    if "parameters" in changes:
        # Each implementation packs them in its own way.
        said = [(kind, re.sub(r"got .*\d.*", "got another size", text)) for kind, text in said]
    assert all(words == said[0] for words in said)
    return said[0]


def off_by_a_byte(array):
    whole = np.zeros(array.nbytes + 1, np.uint8)
    moved = whole[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# How an array is spoilt, what is raised, and words of the sentence
SPOILT = {
    "list": (lambda a: a.tolist(), TypeError, "got list"),
    "text": (lambda a: "text", TypeError, "got str"),
    "none": (lambda a: None, TypeError, "got NoneType"),
    "int16": (lambda a: np.zeros(a.shape, "int16"), TypeError, "got int16"),
    "float16": (lambda a: np.zeros(a.shape, "float16"), TypeError, "got float16"),
    "float32": (lambda a: np.zeros(a.shape, "float32"), TypeError, "float32"),
    "complex": (lambda a: np.zeros(a.shape, "complex128"), TypeError, "got complex128"),
    "swapped bytes": (lambda a: a.astype(a.dtype.newbyteorder()), TypeError, "got >"),
    "an axis more": (lambda a: a[np.newaxis], ValueError, "expected shape"),
    "an axis less": (lambda a: a[0], (TypeError, ValueError), "expected"),
    "longer": (lambda a: np.concatenate([a, a[:1]]), ValueError, "expected"),
    "longer rows": (lambda a: np.concatenate([a, a[..., :1]], axis=-1), ValueError, "expected"),
    "empty": (lambda a: a[:0], ValueError, "expected"),
    "gaps between elements": (
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2], ValueError, "expected a C-contiguous array",
    ),
    "gaps between rows": (
        lambda a: np.repeat(a, 2, axis=0)[::2], ValueError, "expected a C-contiguous array",
    ),
    "Fortran order": (np.asfortranarray, ValueError, "expected a C-contiguous array"),
    "off by a byte": (off_by_a_byte, ValueError, "expected an aligned array"),
    "read-only": (read_only, ValueError, "expected a writable array"),
}  # fmt: skip


def is_spoilt(kernel, name, how, array):
    """Whether a kernel has to refuse this argument when it is spoilt like this."""
    word = ARGUMENTS[kernel][name]
    if how == "float32":
        # Alone, an array may have either dtype.
        return name != "values" and kernel != "stream_parameters"
    if how == "none":
        # y may be None, but not with an output layer.
        return "?" not in word and (kernel, name) != ("rnn_predict", "y")
    if name == "resets" and how in ("swapped bytes", "off by a byte"):
        return False  # Bools are bytes.
    if how == "gaps between elements":
        return array.shape[-1] > 1
    if how == "read-only":
        return "!" in word
    if how == "gaps between rows":
        return "~" not in word and array.ndim > 1
    if how == "Fortran order":
        return array.ndim > 1
    if how in ("longer", "longer rows", "empty") and name == "workspace":
        return False  # More does no harm, and what is too little only the compiled kernels say.
    if how == "longer rows" and (kernel, name) == ("stream_step", "x"):
        return False  # The compiled kernels see it only where their panels of weights grow.
    return not (how in ("longer", "longer rows") and name == "values")


@calls
@pytest.mark.parametrize("how", SPOILT)
def test_refused_arrays(all_kernels, call, how):
    spoil, kind, words = SPOILT[how]
    good = arrays_of(good_arguments(all_kernels[0], call))
    for name, array in good.items():
        if not is_spoilt(call[0], name, how, array):
            continue
        raised, message = refusal(all_kernels, call, {name: spoil})
        assert issubclass(raised, kind), message
        named, _ = message.split(": ", 1)
        assert named == name or (name in MEASURES and named in good), message
        if named == name and name != "parameters":
            assert words in message


@calls
@pytest.mark.parametrize("dtype", DTYPES)
def test_good_arguments_are_good(all_kernels, assert_close, tolerances, call, dtype):
    """And so is None where it may be; the implementations agree on the results."""
    results, written = [], []
    for kernels in all_kernels:
        arguments = good_arguments(kernels, call, dtype)
        results.append(getattr(kernels, call[0])(**arguments))
        written.append(arrays_of(arguments))
        for name, word in ARGUMENTS[call[0]].items():
            if "?" in word:
                without = good_arguments(kernels, call, dtype) | {name: None}
                if name == "velocity":
                    without["momentum"] = 0.0
                getattr(kernels, call[0])(**without)
    if call[0] != "stream_parameters":
        if results[0] is not None:
            assert results[-1] == pytest.approx(results[0], rel=tolerances[dtype])
        own_dtype = {"rows", "steps", "losses", "norms", "lengths", "resets"}
        for name in written[0].keys() - {"workspace", "parameters"} - own_dtype:
            if name != "y" or "cross_entropy" not in call:
                expected = written[0][name]
                assert_close(written[-1][name], expected, dtype=expected.dtype, label=name)


@pytest.mark.parametrize("cell", ["LSTM", "", None, 3, ["tanh"]])
@calls_with("cell")
def test_cells_that_do_not_exist(all_kernels, call, name, cell):
    kind, message = refusal(all_kernels, call, {name: cell})
    assert kind is ValueError
    assert message == f"cell: expected one of {', '.join(cells.CELLS)}, got {cell!r}"


@calls_with("batch", "batch_size", "input_size", "hidden_size", "output_size")
@pytest.mark.parametrize("number", [-7, -1])
def test_sizes_below_any(all_kernels, call, name, number):
    kind, message = refusal(all_kernels, call, {name: number})
    assert kind is ValueError
    assert message == f"{name}: expected at least {int(name != 'output_size')}, got {number}"


@calls_with("batch", "batch_size", "input_size", "hidden_size")
def test_sizes_of_zero(all_kernels, call, name):
    kind, message = refusal(all_kernels, call, {name: 0})
    assert (kind, message) == (ValueError, f"{name}: expected at least 1, got 0")


@calls_with("input_size", "hidden_size", "output_size")
@pytest.mark.parametrize("number", [3, 8])
def test_sizes_that_the_arrays_have_not(all_kernels, call, name, number):
    kind, message = refusal(all_kernels, call, {name: number})
    assert kind is ValueError
    assert message.split(": expected")[0] in ("theta", "y", "h0", "parameters")


@pytest.mark.parametrize("kernel", ["rnn_gradient", "rnn_train"])
@pytest.mark.parametrize("loss", ["MSE", "huber", "", None])
def test_losses_that_kernels_of_whole_networks_do_not_know(all_kernels, kernel, loss):
    kind, message = refusal(all_kernels, (kernel, "mse", 4), {"loss": loss})
    assert kind is ValueError
    assert message == f"loss: expected one of mse, sse, cross_entropy, got {loss!r}"


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call[1] == "cross_entropy"], ids=lambda call: str(call[::2])
)
@pytest.mark.parametrize("position", [(0, 0), (3, 1), (4, 2)])
@pytest.mark.parametrize("above", [False, True])
def test_class_out_of_range(all_kernels, call, position, above):
    classes = call[2] or 7

    def at_position(number):
        def change(y):
            y = y.copy()
            y[position] = number
            return y

        return change

    wrong = classes if above else -1
    kind, message = refusal(all_kernels, call, {"y": at_position(wrong)})
    assert kind is ValueError
    assert message.startswith(f"y: expected class numbers from 0 to {classes - 1}, got")
    assert str(wrong) in message.split("got")[1]
    for kernels in all_kernels:
        arguments = good_arguments(kernels, call)
        arguments["y"] = at_position(classes - 1 if above else 0)(arguments["y"])
        getattr(kernels, call[0])(**arguments)


def test_a_tanh_cell_has_no_gates(all_kernels):
    said = []
    for kernels in all_kernels:
        p = Problem("tanh", T=3, B=5, I=2, H=7, O=4)
        arguments = good_arguments(kernels, ("rnn_backward", "mse", 4)) | {"cell": "tanh"}
        arguments |= {"W_xh": p.params["W_xh"], "W_hh": p.params["W_hh"], "dstate": p.h0}
        arguments["b_h"] = p.params["b_h"]
        arguments |= {f"d{n}": p.before[n] for n in ("W_xh", "W_hh", "b_h")}
        arguments |= {"h": p.empty(5, 4, 7), "da": p.empty(5, 3, 7), "gates": None}
        arguments |= {"start": None, "dstart": None}
        kernels.rnn_backward(**arguments)
        with pytest.raises(TypeError) as caught:
            kernels.rnn_backward(**(arguments | {"gates": p.empty(5, 3, 7)}))
        said.append(str(caught.value))
    assert set(said) == {"gates: expected None with cell 'tanh', got ndarray"}


@calls_with("lengths")
@pytest.mark.parametrize("wrong", [-1, 4])
def test_lengths_that_no_sequence_has(all_kernels, call, name, wrong):
    lengths = np.array([2, 3, 3, wrong, 1], np.intp)
    kind, message = refusal(all_kernels, call, {name: lengths})
    assert kind is ValueError
    least, most = min(wrong, 1), max(wrong, 3)
    assert message == f"lengths: expected numbers of steps from 0 to 3, got {least} to {most}"


@pytest.mark.native
@calls_with("workspace")
@pytest.mark.parametrize("dtype", DTYPES)
def test_small_workspace(native, reference, call, name, dtype):
    needed = workspace_size(native, call[0], call[2], dtype)
    for size in {0, 1, needed - 1} - {-1, needed}:
        arguments = good_arguments(native, call, dtype) | {name: np.zeros(size, dtype)}
        with pytest.raises(
            ValueError, match=f"^workspace: expected at least {needed} scalars, got {size}$"
        ):
            getattr(native, call[0])(**arguments)
        # NumPy needs none.
        arguments = good_arguments(reference, call, dtype) | {name: np.zeros(size, dtype)}
        getattr(reference, call[0])(**arguments)


SIZE_KERNELS = [kernel for kernel in SIGNATURES if kernel.endswith("_workspace_size")]


def size_of(kernels, kernel, **changes):
    numbers = {"cell": "gru", "T": 3, "B": 5, "I": 2, "H": 7, "O": 4, "dtype": "float32"} | changes
    return getattr(kernels, kernel)(**{name: numbers[name] for name in ARGUMENTS[kernel]})


@pytest.mark.parametrize("kernel", SIZE_KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_workspace_size_is_a_number_of_scalars(kernels, kernel, dtype):
    size = size_of(kernels, kernel, dtype=np.dtype(dtype))
    assert type(size) is int
    assert size >= 0
    assert size == size_of(kernels, kernel, dtype=dtype)
    assert size == size_of(kernels, kernel, dtype=getattr(np, dtype))


@pytest.mark.parametrize("kernel", SIZE_KERNELS)
def test_workspace_size_of_a_wrong_dtype_or_cell(kernels, kernel):
    for dtype in ("float16", "int64", ">f8", None, "text"):
        with pytest.raises(ValueError, match=r"^dtype: expected 'float32' or 'float64', got "):
            size_of(kernels, kernel, dtype=dtype)
    if "cell" in ARGUMENTS[kernel]:
        with pytest.raises(ValueError, match=r"^cell: expected one of tanh, .*, got 'rnn'$"):
            size_of(kernels, kernel, cell="rnn")


def test_kernel_ready_arrays(kernels):
    like = np.empty(0, np.float32)
    good = np.ones((3, 4), np.float32)

    def with_number(number):
        array = good.copy()
        array[2, 3] = number
        return array

    for shape in ((3, 4), (-1, 4), (3, -1), (-1, -1)):
        assert kernels.is_kernel_ready(good, like, shape) is True, shape
    assert kernels.is_kernel_ready(read_only(good), like, (3, 4)) is True
    for shape in ((3, 5), (4, -1), (12,), (1, 3, 4), (-1, -1, -1), ()):
        assert kernels.is_kernel_ready(good, like, shape) is False, shape
    unready = {
        "dtype": good.astype(np.float64),
        "bytes": good.astype(good.dtype.newbyteorder()),
        "integers": good.astype(np.int32),
        "Fortran": np.asfortranarray(good),
        "strided": np.repeat(good, 2, axis=1)[:, ::2],
        "off by a byte": off_by_a_byte(good),
        "nan": with_number(np.nan),
        "infinity": with_number(-np.inf),
        "masked": np.ma.masked_array(good),
        "list": good.tolist(),
        "None": None,
    }
    for name, array in unready.items():
        assert kernels.is_kernel_ready(array, like, (3, 4)) is False, name
    assert kernels.is_kernel_ready(good[:0], like, (-1, 4)) is False
