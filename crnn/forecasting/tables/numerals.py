"""Numbers as people write them: decimal sign, thousands, currency, percent, accounting."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["GAPS", "Evidence", "Numeral", "decimal_evidence", "is_gap", "numeral", "value"]

# What stands for a missing value, in lower case; "." is that of SAS, ".." that of the World Bank.
GAPS = {
    *("", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "?", "*"),
    *("na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "nil", "<na>", "missing"),
}
SPACES = " \u00a0\u2009\u202f"
# Spaces and apostrophes are signs of thousands and never decimal signs.
GROUPING = SPACES + "'\u2019"
# Escaped for a class of characters
MINUS = "\\-\u2212\u2013"
CODES = (
    "AED|ARS|AUD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|MXN|"
    "MYR|NGN|NOK|NZD|PEN|PHP|PKR|PLN|RON|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
CURRENCY = rf"(?:R\$|[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20ba]|Fr\.|{CODES})"
# Possessive: many spaces are not tried in all ways of sharing them out.
_S = rf"[{SPACES}]*+"
CELL = re.compile(
    rf"(?P<open>\()?{_S}(?P<sign>[+{MINUS}])?{_S}(?P<before>{CURRENCY})?{_S}"
    rf"(?P<sign2>[+{MINUS}])?{_S}"
    rf"(?P<digits>[.,]?[0-9](?:[0-9.,{GROUPING}]*[0-9])?[.,]?(?:[eE][+\-]?[0-9]+)?)"
    rf"{_S}(?P<after>%|{CURRENCY})?{_S}(?P<sign3>[{MINUS}])?{_S}(?P<close>\))?"
)
# What a computer writes: no sign of thousands, a decimal point.
PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# 1.234 may be 1234. A number that begins with 0 has no thousands.
AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")


def _pattern(decimal: str) -> re.Pattern[str]:
    """Return the pattern of digits with this decimal sign, and thousands by any other."""
    other = "," if decimal == "." else "."
    groups = rf"[1-9][0-9]{{0,2}}(?P<t>[{GROUPING}{other}])[0-9]{{3}}(?:(?P=t)[0-9]{{3}})*"
    # Indian grouping: 12,34,567
    lakhs = rf"[1-9][0-9]?(?:{re.escape(other)}[0-9]{{2}})+{re.escape(other)}[0-9]{{3}}"
    point = re.escape(decimal)
    # Powers of ten are written by computers, which group nothing.
    plain = rf"(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    return re.compile(rf"(?:{groups}|{lakhs})(?:{point}[0-9]*)?|{plain}")


PATTERNS = {decimal: _pattern(decimal) for decimal in ".,"}


class Numeral(NamedTuple):
    """A number as it is written.

    Attributes
    ----------
    digits : str
        With its decimal sign and thousands, without sign.
    negative : bool
    unit : str
        A percent or currency sign, or "".
    decimals : str
        The decimal signs that it can be read with.
    """

    digits: str
    negative: bool
    unit: str
    decimals: str

    @property
    def is_ambiguous(self) -> bool:
        """Whether it is one number with a decimal point and another with a decimal comma."""
        return bool(AMBIGUOUS.fullmatch(self.digits))


class Evidence(NamedTuple):
    """The first numbers that show a decimal sign, or leave it open.

    Attributes
    ----------
    shown : dict
        By decimal sign the position of a number that can only be read with it.
    ambiguous : int or None
        The position of a number that can be read with both.
    """

    shown: dict[str, int]
    ambiguous: int | None


def is_gap(cell: str) -> bool:
    """Return whether a cell holds no value."""
    return cell.lower() in GAPS


def numeral(cell: str) -> Numeral | None:
    """Return a cell as a number; None: it is none."""
    match = CELL.fullmatch(cell)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    digits = match["digits"]
    decimals = "".join(sign for sign, form in PATTERNS.items() if form.fullmatch(digits))
    signs = [sign for name in ("sign", "sign2", "sign3") if (sign := match[name])]
    units = [unit for name in ("before", "after") if (unit := match[name])]
    if not decimals or len(signs) + bool(match["open"]) > 1 or len(units) > 1:
        return None
    if match["sign3"] and digits[-1] in ".,":
        # "4.-" and "4,-" are prices without cents, "4-" is negative.
        return None
    negative = bool(match["open"]) or signs not in ([], ["+"])
    return Numeral(digits, negative, "".join(units), decimals)


def value(numeral: Numeral, decimal: str, thousands: str | None = None) -> float | None:
    """Return a number's value; None: it cannot be written with these signs.

    Parameters
    ----------
    numeral : Numeral
    decimal : str
    thousands : str, optional
        The only sign of thousands. Default: any but the decimal sign.
    """
    digits = numeral.digits
    if decimal not in numeral.decimals:
        return None
    groups = {character for character in digits if character in GROUPING + ".,"} - {decimal}
    if thousands is not None:
        same = SPACES if thousands in SPACES else "'\u2019" if thousands in "'\u2019" else thousands
        if not groups <= set(same):
            return None
    for sign in groups:
        digits = digits.replace(sign, "")
    magnitude = float(digits.replace(decimal, "."))
    return -magnitude if numeral.negative else magnitude


def decimal_evidence(numerals: Iterable[Numeral | None]) -> Evidence:
    """Return which decimal signs a column shows."""
    shown: dict[str, int] = {}
    ambiguous = None
    for position, found in enumerate(numerals):
        if found is None or not ("." in found.digits or "," in found.digits):
            continue
        if found.is_ambiguous:
            ambiguous = position if ambiguous is None else ambiguous
        elif len(found.decimals) == 1:
            shown.setdefault(found.decimals, position)
    return Evidence(shown, ambiguous)
