"""The door for C, C++ and Cython code that steps networks by itself."""

import os


def get_include() -> str:
    """Return the folder of crnn.h, for the compiler's include path.

    Cython code needs no path: ``from crnn cimport Stream`` finds what it needs in the package.

    Returns
    -------
    str
        An absolute path.
    """
    return os.path.join(os.path.dirname(__file__), "include")
