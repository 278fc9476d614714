"""Series of tables: dates found and read, rows sorted, gaps filled, coming rows."""

import datetime as dt
import re

import numpy as np
import pytest

pytest.importorskip("pandas")
import pandas as pd

from crnn.forecasting import read_csv


@pytest.fixture
def write(tmp_path):
    """Write the lines of a table, and return its path."""

    def write(*lines, name="t.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def dated(*dates):
    """Return the lines of a table with a value for each date."""
    return "when;b", *(f"{date};{row + 0.5}" for row, date in enumerate(dates))


# Dates of three rows or more, options, how far apart they are, the date after them.
FOUND = {
    "days": (["2023-02-27", "2023-02-28", "2023-03-01"], {}, "a day apart", "2023-03-02"),
    "slashes": (["2023/2/27", "2023/2/28", "2023/3/1"], {}, "a day apart", "2023-03-02"),
    "points": (["27.02.2023", "28.02.2023", "01.03.2023"], {}, "a day apart", "2023-03-02"),
    "months first": (["02/27/2023", "02/28/2023", "03/01/2023"], {}, "a day apart", "2023-03-02"),
    "told": (["01/02/2023", "02/02/2023", "03/02/2023"], {"day_first": True}, "a day apart",
             "2023-02-04"),
    "told months first": (["01/02/2023", "02/02/2023", "03/02/2023"], {"day_first": False},
                          "a month apart", "2023-04-02"),
    "usual": (["01/02/2023", "02/02/2023", "03/02/2023"], {"usual_day_first": True}, "a day apart",
              "2023-02-04"),
    "a format": (["27.02.23", "28.02.23", "01.03.23"], {"date_format": "%d.%m.%y"}, "a day apart",
                 "2023-03-02"),
    "names of months": (["27 Feb 2023", "28 Feb 2023", "1 Mar 2023"], {}, "a day apart",
                        "2023-03-02"),
    "months' names first": (["February 27, 2023", "February 28, 2023", "March 1, 2023"], {},
                            "a day apart", "2023-03-02"),
    "days of the week": (["Mon, 27 Feb 2023", "Tue, 28 Feb 2023", "Wednesday, 1 Mar 2023"], {},
                         "a day apart", "2023-03-02"),
    "names of months and two digits": (["Nov-22", "Dec-22", "Jan-23"], {"date_format": "%b-%y"},
                                       "a month apart", "2023-02-01"),
    "Japanese": (["2023\u5e742\u670827\u65e5", "2023\u5e742\u670828\u65e5",
                  "2023\u5e743\u67081\u65e5"], {}, "a day apart", "2023-03-02"),
    "times": (["2023-03-01 22:30", "2023-03-01 23:00", "2023-03-01 23:30"], {}, "30 minutes apart",
              "2023-03-02T00:00:00"),
    "seconds": (["2023-03-01T23:59:58Z", "2023-03-01T23:59:59Z", "2023-03-02T00:00:00Z"], {},
                "a second apart", "2023-03-02T00:00:01Z"),
    "an offset": (["2023-03-01 22:00+0100", "2023-03-01 23:00+0100", "2023-03-02 00:00+0100"], {},
                  "an hour apart", "2023-03-02T01:00:00+01:00"),
    "clocks change": (["2023-03-26 00:00+01:00", "2023-03-26 01:00+01", "2023-03-26 03:00+02:00"],
                      {}, "an hour apart", "2023-03-26T02:00:00Z"),
    "midnights where clocks change": (
        ["2023-03-25 00:00+01:00", "2023-03-26 00:00+01:00", "2023-03-27 00:00+02:00"], {},
        "a day apart", "2023-03-28T00:00:00"),
    "afternoons": (["3/13/2023 11:00 AM", "3/13/2023 12:00 PM", "3/13/2023 1:00 PM"], {},
                   "an hour apart", "2023-03-13T14:00:00"),
    "weeks": (["2023-02-13", "2023-02-20", "2023-02-27"], {}, "7 days apart", "2023-03-06"),
    "numbered weeks": (["2023-W50", "2023-W51", "2023-W52"], {}, "7 days apart", "2024-W01"),
    "business days": (["2023-03-02", "2023-03-03", "2023-03-06"], {}, "a business day apart",
                      "2023-03-07"),
    "months": (["2022-11", "2022-12", "2023-01"], {}, "a month apart", "2023-02"),
    "months with M": (["2022M11", "2022M12", "2023M01"], {}, "a month apart", "2023-02"),
    "months by name": (["Nov 2022", "Dec 2022", "Jan 2023"], {}, "a month apart", "2023-02"),
    "first days": (["2022-11-01", "2022-12-01", "2023-01-01"], {}, "a month apart", "2023-02-01"),
    "last days": (["2022-11-30", "2022-12-31", "2023-01-31"], {}, "a month apart", "2023-02-28"),
    "last business days": (["2023-03-31", "2023-04-28", "2023-05-31"], {}, "a month apart",
                           "2023-06-30"),
    "15th days": (["2022-11-15", "2022-12-15", "2023-01-15"], {}, "a month apart", "2023-02-15"),
    "quarters": (["2022Q3", "2022-Q4", "2023 Q1"], {}, "a quarter apart", "2023Q2"),
    "quarters first": (["3Q2022", "4Q2022", "1Q2023"], {}, "a quarter apart", "2023Q2"),
    "ends of quarters": (["2022-09-30", "2022-12-31", "2023-03-31"], {}, "a quarter apart",
                         "2023-06-30"),
    "epoch": (["1677600000", "1677603600", "1677607200"],
              {"date": "when", "date_format": "epoch"}, "an hour apart", "2023-02-28T19:00:00Z"),
    "epoch in a column that is found": (["1677600000", "1677603600", "1677607200"],
                                        {"date_format": "epoch"}, "an hour apart",
                                        "2023-02-28T19:00:00Z"),
    "a format that is found": (["27feb2023", "28feb2023", "01mar2023"], {"date_format": "%d%b%Y"},
                               "a day apart", "2023-03-02"),
    "24:00": (["2023-02-28 22:00", "2023-02-28 23:00", "2023-02-28 24:00"], {}, "an hour apart",
              "2023-03-01T01:00:00"),
}  # fmt: skip


@pytest.mark.parametrize(("dates", "options", "frequency", "following"), FOUND.values(), ids=FOUND)
def test_dates_are_found(write, dates, options, frequency, following):
    rows = read_csv(write(*dated(*dates))).series("b", **options)
    assert rows.date_name == "when"
    assert str(rows.frequency) == frequency
    assert rows.coming_labels(1) == [following]
    assert rows.target.tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("name", ["year", "Jahr", "date"])
def test_years_in_a_column_of_that_name(write, name):
    rows = read_csv(write(f"{name},b", "1700,1", "1701,2", "1702,3")).series("b")
    assert rows.labels() == ["1700", "1701", "1702"]
    assert rows.coming_labels(2) == ["1703", "1704"]


@pytest.mark.parametrize("name", ["price", "time", "count"])
def test_numbers_in_other_columns_are_no_dates(write, name):
    rows = read_csv(write(f"{name},b", "1702,1", "1701,2", "1700,3")).series("b")
    assert rows.dates is None
    assert rows.target.tolist() == [1, 2, 3]


def test_compact_dates(write):
    rows = read_csv(write("date,b", "20230227,1", "20230228,2", "20230301,3")).series("b")
    assert rows.coming_labels(1) == ["2023-03-02"]


def test_dates_side_by_side(write):
    table = read_csv(write("day,time,b", "2023-03-01,22:00,1", "2023-03-01,23:00,2"))
    assert table.series("b", date="day,time").coming_labels(1) == ["2023-03-02T00:00:00"]
    table = read_csv(write("year,month,b", "2022,11,1", "2022,12,2"))
    assert table.series("b", date="year,month").coming_labels(1) == ["2023-01"]
    table = read_csv(write("Year,Quarter,b", "2022,3,1", "2022,4,2"))
    assert table.series("b", date="Year,Quarter").coming_labels(1) == ["2023Q1"]
    table = read_csv(write("year,week,b", "2022,8,1", "2022,9,2"))
    assert table.series("b", date="year,week").coming_labels(1) == ["2022-W10"]
    table = read_csv(write("date,hour,b", "2023-03-01,22,1", "2023-03-01,23,2"))
    assert table.series("b", date="date,hour").coming_labels(1) == ["2023-03-02T00:00:00"]
    table = read_csv(write("date,hour,minute,b", "2023-03-01,9,0,1", "2023-03-01,9,5,2"))
    assert table.series("b", date="date,hour,minute").coming_labels(1) == ["2023-03-01T09:10:00"]


def test_days_that_never_have_rows_are_no_gaps(write):
    """A shop that is closed on Sundays."""
    days = [day for day in pd.date_range("2023-03-01", periods=30) if day.weekday() != 6]
    rows = read_csv(write(*dated(*(day.date() for day in days)))).series("b")
    assert str(rows.frequency) == "a day apart, of Mon, Tue, Wed, Thu, Fri, Sat"
    assert rows.coming_labels(3) == ["2023-03-31", "2023-04-01", "2023-04-03"]


def test_rows_are_sorted_with_a_word(write):
    newest = read_csv(write(*dated("2023-03-03", "2023-03-02", "2023-03-01")))
    assert newest.series("b").target.tolist() == [2.5, 1.5, 0.5]
    assert newest.notes[0].endswith("rows were newest first, and are sorted by 'when'")
    shuffled = read_csv(write(*dated("2023-03-03", "2023-03-01", "2023-03-02")))
    assert shuffled.series("b").target.tolist() == [1.5, 2.5, 0.5]
    assert shuffled.notes[0].endswith("rows were out of order, and are sorted by 'when'")
    in_order = shuffled.series("b", use_dates=False)
    assert in_order.target.tolist() == [0.5, 1.5, 2.5]
    assert in_order.dates is None


@pytest.mark.parametrize(
    ("fill", "expected", "further"),
    [
        ("previous", [1, 1, 1, 4, 4, 6], [7, 7, 7, 1, 1, 3]),
        ("linear", [1, 2, 3, 4, 5, 6], [7, 5, 3, 1, 2, 3]),
        ("zero", [1, 0, 0, 4, 0, 6], [7, 7, 7, 1, 1, 3]),
    ],
)
def test_gaps_are_filled(write, fill, expected, further):
    table = read_csv(
        write("day,b,c", "2023-03-01,1,7", "2023-03-04,4,1", "2023-03-05,,", "2023-03-06,6,3")
    )
    rows = table.series("b", lagged=["c"], fill=fill)
    assert rows.target.tolist() == expected
    assert rows.lagged[:, 0].tolist() == further
    assert [note.split(": ", 1)[1] for note in table.notes] == [
        f"missing dates filled in by --fill {fill}: 2, from 2023-03-02 on",
        f"empty cells of 'b' filled by --fill {fill}: 1",
        f"empty cells of 'c' filled by --fill {fill}: 1",
    ]


@pytest.mark.parametrize(("combine", "expected"), [("sum", [5, 9]), ("mean", [2.5, 4.5])])
def test_rows_of_a_date_are_combined(write, combine, expected):
    table = read_csv(
        write("day,b,c", "2023-03-02,4,1", "2023-03-01,2,5", "2023-03-01,3,6", "2023-03-02,5,2")
    )
    rows = table.series("b", lagged=["c"], combine=combine)
    assert rows.target.tolist() == expected
    assert rows.lagged[:, 0].tolist() == [5.5, 1.5]
    assert table.notes[-1].endswith(f"4 rows became 2, one a date, by --{combine}")


def test_coming_rows(write):
    table = read_csv(
        write("day,b,c", "2023-03-01,1,7", "2023-03-02,2,8", "2023-03-03,,9", "2023-03-04,,")
    )
    rows = table.series("b", known=["c"])
    assert (len(rows), rows.coming) == (2, 2)
    assert rows.known_through(1)[:, 0].tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match=r"line 4: expected 2 coming rows with 'c' after it, got"):
        rows.known_through(2)


def test_coming_rows_in_a_file_of_their_own(write):
    table = read_csv(write("day,b,c", "2023-03-02,2,8", "2023-03-01,1,7"))
    future = read_csv(write("c;day", "5;04.03.2023", "6;13.03.2023", name="f.csv"))
    with pytest.raises(ValueError, match=r"f.csv, line 2: expected a row for 2023-03-03"):
        table.series("b", known=["c"], future=future)
    future = read_csv(write("c;day", "5;04.03.2023", "6;03.03.2023", "1;02.03.2023", name="f.csv"))
    rows = table.series("b", known=["c"], future=future, usual_day_first=True)
    assert rows.known_through(2)[:, 0].tolist() == [7, 8, 6, 5]
    assert "t.csv: rows were newest first, and are sorted by 'day'" in table.notes[-3]
    assert "f.csv: rows were newest first, and are sorted by 'day'" in table.notes[-2]
    assert "coming rows are not after the data, and left out" in table.notes[-1]


def test_offsets_of_coming_rows(write):
    table = read_csv(write("at,b,c", "2023-03-01T00:00+01:00,1,7", "2023-03-01T01:00+01:00,2,8"))
    future = read_csv(write("at,c", "2023-03-01T01:00Z,5", name="f.csv"))
    assert table.series("b", known=["c"], future=future).known_through(1)[-1] == 5
    local = read_csv(write("at,c", "2023-03-01T02:00,5", name="f.csv"))
    with pytest.raises(ValueError, match=r"f.csv: expected dates with an offset from UTC in 'at'"):
        table.series("b", known=["c"], future=local)


def test_dates_alone_make_room_for_coming_rows(write):
    table = read_csv(write("day,b,c", "2023-03-01,1,7", "2023-03-02,2,8", "2023-03-03,,"))
    future = read_csv(write("day,c", "2023-03-03,5", name="f.csv"))
    rows = table.series("b", known=["c"], future=future)
    assert rows.known_through(1)[:, 0].tolist() == [7, 8, 5]


def test_series_by_a_column(write):
    table = read_csv(
        write("shop,day,b", "x,2023-03-02,1", "y,2023-03-01,5", "x,2023-03-01,2", "y,2023-03-02,6")
    )
    series = table.series_by("shop", "b")
    assert {name: rows.target.tolist() for name, rows in series.items()} == {
        "x": [2, 1],
        "y": [5, 6],
    }
    assert table.notes[0].endswith("rows of shop 'x' were newest first, and are sorted by 'day'")


def test_coming_rows_of_a_series_that_is_not_there(write):
    table = read_csv(write("shop,day,b,c", "x,2023-03-01,1,7", "x,2023-03-02,2,8"))
    future = read_csv(write("shop,day,c", "x,2023-03-03,5", "y,2023-03-03,6", name="f.csv"))
    with pytest.raises(ValueError, match=r"f.csv, line 3: expected a value in 'shop' that .* 'y'"):
        table.series_by("shop", "b", known=["c"], future=future)


def test_a_doubled_date_of_a_series(write):
    table = read_csv(write("shop,day,b", "x,2023-03-01,1", "y,2023-03-01,5", "y,2023-03-01,6"))
    with pytest.raises(ValueError, match=r"of shop 'y', got 2023-03-01 again \(--sum or --mean"):
        table.series_by("shop", "b")


def test_series_without_dates_by_a_column(write):
    table = read_csv(write("shop,b", "x,1", "y,5", "x,2", "y,", "y,7"))
    with pytest.raises(
        ValueError, match=r"line 5: expected a number in 'b' of shop 'y', got a gap"
    ):
        table.series_by("shop", "b")
    assert table.series_by("shop", "b", fill="zero")["y"].target.tolist() == [5, 0, 7]


def test_a_table_without_dates(write):
    rows = read_csv(write("a,b", "x,3", "y,1", "z,2")).series("b")
    assert rows.target.tolist() == [3, 1, 2]
    assert rows.coming_labels(2) is None


def test_a_column_that_might_be_dates_gets_a_word(write):
    table = read_csv(write("month,b", "Jan,3", "Feb,1"))
    assert table.series("b").dates is None
    assert table.notes[0].endswith(
        "'month' holds no dates that can be read: the rows are taken in order"
    )


@pytest.mark.parametrize("cell", ["1677600000", "1677600000123", "20230131"])
def test_numbers_that_might_be_dates_get_a_word(write, cell):
    table = read_csv(write("booked,price,b", f"{cell},1,3", f"{cell},2,1"))
    assert table.series("b").dates is None
    (note,) = table.notes
    assert f"'booked' might hold dates, as {cell!r}, and is not read" in note


def test_blank_lines_between_dated_rows_say_nothing(write):
    rows = read_csv(write("day;b", "2023-03-01;1", "", ";", "2023-03-02;2")).series("b")
    assert rows.target.tolist() == [1, 2]


DAYS = [str(dt.date(2023, 3, 1) + dt.timedelta(row)) for row in range(9)]
# The lines, options, the end of the sentence.
REFUSED = {
    "a total": ([*dated(*DAYS), "Total;40"], {}, ", line 11: expected a date in 'when', got 'Tota"),
    "a footnote": ([*dated(*DAYS), "", "* x"], {}, ", line 12: expected a date in 'when', got '* "),
    "no date": ([*dated(*DAYS), ";40"], {}, ", line 11: expected a date in 'when', got a gap"),
    "no such day": ([*dated(*DAYS), "2023-02-30;1"], {}, ", line 11: expected a date in 'when', g"),
    "twice": (
        dated(DAYS[1], DAYS[0], DAYS[1]), {},
        (", line 4: expected each date once in 'when', got 2023-03-02 again (--id COLUMN makes one "
        "model a series, --sum or --mean combines the rows of a date)"),
    ),
    "hours of a day": (
        ["date,hour,b", "2023-03-01,1,1", "2023-03-01,2,2"], {},
        (", line 3: expected each date once in 'date', got 2023-03-01 again (--id COLUMN makes one "
        "model a series, --sum or --mean combines the rows of a date, or --date 'date,hour' reads"),
    ),
    "parts of a year": (
        ["year,quarter,month,b", "2023,1,1,1", "2023,1,2,2"], {},
        (", line 3: expected each date once in 'year', got 2023-01-01 again (--id COLUMN makes one "
        "model a series, --sum or --mean combines the rows of a date, or --date 'year,month' read"),
    ),
    "a month beside hours of a day": (
        ["date,month,hour,b", "2023-03-01,3,1,1", "2023-03-01,3,2,2"], {},
        (", line 3: expected each date once in 'date', got 2023-03-01 again (--id COLUMN makes one "
        "model a series, --sum or --mean combines the rows of a date, or --date 'date,hour' reads"),
    ),
    # "feb" and "mar" are English, too.
    "a Spanish month": (
        dated("feb 2022", "mar 2022", "abr 2022"), {},
        ", line 4: expected a date in 'when', got 'abr 2022'",
    ),
    "years of two years": (
        dated("2001/02", "2002/03", "2003/04"), {},
        ": 'when': expected months, got what may be years such as '2001/02' (--no-date takes the",
    ),
    "no such hour": (
        dated("2023-03-01 22:00", "2023-03-01 23:00", "2023-03-01 25:00"), {},
        ", line 4: expected a date in 'when', got '2023-03-01 25:00'",
    ),
    "no such minute": (
        dated("2023-03-01 08:00", "2023-03-01 09:00", "2023-03-01 09:60"), {},
        ", line 4: expected a date in 'when', got '2023-03-01 09:60'",
    ),
    "no such afternoon": (
        dated("2023-03-01 01:00 PM", "2023-03-01 02:00 PM", "2023-03-01 15:00 PM"), {},
        ", line 4: expected a date in 'when', got '2023-03-01 15:00 PM'",
    ),
    "milliseconds as seconds": (
        dated("1677600000000", "1677603600000"), {"date": "when", "date_format": "epoch"},
        ", line 2: expected a date in 'when', got '1677600000000' (and 1 more)",
    ),
    "a format that no column has": (
        dated(*DAYS), {"date_format": "%d.%m.%Y"},
        ": expected a column of dates as '%d.%m.%Y', got none (--no-date takes the rows in order)",
    ),
    "a format that two columns have": (
        ["p,q,b", "1,2,3", "4,5,6"], {"date_format": "epoch"},
        ": expected one column of dates, got 'p' and 'q' (--date says which, --no-date takes the",
    ),
    "a gap": (
        dated(*DAYS[:1], *DAYS[3:]), {},
        ", line 3: expected a row for 2023-03-02 before it, as dates are a day apart, got none, an",
    ),
    "a missing month": (
        dated("2023-01", "2023-02", "2023-04", "2023-05"), {},
        ", line 4: expected a row for 2023-03 before it, as dates are a month apart, got none (--f",
    ),
    "uneven": (
        dated("2023-03-01", "2023-03-02", "2023-03-05", "2023-03-09", "2023-03-16"), {},
        ": expected dates evenly apart in 'when', got some a day, 3 days and 4 days apart (--no-da",
    ),
    "between": (
        dated("2023-03-01 10:00", "2023-03-01 11:00", "2023-03-01 12:00", "2023-03-01 12:30"), {},
        ", line 5: expected dates an hour apart in 'when', got 2023-03-01T12:30:00 (--no-date take",
    ),
    "a wild year": (
        dated(*DAYS, "2223-03-10"), {"fill": "zero"},
        ", line 11: expected at most 20 missing dates a row, got 73048 missing for 10 rows, the fi",
    ),
    "an empty cell": (
        ["day,b", "2023-03-01,1", "2023-03-02,", "2023-03-03,3"], {},
        ", line 3: expected a number in 'b', got a gap (--fill previous, linear or zero fills them",
    ),
    "nothing before": (
        ["day,b", "2023-03-01,", "2023-03-02,2"], {"fill": "previous"},
        ", line 2: expected a number in 'b', got a gap (nothing stands before it)",
    ),
    "nothing": (["day,b,c", "2023-03-01,,1"], {}, ": expected numbers in 'b', got none"),
    "day or month": (
        dated("01/02/2023", "01/03/2023"), {},
        ": 'when': expected dates that tell day and month apart, got none: --dayfirst or --month",
    ),
    "day and month": (
        dated("13/02/2023", "02/13/2023"), {},
        ": 'when': expected one order of day and month, got both: --dayfirst or --monthfirst says",
    ),
    "two digits": (
        dated("13.02.23", "14.02.23"), {},
        ": 'when': expected years of four digits, or a format by --date-format such as",
    ),
    "two digits after a name": (
        dated("13-FEB-23", "14-FEB-23"), {}, ": 'when': expected years of four digits, or a format",
    ),
    "a month and two digits": (
        dated("Jan-23", "Feb-23"), {}, ": 'when': expected years of four digits, or a format",
    ),
    "two columns": (
        ["sent,paid,b", "2023-03-01,2023-03-02,1", "2023-03-02,2023-03-03,2"], {},
        ": expected one column of dates, got 'sent' and 'paid' (--date says which, --no-date takes",
    ),
    "dates that are none": (
        ["date,b", "44927,1", "44928,2"], {}, ": expected dates in 'date', got '44927' (--date-for",
    ),
    "told no dates": (["a,b", "x,1"], {"date": "a"}, ": expected dates in 'a', got 'x' (--date-fo"),
    "told no column": (["a,b", "x,1"], {"date": "c"}, ": expected a column 'c', got 'a', 'b'"),
    "a wrong format": (
        dated(*DAYS), {"date": "when", "date_format": "%d.%m.%Y"},
        ", line 2: expected a date in 'when', got '2023-03-01' (and 8 more)",
    ),
    "a format without a year": (
        dated(*DAYS), {"date": "when", "date_format": "%d.%m"},
        ": 'when': date_format: expected a year in it, got '%d.%m'",
    ),
    "offsets at some": (
        dated("2023-03-01T10:00Z", "2023-03-01T11:00"), {},
        ": 'when': expected an offset from UTC at each date or at none, got both",
    ),
    "an empty cell to combine": (
        ["day,b", "2023-03-01,1", "2023-03-01,"], {"combine": "sum"},
        ", line 3: expected a number in 'b' to combine, got a gap",
    ),
    "far from the frequency": (
        dated("2023-01", "2023-02"), {"frequency": ("days", 1, "1111111")},
        ", line 3: expected a row for 2023-01 before it, as dates are a day apart, as the model h",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "options", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(write, lines, options, sentence):
    if "frequency" in options:
        from crnn.forecasting.tables.frequency import Frequency

        options = {"frequency": Frequency.of(options["frequency"])}
    path = write(*lines)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}{sentence}')}"):
        read_csv(path).series("b", **options)


@pytest.mark.parametrize(
    "dates",
    [DAYS, ["2023-01-05", "2023-01-06", "2023-01-09"], ["2023-01", "2023-02"]],
)
def test_dates_after_the_year_9999(write, dates):
    rows = read_csv(write(*dated(*dates))).series("b", fill="previous")
    with pytest.raises(ValueError, match="steps: expected dates up to the year 9999, got 3000000"):
        rows.coming_labels(3_000_000)
    assert len(rows.coming_labels(90_000)[-1]) == len(dates[0])


def test_frequencies_that_a_file_holds_come_back(write):
    from crnn.forecasting.tables.frequency import Frequency

    rows = read_csv(write(*dated("2023-03-02", "2023-03-03", "2023-03-06"))).series("b")
    assert Frequency.of(list(rows.frequency)) == rows.frequency


def test_arrays_are_as_a_forecaster_reads_them(write):
    table = read_csv(write("b,c,d", "1,2,3", "4,5,6", ",7,"))
    rows = table.series("b", known=["c"], lagged=["d"])
    lagged, known = rows.columns()
    np.testing.assert_array_equal(rows.target, [1, 4])
    np.testing.assert_array_equal(lagged, [[3], [6]])
    np.testing.assert_array_equal(known, [[2], [5]])
    np.testing.assert_array_equal(rows.known_through(1), [[2], [5], [7]])
    assert table.series("b").columns() == (None, None)
