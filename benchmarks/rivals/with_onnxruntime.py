"""ONNX Runtime: its RNN operator and the output layer; it runs networks and trains none.

One thread or all cores, whichever is faster. Its I/O binding, for a state that stays inside, takes
longer than the arrays of `run`: five times as long a step on the smallest network, half as long
again on a medium one.
"""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.rivals import Problem, UnsuitedError
from benchmarks.timing import fastest


def _session(problem: Problem, threads: int) -> onnxruntime.InferenceSession:
    _, B, I, H, O = problem.cell
    p = problem.params
    real = TensorProto.DOUBLE if problem.dtype == np.float64 else TensorProto.FLOAT
    constants = {
        "W": p["W_xh"][None],
        "R": p["W_hh"][None],
        "bias": np.concatenate([p["b_h"], np.zeros_like(p["b_h"])])[None],
        "W_hy_T": np.ascontiguousarray(p["W_hy"].T),
        "b_y": p["b_y"],
        "directions": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("RNN", ["x", "W", "R", "bias", "", "h0"], ["h", "h_n"], hidden_size=H),
        helper.make_node("Squeeze", ["h", "directions"], ["states"]),
        helper.make_node("MatMul", ["states", "W_hy_T"], ["product"]),
        helper.make_node("Add", ["product", "b_y"], ["y"]),
    ]
    values = {"x": ["T", B, I], "h0": [1, B, H], "y": ["T", B, O], "h_n": [1, B, H]}
    infos = {name: helper.make_tensor_value_info(name, real, s) for name, s in values.items()}
    graph = helper.make_graph(
        nodes,
        "rnn",
        [infos["x"], infos["h0"]],
        [infos["y"], infos["h_n"]],
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
        raise UnsuitedError(f"ONNX Runtime has no RNN of {problem.dtype}") from None


def _sessions(problem: Problem) -> list[onnxruntime.InferenceSession]:
    return [_session(problem, threads) for threads in sorted({1, os.cpu_count() or 1})]


def train_step(problem: Problem):
    raise UnsuitedError("ONNX Runtime runs networks and trains none")


def inference(problem: Problem):
    feed = {
        "x": np.ascontiguousarray(problem.x.swapaxes(0, 1)),
        "h0": np.zeros((1, problem.cell.B, problem.cell.H), problem.dtype),
    }
    jobs = [lambda s=s: s.run(["y"], feed)[0] for s in _sessions(problem)]
    return fastest(*jobs)


def streaming_step(problem: Problem):
    sessions = _sessions(problem)
    h = np.zeros((1, problem.cell.B, problem.cell.H), problem.dtype)
    feed = {"x": problem.x[:, 0][None].copy(), "h0": h}
    jobs = {(lambda s=s: s.run(["y", "h_n"], feed)): s for s in sessions}
    session = jobs[fastest(*jobs)]

    def step(x_t):
        nonlocal h
        y, h = session.run(["y", "h_n"], {"x": x_t[None], "h0": h})
        return y[0]

    return step
