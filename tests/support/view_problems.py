"""One pass forward and backward, by `crnn.kernels.views` and by the kernels."""

import copy

import kernel_problems as problems
import numpy as np

PARAMETERS = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")
ARGUMENTS = {
    "hidden_update": ("x", "W_xh", "W_hh", "b_h", "h", "gates", "workspace"),
    "output_layer": ("h", "W_hy", "b_y", "y", "workspace"),
    "bptt": (
        "x", "h", "gates", "W_xh", "W_hh", "W_hy", "dy", "dh", "da", "dstate", "dW_xh", "dW_hh",
        "db_h", "dW_hy", "db_y", "dx", "workspace",
    ),
}  # fmt: skip
# Where there is no output layer
ABSENT = dict.fromkeys(("W_hy", "b_y", "y", "dy", "dW_hy", "db_y"))


def arguments(p):
    """The arguments of all three functions by name; what is only written is NaN."""
    given = {"x": p.x, "h": p.empty(p.B, p.T + 1, p.h0.shape[1]), "gates": p.empty_gates()}
    given["h"][:, 0] = p.h0
    given |= ABSENT | p.params | {"d" + name: d.copy() for name, d in p.before.items()}
    if p.O:
        given |= {"y": p.empty(p.B, p.T, p.O), "dy": p.dy, "dh": p.empty(p.B, p.T, p.H)}
    else:
        given["dh"] = p.dh
    return given | {"da": p.empty(p.B, p.T, len(p.params["b_h"])), "dstate": p.dstate.copy()}


def workspace_size(caller, p):
    cell = caller.CELLS[p.cell]
    return caller.workspace_size(cell, p.T, p.B, p.I, p.H, p.O, p.dtype.itemsize)


def of_type(caller, function, dtype):
    """The function for this dtype, whatever it is called with."""
    return getattr(caller, function)["double" if np.dtype(dtype) == "float64" else "float"]


def call(caller, function, p, given, cell=None):
    """The number that a function of views returns."""
    arrays = [given[name] for name in ARGUMENTS[function]]
    cell = caller.CELLS[p.cell] if cell is None else cell
    return of_type(caller, function, p.dtype)(cell, *arrays)


def pass_of_views(caller, p):
    """What a pass writes, by name."""
    given = arguments(p)
    for function in ("hidden_update", "output_layer", "bptt") if p.O else ("hidden_update", "bptt"):
        with problems.workspace(workspace_size(caller, p), p.dtype) as scratch:
            assert call(caller, function, p, given | {"workspace": scratch}) == 0, function
    read = {"x", *PARAMETERS, "dy", *(() if p.O else ("dh",))}
    return {name: a for name, a in given.items() if a is not None and name not in read}


def pass_of_kernels(kernels, p):
    """The same by the kernels of `native` or of `reference`."""
    p = copy.copy(p)
    if p.O:
        p.dh = problems.layers(kernels, p)["dh"]
    result = problems.layers(kernels, p)
    return result | {"dstate": result.pop("dh0")}
