"""OpenVINO: its sequence operators for an inference, and its cells for a step. It does not train.

The fastest form runs, on one thread or all cores. Inputs and states are shared tensors, so no call
copies them, except the inputs of a step, which come in a new array each time.
"""

import itertools
import os

import numpy as np
import openvino as ov
from openvino import opset13 as op

from benchmarks.speed.rivals import Problem, UnsuitedError, ordered_gates
from benchmarks.speed.timing import fastest

CORE = ov.Core()
THREADS = sorted({1, os.cpu_count() or 1})
# OpenVINO's order of crnn's gates
GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (1, 0, 2, 3)}


def _constant(array: np.ndarray):
    return op.constant(np.ascontiguousarray(array))


def _weights(problem: Problem) -> tuple[np.ndarray, ...]:
    """Return W_xh, W_hh and the bias; a GRU's has a fourth block, the bias of W_hn h."""
    p, H, order = problem.params, problem.sizes.H, GATES[problem.kind]
    bias = ordered_gates(p["b_h"], H, order)
    if problem.kind == "GRU":
        bias = np.concatenate([bias, p["b_h"][3 * H :]])
    return ordered_gates(p["W_xh"], H, order), ordered_gates(p["W_hh"], H, order), bias


def _state_names(problem: Problem) -> tuple[str, ...]:
    return ("h", "c") if problem.kind == "LSTM" else ("h",)


def _output(problem: Problem, h):
    product = op.matmul(h, _constant(problem.params["W_hy"]), False, True)
    return op.add(product, _constant(problem.params["b_y"]))


def _sequences(problem: Problem, time_major: bool) -> ov.Model:
    """Return the model of an inference, with x (T, B, I) or (B, T, I)."""
    T, B, I, H, _ = problem.sizes
    swapped, direction = (_constant(np.array(axes)) for axes in ([1, 0, 2], [1]))
    x = op.parameter([T, B, I] if time_major else [B, T, I], np.float32)
    operator = getattr(op, f"{problem.kind.lower()}_sequence")
    states = operator(
        op.transpose(x, swapped) if time_major else x,
        *(_constant(np.zeros((B, 1, H), np.float32)) for _ in _state_names(problem)),
        _constant(np.full(B, T, np.int32)),
        *(_constant(array[None]) for array in _weights(problem)),
        H,
        "FORWARD",
        **_form(problem),
    )
    h = op.squeeze(states.output(0), direction)
    y = _output(problem, op.transpose(h, swapped) if time_major else h)
    return ov.Model([y.output(0)], [x], "sequences")


def _cell(problem: Problem) -> ov.Model:
    """Return the model of a step, with the states in and out."""
    _, B, I, H, _ = problem.sizes
    x, *states = (
        op.parameter([B, n], np.float32) for n in (I, *(H for _ in _state_names(problem)))
    )
    operator = getattr(op, f"{problem.kind.lower()}_cell")
    # A plain cell has no defaults for its activation.
    activation = [] if problem.kind != "RNN" else [["tanh"], [], []]
    cell = operator(
        x, *states, *map(_constant, _weights(problem)), H, *activation, **_form(problem)
    )
    y = _output(problem, cell.output(0))
    return ov.Model([y.output(0), *cell.outputs()], [x, *states], "step")


def _form(problem: Problem) -> dict[str, bool]:
    return {"linear_before_reset": True} if problem.kind == "GRU" else {}


def _compiled(model: ov.Model, threads: int) -> ov.CompiledModel:
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    return CORE.compile_model(model, "CPU", settings)


class _Request:
    """A request with shared tensors. It keeps their arrays alive, which the tensors do not."""

    def __init__(self, model: ov.CompiledModel, inputs, states_out=()) -> None:
        self._arrays = (*inputs, *states_out)
        self._request = model.create_infer_request()
        for i, array in enumerate(inputs):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
        for i, array in enumerate(states_out, 1):
            self._request.set_output_tensor(i, ov.Tensor(array, shared_memory=True))
        self._y = self._request.get_output_tensor(0).data

    def __call__(self) -> np.ndarray:
        self._request.infer()
        return self._y


def _float32_only(problem: Problem) -> None:
    if problem.dtype != np.float32:
        raise UnsuitedError("OpenVINO computes in float32")


def train_step(problem: Problem):
    raise UnsuitedError("OpenVINO does not train")


def inference(problem: Problem):
    _float32_only(problem)

    def form(time_major: bool, threads: int) -> _Request:
        x = np.ascontiguousarray(problem.x.swapaxes(0, 1) if time_major else problem.x)
        return _Request(_compiled(_sequences(problem, time_major), threads), [x])

    return fastest(*itertools.starmap(form, itertools.product((False, True), THREADS)))


def streaming_step(problem: Problem):
    _float32_only(problem)
    _, B, I, H, _ = problem.sizes

    def form(threads: int):
        """Two requests take turns: each one's states out are the other one's states in."""
        model = _compiled(_cell(problem), threads)
        x = np.zeros((B, I), np.float32)
        states = [[np.zeros((B, H), np.float32) for _ in _state_names(problem)] for _ in range(2)]
        turns = itertools.cycle(
            [_Request(model, (x, *before), after) for before, after in (states, states[::-1])]
        )

        def step(x_t):
            x[...] = x_t
            return next(turns)()

        return step

    x_t = problem.x[:, 0].copy()
    forms = {threads: form(threads) for threads in THREADS}
    jobs = {(lambda step=step: step(x_t)): threads for threads, step in forms.items()}
    # Timing has moved the states of these forms; a new one starts from zero.
    return form(jobs[fastest(*jobs)])
