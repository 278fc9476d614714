"""What both classes of streams share: the form of states, and the words of errors."""

from collections.abc import Callable
from typing import Any

import numpy as np

STREAM_BUSY = "stream: expected one thread at a time, got a call while another thread is in it"
STREAM_PICKLED = "stream: expected to stay in its process; pickle the network, and the state"


def public_state(array: np.ndarray[Any, Any], hidden_size: int) -> Any:
    """Return a state (..., states * H) as users see it: h, or the pair of h and c."""
    if array.shape[-1] == hidden_size:
        return array
    h, c = array[..., :hidden_size].copy(), array[..., hidden_size:].copy()
    h.flags.writeable = c.flags.writeable = array.flags.writeable
    return h, c


def state_from(
    value: Any, states: int, convert: Callable[[str, Any, str], np.ndarray[Any, Any]] | None
) -> np.ndarray[Any, Any]:
    """Return the array (..., states * H) of a state that is given; without `convert` as it is."""
    if convert is None:
        return np.concatenate(value, axis=-1) if states > 1 else np.ascontiguousarray(value)
    if states == 1:
        return convert("state", value, "hidden")
    parts = pair("state", value)
    names = ("state[0]", "state[1]")
    return np.concatenate(
        [convert(name, part, "hidden") for name, part in zip(names, parts, strict=True)], axis=-1
    )


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return the state of an LSTM as a pair, or raise what is wrong with it."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name}: expected a pair (h, c), got {type(value).__name__}")
    if len(value) != 2:
        raise ValueError(f"{name}: expected a pair (h, c), got {len(value)} of them")
    return value[0], value[1]


def check_out(out: Any, like: np.ndarray[Any, Any]) -> None:
    """Raise what is wrong with an `out` that cannot be written to in place of a new array."""
    expected = f"a writable C-contiguous {like.dtype} array of shape {like.shape}"
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected {expected}, got {type(out).__name__}")
    if out.dtype != like.dtype:
        raise TypeError(f"out: expected {expected}, got {out.dtype}")
    if out.shape != like.shape:
        raise ValueError(f"out: expected {expected}, got shape {out.shape}")
    kind = "strides " + str(out.strides) if out.flags.writeable else "a read-only one"
    raise ValueError(f"out: expected {expected}, got {kind}")


def stream_repr(stream: Any) -> str:
    """Return how a stream of either implementation shows itself."""
    return (
        f"Stream(input_size={stream.input_size}, hidden_size={stream.hidden_size}, "
        f"output_size={stream.output_size}, batch_size={stream.batch_size}, "
        f"dtype='{stream.dtype}')"
    )
