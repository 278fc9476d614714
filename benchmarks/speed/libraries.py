"""The libraries that are compared, each in a worker of its own."""

import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed import jobs
from benchmarks.speed.workers import LostWorkerError, Worker


class Library(NamedTuple):
    """Where the jobs of a library are."""

    module: str
    """The module in `benchmarks.speed.rivals`."""
    environment: str = ""
    """The end of the name of its environment, if it has one of its own."""

    @property
    def python(self) -> Path:
        """The interpreter of its environment, which is beside this one."""
        if self.environment:
            return Path(f"{sys.prefix}-{self.environment}") / "bin" / "python"
        return Path(sys.executable)


OURS = "crnn"
LIBRARIES = {
    OURS: Library("with_crnn"),
    "NumPy": Library("with_numpy"),  # crnn's own NumPy kernels
    "lists": Library("with_lists"),
    "Numba": Library("with_numba"),
    "PyTorch": Library("with_torch"),
    "JAX": Library("with_jax"),
    "JAX 0.4.31": Library("with_jax", "jax"),
    "ONNX Runtime": Library("with_onnxruntime"),
    "OpenVINO": Library("with_openvino"),
}
PEERS = tuple(name for name in LIBRARIES if name != OURS)

_workers: dict[str, Worker] = {}
_left_out: set[str] = set()


def worker(name: str) -> Worker | None:
    """Return the worker of a library; None, once it has said why, if the library is missing."""
    if name not in _workers and name not in _left_out:
        try:
            _workers[name] = Worker(LIBRARIES[name].python)
            _workers[name].prepare(jobs.try_import, LIBRARIES[name].module)
        except (ImportError, LostWorkerError) as error:
            leave_out(name, error)
    return _workers.get(name)


def leave_out(name: str, reason: Exception) -> None:
    """Go on without a library, and say why."""
    if name == OURS:
        raise reason
    _workers.pop(name, None)
    _left_out.add(name)
    print(f"{name} is left out: {reason}", flush=True)


def leave_out_lost(error: LostWorkerError) -> None:
    """Go on without the library whose worker was lost."""
    (name,) = (name for name, found in _workers.items() if found is error.worker)
    leave_out(name, error)
