"""Whether this is the main interpreter of the process, and an error where NumPy asks for it.

`crnn` imports this module before all others that import NumPy.
"""

import importlib


def is_main() -> bool:
    """Return whether this is the main interpreter of the process, and no subinterpreter."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, and before
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True  # other implementations of Python have one


try:
    import numpy as np  # noqa: F401
except (ImportError, AttributeError) as error:  # the second from NumPy 1.26
    if isinstance(error, ModuleNotFoundError) or is_main():
        raise
    raise ImportError(
        "crnn: expected an interpreter that NumPy can be imported in, got a subinterpreter"
    ) from None
