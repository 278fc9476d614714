"""The highest memory of a call."""

import tracemalloc


def peak_of(call, *arguments):
    """Return the most bytes that Python and NumPy held during a call."""
    tracemalloc.start()
    try:
        call(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
