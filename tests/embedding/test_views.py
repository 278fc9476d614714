"""`crnn.kernels.views` from a Cython extension: against NumPy, finite differences, wrong shapes."""

import re
from pathlib import Path

import numpy as np
import pytest
import view_problems
from differences import assert_gradient
from kernel_problems import DTYPES, PLAIN_CELLS, Problem
from view_problems import arguments, call, pass_of_kernels, pass_of_views, workspace_size

import crnn
from crnn.kernels.cells import CELLS as TABLE

pytestmark = pytest.mark.xdist_group("embedding")

OK, WRONG_VALUE, WRONG_SIZES, NOT_FINITE = 0, -3, -4, -5
cells = pytest.mark.parametrize("cell", PLAIN_CELLS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)
output_layers = pytest.mark.parametrize("output_layer", [True, False])
# Odd, unequal, and past the widest vectors and panels; one of everything
SIZES = [
    {"T": 1, "B": 1, "I": 1, "H": 1, "O": 1},
    {"T": 7, "B": 1, "I": 3, "H": 5, "O": 2},
    {"T": 5, "B": 3, "I": 2, "H": 17, "O": 4},
    {"T": 9, "B": 13, "I": 19, "H": 33, "O": 1},
    {"T": 2, "B": 5, "I": 67, "H": 49, "O": 51},
]
SMALL = {"T": 4, "B": 3, "I": 2, "H": 5, "O": 6}


def of_sizes(sizes, output_layer):
    return sizes if output_layer else sizes | {"O": 0}


@cells
@dtypes
@output_layers
def test_parity(both_kernels, caller, assert_close, cell, dtype, output_layer):
    """The numbers of NumPy and the bits of the compiled kernels."""
    native, reference = both_kernels
    for sizes in SIZES:
        p = Problem(cell, dtype, **of_sizes(sizes, output_layer))
        ours = pass_of_views(caller, p)
        twin, bits = pass_of_kernels(reference, p), pass_of_kernels(native, p)
        assert set(ours) - {"dh"} == set(twin) - {"dh"}
        assert ("dh" in ours) == output_layer
        for name, values in ours.items():
            assert_close(values, twin[name], dtype=dtype, label=f"{p} {name}")
            assert values.tobytes() == bits[name].tobytes(), f"{p} {name}"


@cells
@output_layers
def test_finite_differences(caller, cell, output_layer):
    """Of a sum of all outputs and last states, or of all states, with random factors."""
    p = Problem(cell, **of_sizes(SMALL, output_layer))
    d = pass_of_views(caller, p)

    def objective():
        of = pass_of_views(caller, p)
        outputs = np.vdot(p.dy, of["y"]) if p.O else np.vdot(p.dh, of["h"][:, 1:, : p.H])
        return outputs + np.vdot(p.dstate, of["h"][:, -1])

    for name, values in (p.params | {"x": p.x}).items():
        assert_gradient(d["d" + name] - p.before[name], objective, values, name)
    assert_gradient(d["dstate"], objective, p.h0, "h0")


@cells
@dtypes
@output_layers
def test_two_calls_add(caller, assert_close, cell, dtype, output_layer):
    p = Problem(cell, dtype, **of_sizes(SMALL, output_layer))
    for before in p.before.values():
        before[...] = 0
    once = pass_of_views(caller, p)
    p.before = {name: once["d" + name].copy() for name in p.before}
    twice = pass_of_views(caller, p)
    for name in p.before:
        assert_close(twice["d" + name], 2 * once["d" + name], dtype=dtype, label=name)
        assert np.abs(once["d" + name]).max() > 1e-3
    assert twice["dstate"].tobytes() == once["dstate"].tobytes()


def test_dx_may_be_absent(caller):
    p = Problem("gru", **SMALL)
    whole, given = pass_of_views(caller, p), arguments(p)
    given |= {"dx": None, "workspace": np.empty(workspace_size(caller, p))}
    for function in view_problems.ARGUMENTS:
        assert call(caller, function, p, given) == OK
    for name, values in whole.items():
        assert name == "dx" or given[name].tobytes() == values.tobytes(), name


def wrong_shapes(array, *, is_optional):
    """Arrays that are one longer or shorter in an axis, or empty; and none."""
    for axis, n in enumerate(array.shape):
        for size in (n + 1, n - 1) if is_optional else (n + 1, n - 1, 0):
            shape = (*array.shape[:axis], size, *array.shape[axis + 1 :])
            yield np.full(shape, 0.25, array.dtype)
    if not is_optional:
        yield None


@cells
@dtypes
@pytest.mark.parametrize(
    ("function", "output_layer"),
    [("hidden_update", False), ("output_layer", True), ("bptt", True), ("bptt", False)],
)
def test_wrong_shapes_change_nothing(caller, cell, dtype, function, output_layer):
    """Each argument in turn."""
    p = Problem(cell, dtype, **of_sizes(SMALL, output_layer))
    given = arguments(p) | {"workspace": np.ones(workspace_size(caller, p), dtype)}
    for name in view_problems.ARGUMENTS[function]:
        if name == "workspace":
            shapes = [np.ones(too_short(caller, function, p), dtype), None]
        elif given[name] is None:
            # As in another cell, or where there is an output layer
            shape = {"gates": (3, 4, 20), "dy": (3, 4, 6), "db_y": (6,)}.get(name, (6, 5))
            shapes = [np.ones(shape, dtype)]
        else:
            shapes = wrong_shapes(given[name], is_optional=name == "dx")
        for wrong in shapes:
            arrays = given | {name: wrong}
            before = {k: None if a is None else a.tobytes() for k, a in arrays.items()}
            label = f"{name} {None if wrong is None else wrong.shape}"
            assert call(caller, function, p, arrays) == WRONG_SIZES, label
            after = {k: None if a is None else a.tobytes() for k, a in arrays.items()}
            assert after == before, label
    # Nothing was wrong but these.
    if function != "hidden_update":
        assert call(caller, "hidden_update", p, given) == OK
    assert call(caller, function, p, given) == OK


def too_short(caller, function, p):
    """The size of a workspace that has not enough room: by one scalar, where it can be asked."""
    if function == "output_layer":
        return p.O * p.H
    O = 0 if function == "hidden_update" else p.O
    size = caller.workspace_size(caller.CELLS[p.cell], p.T, p.B, p.I, p.H, O, p.dtype.itemsize)
    return size - 1


@dtypes
def test_no_such_cell(caller, dtype):
    p = Problem("lstm", dtype, **SMALL)
    given = arguments(p) | {"workspace": np.ones(workspace_size(caller, p), dtype)}
    before = {name: a.tobytes() for name, a in given.items()}
    for number in (-1, 5, 2**31 - 1):
        for function in view_problems.ARGUMENTS:
            assert call(caller, function, p, given, cell=number) == WRONG_VALUE
        assert caller.workspace_size(number, 4, 3, 2, 5, 6, 8) == WRONG_VALUE
    assert {name: a.tobytes() for name, a in given.items()} == before


def test_workspace_sizes(caller):
    for wrong in ((0, 3, 2, 5, 6), (4, 0, 2, 5, 6), (4, 3, -2, 5, 6), (4, 3, 2, 0, 6)):
        assert caller.workspace_size(0, *wrong, 4) == WRONG_SIZES
    assert caller.workspace_size(0, 4, 3, 2, 5, -1, 4) == WRONG_SIZES
    without, with_outputs = (caller.workspace_size(0, 4, 3, 2, 5, O, 4) for O in (0, 600))
    assert 0 < without < with_outputs
    # Here the output layer needs more than the recurrent one, so a scalar less is too short.
    p = Problem(dtype="float32", **SMALL | {"O": 600})
    given = arguments(p) | {"workspace": np.ones(with_outputs, "float32")}
    for function in view_problems.ARGUMENTS:
        assert call(caller, function, p, given) == OK
    given["workspace"] = np.ones(with_outputs - 1, "float32")
    codes = [call(caller, function, p, given) for function in view_problems.ARGUMENTS]
    assert codes == [OK, WRONG_SIZES, WRONG_SIZES]


def test_names_and_numbers(caller):
    assert {name: kind for kind, name in enumerate(PLAIN_CELLS)} == caller.CELLS
    header = (Path(crnn.get_include()) / "crnn.h").read_text()
    numbers = {name: int(n) for name, n in re.findall(r"CRNN_([A-Z_]+) = (-?\d+)", header)}
    assert caller.CODES.items() <= numbers.items()
    assert len(caller.CODES) == 4


def test_blocks_in_the_table_of_views():
    """What the head of the file says of the cells."""
    text = (Path(crnn.__file__).parent / "kernels" / "views.pxd").read_text()
    found = {}
    for names, numbers in re.findall(r"^# +((?:[A-Z_]+_CELL[, ]+)+)((?:\d +){3}\d)$", text, re.M):
        for name in re.findall(r"([A-Z_]+)_CELL", names):
            found[name.lower()] = tuple(map(int, numbers.split()))
    assert found == {
        name: (row.weight_blocks, row.bias_blocks, row.state_blocks, row.gate_blocks)
        for name, row in TABLE.items()
        if name in PLAIN_CELLS
    }


@dtypes
@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_losses(both_kernels, caller, assert_close, dtype, loss):
    for sizes in SIZES:
        p = Problem(dtype=dtype, **sizes)
        dy = np.full_like(p.y, np.nan)
        error, value = getattr(caller, loss)(p.dy, p.y, dy)
        assert error == OK
        assert getattr(caller, loss)(p.dy, p.y, None) == (OK, value)
        for kernels in both_kernels:
            other = np.full_like(p.y, np.nan)
            expected = getattr(kernels, loss)(p.dy, p.y, None, other)
            assert value == pytest.approx(expected, rel=1e-13 if dtype == "float64" else 1e-6)
            assert_close(dy, other, dtype=dtype)
            if kernels is both_kernels[0]:
                assert (value, dy.tobytes()) == (expected, other.tobytes())
    call_loss = view_problems.of_type(caller, loss, dtype)
    for name in ("y_hat", "y", "dy"):
        arrays = {"y_hat": p.dy, "y": p.y, "dy": np.ones_like(p.y)}
        for wrong in wrong_shapes(p.y, is_optional=name == "dy"):
            before = arrays["dy"].tobytes()
            assert call_loss(*(arrays | {name: wrong}).values()) == (WRONG_SIZES, -1)
            assert arrays["dy"].tobytes() == before


@dtypes
def test_clip_norm(both_kernels, caller, assert_close, dtype):
    rng = np.random.default_rng(0)
    for n in (1, 15, 16, 17, 1001):
        values = rng.standard_normal(n).astype(dtype)
        norm = float(np.linalg.norm(values.astype("float64")))
        for limit in (0.5 * norm, 2 * norm, np.inf):
            ours, theirs, bits = values.copy(), values.copy(), values.copy()
            error, before = caller.clip_norm(ours, limit)
            assert (error, before) == (OK, both_kernels[0].clip_norm(bits, limit))
            assert before == pytest.approx(both_kernels[1].clip_norm(theirs, limit), rel=1e-14)
            assert ours.tobytes() == bits.tobytes()
            assert_close(ours, theirs, dtype=dtype)
    for wrong in (0.0, -1.0, np.nan):
        assert caller.clip_norm(ours, wrong) == (WRONG_VALUE, -1)
    assert ours.tobytes() == bits.tobytes()
    assert caller.clip_norm(ours[:0], 1.0) == (WRONG_SIZES, -1)
    for bad in (np.nan, np.inf):
        ours[7] = bad
        kept = ours.tobytes()
        error, norm = caller.clip_norm(ours, 1.0)
        assert error == NOT_FINITE
        assert not np.isfinite(norm)
        assert ours.tobytes() == kept


@dtypes
@pytest.mark.parametrize(
    "settings",
    [(0.1, 0.0, False, 0.0), (0.1, 0.9, False, 0.01), (0.1, 0.9, True, 0.0), (0.0, 0.0, False, 0)],
)
def test_sgd_step(both_kernels, caller, assert_close, dtype, settings):
    rng = np.random.default_rng(0)
    for n in (1, 15, 33):
        start = [rng.standard_normal(n).astype(dtype) for _ in range(3)]
        gradient = start.pop()
        ours, theirs, bits = ([a.copy() for a in start] for _ in range(3))
        for _ in range(3):
            assert caller.sgd_step(ours[0], gradient, ours[1], *settings) == OK
            for kernels, (theta, velocity) in zip(both_kernels, (bits, theirs), strict=True):
                assert kernels.sgd_step(theta, gradient, velocity, *settings, None, None)
        for a, b, c in zip(ours, theirs, bits, strict=True):
            assert_close(a, b, dtype=dtype)
            assert a.tobytes() == c.tobytes()
        if not settings[1]:
            kept, other = ours[0].copy(), start[0].copy()
            for _ in range(3):
                assert caller.sgd_step(other, gradient, None, *settings) == OK
            assert other.tobytes() == kept.tobytes()


@dtypes
def test_sgd_steps_that_are_not_taken(caller, dtype):
    theta, dtheta, velocity = np.random.default_rng(1).standard_normal((3, 19)).astype(dtype)
    kept = theta.tobytes(), velocity.tobytes()
    short, none = dtheta[:-1].copy(), dtheta[:0].copy()
    for arrays in (
        (theta, short, velocity), (theta, none, velocity), (theta, None, velocity),
        (theta, dtheta, short), (theta, dtheta, None), (theta, dtheta, none), (none, none, none),
    ):  # fmt: skip
        assert caller.sgd_step(*arrays, 0.1, 0.5, False, 0.0) == WRONG_SIZES
    for settings in (
        (-0.1, 0.5, False, 0.0), (np.nan, 0.5, False, 0.0), (np.inf, 0.5, False, 0.0),
        (0.1, 1.0, False, 0.0), (0.1, -0.5, False, 0.0), (0.1, np.nan, False, 0.0),
        (0.1, 0.0, True, 0.0), (0.1, 0.5, False, -1.0), (0.1, 0.5, False, np.inf),
    ):  # fmt: skip
        assert caller.sgd_step(theta, dtheta, velocity, *settings) == WRONG_VALUE
    for bad in (np.nan, np.inf):
        wrong = dtheta.copy()
        wrong[11] = bad
        assert caller.sgd_step(theta, wrong, velocity, 0.1, 0.5, False, 0.0) == NOT_FINITE
        assert caller.sgd_step(theta, wrong, None, 0.1, 0.0, False, 0.0) == NOT_FINITE
    assert (theta.tobytes(), velocity.tobytes()) == kept


def test_a_mix_of_dtypes_is_refused(caller):
    p = Problem(**SMALL)
    given = arguments(p) | {"workspace": np.ones(workspace_size(caller, p))}
    given["h"] = given["h"].astype("float32")
    with pytest.raises(ValueError, match=r"^Buffer dtype mismatch"):
        call(caller, "hidden_update", p, given)
