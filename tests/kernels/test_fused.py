"""The fused kernels: rnn_gradient and rnn_predict against the kernels that they are made of."""

import inspect

import numpy as np
import pytest

import crnn._backend
from crnn.kernels.cells import CELLS

DTYPES = ["float32", "float64"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)

cells = pytest.mark.parametrize("cell", CELLS)

LOSSES = ["mse", "sse", "cross_entropy"]
losses = pytest.mark.parametrize("loss", LOSSES)

output_layers = pytest.mark.parametrize(
    "output_layer", [True, False], ids=["output layer", "states alone"]
)

# 70 is past four times the widest vector (16 float32), so every remainder of every unrolling by
# up to four vectors appears.
LARGEST_SIZE = 70


def every_size(implementation):
    """The sizes to sweep through; NumPy has no loops of its own whose remainders could be wrong."""
    if implementation == "python":
        return (1, 2, 9, LARGEST_SIZE)
    # Around every remainder of the vectors and of a panel of 48
    return (*range(1, 19), *range(31, 35), *range(47, 51), *range(63, 67), LARGEST_SIZE)


def with_chunks_of(implementation, sizes):
    """The sizes; for NumPy, which goes through time in one piece, of a few steps."""
    return sizes if implementation == "native" else sizes | {"T": min(sizes["T"], 10)}


# Guards as long as a cache line of 64 bytes in float32 stand after a workspace, and fewer before
# it: the scratch then starts off the alignment of any vector.
GUARDS_BEFORE, GUARDS_AFTER = 3, 16

# Long enough for the products over time to be cut into tiles of rows, and the chunks' edges to
# meet no power of two.
SIZES = {"T": 9, "B": 5, "I": 3, "H": 11, "O": 4}


@pytest.fixture(scope="session")
def reference():
    """The NumPy kernels; in float64 they say what is right."""
    return crnn._backend.load("python")


class Problem:
    """Random asymmetric inputs of one size; O = 0 means no output layer."""

    def __init__(self, *, T, B, I, H, O, dtype, seed, loss="mse", cell="tanh"):
        rng = np.random.default_rng(seed)
        gates, sums, states, _ = CELLS[cell]

        def normal(*shape, scale=1.0):
            return (scale * rng.standard_normal(shape)).astype(dtype)

        self.cell = cell
        self.sizes = T, B, I, H, O
        self.dtype = np.dtype(dtype)
        self.loss = loss
        self.x = normal(B, T, I)
        # Scaled by fan-in, so that neither the states saturate nor the gradients explode.
        self.params = {
            "W_xh": normal(gates * H, I, scale=1 / np.sqrt(I)),
            "W_hh": normal(gates * H, H, scale=0.9 / np.sqrt(H)),
            "b_h": normal(sums * H, scale=0.3),
        }
        if O:
            self.params["W_hy"] = normal(O, H, scale=1 / np.sqrt(H))
            self.params["b_y"] = normal(O, scale=0.3)
        self.theta = np.concatenate([values.ravel() for values in self.params.values()])
        self.outputs = O or H
        self.h0 = np.tanh(normal(B, states * H))
        if loss == "cross_entropy":
            self.y = rng.integers(self.outputs, size=(B, T)).astype(np.intp)
        else:
            self.y = normal(B, T, self.outputs)

    def parts(self, flat):
        """The named parts of a vector laid out as theta is."""
        parts, start = {}, 0
        for name, values in self.params.items():
            parts[name] = flat[start : start + values.size].reshape(values.shape)
            start += values.size
        return parts

    def scratch(self, size_of):
        """Scratch of exactly the promised size, full of NaN, and the whole with its guards."""
        T, B, I, H, _ = self.sizes
        size = size_of(cell=self.cell, T=T, B=B, I=I, H=H, O=self.outputs, dtype=self.dtype)
        whole = np.full(GUARDS_BEFORE + size + GUARDS_AFTER, 7.0, self.dtype)
        workspace = whole[GUARDS_BEFORE : GUARDS_BEFORE + size]
        workspace[:] = np.nan
        return workspace, whole


def assert_guards(whole):
    assert np.all(whole[:GUARDS_BEFORE] == 7.0), "written before the workspace"
    assert np.all(whole[-GUARDS_AFTER:] == 7.0), "written past the workspace"


def gradient_of(kernels, problem, *, x=None, max_norm=None, max_value=None):
    """(loss, norm, dtheta) of one call."""
    _, _, _, H, O = problem.sizes
    workspace, whole = problem.scratch(kernels.gradient_workspace_size)
    dtheta = np.full_like(problem.theta, np.nan)
    value, norm = kernels.rnn_gradient(
        cell=problem.cell,
        x=problem.x if x is None else x,
        y=problem.y,
        theta=problem.theta,
        dtheta=dtheta,
        hidden_size=H,
        output_size=O,
        loss=problem.loss,
        max_norm=max_norm,
        max_value=max_value,
        workspace=workspace,
    )
    assert_guards(whole)
    assert type(value) is float
    assert type(norm) is float
    return value, norm, dtheta


def composed(reference, problem, h0):
    """What rnn_forward and output_forward make of the problem in float64: states, gates and y."""
    T, B, _, H, O = problem.sizes
    W = {name: values.astype(np.float64) for name, values in problem.params.items()}
    nothing, kept = np.empty(0), CELLS[problem.cell][3]
    h = np.zeros((B, T + 1, problem.h0.shape[1]))
    if h0 is not None:
        h[:, 0] = h0
    gates = np.empty((B, T, kept * H)) if kept else None
    reference.rnn_forward(
        problem.cell, problem.x.astype(float), W["W_xh"], W["W_hh"], W["b_h"], h, gates, nothing
    )
    states = h[:, 1:, :H]
    if not O:
        return h, gates, states.copy()
    y = np.empty((B, T, O))
    reference.output_forward(states, W["W_hy"], W["b_y"], y, nothing)
    return h, gates, y


def composed_gradient(reference, problem):
    """(loss, gradients by name) of the single kernels, one after the other, in float64."""
    T, B, _, H, O = problem.sizes
    h, gates, y_hat = composed(reference, problem, None)
    W = {name: values.astype(np.float64) for name, values in problem.params.items()}
    grads = {name: np.zeros_like(values) for name, values in W.items()}
    nothing = np.empty(0)
    dy = np.empty_like(y_hat)
    y = problem.y if problem.loss == "cross_entropy" else problem.y.astype(np.float64)
    value = getattr(reference, problem.loss)(y_hat, y, dy)
    dh = dy
    if O:
        states = h[:, 1:, :H]
        dh = np.empty((B, T, H))
        reference.output_backward(states, W["W_hy"], dy, grads["W_hy"], grads["b_y"], dh, nothing)
    reference.rnn_backward(
        cell=problem.cell,
        x=problem.x.astype(np.float64),
        h=h,
        gates=gates,
        W_xh=W["W_xh"],
        W_hh=W["W_hh"],
        dh=dh,
        dc=None,
        da=None if gates is None else np.empty((B, T, len(W["b_h"]))),
        dW_xh=grads["W_xh"],
        dW_hh=grads["W_hh"],
        db_h=grads["b_h"],
        dx=None,
        dh0=np.empty(problem.h0.shape),
        workspace=nothing,
    )
    return value, grads


def predictions_of(kernels, problem, *, h0=None, x=None):
    """(y, h_n) of one call."""
    _, B, _, H, O = problem.sizes
    x = problem.x if x is None else x
    workspace, whole = problem.scratch(kernels.predict_workspace_size)
    y = np.full((B, x.shape[1], problem.outputs), np.nan, problem.dtype)
    h_n = np.full(problem.h0.shape, np.nan, problem.dtype)
    result = kernels.rnn_predict(
        cell=problem.cell,
        x=x,
        h0=h0,
        theta=problem.theta,
        hidden_size=H,
        output_size=O,
        y=y,
        h_n=h_n,
        workspace=workspace,
    )
    assert result is None
    assert_guards(whole)
    return y, h_n


@pytest.fixture(scope="session")
def check(kernels, reference, assert_close, tolerances):
    """Check both fused kernels on one problem, where given with x laid out in another way."""

    def check_gradient(problem, x):
        label = f"{problem.cell} {problem.loss} {problem.sizes}"
        tolerance = tolerances[problem.dtype.name]
        value, norm, dtheta = gradient_of(kernels, problem, x=x)
        expected_value, expected = composed_gradient(reference, problem)
        # The loss of a single class is an exact zero, and so is all of its gradient.
        close = {"rel": tolerance, "abs": 0 if expected_value else tolerance}
        assert value == pytest.approx(expected_value, **close), label
        squares = sum(np.sum(np.square(values)) for values in expected.values())
        assert norm == pytest.approx(np.sqrt(squares), **close), label
        for name, values in problem.parts(dtheta).items():
            assert_close(values, expected[name], dtype=problem.dtype, label=f"{name} {label}")

    def check_predictions(problem, x, h0):
        h, _, y_hat = composed(reference, problem, h0)
        label = f"{problem.cell} {problem.sizes} from h0 {'None' if h0 is None else 'given'}"
        y, h_n = predictions_of(kernels, problem, h0=h0, x=x)
        assert_close(y, y_hat, dtype=problem.dtype, label=f"y {label}")
        assert_close(h_n, h[:, -1], dtype=problem.dtype, label=f"h_n {label}")

    def check_both(problem, x=None):
        check_gradient(problem, x)
        check_predictions(problem, x, None)
        check_predictions(problem, x, problem.h0)

    return check_both


@cells
@dtypes
@losses
@output_layers
@pytest.mark.parametrize("batch", [1, 5])
def test_every_loss(check, dtype, cell, loss, output_layer, batch):
    sizes = SIZES | {"B": batch} | ({} if output_layer else {"O": 0})
    check(Problem(**sizes, dtype=dtype, seed=1, cell=cell, loss=loss))


@cells
@dtypes
@output_layers
@pytest.mark.parametrize("batch", [1, 4])
def test_every_number_of_hidden_units(implementation, check, dtype, cell, output_layer, batch):
    # One sequence takes the way of a row times a matrix, with loops of their own for 8, 16, 32, 64.
    for H in every_size(implementation):
        sizes = {"T": 3, "B": batch, "I": 2, "H": H, "O": 5 if output_layer else 0}
        check(Problem(**sizes, dtype=dtype, seed=H, cell=cell, loss=LOSSES[H % 3]))


@cells
@dtypes
def test_every_batch_size(implementation, check, dtype, cell):
    for B in every_size(implementation):
        sizes = {"T": 4, "B": B, "I": 3, "H": 19, "O": 2 if B % 2 else 0}
        check(Problem(**sizes, dtype=dtype, seed=B, cell=cell, loss=LOSSES[B % 3]))


@cells
@dtypes
@output_layers
@pytest.mark.parametrize("seed", range(4))
def test_random_sizes(check, dtype, cell, output_layer, seed):
    T, B, I, H, O = (
        int(size) for size in np.random.default_rng(seed).integers(1, LARGEST_SIZE + 1, size=5)
    )
    O = O if output_layer else 0
    loss = LOSSES[seed % 3]
    check(Problem(T=T, B=B, I=I, H=H, O=O, dtype=dtype, seed=seed, cell=cell, loss=loss))


# The native kernels work through time in chunks of 2^18 bytes of states, of all sequences, and
# rnn_gradient of at least 256 steps, likewise of all; rnn_predict of at least 24 of each.
@cells
@dtypes
@pytest.mark.parametrize(
    "sizes",
    [
        # float32: chunks of 1024 and 1008 steps, half as many in float64.
        pytest.param({"T": 2500, "B": 1, "I": 2, "H": 64, "O": 3}, id="one long sequence"),
        pytest.param({"T": 2500, "B": 1, "I": 3, "H": 65, "O": 0}, id="one, of states alone"),
        # float32: chunks of 14 steps for the gradient, 24 for predictions.
        pytest.param({"T": 60, "B": 70, "I": 3, "H": 65, "O": 2}, id="a batch"),
        # The last chunk of predictions is a single step.
        pytest.param({"T": 49, "B": 70, "I": 2, "H": 65, "O": 0}, id="a batch of states alone"),
        # Four steps of all sequences are past 2^18 bytes, so that 256 steps in all bound a chunk
        # from below: 4 of each.
        pytest.param({"T": 11, "B": 70, "I": 5, "H": 257, "O": 3}, id="wide"),
        # More sequences than 256: a chunk of one step.
        pytest.param({"T": 3, "B": 258, "I": 2, "H": 255, "O": 4}, id="chunks of a step"),
        pytest.param({"T": 5, "B": 1, "I": 2, "H": 200, "O": 7}, id="one wide sequence"),
    ],
)
def test_chunks_of_time(implementation, check, dtype, cell, sizes):
    sizes = with_chunks_of(implementation, sizes)
    check(Problem(**sizes, dtype=dtype, seed=2, cell=cell, loss="mse" if sizes["O"] else "sse"))


def padded(values):
    B, T, last = values.shape
    array = np.full((B, T + 2, last + 3), np.nan, values.dtype)[:, 1:-1, :last]
    array[...] = values
    return array


def time_major(values):
    return np.ascontiguousarray(values.transpose(1, 0, 2)).transpose(1, 0, 2)


def backwards(values):
    return np.ascontiguousarray(values[::-1, ::-1])[::-1, ::-1]


@cells
@dtypes
@pytest.mark.parametrize("layout", [padded, time_major, backwards])
@pytest.mark.parametrize(
    "sizes",
    [
        SIZES,
        SIZES | {"B": 1, "O": 0},
        # Through several chunks, whose first step of x is not the first of all: as above.
        {"T": 31, "B": 70, "I": 3, "H": 65, "O": 2},
    ],
    ids=["small", "one sequence", "chunks"],
)
def test_strides_of_batch_and_time_of_x(implementation, check, dtype, cell, layout, sizes):
    problem = Problem(**with_chunks_of(implementation, sizes), dtype=dtype, seed=3, cell=cell)
    x = layout(problem.x)
    assert np.array_equal(x, problem.x)
    check(problem, x)


@cells
@dtypes
def test_repeated_input_rows(check, dtype, cell):
    # One sequence seen by all of the batch with a stride of zero.
    problem = Problem(**SIZES, dtype=dtype, seed=4, cell=cell)
    problem.x[...] = problem.x[:1]
    check(problem, np.broadcast_to(problem.x[:1], problem.x.shape))


@dtypes
@pytest.mark.parametrize("loss", ["sse", "cross_entropy"])
def test_inputs_stay_as_they_were_and_may_be_read_only(kernels, dtype, loss):
    problem = Problem(**SIZES, dtype=dtype, seed=5, loss=loss)
    inputs = [problem.x, problem.y, problem.theta, problem.h0]
    before = [array.copy() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    gradient_of(kernels, problem, max_norm=1e-3, max_value=1e-4)
    predictions_of(kernels, problem, h0=problem.h0)
    for array, kept in zip(inputs, before, strict=True):
        assert np.array_equal(array, kept)


@cells
@dtypes
@pytest.mark.parametrize("batch", [1, 5])
def test_same_call_same_bits(kernels, dtype, cell, batch):
    problem = Problem(T=9, B=batch, I=21, H=35, O=18, dtype=dtype, seed=6, cell=cell)
    first, second = gradient_of(kernels, problem), gradient_of(kernels, problem)
    assert first[:2] == second[:2]
    assert np.array_equal(first[2], second[2])
    first, second = predictions_of(kernels, problem), predictions_of(kernels, problem)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


# Truncation grows with the square of the step and rounding shrinks with it; the cube root of
# the unit roundoff (6e-6) balances both at about 1e-10, well below the demanded 1e-7.
STEP = 6e-6
RELATIVE_ERROR = 1e-7


@cells
@losses
@output_layers
@pytest.mark.parametrize("batch", [1, 4])
def test_gradient_by_finite_differences_of_the_loss(kernels, cell, loss, output_layer, batch):
    sizes = {"T": 7, "B": batch, "I": 3, "H": 6, "O": 2 if output_layer else 0}
    problem = Problem(**sizes, dtype="float64", seed=7, cell=cell, loss=loss)
    _, _, dtheta = gradient_of(kernels, problem)
    expected = np.empty_like(dtheta)
    for i, kept in enumerate(problem.theta.copy()):
        problem.theta[i] = kept + STEP
        above, _, _ = gradient_of(kernels, problem)
        problem.theta[i] = kept - STEP
        below, _, _ = gradient_of(kernels, problem)
        problem.theta[i] = kept
        expected[i] = (above - below) / (2 * STEP)
    error = np.linalg.norm(dtheta - expected) / np.linalg.norm(expected)
    assert error < RELATIVE_ERROR
    # The norm hides an element that is far smaller than its neighbours.
    np.testing.assert_allclose(
        dtheta, expected, rtol=1e-5, atol=RELATIVE_ERROR * np.abs(expected).max()
    )


def clipping_problem(dtype, output_layer):
    sizes = SIZES if output_layer else SIZES | {"O": 0}
    return Problem(**sizes, dtype=dtype, seed=8, loss="sse")


@dtypes
@output_layers
def test_clipping_by_norm(kernels, assert_close, dtype, output_layer):
    problem = clipping_problem(dtype, output_layer)
    loss, norm, whole = gradient_of(kernels, problem)
    assert norm == pytest.approx(np.linalg.norm(whole.astype(np.float64)), rel=1e-14)
    clipped = gradient_of(kernels, problem, max_norm=norm / 3)
    assert clipped[:2] == (loss, norm)
    assert_close(clipped[2], whole.astype(np.float64) / 3, dtype=dtype)


@dtypes
@output_layers
def test_clipping_by_value(kernels, dtype, output_layer):
    problem = clipping_problem(dtype, output_layer)
    loss, norm, whole = gradient_of(kernels, problem)
    # The median, so that half of the elements are to be clipped.
    limit = float(np.median(np.abs(whole)))
    clipped = gradient_of(kernels, problem, max_value=limit)
    assert clipped[:2] == (loss, norm)
    assert np.array_equal(clipped[2], np.clip(whole, -limit, limit))
    assert (np.abs(clipped[2]) == np.dtype(dtype).type(limit)).any()


@dtypes
def test_clipping_by_norm_comes_before_clipping_by_value(kernels, assert_close, dtype):
    problem = clipping_problem(dtype, True)
    loss, norm, whole = gradient_of(kernels, problem)
    # The norm a third, then at most half of what is then the largest; the other way round it
    # would be the value that changes nothing.
    limit = float(np.abs(whole).max()) / 6
    clipped = gradient_of(kernels, problem, max_norm=norm / 3, max_value=limit)
    assert clipped[:2] == (loss, norm)
    expected = np.clip(whole.astype(np.float64) / 3, -limit, limit)
    assert np.abs(expected).max() == limit
    assert_close(clipped[2], expected, dtype=dtype)


@dtypes
@pytest.mark.parametrize("limits", [(1.0, None), (None, 1.0), (1.0, 1.0)])
def test_limits_that_are_kept_change_no_bit(kernels, dtype, limits):
    problem = clipping_problem(dtype, True)
    loss, norm, whole = gradient_of(kernels, problem)
    max_norm, max_value = (None if limit is None else limit * norm for limit in limits)
    again = gradient_of(kernels, problem, max_norm=max_norm, max_value=max_value)
    assert again[:2] == (loss, norm)
    assert again[2].tobytes() == whole.tobytes()


@cells
@dtypes
@losses
@pytest.mark.parametrize("batch", [1, 5])
def test_nan_reaches_loss_and_norm(kernels, dtype, cell, loss, batch):
    problem = Problem(**(SIZES | {"B": batch}), dtype=dtype, seed=9, cell=cell, loss=loss)
    problem.x[batch // 2, 4, 1] = np.nan
    value, norm, dtheta = gradient_of(kernels, problem, max_norm=1.0, max_value=1.0)
    assert np.isnan(value)
    assert not np.isfinite(norm)
    assert np.isnan(dtheta).any()


@cells
@dtypes
def test_nan_stays_in_its_sequence_and_goes_forward(kernels, dtype, cell):
    problem = Problem(**SIZES, dtype=dtype, seed=10, cell=cell)
    problem.x[2, 4, 1] = np.nan
    y, h_n = predictions_of(kernels, problem)
    expected = np.zeros(y.shape, dtype=bool)
    expected[2, 4:] = True
    assert np.array_equal(np.isnan(y), expected)
    assert np.array_equal(np.isnan(h_n).all(axis=1), np.arange(SIZES["B"]) == 2)


@cells
@dtypes
@output_layers
@pytest.mark.parametrize(
    "sizes",
    [
        # T leaves a chunk of predictions (24 steps); the batch keeps chunks that short.
        pytest.param({"T": 27, "B": 70, "I": 2, "H": 41}, id="batch"),
        pytest.param({"T": 27, "B": 1, "I": 3, "H": 35}, id="one sequence"),
        pytest.param({"T": 27, "B": 1, "I": 3, "H": 16}, id="16 units"),
    ],
)
def test_predictions_in_two_parts(
    implementation, kernels, assert_close, dtype, cell, output_layer, sizes
):
    problem = Problem(**sizes, O=5 if output_layer else 0, dtype=dtype, seed=11, cell=cell)
    y, h_n = predictions_of(kernels, problem, h0=problem.h0)
    for t in range(1, sizes["T"]):
        first, carried = predictions_of(kernels, problem, h0=problem.h0, x=problem.x[:, :t])
        second, last = predictions_of(kernels, problem, h0=carried, x=problem.x[:, t:])
        both = np.concatenate([first, second], axis=1)
        if implementation == "native":
            assert both.tobytes() == y.tobytes(), t
            assert last.tobytes() == h_n.tobytes(), t
        else:
            # NumPy's products add in an order that depends on the sizes.
            assert_close(both, y, dtype=dtype, label=f"y, {t}")
            assert_close(last, h_n, dtype=dtype, label=f"h_n, {t}")


@dtypes
def test_denormals_survive_a_call(kernels, dtype):
    # The native kernels flush them to zero while they work.
    smallest = np.full(33, np.finfo(dtype).tiny, dtype)
    problem = Problem(**SIZES, dtype=dtype, seed=12)
    for call in (gradient_of, predictions_of):
        call(kernels, problem)
        assert np.array_equal(smallest / 4 * 4, smallest)
        assert np.all(smallest / 4 > 0)


@dtypes
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("culprit", ["nan", "infinity", "overflow"])
def test_step_that_would_not_stay_finite_is_not_taken(kernels, dtype, momentum, nesterov, culprit):
    largest = np.finfo(dtype).max
    bad = {"nan": np.nan, "infinity": -np.inf, "overflow": -largest}[culprit]
    for size in (1, 3, 17, LARGEST_SIZE):
        rng = np.random.default_rng(size)
        for position in {0, size // 2, size - 1}:
            theta, dtheta, velocity = rng.standard_normal((3, size)).astype(dtype)
            dtheta[position] = bad
            # To which the largest gradient, times a rate of 1/2, is too much to add.
            theta[position] = largest * 0.75
            velocity[position] = 0
            memory = velocity if momentum else None
            kept = theta.tobytes(), dtheta.tobytes(), velocity.tobytes()
            assert kernels.sgd_step(theta, dtheta, memory, 0.5, momentum, nesterov, 0.0) is False
            assert (theta.tobytes(), dtheta.tobytes(), velocity.tobytes()) == kept
            theta[position], dtheta[position] = 2, 1
            assert kernels.sgd_step(theta, dtheta, memory, 0.5, momentum, nesterov, 0.0) is True
            assert theta.tobytes() != kept[0]
            assert (velocity.tobytes() != kept[2]) == (momentum != 0)


SIGNATURES = {
    "gradient_workspace_size": ["cell", "T", "B", "I", "H", "O", "dtype"],
    "predict_workspace_size": ["cell", "T", "B", "I", "H", "O", "dtype"],
    "rnn_gradient": [
        *("cell", "x", "y", "theta", "dtheta", "hidden_size", "output_size", "loss"),
        *("max_norm", "max_value", "workspace"),
    ],
    "rnn_predict": [
        *("cell", "x", "h0", "theta", "hidden_size", "output_size", "y", "h_n", "workspace"),
    ],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_argument_names(kernels, name):
    parameters = inspect.signature(getattr(kernels, name)).parameters.values()
    assert [p.name for p in parameters] == SIGNATURES[name]
    assert all(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


@dtypes
@pytest.mark.parametrize("name", ["gradient_workspace_size", "predict_workspace_size"])
def test_workspace_size_is_a_number_of_scalars(kernels, name, dtype):
    size_of = getattr(kernels, name)
    size = size_of(cell="gru", T=3, B=5, I=2, H=7, O=4, dtype=np.dtype(dtype))
    assert type(size) is int
    assert size >= 0
    assert size == size_of("gru", 3, 5, 2, 7, 4, dtype)


@pytest.mark.parametrize("name", ["gradient_workspace_size", "predict_workspace_size"])
@pytest.mark.parametrize("dtype", ["float16", "int64", ">f8", None, "text"])
def test_workspace_size_of_a_wrong_dtype(kernels, name, dtype):
    with pytest.raises(ValueError, match=r"^dtype: expected 'float32' or 'float64'"):
        getattr(kernels, name)("lstm", 3, 5, 2, 7, 4, dtype)


# The calls to be spoilt: kernel, loss, output size.
CALLS = {
    "mse": ("rnn_gradient", "mse", 4),
    "sse of states": ("rnn_gradient", "sse", 0),
    "cross_entropy": ("rnn_gradient", "cross_entropy", 4),
    "cross_entropy of states": ("rnn_gradient", "cross_entropy", 0),
    "predict": ("rnn_predict", "mse", 4),
    "predict states": ("rnn_predict", "mse", 0),
}
# Of which the arrays have different numbers of blocks
CELL = "lstm"

calls = pytest.mark.parametrize("call", CALLS)
WRITTEN = {"rnn_gradient": ["dtheta", "workspace"], "rnn_predict": ["y", "h_n", "workspace"]}


def good_arguments(call, native, dtype="float64"):
    """Arguments that both twins accept, by name: the workspace is large enough for either."""
    name, loss, O = CALLS[call]
    problem = Problem(T=3, B=5, I=2, H=7, O=O, dtype=dtype, seed=13, loss=loss, cell=CELL)
    size_of = {
        "rnn_gradient": native.gradient_workspace_size,
        "rnn_predict": native.predict_workspace_size,
    }[name]
    arguments = {
        "cell": CELL,
        "x": problem.x,
        "y": problem.y,
        "h0": problem.h0,
        "theta": problem.theta,
        "dtheta": np.full_like(problem.theta, 0.25),
        "hidden_size": 7,
        "output_size": O,
        "loss": loss,
        "max_norm": 1.0,
        "max_value": 0.5,
        "h_n": np.full_like(problem.h0, 0.25),
        "workspace": np.full(size_of(CELL, 3, 5, 2, 7, problem.outputs, dtype), 0.25, dtype),
    }
    return {key: arguments[key] for key in SIGNATURES[name]}


def array_arguments(call):
    name, _, _ = CALLS[call]
    numbers = {"cell", "hidden_size", "output_size", "loss", "max_norm", "max_value"}
    return [argument for argument in SIGNATURES[name] if argument not in numbers]


def refusals(both_kernels, call, arguments):
    """Type and message of what the twins raise; they are to agree and to write nothing."""
    name, _, _ = CALLS[call]
    written = {key: arguments[key] for key in WRITTEN[name]}
    kept = {key: array.tobytes() for key, array in written.items() if isinstance(array, np.ndarray)}
    caught = []
    for kernels in both_kernels:
        with pytest.raises((TypeError, ValueError)) as error:
            getattr(kernels, name)(**arguments)
        caught.append((error.type, str(error.value)))
        for key, bits in kept.items():
            assert written[key].tobytes() == bits, f"{key} written in spite of: {error.value}"
    assert caught[0] == caught[1]
    return caught[0]


@dtypes
@calls
def test_good_arguments_are_good(both_kernels, assert_close, tolerances, call, dtype):
    native, reference = both_kernels
    name, _, _ = CALLS[call]
    ours, theirs = good_arguments(call, native, dtype), good_arguments(call, native, dtype)
    result, expected = getattr(native, name)(**ours), getattr(reference, name)(**theirs)
    if expected is not None:
        assert result == pytest.approx(expected, rel=tolerances[dtype])
    for key in WRITTEN[name][:-1]:
        assert_close(ours[key], theirs[key], dtype=dtype, label=key)


WRONG_TYPES = {
    "list": lambda good: good.tolist(),
    "float16": lambda good: good.astype("float16"),
    "int16": lambda good: good.astype("int16"),
    "complex128": lambda good: good.astype("complex128"),
    # The other order of bytes, whichever is this machine's.
    "swapped": lambda good: good.astype(good.dtype.newbyteorder()),
    # Where x is float64; where it is x, all others are then wrong and the next one is named.
    "float32": lambda good: good.astype("float32"),
    "None": lambda good: None,
}


@calls
@pytest.mark.parametrize("how", WRONG_TYPES)
def test_wrong_types(both_kernels, call, how):
    for argument in array_arguments(call):
        if argument in ("h0", "h_n") and how == "None":
            continue
        arguments = good_arguments(call, both_kernels[0])
        arguments[argument] = WRONG_TYPES[how](arguments[argument])
        kind, message = refusals(both_kernels, call, arguments)
        assert kind is TypeError, message
        if (argument, how) != ("x", "float32"):
            assert message.startswith(f"{argument}: expected"), message
        elif call.startswith("cross_entropy"):
            assert message.startswith("theta: expected"), message
        elif call.startswith("predict"):
            assert message.startswith("h0: expected"), message
        else:
            assert message.startswith("y: expected"), message


WRONG_SHAPES = {
    "an axis more": lambda good: good[np.newaxis],
    "an axis less": lambda good: good[0],
    "longer": lambda good: np.concatenate([good, good[:1]]),
    "longer at the end": lambda good: np.concatenate([good, good[..., :1]], axis=-1),
    "shorter": lambda good: good[:-1],
    "empty": lambda good: good[:0],
}

# x is what the others are measured by: where its sizes are wrong it is they that do not fit.
MEASURED_BY_X = {
    "rnn_gradient": {"longer": "y", "longer at the end": "theta", "shorter": "y"},
    "rnn_predict": {"longer": "h0", "longer at the end": "theta", "shorter": "h0"},
}


@calls
@pytest.mark.parametrize("how", WRONG_SHAPES)
def test_wrong_shapes(both_kernels, call, how):
    name, _, _ = CALLS[call]
    for argument in array_arguments(call):
        if argument == "workspace" and how != "an axis more":
            continue
        arguments = good_arguments(call, both_kernels[0])
        arguments[argument] = WRONG_SHAPES[how](arguments[argument])
        kind, message = refusals(both_kernels, call, arguments)
        if how == "an axis less" and np.ndim(arguments[argument]) == 0:
            # A vector's element is no array.
            assert kind is TypeError, message
        else:
            assert kind is ValueError, message
        named = MEASURED_BY_X[name].get(how, "x") if argument == "x" else argument
        assert message.startswith(f"{named}: expected"), message


@calls
@pytest.mark.parametrize(
    "sizes",
    [{"hidden_size": 8}, {"hidden_size": 6}, {"hidden_size": 0}, {"hidden_size": -7}],
    ids=str,
)
def test_wrong_hidden_size(both_kernels, call, sizes):
    arguments = good_arguments(call, both_kernels[0]) | sizes
    kind, message = refusals(both_kernels, call, arguments)
    assert kind is ValueError
    assert message.split(":")[0] in ("theta", "y", "h0"), message


@calls
@pytest.mark.parametrize("output_size", [-4, 3, 5])
def test_wrong_output_size(both_kernels, call, output_size):
    arguments = good_arguments(call, both_kernels[0]) | {"output_size": output_size}
    kind, message = refusals(both_kernels, call, arguments)
    assert kind is ValueError
    assert message.split(":")[0] in ("theta", "y"), message


@calls
def test_gaps_between_elements(both_kernels, call):
    for argument in array_arguments(call):
        arguments = good_arguments(call, both_kernels[0])
        good = arguments[argument]
        arguments[argument] = np.repeat(good, 2, axis=-1)[..., ::2]
        assert np.array_equal(arguments[argument], good)
        kind, message = refusals(both_kernels, call, arguments)
        assert kind is ValueError, message
        assert message.startswith(f"{argument}: expected a C-contiguous array"), message


@calls
def test_gaps_between_sequences(both_kernels, call):
    # x alone may have them.
    for argument in array_arguments(call):
        arguments = good_arguments(call, both_kernels[0])
        good = arguments[argument]
        if argument == "x" or good.ndim == 1:
            continue
        arguments[argument] = np.repeat(good, 2, axis=0)[::2]
        assert np.array_equal(arguments[argument], good)
        kind, message = refusals(both_kernels, call, arguments)
        assert kind is ValueError, message
        assert message.startswith(f"{argument}: expected a C-contiguous array"), message


@calls
def test_results_are_not_written_to_read_only_arrays(both_kernels, call):
    name, _, _ = CALLS[call]
    for argument in WRITTEN[name]:
        arguments = good_arguments(call, both_kernels[0])
        arguments[argument].flags.writeable = False
        kind, message = refusals(both_kernels, call, arguments)
        assert kind is ValueError, message
        assert message.startswith(f"{argument}: expected a writable array"), message


@dtypes
@calls
def test_small_workspace(both_kernels, call, dtype):
    native, reference = both_kernels
    name, _, _ = CALLS[call]
    arguments = good_arguments(call, native, dtype)
    needed = arguments["workspace"].size
    for size in (0, 1, needed - 1):
        arguments["workspace"] = np.full(size, 0.25, dtype)
        with pytest.raises(ValueError, match=rf"^workspace: expected .*, got {size}$"):
            getattr(native, name)(**arguments)
        # NumPy needs none.
        getattr(reference, name)(**arguments)


@pytest.mark.parametrize("call", ["cross_entropy", "cross_entropy of states"])
@pytest.mark.parametrize("above", [False, True], ids=["below 0", "too high"])
def test_class_out_of_range(both_kernels, call, above):
    for position in [(0, 0), (3, 1), (4, 2)]:
        arguments = good_arguments(call, both_kernels[0])
        classes = arguments["output_size"] or arguments["hidden_size"]
        number = classes if above else -1
        arguments["y"][position] = number
        kind, message = refusals(both_kernels, call, arguments)
        assert kind is ValueError
        assert message.startswith(f"y: expected class numbers from 0 to {classes - 1}"), message
        assert str(number) in message.split("got")[1]
        # The highest and the lowest are classes.
        arguments["y"][position] = classes - 1 if above else 0
        both_kernels[0].rnn_gradient(**arguments)


def test_sequence_alone_too_long_to_be_padded(both_kernels, tolerances):
    """Native pads the states of shorter ones; 70 000 steps of 8 float64 are more than 4 MiB."""
    problem = Problem(T=70_000, B=1, I=2, H=3, O=1, dtype="float64", seed=0)
    results = [gradient_of(kernels, problem) for kernels in both_kernels]
    for ours, theirs in zip(*results, strict=True):
        # Errors of so many additions add up.
        np.testing.assert_allclose(ours, theirs, rtol=100 * tolerances["float64"])


@cells
@dtypes
def test_last_states_are_optional(kernels, dtype, cell):
    problem = Problem(**SIZES, dtype=dtype, seed=5, cell=cell)
    T, B, _, H, O = problem.sizes
    results = []
    for h_n in (np.full(problem.h0.shape, np.nan, dtype), None):
        workspace, whole = problem.scratch(kernels.predict_workspace_size)
        y = np.full((B, T, O), np.nan, dtype)
        kernels.rnn_predict(cell, problem.x, problem.h0, problem.theta, H, O, y, h_n, workspace)
        assert_guards(whole)
        results.append(y.tobytes())
    assert results[0] == results[1]
