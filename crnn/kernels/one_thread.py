"""Objects that one thread at a time may use."""

from collections.abc import Callable
from typing import Any


class OneThread:
    """Makes calls for one thread at a time, and refuses a second.

    Ctrl-C may come between any two instructions, and right after every call. So this is neither a
    lock, of which the holder could be unknown then, nor a `with` block, whose end is a call.
    """

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal
        # Under 0: what the call that is running has put there
        self._running: dict[int, object] = {}

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what the function returns.

        Raises
        ------
        RuntimeError
            Another call is running: `refusal`, which the instance was made with.
        """
        mine, running = object(), self._running
        try:
            if running.setdefault(0, mine) is not mine:
                raise RuntimeError(self._refusal)
            return function(*args)
        finally:
            # No call is made here.
            try:
                is_mine = running[0] is mine
            except KeyError:
                is_mine = False
            if is_mine:
                del running[0]
