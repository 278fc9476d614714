"""Where the header and its test are written, and the name that they use."""

import os
import re
from pathlib import Path

from crnn import archive

__all__ = ["MARK", "check_free", "paths"]

MARK = "/* Written by crnn.export_c"
"""What each file begins with; a file that does not is not replaced."""

# C23 and C++23: the compiler may read the header as either.
KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t
    char32_t class co_await co_return co_yield compl concept const const_cast consteval constexpr
    constinit continue decltype default delete do double dynamic_cast else enum explicit export
    extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq
    nullptr operator or or_eq private protected public register reinterpret_cast requires restrict
    return short signed sizeof static static_assert static_cast struct switch template this
    thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned using
    virtual void volatile wchar_t while xor xor_eq
"""


def paths(path: str | os.PathLike[str], name: str | None) -> tuple[str, str, str]:
    """Return the paths of the header and of the test, and the name, checked."""
    header = Path(path)
    source = "name" if name is not None else f"{header}: name"
    name = header.stem if name is None else name
    if not isinstance(name, str):
        raise TypeError(f"name: expected a text, got {type(name).__name__}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in KEYWORDS.split():
        raise ValueError(
            f"{source}: expected an identifier of C and C++ that begins with a letter and is no "
            f"keyword, got {name!r}"
        )
    # C++ reserves names with two underscores side by side; another follows this one.
    if "__" in f"{name}_":
        raise ValueError(
            f"{source}: expected an identifier of C and C++ without two underscores side by side, "
            f"and without one at the end, got {name!r}"
        )
    # C99 reads two question marks and what follows them as another character.
    if not re.fullmatch(r"[ -~]+", header.name) or re.search(r'["\\]|\?\?', header.name):
        raise ValueError(
            f"path: expected a file name that a C program can include, got {header.name!r}"
        )
    return str(header), str(header.with_name(f"{name}_test.c")), name


def check_free(path: str, *, replaces: bool) -> None:
    """Check that nothing is at a path, or a file that may be replaced."""
    if replaces:
        return
    try:
        archive.check_regular(path)
        with Path(path).open("rb") as file:
            start = file.read(len(MARK))
    except FileNotFoundError:
        return
    if start != MARK.encode():
        raise FileExistsError(
            f"{path}: expected no file or one that export_c has written, got another file; "
            "overwrite=True replaces it"
        )
