"""Columns of numbers from CSV files (needs pandas, the ``cli`` extra)."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from crnn.forecasting.recipe import Floats

__all__ = ["column", "columns", "read"]


def read(path: Path) -> pd.DataFrame:
    """Return the table in a CSV file with a first line of names.

    Parameters
    ----------
    path : Path
        "-" is the standard input.

    Returns
    -------
    DataFrame
        Without the empty rows at its end.

    Raises
    ------
    ValueError
        The file holds no table or no rows, or a row has more values than there are names.
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
            # pandas drops the values of a row that has more of them than there are names.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                sys.stdin if str(path) == "-" else path,
                # By default pandas takes the first value of such rows for the row's name and shifts
                # the others by a column.
                index_col=False,
                # In a table of one column a blank line is a gap.
                skip_blank_lines=False,
                # By default the type of a column may change from block to block.
                low_memory=False,
            )
    except pd.errors.ParserWarning:
        raise ValueError(
            f"{path}: expected no more values in a row than the first line has names, got more"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a CSV file, got {error}") from error
    filled = np.flatnonzero(table.notna().any(axis=1))
    table = table.iloc[: filled[-1] + 1 if len(filled) else 0]
    if table.empty:
        raise ValueError(f"{path}: expected rows of numbers, got none")
    table.columns = [str(name).strip() for name in table.columns]
    return table


def column(table: pd.DataFrame, name: str, path: Path) -> Floats:
    """Return a column of finite numbers.

    Parameters
    ----------
    table : DataFrame
    name : str
    path : Path
        Of the file, for the error.

    Returns
    -------
    array (rows,)

    Raises
    ------
    ValueError
        There is no such column, or a value is missing or no finite number.
    """
    import pandas as pd

    if name not in table.columns:
        raise ValueError(
            f"{path}: expected a column {name!r}, got {', '.join(map(repr, table.columns))}"
        )
    values = table[name]
    if isinstance(values, pd.DataFrame):
        raise ValueError(f"{path}: expected one column {name!r}, got {values.shape[1]}")
    numbers: Floats = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        # The names are line 1.
        line, value = int(bad[0]) + 2, values.iloc[bad[0]]
        what = "a gap" if pd.isna(value) else repr(value)
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise ValueError(f"{path}, line {line}: expected a number in {name!r}, got {what}{more}")
    return numbers


def columns(table: pd.DataFrame, names: list[str], path: Path) -> Floats:
    """Return several columns of finite numbers.

    Parameters
    ----------
    table : DataFrame
    names : list of str
    path : Path
        Of the file, for the error.

    Returns
    -------
    array (rows, columns)

    Raises
    ------
    ValueError
        As `column`.
    """
    parts = [column(table, name, path) for name in names]
    return np.column_stack(parts) if parts else np.empty((len(table), 0))
