"""Columns of numbers from CSV files (needs pandas, the ``cli`` extra)."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from crnn.checks import Array


def read(path: Path) -> pd.DataFrame:
    """Return the table in a CSV file; "-" is the standard input.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        It holds no table, one without rows, or rows of more values than there are columns.
    OSError
        It cannot be opened.
    ImportError
        pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("CSV files need pandas: pip install 'crnn[cli]'") from None
    try:
        with warnings.catch_warnings():
            # Rows of more values than the first line has names lose what is over.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                sys.stdin if str(path) == "-" else path,
                # Else pandas takes the first values of such rows for their names, and shifts the
                # others by a column.
                index_col=False,
                # A blank line is a gap of a table of one column.
                skip_blank_lines=False,
                # Types guessed block by block may differ, and pandas warns of that.
                low_memory=False,
            )
    except pd.errors.ParserWarning:
        raise ValueError(
            f"{path}: expected no more values in a row than the first line has names, got more"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a CSV file, got {error}") from error
    # Blank lines at the end are none.
    filled = np.flatnonzero(table.notna().any(axis=1))
    table = table.iloc[: filled[-1] + 1 if len(filled) else 0]
    if table.empty:
        raise ValueError(f"{path}: expected rows of numbers, got none")
    table.columns = [str(name).strip() for name in table.columns]
    return table


def numbers(table: pd.DataFrame, column: str, path: Path) -> Array:
    """Return a column as finite float64 numbers (rows,).

    Parameters
    ----------
    table : DataFrame
    column : str
    path : Path
        What an error names.

    Raises
    ------
    ValueError
        There is no such column, or it has gaps or something that is no number.
    """
    import pandas as pd

    if column not in table.columns:
        raise ValueError(
            f"{path}: expected a column {column!r}, got {', '.join(map(repr, table.columns))}"
        )
    values = table[column]
    if isinstance(values, pd.DataFrame):
        raise ValueError(f"{path}: expected one column {column!r}, got {values.shape[1]}")
    found: Array = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        # The header is line 1.
        line, value = int(bad[0]) + 2, values.iloc[bad[0]]
        what = "a gap" if pd.isna(value) else repr(value)
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise ValueError(f"{path}, line {line}: expected a number in {column!r}, got {what}{more}")
    return found


def columns(table: pd.DataFrame, names: list[str], path: Path) -> Array:
    """Return several columns of numbers (rows, columns)."""
    parts = [numbers(table, name, path) for name in names]
    return np.column_stack(parts) if parts else np.empty((len(table), 0))
