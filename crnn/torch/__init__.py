"""PyTorch with crnn's layers: modules in place of `torch.nn.RNN`, `GRU` and `LSTM`, and exchange.

::

    layer = crnn.torch.LSTM(8, 32, batch_first=True)        # was torch.nn.LSTM
    outputs, (h_n, c_n) = layer(torch.zeros(4, 100, 8))

The modules are subclasses of `torch.nn.RNNBase`: arguments, parameters with their names and initial
values, `state_dict` and everything else are PyTorch's own. They run on a CPU, in float32 or
float64, eagerly or in `torch.compile` and `torch.export`; without second derivatives. Where PyTorch
uses OpenMP, importing this module makes all calls of crnn run on PyTorch's threads
(`crnn.use_openmp`); `crnn.set_num_threads` sets how many.
"""

import contextlib
import importlib.util

try:
    import torch as _torch
except ImportError as error:
    raise ImportError("crnn.torch needs PyTorch: pip install 'crnn[torch]'") from error
if not hasattr(_torch.library, "register_vmap"):
    raise ImportError(f"crnn.torch needs PyTorch 2.5 or later, got {_torch.__version__}")

from crnn import use_openmp
from crnn.torch.exchange import from_torch, to_torch
from crnn.torch.modules import GRU, LSTM, RNN

# Other builds of PyTorch have threads of another kind, and crnn keeps its own.
with contextlib.suppress(OSError, ValueError):
    _extension = importlib.util.find_spec("torch._C")
    use_openmp(_extension.origin if _extension else None)

__all__ = ["GRU", "LSTM", "RNN", "from_torch", "to_torch"]
