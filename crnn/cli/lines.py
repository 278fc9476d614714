"""Numbers in lines of text, for the commands that answer one line after another."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NUMBER", "lines_of_standard_input", "sentence"]

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def lines_of_standard_input() -> Iterator[str]:
    """Yield the lines as they come, without a byte order mark."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Bytes that are no text make a line unreadable, not the stream.
        sys.stdin.reconfigure(errors="replace")
    for number, line in enumerate(sys.stdin):
        yield line if number else line.removeprefix("\ufeff")


def sentence(error: Exception) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())
