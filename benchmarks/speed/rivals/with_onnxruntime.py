"""ONNX Runtime: its RNN, GRU or LSTM operator and the output layer. It does not train.

It uses one thread or all cores, whichever is faster. The state goes in and out as arrays: with I/O
binding, which keeps it inside, a step of the smallest network takes five times as long, and a step
of a medium one half as long again.
"""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.speed.rivals import Problem, UnsuitedError, ordered_gates
from benchmarks.speed.timing import fastest

# ONNX's order of crnn's gates
GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}


def _session(problem: Problem, threads: int) -> onnxruntime.InferenceSession:
    _, B, I, H, O = problem.sizes
    p, kind = problem.params, problem.kind
    if kind != "RNN" and problem.dtype == np.float64:
        # A session opens, and fails when it runs.
        raise UnsuitedError(f"ONNX Runtime has no {kind} in float64")
    real = TensorProto.DOUBLE if problem.dtype == np.float64 else TensorProto.FLOAT
    order = GATES[kind]
    of_h = np.zeros(len(order) * H, p["b_h"].dtype)
    if kind == "GRU":
        of_h[2 * H :] = p["b_h"][3 * H :]
    constants = {
        "W": ordered_gates(p["W_xh"], H, order)[None],
        "R": ordered_gates(p["W_hh"], H, order)[None],
        "bias": np.concatenate([ordered_gates(p["b_h"], H, order), of_h])[None],
        "W_hy_T": np.ascontiguousarray(p["W_hy"].T),
        "b_y": p["b_y"],
        "directions": np.array([1], np.int64),
    }
    states = ["h0", "c0"] if kind == "LSTM" else ["h0"]
    lasts = ["h_n", "c_n"] if kind == "LSTM" else ["h_n"]
    form = {"linear_before_reset": 1} if kind == "GRU" else {}
    nodes = [
        helper.make_node(
            kind, ["x", "W", "R", "bias", "", *states], ["h", *lasts], hidden_size=H, **form
        ),
        helper.make_node("Squeeze", ["h", "directions"], ["states"]),
        helper.make_node("MatMul", ["states", "W_hy_T"], ["product"]),
        helper.make_node("Add", ["product", "b_y"], ["y"]),
    ]
    values = {"x": ["T", B, I], "y": ["T", B, O]} | {name: [1, B, H] for name in states + lasts}
    infos = {name: helper.make_tensor_value_info(name, real, s) for name, s in values.items()}
    graph = helper.make_graph(
        nodes,
        "rnn",
        [infos[name] for name in ("x", *states)],
        [infos[name] for name in ("y", *lasts)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        raise UnsuitedError(f"ONNX Runtime has no {kind} in {problem.dtype}") from None


def _sessions(problem: Problem) -> list[onnxruntime.InferenceSession]:
    return [_session(problem, threads) for threads in sorted({1, os.cpu_count() or 1})]


def train_step(problem: Problem):
    raise UnsuitedError("ONNX Runtime does not train")


def _zero(problem: Problem) -> dict[str, np.ndarray]:
    names = ("h0", "c0") if problem.kind == "LSTM" else ("h0",)
    return {name: np.zeros((1, problem.sizes.B, problem.sizes.H), problem.dtype) for name in names}


def inference(problem: Problem):
    feed = {"x": np.ascontiguousarray(problem.x.swapaxes(0, 1))} | _zero(problem)
    jobs = [lambda s=s: s.run(["y"], feed)[0] for s in _sessions(problem)]
    return fastest(*jobs)


def streaming_step(problem: Problem):
    sessions = _sessions(problem)
    states = _zero(problem)
    results = ["y", *(name[0] + "_n" for name in states)]
    feed = {"x": problem.x[:, 0][None].copy()} | states
    jobs = {(lambda s=s: s.run(results, feed)): s for s in sessions}
    session = jobs[fastest(*jobs)]

    def step(x_t):
        y, *lasts = session.run(results, {"x": x_t[None], **states})
        states.update(zip(states, lasts, strict=True))
        return y[0]

    return step
