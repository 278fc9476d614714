"""Jobs in processes of their own, because the threads of two libraries disturb each other.

A worker holds one job at a time. The parent lets the workers take samples in turn; a worker that
waits uses no core. A worker may run in another environment, and imports what its jobs need.
"""

import contextlib
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.speed.timing import seconds_per_call

ROOT = Path(__file__).parents[2]


class LostWorkerError(Exception):
    """The process of a worker did not start, or has ended.

    Parameters
    ----------
    reason : str
    worker : Worker
    """

    def __init__(self, reason: str, worker: "Worker") -> None:
        super().__init__(reason)
        self.worker = worker


class Worker:
    """A process that makes jobs and times them.

    Parameters
    ----------
    python : path
        The interpreter of its environment.

    Raises
    ------
    LostWorkerError
        By all methods, when the process does not run, or no longer.
    """

    def __init__(self, python: str | Path = sys.executable) -> None:
        self._connection, theirs = Pipe()
        descriptor = theirs.fileno()
        command = [python, "-m", "benchmarks.speed.workers", str(descriptor)]
        try:
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[descriptor])
        except OSError as error:
            raise LostWorkerError(f"{python}: {error.strerror}", self) from None
        theirs.close()

    def _ask(self, *request: object) -> Any:
        try:
            self._connection.send(request)
            answer = self._connection.recv()
        except (EOFError, OSError):
            reason = f"its process ended with {self._process.wait()}"
            raise LostWorkerError(reason, self) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def prepare(
        self, make: Callable[..., tuple[Callable[[], object], Any]], *arguments: Any
    ) -> Any:
        """Let the worker call `make`, keep the job that it returns, and hand back the rest.

        `make` is a function of a module that can be imported in the worker's environment. What it
        raises is raised here.
        """
        return self._ask("prepare", make, *arguments)

    def seconds_per_call(self, calls: int) -> float:
        """Return the mean time of a call of the job over so many calls."""
        return self._ask("time", calls)


def _serve(connection: Connection) -> None:
    """Answer requests until the parent has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too
    job = None
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            word, *arguments = connection.recv()
            try:
                if word == "prepare":
                    job = None  # its memory is free before the next one needs it
                    make, *arguments = arguments
                    job, answer = make(*arguments)
                else:
                    answer = seconds_per_call(job, *arguments)
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                answer = error
            connection.send(answer)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
