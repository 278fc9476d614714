"""Text files of tables: encoding, comment lines, separator, and the rows with their lines."""

from __future__ import annotations

import bz2
import codecs
import csv
import errno
import gzip
import lzma
import os
import re
import stat
import sys
import zlib
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

__all__ = ["Row", "find_separator", "read_text", "separator", "split"]

# The longer mark first: that of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHER_FILES = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF file"),
    (b"\x1f\x8b", "a gzip archive whose name does not end in .gz"),
    (b"\xfd7zXZ", "an xz archive whose name does not end in .xz"),
)
SHEET_ERROR = re.compile(r"#(?:N/A|DIV/0!|REF!|VALUE!|NUM!|NAME\?|NULL!)")
# How the text of other files begins
OTHER_TEXTS = re.compile(r"\s*(?:\{|\[\s*[\[{]|<(?:html|!doctype|\?xml|table))", re.IGNORECASE)
# A compressed text may be so many times as long as the file. Numbers and dates are compressed to
# a fifth or a tenth; a few bytes can stand for gigabytes.
MOST_TIMES, MOST_BYTES = 30, 8 << 20
# An .xz file names the memory to decompress it with, up to 4 GiB; `xz -9` names 65 MiB.
MOST_XZ_MEMORY = 80 << 20
PIECE = 1 << 13
# In order of preference where several split a file equally well: text holds commas more often than
# tabs, and dates and names hold spaces.
SEPARATORS = ("\t", ";", "|", ",", " ")
WORDS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
# Rows that a separator is looked for in
SAMPLE_SIZE = 500
# Lines that they are taken from: rows may have several, within quotation marks
SAMPLE_LINES = 10 * SAMPLE_SIZE
# Share of the rows that a separator has to split as the first one
MIN_SHARE = 0.5
# A row of more cells takes many times its length. Cells may hold separators, in quotation marks.
MOST_SEPARATORS = 1_000_000
EXCEL_HINT = re.compile(r'"?sep=(.)"?\s*')


class Row(NamedTuple):
    """A row of a file.

    Attributes
    ----------
    line : int
        The number of its first line in the file, from 1 on.
    cells : list of str
    """

    line: int
    cells: list[str]

    @property
    def width(self) -> int:
        """How many cells there are without the empty ones at the end."""
        filled = [place for place, cell in enumerate(self.cells, 1) if cell]
        return filled[-1] if filled else 0


def read_text(path: str | os.PathLike[str], encoding: str | None) -> tuple[str, str]:
    """Return the text in a file and its encoding.

    Parameters
    ----------
    path : path-like
        "-" is the standard input. Files that end in .gz, .bz2 or .xz are decompressed.
    encoding : str, optional
        Default: that of its byte order mark, or UTF-8, or cp1252 where it is no UTF-8.

    Returns
    -------
    text : str
        Without a byte order mark; every line ends in a line feed.
    encoding : str

    Raises
    ------
    ValueError
        The file holds no text, or no text in this encoding.
    OSError
        It cannot be opened.
    """
    content = _bytes(path)
    for magic, name in OTHER_FILES:
        if content.startswith(magic):
            raise ValueError(f"{path}: expected a table of text such as CSV, got {name}")
    text, encoding = _decoded(content, encoding, path)
    # DOS ended texts with Ctrl-Z.
    text = text.removeprefix("\ufeff").removesuffix("\x1a")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if OTHER_TEXTS.match(text):
        raise ValueError(f"{path}: expected a table of text such as CSV, got JSON, HTML or XML")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"{path}, line {line}: expected text, got a NUL character (--encoding names an "
            "encoding such as utf-16)"
        )
    return text, encoding


def separator(word: str) -> str:
    """Return the separator that an argument names: a character, or "tab" or "space".

    Raises
    ------
    ValueError
        It names none.
    """
    character = WORDS.get(word.lower(), word)
    if len(character) != 1 or character.isalnum() or character in '\n\r"#.-+':
        raise ValueError(f"sep: expected one character, tab or space, got {word!r}")
    return character


def split(
    text: str, sep: str, path: str | os.PathLike[str] = "", comments: array[int] | None = None
) -> Iterator[Row]:
    """Yield the rows of a text: comment lines are left out, cells are stripped.

    Parameters
    ----------
    text : str
    sep : str
    path : path-like
        For the error.
    comments : array of int, optional
        The lines of comments are appended to it.

    Raises
    ------
    ValueError
        A quotation mark is never closed.
    """
    lines: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        width = 0
        for number, line in enumerate(_lines(text), 1):
            # Within quotation marks, where the row is not complete, there are no comments.
            if not lines and _is_comment(line, sep):
                if comments is not None:
                    comments.append(number)
                continue
            width = line.count(sep) + (width if lines else 0)
            if width > MOST_SEPARATORS:
                raise ValueError(
                    f"{path}, line {number}: expected at most {MOST_SEPARATORS} separators in a "
                    f"row, got {width}"
                )
            lines.append((number, line))
            # A row in which spaces are the separator begins and ends without.
            yield f"{' '.join(line.split()) if sep == ' ' else line}\n"

    try:
        for cells in csv.reader(feed(), delimiter=sep, skipinitialspace=True):
            if len(lines) > 1 and sum(line.count('"') for _, line in lines) % 2:
                break
            yield Row(lines[0][0], [cell.strip() for cell in cells])
            lines.clear()
    except csv.Error as error:
        raise ValueError(f"{path}, line {lines[0][0]}: expected a row, got {error}") from None
    if lines:
        raise ValueError(
            f"{path}, line {lines[0][0]}: expected a closing quotation mark, got none to the end"
        )


def find_separator(text: str) -> str:
    """Return the separator that splits a text into rows as wide as the first.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        For a table of one column: any that splits none of its rows.
    """
    hint = EXCEL_HINT.fullmatch(text.partition("\n")[0])
    if hint:
        return hint[1]
    filled = (line for line in _lines(text) if line.strip())
    beginning = "\n".join(islice(filled, SAMPLE_LINES))
    tables = {sep: _sample(beginning, sep) for sep in SEPARATORS}
    shares = {sep: _share(rows, rows[0].width) for sep, rows in tables.items() if rows}
    wide = [sep for sep in shares if tables[sep][0].width > 1 and shares[sep] >= MIN_SHARE]
    if wide:
        return max(wide, key=lambda sep: shares[sep])
    # Rows wider or narrower than the names: the refusal will name their line.
    ragged = [sep for sep, rows in tables.items() if _splits_most(rows)]
    if ragged:
        return max(ragged, key=lambda sep: _common_width(tables[sep][1:]))
    # One column. Rows may still end in a separator.
    narrow = [sep for sep in shares if tables[sep][0].width == 1 and shares[sep] >= MIN_SHARE]
    if narrow:
        return max(narrow, key=lambda sep: (shares[sep], sep in text))
    # The first row is no row of names.
    common = {sep: _common_width(rows[1:]) for sep, rows in tables.items() if len(rows) > 1}
    return max(common, key=lambda sep: _share(tables[sep], common[sep]), default=",")


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text; a list of them would take many times its memory."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _sample(text: str, sep: str) -> list[Row]:
    rows: list[Row] = []
    # What cannot be split is refused when the whole text is.
    with suppress(ValueError):
        rows.extend(islice((row for row in split(text, sep) if any(row.cells)), SAMPLE_SIZE))
    return rows


def _share(rows: list[Row], width: int) -> float:
    """Return the share of the rows after the first that have a width, empty cells included."""
    rest = rows[1:]
    if not rest or width < 1:
        return float(width >= 1)
    return sum(row.width <= width <= len(row.cells) for row in rest) / len(rest)


def _splits_most(rows: list[Row]) -> bool:
    """Return whether the first row and most others have several cells."""
    wide = sum(row.width > 1 for row in rows[1:])
    return len(rows) > 1 and rows[0].width > 1 and wide >= MIN_SHARE * (len(rows) - 1)


def _common_width(rows: list[Row]) -> int:
    return Counter(row.width for row in rows).most_common(1)[0][0]


def _is_comment(line: str, sep: str) -> bool:
    """Return whether a line is a comment.

    "#" may also be the name of a first column, and a spreadsheet's errors begin with it.
    """
    if not line.startswith("#") or SHEET_ERROR.match(line):
        return False
    return sep == " " or not line[1:].lstrip(" ").startswith(sep)


def _bytes(path: str | os.PathLike[str]) -> bytes:
    """Return what a file or the standard input holds, decompressed."""
    if str(path) == "-":
        buffer = getattr(sys.stdin, "buffer", None)
        from_standard_input: bytes = sys.stdin.read().encode() if buffer is None else buffer.read()
        return from_standard_input
    decompress = COMPRESSED.get(Path(path).suffix.lower())
    if decompress is None:
        return _whole(Path(path))
    most = MOST_BYTES + MOST_TIMES * Path(path).stat().st_size
    try:
        content = decompress(path, most + 1)
    except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"{path}: expected a compressed file, got {error}") from error
    if len(content) > most:
        raise ValueError(
            f"{path}: expected a text at most {MOST_TIMES} times as long as the compressed file, "
            "got a longer one (decompress it first)"
        )
    return content


def _whole(path: Path) -> bytes:
    """Return what a file or a pipe holds; other devices than terminals may never end."""
    with path.open("rb") as file:
        if stat.S_ISCHR(os.fstat(file.fileno()).st_mode) and not file.isatty():
            raise OSError(errno.EINVAL, "expected a path for a file, got a device", str(path))
        return file.read()


def _gunzipped(path: str | os.PathLike[str], count: int) -> bytes:
    with gzip.GzipFile(path) as file:
        return file.read(count)


def _bunzipped(path: str | os.PathLike[str], count: int) -> bytes:
    with bz2.BZ2File(path) as file:
        return file.read(count)


def _unxzipped(path: str | os.PathLike[str], count: int) -> bytes:
    """Return the first bytes of what an .xz holds: `lzma.LZMAFile` takes what memory it names."""
    content, rest, stream = bytearray(), b"", None
    with Path(path).open("rb") as file:
        while len(content) < count and (piece := rest or file.read(PIECE)):
            rest = b""
            if stream is None:
                # Between streams there may be zeros.
                piece = piece.lstrip(b"\0")
                if not piece:
                    continue
                stream = lzma.LZMADecompressor(memlimit=MOST_XZ_MEMORY)
            content += stream.decompress(piece, count - len(content))
            if stream.eof:
                rest, stream = stream.unused_data, None
    if stream is not None and len(content) < count:
        raise EOFError("one that ends too early")
    return bytes(content)


COMPRESSED = {".gz": _gunzipped, ".bz2": _bunzipped, ".xz": _unxzipped}


def _decoded(content: bytes, encoding: str | None, path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return bytes as text, and their encoding."""
    if encoding is None:
        encoding = next((name for mark, name in MARKS if content.startswith(mark)), None)
    if encoding is None:
        try:
            return content.decode(), "utf-8"
        except UnicodeDecodeError:
            # Windows's encoding of Western Europe; Latin-1 has a character for every byte.
            encoding = "latin-1" if set(content) & set(b"\x81\x8d\x8f\x90\x9d") else "cp1252"
    try:
        return content.decode(encoding), encoding
    except LookupError:
        raise ValueError(
            f"encoding: expected one that Python knows, such as utf-8 or cp1252, got {encoding!r}"
        ) from None
    except UnicodeError as error:
        line = content.count(b"\n", 0, getattr(error, "start", 0)) + 1
        raise ValueError(
            f"{path}, line {line}: expected text in {encoding}, got bytes that are none"
        ) from error
