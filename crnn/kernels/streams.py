"""What streams of both implementations share: the form of states, and error messages."""

from typing import Any

import numpy as np

from crnn._typing import Array

STREAM_BUSY = "stream: expected one thread at a time, got a call while another thread is in it"
STREAM_PICKLED = "stream: expected to stay in its process; pickle the network, and the state"
STATE_DELETED = "state: expected an assignment, got a deletion; reset() returns to the first state"


def public_state(array: Array, hidden_size: int) -> Any:
    """Return a state (..., states * H) in its public form: h, or for an LSTM the pair (h, c)."""
    if array.shape[-1] == hidden_size:
        return array
    h, c = array[..., :hidden_size].copy(), array[..., hidden_size:].copy()
    h.flags.writeable = c.flags.writeable = array.flags.writeable
    return h, c


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return the two parts of an LSTM's state, or raise a TypeError or ValueError."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name}: expected a pair (h, c), got {type(value).__name__}")
    if len(value) != 2:
        raise ValueError(f"{name}: expected a pair (h, c), got {len(value)} of them")
    return value[0], value[1]


def check_out(out: Any, like: Array) -> None:
    """Raise the error that says how an unsuitable `out` differs from an array like `like`."""
    expected = f"a writable C-contiguous {like.dtype} array of shape {like.shape}"
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected {expected}, got {type(out).__name__}")
    if out.dtype != like.dtype:
        raise TypeError(f"out: expected {expected}, got {out.dtype}")
    if out.shape != like.shape:
        raise ValueError(f"out: expected {expected}, got shape {out.shape}")
    kind = "strides " + str(out.strides) if out.flags.writeable else "a read-only one"
    raise ValueError(f"out: expected {expected}, got {kind}")


def check_parameters(theta: Any, n: int, dtype: np.dtype[Any]) -> None:
    """Raise a TypeError or ValueError unless these are so many parameters of that dtype."""
    expected = f"a {dtype} array of shape ({n},)"
    if not isinstance(theta, np.ndarray) or theta.dtype != dtype:
        got = theta.dtype if isinstance(theta, np.ndarray) else type(theta).__name__
        raise TypeError(f"theta: expected {expected}, got {got}")
    if theta.shape != (n,):
        raise ValueError(f"theta: expected {expected}, got shape {theta.shape}")


def stream_repr(stream: Any) -> str:
    """Return the repr of a stream of either class."""
    return (
        f"Stream(input_size={stream.input_size}, hidden_size={stream.hidden_size}, "
        f"output_size={stream.output_size}, batch_size={stream.batch_size}, "
        f"dtype='{stream.dtype}')"
    )
