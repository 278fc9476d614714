"""Recurrent networks on a CPU: small to embed, fast to train and to run.

>>> import crnn
>>> net = crnn.RNN(input_size=1, hidden_size=32, output_size=1, seed=0)
>>> net
RNN(input_size=1, hidden_size=32, output_size=1, dtype='float32', implementation='native')
"""

from typing import TYPE_CHECKING, Any

from crnn import losses, schedules
from crnn._backend import implementation, show_config
from crnn.networks import GRU, LSTM, RNN
from crnn.embedding import get_include
from crnn.errors import DivergenceError, ModelFileError
from crnn._training.history import History
from crnn._network.network import Tape
from crnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from crnn._network.parameters import Gradients
from crnn.saved import load
from crnn.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from crnn.torch import from_torch as from_torch

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "AdamW",
    "DivergenceError",
    "Gradients",
    "History",
    "ModelFileError",
    "Optimizer",
    "RMSprop",
    "Tape",
    "__version__",
    "get_include",
    "get_num_threads",
    "implementation",
    "load",
    "losses",
    "schedules",
    "set_num_threads",
    "show_config",
]


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import, and is no part of crnn.
    if name == "from_torch":
        from crnn.torch import from_torch

        return from_torch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
