"""What training on several ranks asks of a communicator, and how a method's ranks stop together."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Communicator(Protocol):
    """What `fit` uses of a communicator of mpi4py."""

    def Get_rank(self) -> int:  # noqa: N802 (mpi4py's names)
        """Return the number of this rank."""

    def Get_size(self) -> int:  # noqa: N802
        """Return how many ranks there are."""

    def Allgather(self, sendbuf: Any, recvbuf: Any, /) -> None:  # noqa: N802
        """Send as much to all ranks as each sends."""

    def Allgatherv(self, sendbuf: Any, recvbuf: Any, /) -> None:  # noqa: N802
        """Send something to all ranks."""

    def Alltoallv(self, sendbuf: Any, recvbuf: Any, /) -> None:  # noqa: N802
        """Send a part to each rank."""


def stopping_together(method: Callable[P, R]) -> Callable[P, R]:
    """Make a method whose ranks stop together: what one of them raises, the others are told.

    The method has an argument ``comm``, a communicator or None. It gets a `Ranks` for it.
    """

    @functools.wraps(method)
    def together(*args: P.args, **kwargs: P.kwargs) -> R:
        comm = kwargs.get("comm")
        if comm is None:
            return method(*args, **kwargs)
        # Imported here: importing it takes as long as the checks of a small run.
        from crnn._training.ranks import Ranks

        with Ranks(comm) as ranks:
            kwargs["comm"] = ranks
            return method(*args, **kwargs)

    return together
