"""Tables written in many ways: what is read is what was written, or there is a question."""

import random

import numpy as np
import pytest

pytest.importorskip("pandas")
import pandas as pd

from crnn.forecasting import read_csv

DATES = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%B %d, %Y", "%Y/%m/%d"]
QUESTIONS = ("--decimal", "--dayfirst")


def write_number(value, digits, decimal, thousands, unit, negative):
    """Return a number as some program writes it."""
    text = f"{abs(value):,.{digits}f}".replace(",", "T").replace(".", decimal)
    text = text.replace("T", thousands)
    text = f"{unit}{text}" if unit in ("$", "CHF ") else f"{text}{unit}"
    if value >= 0:
        return text
    return {"()": f"({text})", "trailing": f"{text}-"}.get(negative, f"{negative}{text}")


def table(choose):
    """Return a table as bytes, and the dates and values in it in order."""
    rows = choose.choice([4, 12, 40])
    decimal = choose.choice(".,")
    thousands = choose.choice(["", {".": ",", ",": "."}[decimal], " ", "\u00a0", "\u202f", "'"])
    sep = choose.choice([";", "\t", "|", ",", ", "])
    digits, scale = choose.choice([0, 1, 2, 3, 4]), choose.choice([0.01, 1, 1000, 1e6])
    values = [round(choose.uniform(-1, 1) * scale, digits) for _ in range(rows)]
    how = (digits, decimal, thousands, choose.choice(["", "", "$", " \u20ac", "CHF ", "%"]),
           choose.choice(["-", "\u2212", "()", "trailing"]))  # fmt: skip
    step = choose.choice(["D", "B", "h", "15min", "MS", "W"])
    first = choose.choice(["1999-12-29", "2023-01-10", "2020-02-27"])
    dates = pd.date_range(first, periods=rows, freq=step)
    written = choose.choice(DATES) + (" %H:%M" if step in ("h", "15min") else "")

    def cell(text):
        quoted = always or sep.strip() in text if sep.strip() else always
        return f'"{text}"' if quoted else text

    always = choose.random() < 0.3
    body = [
        [date.strftime(written), write_number(value, *how), str(choose.randrange(5))]
        for date, value in zip(dates, values, strict=True)
    ]
    order = choose.choice([body, body[::-1], choose.sample(body, rows)])
    lines = [sep.join(map(cell, row)) for row in [["when", "units sold", "x"], *order]]
    if choose.random() < 0.3 and sep.strip():
        lines = [line + sep.strip() for line in lines]
    text = choose.choice(["\n", "\r\n"]).join(["# made by a program"] + lines + [""])
    encoding = choose.choice(["utf-8", "utf-8-sig", "utf-16"])
    return text.encode(encoding), dates, values


def read(path):
    """Return the series in a table, or the question in place of it."""
    try:
        return read_csv(path).series("units sold")
    except ValueError as error:
        return str(error)


def test_what_is_read_is_what_was_written(tmp_path):
    path, asked = tmp_path / "t.csv", 0
    for seed in range(90):
        content, dates, values = table(random.Random(seed))
        path.write_bytes(content)
        rows = read(path)
        if isinstance(rows, str):
            assert any(question in rows for question in QUESTIONS), (seed, rows)
            asked += 1
        else:
            np.testing.assert_allclose(rows.target, values, err_msg=f"{seed}: {content[:200]}")
            assert list(rows.dates) == list(dates), seed
    assert 5 < asked < 40
