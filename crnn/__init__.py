"""Recurrent networks on a CPU: small to embed, fast to train and to run.

>>> import crnn
>>> net = crnn.RNN(input_size=1, hidden_size=32, output_size=1, seed=0)
>>> net
RNN(input_size=1, hidden_size=32, output_size=1, dtype='float32', implementation='native')
"""

from typing import NoReturn

# _interpreter comes first: it says in which interpreters NumPy is missing.
from crnn import _interpreter, constraints, losses, schedules  # noqa: F401
from crnn._backend import (
    get_include,
    get_num_threads,
    implementation,
    set_num_threads,
    show_config,
    use_openmp,
)
from crnn._network.architecture import Architecture
from crnn._network.parameters import Gradients
from crnn._network.tape import Tape
from crnn._training.history import History
from crnn._version import __version__
from crnn.dense import Dense
from crnn.errors import DivergenceError, ModelFileError
from crnn.export import export_c
from crnn.fleets import Fleet, FleetHistory
from crnn.last_step import LastStep
from crnn.learner_files import load_learner
from crnn.learners import Learner
from crnn.loading import load
from crnn.networks import GRU, LSTM, RNN, from_architecture
from crnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from crnn.packing import Packed, pack
from crnn.quasi_newton import LBFGS
from crnn.sequential import Sequential
from crnn.state_dict import from_state_dict
from crnn.streams import Stream
from crnn.trainers import Trainer

__all__ = [
    "GRU",
    "LBFGS",
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "AdamW",
    "Architecture",
    "Dense",
    "DivergenceError",
    "Fleet",
    "FleetHistory",
    "Gradients",
    "History",
    "LastStep",
    "Learner",
    "ModelFileError",
    "Optimizer",
    "Packed",
    "RMSprop",
    "Sequential",
    "Stream",
    "Tape",
    "Trainer",
    "__version__",
    "constraints",
    "export_c",
    "from_architecture",
    "from_state_dict",
    "get_include",
    "get_num_threads",
    "implementation",
    "load",
    "load_learner",
    "losses",
    "pack",
    "schedules",
    "set_num_threads",
    "show_config",
    "use_openmp",
]

_MOVED = {"from_torch": "crnn.torch.from_torch"}


def __getattr__(name: str) -> NoReturn:
    if name in _MOVED:
        raise ImportError(f"crnn.{name}: moved, import {_MOVED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
