"""What modules of crnn.torch and the exchange with PyTorch refuse."""

import pytest

torch = pytest.importorskip("torch")

from refusals import refusal  # noqa: E402
from refused_calls import check_refusal, refusal_tests  # noqa: E402
from torch.nn.utils.rnn import pack_sequence  # noqa: E402

import crnn  # noqa: E402
from crnn.torch import LSTM, RNN, from_torch, to_torch  # noqa: E402

X, STATE = torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)
RESETS = torch.zeros(5, 2, dtype=torch.bool)
PACKED = pack_sequence([X[:, 0], X[:3, 1]])


def forward(*arguments, module=LSTM):
    return lambda: module(3, 4)(*arguments)


def load(*arguments):
    return lambda: from_torch(*arguments)


FLOATS = "input: expected a tensor of float32 or float64 on a CPU, got "
ROWS = [
    refusal(
        "another dtype than the weights'", forward(X.double()), ValueError,
        "input: expected torch.float32 as the weights are, got torch.float64",
    ),
    refusal("integers", forward(X.long()), ValueError, f"{FLOATS}torch.int64 on cpu"),
    refusal(
        "another device", forward(X.to("meta")), ValueError,
        "input: expected a tensor on cpu, got one on meta",
    ),
    refusal(
        "states on another device", forward(X, (STATE, STATE.to("meta"))), ValueError,
        "hx[1]: expected a tensor on cpu, got one on meta",
    ),
    refusal(
        "weights of half precision", lambda: LSTM(3, 4).half()(X), ValueError,
        "weight_hh_l0: expected a tensor of float32 or float64 on a CPU, got torch.float16 on cpu",
    ),
    refusal("one axis", forward(X[0, 0]), ValueError, "input: expected 2 or 3 axes, got 1"),
    refusal("features", forward(X[..., :2]), RuntimeError, "input: expected 3 features, got 2"),
    refusal(
        "no step", forward(X[:0]), RuntimeError,
        "input: expected at least one step, got shape (0, 2, 3)",
    ),
    refusal("no pair", forward(X, STATE), TypeError, "hx: expected a pair (h, c), got Tensor"),
    refusal(
        "three states", forward(X, [STATE] * 3), TypeError, "hx: expected a pair (h, c), got list",
    ),
    refusal(
        "shape of c", forward(X, (STATE, STATE[..., :3])), RuntimeError,
        "hx[1]: expected torch.float32 of shape (1, 2, 4), got torch.float32 of shape (1, 2, 3)",
    ),
    refusal(
        "dtype of h", forward(X, (STATE.double(), STATE)), RuntimeError,
        "hx[0]: expected torch.float32 of shape (1, 2, 4), got torch.float64 of shape (1, 2, 4)",
    ),
    refusal(
        "state of a batch for one sequence", forward(X[:, 0], STATE, module=RNN), RuntimeError,
        "hx: expected torch.float32 of shape (1, 4), got torch.float32 of shape (1, 2, 4)",
    ),
    refusal(
        "resets in another layout", forward(X, None, RESETS.T), ValueError,
        "resets: expected torch.bool of shape (5, 2), got torch.bool of shape (2, 5)",
    ),
    refusal(
        "resets of a batch for one sequence", forward(X[:, 0], None, RESETS), ValueError,
        "resets: expected torch.bool of shape (5,), got torch.bool of shape (5, 2)",
    ),
    refusal(
        "resets that are numbers", forward(X, None, RESETS.float()), ValueError,
        "resets: expected torch.bool of shape (5, 2), got torch.float32 of shape (5, 2)",
    ),
    refusal(
        "resets on another device", forward(X, None, RESETS.to("meta")), ValueError,
        "resets: expected a tensor on cpu, got one on meta",
    ),
    refusal(
        "resets in an array", forward(X, None, RESETS.numpy()), TypeError,
        "resets: expected a Tensor as input is, got ndarray",
    ),
    refusal(
        "resets that are not packed", forward(PACKED, None, RESETS), TypeError,
        "resets: expected a PackedSequence as input is, got Tensor",
    ),
    refusal(
        "resets packed for another order",
        forward(PACKED, None, pack_sequence([RESETS[:3, 0], RESETS[:, 1]], enforce_sorted=False)),
        ValueError, "resets: expected them packed as input is, got other lengths",
    ),
    refusal(
        "resets packed for other lengths",
        forward(PACKED, None, pack_sequence([RESETS[:4, 0], RESETS[:4, 1]])),
        ValueError, "resets: expected them packed as input is, got other lengths",
    ),
    refusal(
        "resets of both directions",
        lambda: LSTM(3, 4, bidirectional=True)(X, None, RESETS), ValueError,
        "resets: expected None with bidirectional=True, which reads sequences from both ends, "
        "got a Tensor",
    ),
    refusal(
        "projection", lambda: LSTM(3, 4, proj_size=2), ValueError, "proj_size: expected 0, got 2",
    ),
    refusal(
        "no recurrent module", load(torch.nn.Linear(2, 3)), TypeError,
        "module: expected a torch.nn.RNN, GRU or LSTM, got Linear",
    ),
    refusal(
        "no linear layer", load(torch.nn.RNN(2, 3), torch.nn.RNN(2, 3)), TypeError,
        "linear: expected a torch.nn.Linear, got RNN",
    ),
    refusal(
        "linear layer of one direction",
        load(torch.nn.RNN(2, 3, bidirectional=True), torch.nn.Linear(3, 1)), ValueError,
        "linear: expected in_features=6, got 3",
    ),
    refusal(
        "module with a projection", load(torch.nn.LSTM(2, 3, proj_size=2)), ValueError,
        "module: expected proj_size=0, got 2",
    ),
    refusal(
        "module of half precision", load(torch.nn.RNN(2, 3, dtype=torch.float16)), ValueError,
        "module: expected weights of float32 or float64 on a CPU, got torch.float16 on cpu",
    ),
    refusal(
        "reset gate before the product", lambda: to_torch(crnn.GRU(2, 3, reset_after=False)),
        ValueError, "net: expected reset_after=True, as PyTorch's GRU has it, got False",
    ),
    refusal(
        "trainable h0", lambda: to_torch(crnn.RNN(2, 3, trainable_h0=True)), ValueError,
        "net: expected trainable_h0=False...got True",
    ),
    refusal(
        "leak", lambda: to_torch(crnn.RNN(2, 3, leak=0.5)), ValueError,
        "net: expected a network without a leak for PyTorch, got one with a leak",
    ),
]  # fmt: skip


@refusal_tests(ROWS)
def test_refusal(row):
    check_refusal(row)


def test_without_torch(run_python):
    said = run_python("import sys; sys.modules['torch'] = None; import crnn.torch").stderr
    assert said.strip().endswith("ImportError: crnn.torch needs PyTorch: pip install 'crnn[torch]'")


def test_an_old_torch(run_python):
    said = run_python(
        "import torch; del torch.library.register_vmap; torch.__version__ = '2.4'\n"
        "import crnn.torch"
    ).stderr
    assert said.strip().endswith("ImportError: crnn.torch needs PyTorch 2.5 or later, got 2.4")
