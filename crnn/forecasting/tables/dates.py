"""Dates as people write them: which kind a column holds, and what they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "EPOCHS",
    "MAX_YEAR",
    "Dates",
    "families",
    "format_dates",
    "is_date",
    "is_named_like_dates",
    "minutes",
    "read",
]

# Units of numbers since 1970, UTC, by the `date_format` that names them
EPOCHS = {"epoch": "s", "epoch-ms": "ms"}
# The last year of four digits. Numbers since 1970 in another unit are in years of five.
MAX_YEAR = 9999
NAMES = re.compile(
    "dates?|datetime|time|timestamp|days?|ds|datum|weeks?|months?|quarters?|years?|period|fecha|"
    "jahr|monat|tag|zeit|ann\u00e9e|annee|mois|a\u00f1o|anno|mese"
)
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
# Formats of what stands for a whole period in answers; ISO 8601 has no quarters.
PERIODS = {"month": "%Y-%m", "week": "%G-W%V", "year": "%Y"}

# Possessive: many spaces are not tried in all ways of sharing them out.
TIME = (
    r"(?:(?:T|,? +)(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?"
    r" *+(?P<half>[AaPp]\.?[Mm]\.?)? *+(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
)
COMPACT_TIME = r"(?:[T ]?(?P<H>\d{2})(?P<M>\d{2})(?P<S>\d{2})?)?"
YEAR = r"(?P<y>\d{4})"
MONTH = r"(?P<name>[A-Za-z]{3,9})\.?"
FAMILIES = {
    "date": r"(?P<y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})" + TIME,
    "date in Chinese or Japanese": r"(?P<y>\d{4})\u5e74 ?(?P<m>\d{1,2})\u6708 ?(?P<d>\d{1,2})\u65e5"
    + TIME,
    "day and month": r"(?P<a>\d{1,2})([-/.])(?P<b>\d{1,2})\2(?P<y>\d{4})" + TIME,
    "two-digit year": rf"(?:\d{{1,2}}([-/.])\d{{1,2}}\1|(?:\d{{1,2}}[ -])?{MONTH}[ '-])\d{{2}}"
    + TIME,
    "day and month's name": rf"(?P<d>\d{{1,2}})[ .-]+{MONTH}[ ,-]+(?P<y>\d{{4}})" + TIME,
    "month's name and day": rf"{MONTH} +(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,? +{YEAR}" + TIME,
    "month's name": rf"{MONTH}[ ,-]+(?P<y>\d{{4}})",
    "year and month's name": rf"(?P<y>\d{{4}})[ -]+{MONTH}",
    "month": r"(?P<y>\d{4})(?:[-/ ]?M|[-/])(?P<m>\d{1,2})",
    "month and year": r"(?P<m>\d{1,2})[-/](?P<y>\d{4})",
    "quarter": r"(?P<y>\d{4})[-/ :]?Q(?P<q>[1-4])",
    "quarter and year": r"Q(?P<q>[1-4])[-/ ]?(?P<y>\d{4})",
    "quarter before year": r"(?P<q>[1-4])Q[-/ ]?(?P<y>\d{4})",
    "week": r"(?P<y>\d{4})[-/ ]?W(?P<w>\d{1,2})",
    "compact": rf"{YEAR}(?P<m>\d{{2}})(?P<d>\d{{2}})" + COMPACT_TIME,
    "month, dotted": r"(?P<m>\d{1,2})\.(?P<y>\d{4})",
    "year and month, dotted": r"(?P<y>\d{4})\.(?P<m>\d{2})",
    "year": r"(?P<y>\d{4})",
}
# Numbers look the same: only columns that are named like dates have these.
NUMBERS = {"compact", "month, dotted", "year and month, dotted", "year"}
# A weekday before a date is left out.
WEEKDAY = r"(?i)^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? +"
PATTERNS = {family: re.compile(pattern) for family, pattern in FAMILIES.items()}
FORM_OF = {
    "month": "month",
    "month and year": "month",
    "month, dotted": "month",
    "year and month, dotted": "month",
    "month's name": "month",
    "year and month's name": "month",
    "quarter": "quarter",
    "quarter and year": "quarter",
    "quarter before year": "quarter",
    "week": "week",
    "year": "year",
}


class Dates(NamedTuple):
    """Dates of a column.

    Attributes
    ----------
    dates : DatetimeIndex
        Without a zone: UTC where the column has offsets that differ. NaT where a cell is no date.
    form : str
        What is written: "date", "time", "month", "quarter", "week" or "year".
    zone : str
        The offset from UTC of all dates, such as "+01:00", or "".
    day_first : bool or None
        Whether the day stands before the month; None: the dates do not leave that open.
    """

    dates: pd.DatetimeIndex
    form: str
    zone: str
    day_first: bool | None = None


def is_named_like_dates(name: str) -> bool:
    """Return whether one of the words of a column's name is one for dates."""
    return any(NAMES.fullmatch(word) for word in re.split(r"[\W_]+", name.lower()))


def families(cell: str, name: str = "") -> list[str]:
    """Return the families of formats that a cell may have in a column of this name."""
    named = is_named_like_dates(name)
    cell = re.sub(WEEKDAY, "", cell)
    return [
        family
        for family, pattern in PATTERNS.items()
        if (named or family not in NUMBERS)
        and (match := pattern.fullmatch(cell))
        and _is_month(match.groupdict().get("name"))
    ]


def is_date(cell: str) -> bool:
    """Return whether a cell looks like a date, whatever its column is named."""
    return bool(families(cell))


def read(
    cells: Sequence[str],
    family: str,
    *,
    day_first: bool | None = None,
    usual_day_first: bool | None = None,
    date_format: str | None = None,
) -> Dates:
    """Return the dates of a column.

    Parameters
    ----------
    cells : sequence of str
    family : str
        Of `families`; with `date_format` any.
    day_first : bool, optional
        Whether the day stands before the month in numbers such as 01/02/2023. Default: as a number
        above 12 shows.
    usual_day_first : bool, optional
        The same where no number shows it.
    date_format : str, optional
        A format of `strptime`, or a key of `EPOCHS`.

    Raises
    ------
    ValueError
        Day and month are not told apart, the year has two digits, or the format is none.
    """
    found = _read(cells, family, day_first, usual_day_first, date_format)
    # pandas has others, and does not write them.
    has_four_digits = (found.dates.year >= 1) & (found.dates.year <= MAX_YEAR)
    return found._replace(dates=found.dates.where(has_four_digits))


def _read(
    cells: Sequence[str],
    family: str,
    day_first: bool | None,
    usual_day_first: bool | None,
    date_format: str | None,
) -> Dates:
    """Return the dates of a column, of any years."""
    if date_format is not None:
        return _formatted(cells, date_format)
    if family == "two-digit year":
        raise ValueError(
            "expected years of four digits, or a format by --date-format such as '%d.%m.%y' or "
            "'%b-%y'"
        )
    if family == "date" and (found := _iso(cells)) is not None:
        return found
    column = pd.Series(list(cells), dtype=object).str.replace(WEEKDAY, "", regex=True)
    parts = column.str.extract(f"^(?:{FAMILIES[family]})$")
    if family == "day and month":
        if day_first is None:
            day_first = _day_first(parts, usual_day_first)
        parts["d"], parts["m"] = parts["a"], parts["b"]
        if not day_first:
            parts["d"], parts["m"] = parts["b"], parts["a"]
    else:
        day_first = None
    if family == "month" and _are_fiscal(parts):
        raise ValueError(
            f"expected months, got what may be years such as {cells[0]!r} (--no-date takes the "
            "rows in order)"
        )
    if "name" in parts:
        # No month is 0: a name in another language is no date.
        parts["m"] = [_month(name) or 0 for name in parts["name"]]
    if family == "week":
        weeks = parts["y"] + "-" + parts["w"].str.zfill(2) + "-1"
        return Dates(
            pd.DatetimeIndex(pd.to_datetime(weeks, format="%G-%V-%u", errors="coerce")), "week", ""
        )
    return _assembled(parts, FORM_OF.get(family, "date"))._replace(day_first=day_first)


def format_dates(dates: pd.DatetimeIndex, form: str, zone: str) -> list[str]:
    """Return dates as `read` has found them written: ISO 8601, and 2023Q1 for quarters."""
    if form == "quarter":
        return [f"{date.year}Q{date.quarter}" for date in dates]
    if form in PERIODS:
        return [date.strftime(PERIODS[form]) for date in dates]
    if form == "date":
        return [date.strftime("%Y-%m-%d") for date in dates]
    return [date.isoformat() + ("Z" if zone == "+00:00" else zone) for date in dates]


def _iso(cells: Sequence[str]) -> Dates | None:
    """Return ISO dates of one length, quickly; None: they are no such dates."""
    length = len(cells[0])
    if length not in (10, 16, 19) or any(len(cell) != length for cell in cells):
        return None
    parts = {cell[4:5] + cell[7:8] for cell in cells}
    if parts != {"--"}:
        return None
    try:
        dates = pd.DatetimeIndex(pd.to_datetime(list(cells), format="ISO8601"))
    except ValueError:
        return None
    return Dates(dates, "date" if length == 10 else "time", "") if dates.tz is None else None


def minutes(zone: str) -> int:
    """Return the minutes of an offset from UTC, such as "+01:00", "Z" or ""."""
    if zone in ("", "Z", "UTC", "GMT"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    count = 60 * int(digits[:2]) + int(digits[2:])
    return -count if zone[0] == "-" else count


def _formatted(cells: Sequence[str], date_format: str) -> Dates:
    """Return dates in a format of `strptime`, or numbers since 1970."""
    if date_format in EPOCHS:
        numbers = pd.to_numeric(pd.Series(list(cells), dtype=object), errors="coerce")
        dates = pd.to_datetime(numbers, unit=EPOCHS[date_format], errors="coerce")
        return Dates(pd.DatetimeIndex(dates), "time", "+00:00")
    if "%" not in date_format:
        raise ValueError(
            f"date_format: expected a format such as '%d.%m.%Y', epoch or epoch-ms, "
            f"got {date_format!r}"
        )
    # Python 3.15 refuses it, too; before, its dates were in 1900.
    if re.search("%[de]", date_format) and not re.search("%[YyGcxDF]", date_format):
        raise ValueError(f"date_format: expected a year in it, got {date_format!r}")
    try:
        dates = pd.to_datetime(
            pd.Series(list(cells), dtype=object), format=date_format, errors="coerce",
            utc="%z" in date_format,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"date_format: {error}") from None
    index = pd.DatetimeIndex(dates)
    if index.tz is not None:
        return Dates(index.tz_localize(None), "time", "+00:00")
    return Dates(index, "time" if re.search("%[HIMSfpcXT]", date_format) else "date", "")


def _day_first(parts: pd.DataFrame, usual: bool | None) -> bool:
    """Return whether the day stands first, as a number above 12 shows."""
    first, second = (pd.to_numeric(parts[name]) for name in "ab")
    if (first > 12).any() != (second > 12).any():
        return bool((first > 12).any())
    if (first > 12).any():
        raise ValueError(
            "expected one order of day and month, got both: --dayfirst or --monthfirst says which"
        )
    if usual is not None:
        return usual
    raise ValueError(
        "expected dates that tell day and month apart, got none: --dayfirst or --monthfirst says "
        "which"
    )


def _are_fiscal(parts: pd.DataFrame) -> bool:
    """Return whether all months may be the year after, as in 2001/02, 2002/03."""
    years, months = (pd.to_numeric(parts[name]) for name in "ym")
    follow = (years + 1) % 100 == months
    return bool(years.nunique() > 1 and follow[years.notna()].all())


def _assembled(parts: pd.DataFrame, form: str) -> Dates:
    """Return dates from columns of their parts."""

    def number(name: str, default: int) -> pd.Series:
        if name not in parts:
            return pd.Series(default, index=parts.index)
        return pd.to_numeric(parts[name], errors="coerce").fillna(default)

    months = 3 * number("q", 1) - 2 if "q" in parts else number("m", 1)
    # Where nothing matched there is no year, so no date.
    years = pd.to_numeric(parts["y"], errors="coerce").where(lambda year: year >= 1)
    frame = pd.DataFrame({"year": years, "month": months, "day": number("d", 1)})
    has_time = "H" in parts and parts["H"].notna().any()
    if has_time:
        frame["hour"], frame["minute"], frame["second"] = (number(name, 0) for name in "HMS")
        # 24:00 is the end of a day. pandas reads 25:00 as 1:00 of the next one.
        right = (3600 * frame["hour"] + 60 * frame["minute"] + frame["second"]).le(86_400)
        right &= frame["minute"].lt(60) & frame["second"].lt(60)
        if "half" in parts:
            half = parts["half"].str.lower().str[0]
            right &= half.isna() | frame["hour"].between(1, 12)
            frame["hour"] = frame["hour"].where(
                half.isna(), frame["hour"] % 12 + 12 * (half == "p")
            )
        frame["year"] = frame["year"].where(right)
        if "f" in parts:
            fraction = pd.to_numeric(parts["f"].str.ljust(9, "0").str[:6], errors="coerce")
            frame["us"] = fraction.fillna(0)
    dates = pd.DatetimeIndex(pd.to_datetime(frame, errors="coerce"))
    if not has_time:
        return Dates(dates, form, "")
    zones = parts["zone"].dropna() if "zone" in parts else pd.Series(dtype=object)
    if zones.empty:
        return Dates(dates, "time", "")
    offsets = parts["zone"].map(lambda zone: minutes(zone) if isinstance(zone, str) else None)
    if offsets.isna().any() and not dates[offsets.isna()].isna().all():
        raise ValueError("expected an offset from UTC at each date or at none, got both")
    different = pd.to_numeric(offsets.dropna()).unique()
    if len(different) == 1:
        sign, rest = "-" if different[0] < 0 else "+", abs(int(different[0]))
        return Dates(dates, "time", f"{sign}{rest // 60:02d}:{rest % 60:02d}")
    if len(set(dates.dropna() - dates.dropna().normalize())) == 1:
        # Days of a place whose clocks change: local midnights are not 24 hours apart.
        return Dates(dates, "time", "")
    shift = pd.TimedeltaIndex(pd.to_timedelta(offsets.fillna(0).astype(int), unit="min"))
    return Dates(dates - shift, "time", "+00:00")


def _month(name: object) -> int | None:
    """Return the number of a month's English name or its first letters."""
    if not isinstance(name, str):
        return None
    found = [place for place, month in enumerate(MONTHS, 1) if month.startswith(name.lower())]
    return found[0] if len(found) == 1 else None


def _is_month(name: str | None) -> bool:
    return name is None or _month(name) is not None
