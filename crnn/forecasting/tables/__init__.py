"""Series from text files such as CSV: how they are written, what their columns hold, their dates.

`reading` finds out how a file is written and returns a `Table` of cells. `arranging` makes series
of it: numbers, sorted by date, one a date, without gaps. Needs pandas, the ``cli`` extra.
"""

try:
    import pandas as pd  # noqa: F401
except ImportError as error:
    raise ImportError("CSV files need pandas: pip install 'crnn[cli]'") from error

from crnn.forecasting.tables.arranging import read_series
from crnn.forecasting.tables.date_columns import date_names
from crnn.forecasting.tables.frequency import Frequency
from crnn.forecasting.tables.reading import read_csv
from crnn.forecasting.tables.rows import Options, Rows
from crnn.forecasting.tables.table import Dialect, Table

__all__ = [
    "Dialect",
    "Frequency",
    "Options",
    "Rows",
    "Table",
    "date_names",
    "read_csv",
    "read_series",
]
