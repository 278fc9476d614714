"""Tables as people write them: separators, encodings, numbers, names of columns."""

import bz2
import gzip
import lzma
import re

import numpy as np
import pytest

pytest.importorskip("pandas")
from crnn.forecasting import read_csv


@pytest.fixture
def write(tmp_path):
    """Write a file, and return its path."""

    def write(content, encoding="utf-8"):
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


# The text, what read_csv is told, the values of the column b.
READ = {
    "plain": ("a,b\n1,2.5\n3,-4e2\n", {}, [2.5, -400]),
    "semicolons": ("a;b\n1;2.5\n3;4\n", {}, [2.5, 4]),
    "semicolons, decimal commas": ("a;b\n1,5;2,25\n3,5;4\n", {}, [2.25, 4]),
    "tabs": ("a\tb\n1\t2,5\n3\t4\n", {}, [2.5, 4]),
    "bars": ("a|b\n1|2.5\n3|4\n", {}, [2.5, 4]),
    "spaces": ("a  b\n1   2.5\n 3 4 \n", {}, [2.5, 4]),
    "one column": ("b\n2.5\n4\n", {}, [2.5, 4]),
    "one column, decimal commas": ("b\n2,5\n4,25\n", {}, [2.5, 4.25]),
    "one column, comma at the end": ("b,\n2.5,\n4,\n", {}, [2.5, 4]),
    "one column, thousands": ("b\n1 234,5\n21 000\n", {}, [1234.5, 21000]),
    "comma at the end of rows": ("a,b\n1,2.5,\n3,4,\n", {}, [2.5, 4]),
    "commas in a name": ('"Sales, net";b\n1;2.5\n3;4\n', {}, [2.5, 4]),
    "quoted": ('a,b\n1,"2,5"\n"3","4,25"\n', {}, [2.5, 4.25]),
    "quoted over two lines": ('a,b\n"one\ntwo",2.5\n3,4\n', {}, [2.5, 4]),
    "Excel's hint": ("sep=;\na;b\n1;2,5\n3;4\n", {}, [2.5, 4]),
    "comments and blank lines": ("# x\n#y,z\n\na,b\n1,2.5\n# z\n3,4\n\n,\n", {}, [2.5, 4]),
    "a name that is #": ("#,b\n1,2.5\n2,4\n", {}, [2.5, 4]),
    "a spreadsheet's errors": ("a,b\n1,2.5\n#N/A,4\n", {}, [2.5, 4]),
    "spaces around": (" a , b \n 1 , 2.5 \n3,4 \n", {}, [2.5, 4]),
    "CRLF": ("a,b\r\n1,2.5\r\n3,4\r\n", {}, [2.5, 4]),
    "CR": ("a,b\r1,2.5\r3,4", {}, [2.5, 4]),
    "Ctrl-Z": ("a,b\r\n1,2.5\r\n3,4\r\n\x1a", {}, [2.5, 4]),
    "no comments in quotation marks": ('a,b\n"1\n# x",2.5\n"3\n#",4\n', {}, [2.5, 4]),
    "no last line feed": ("a,b\n1,2.5\n3,4", {}, [2.5, 4]),
    "thousands commas": ('a,b\n1,"1,234.50"\n3,"-12,345"\n', {}, [1234.5, -12345]),
    "thousands points": ("a;b\n1;1.234,50\n3;12.345\n", {}, [1234.5, 12345]),
    "two thousands": ("a;b\n1;1.234.567\n3;12.345\n", {}, [1234567, 12345]),
    "no-break spaces": ("a;b\n1;1\u00a0234,5\n3;1\u202f234\u202f567\n", {}, [1234.5, 1234567]),
    "apostrophes": ("a;b\n1;1'234.5\n3;12\u2019345\n", {}, [1234.5, 12345]),
    "lakhs": ('a,b\n1,"12,34,567.5"\n3,"1,00,000"\n', {}, [1234567.5, 100000]),
    "accounting": ('a,b\n1,"(1,234.50)"\n3,5.25-\n', {}, [-1234.5, -5.25]),
    "minus signs": ("a,b\n1,\u22122.5\n3,\u20134\n", {}, [-2.5, -4]),
    "dollars": ('a,b\n1,"$1,234.5"\n3,-$2\n', {}, [1234.5, -2]),
    "euros": ("a;b\n1;1.234,5 \u20ac\n3;-2\u00a0\u20ac\n", {}, [1234.5, -2]),
    "codes": ("a,b\n1,CHF 2.5\n3,CHF -4\n", {}, [2.5, -4]),
    "a sign at the first number": ("a,b\n1,$2.5\n3,4\n", {}, [2.5, 4]),
    "percent": ("a;b\n1;5,3%\n3;4 %\n", {}, [5.3, 4]),
    "truth": ("a,b\n1,True\n3,false\n", {}, [1, 0]),
    "no thousands begin with 0": ("a,b\n1,0.234\n3,1.234\n", {}, [0.234, 1.234]),
    "four digits have no point of thousands": ("a,b\n1,1234.567\n3,1.234\n", {}, [1234.567, 1.234]),
    "powers of ten": ('a,b\n1,"1,234.5"\n3,1.234e3\n', {}, [1234.5, 1234]),
    "told decimal point": ("a,b\n1,1.234\n3,2.345\n", {"decimal": "."}, [1.234, 2.345]),
    "told decimal comma": ("a,b\n1,1.234\n3,2.345\n", {"decimal": ","}, [1234, 2345]),
    "told thousands": ("a,b\n1,1.234\n3,2.345\n", {"thousands": "."}, [1234, 2345]),
    "told separator": ("a:b\n1:2.5\n3:4\n", {"sep": ":"}, [2.5, 4]),
    "told space": ("a b\n1 2.5\n3 4\n", {"sep": "space"}, [2.5, 4]),
    "told header": ("2019,b\n1,2.5\n3,4\n", {"header": True}, [2.5, 4]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told", "expected"), READ.values(), ids=READ)
def test_read(write, text, told, expected):
    assert read_csv(write(text), **told).numbers("b").tolist() == expected


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("utf-32", None),
        ("cp1252", None), ("cp1250", "cp1250"), ("utf-16-le", "utf-16-le"),
    ],
)  # fmt: skip
def test_encodings(write, encoding, told):
    table = read_csv(write("gr\u00f6\u00dfe\tb\n1\t2,5\n3\t4\n", encoding), encoding=told)
    assert table.names == ["gr\u00f6\u00dfe", "b"]
    assert table.numbers("b").tolist() == [2.5, 4]
    assert table.notes == (
        [f"{table.source}: not in UTF-8, read as cp1252"] if encoding == "cp1252" else []
    )


def test_bytes_that_cp1252_does_not_have_are_latin_1(write):
    assert read_csv(write(b"a\x81,b\n1,2\n")).dialect.encoding == "latin-1"


@pytest.mark.parametrize("module", [gzip, bz2, lzma], ids=lambda module: module.__name__)
def test_compressed(tmp_path, module):
    suffix = {"gzip": "gz", "bz2": "bz2", "lzma": "xz"}[module.__name__]
    path = tmp_path / f"t.csv.{suffix}"
    path.write_bytes(module.compress(b"a,b\n1,2.5\n"))
    assert read_csv(path).numbers("b").tolist() == [2.5]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="expected a compressed file, got"):
        read_csv(path)


def test_no_header(write):
    table = read_csv(write("2023-01-01,2.5\n2023-01-02,4\n"), header=False)
    assert table.names == ["1", "2"]
    assert table.numbers("2").tolist() == [2.5, 4]


def test_a_column_without_a_name_has_its_place(write):
    table = read_csv(write(",b,\n2023-01-01,2.5,\n2023-01-02,4,\n"))
    assert table.names == ["column 1", "b"]


def test_comments_between_the_rows_are_left_out_with_a_word(write):
    table = read_csv(write("# top\na,b\n1,2\n#3,4\n5,6\n# end\n"))
    assert table.numbers("b").tolist() == [2, 6]
    (note,) = table.notes
    assert note.endswith("between or after the rows are left out: 2, the first in line 4")


def test_a_name_of_two_lines(write):
    table = read_csv(write('a,"units\nsold"\n"1\n# x",2\n'))
    assert table.names == ["a", "units sold"]
    assert table.notes == []


def test_gaps(write):
    cells = ["1", "", "-", "\u2014", "NA", "n/a", "NaN", "null", "None", ".", "..", "?", "2"]
    table = read_csv(write("a,b\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))))
    assert np.isnan(table.numbers("b", gaps=True)).tolist() == [False, *[True] * 11, False]
    with pytest.raises(ValueError, match=r"t.csv, line 3: .* 'b', got a gap \(and 10 more\)$"):
        table.numbers("b")


def test_another_column_shows_the_decimal_sign(write):
    """And the note says so."""
    table = read_csv(write('a,b\n"1,5","1.234"\n"2,5","2.345"\n'))
    assert table.numbers("b").tolist() == [1234, 2345]
    (note,) = table.notes
    assert note.endswith("'1.234' in 'b' has the decimal sign ',', as '1,5' in 'a'")


def test_a_text_shows_no_decimal_sign(write):
    table = read_csv(write('a,b\n"x, 1,5",1.5\n"see 2,5",2\n'))
    assert table.numbers("b").tolist() == [1.5, 2]


def test_the_usual_decimal_sign_decides_where_nothing_shows_it(write):
    table = read_csv(write("a,b\n1,1.234\n"))
    table.usual_decimal = ","
    assert table.numbers("b").tolist() == [1234]
    assert "as in the rows that the model has learned from" in table.notes[0]


# The text, what read_csv is told, the end of the sentence.
REFUSED = {
    "empty": ("", {}, ": expected a table, got an empty file"),
    "blank": ("\n\n", {}, ": expected a table, got an empty file"),
    "names alone": ("a,b\n", {}, ": expected rows of numbers, got none"),
    "numbered rows": (
        "a,b\n#1,2\n#2,3\n", {},
        ": expected rows of numbers, got none but comments, lines that begin with '#'",
    ),
    "no names": (
        "1,2\n3,4\n", {},
        (", line 1: expected the names of the columns, got '1', '2' (--no-header reads a table "
        "without names, --header takes these for names)"),
    ),
    "dates and no names": ("# x\n2023-01-01;2\n", {}, ", line 2: expected the names of the"),
    "a name twice": (
        "b,a,b \n1,2,3\n", {},
        ", line 1: expected each column's name once, got 'b' for the columns 1 and 3",
    ),
    "no such name": ("a,c\n1,2\n", {}, ": expected a column 'b', got 'a', 'c'"),
    "another case": ("a,B\n1,2\n", {}, ": expected a column 'b', got 'a', 'B' (did you mean 'B'?)"),
    "more cells": (
        "# x\na,b\n1,2\n1,2,3\n", {}, ", line 4: expected at most 2 values, one for each name, got",
    ),
    "more cells in all rows": ("a,b\n1,2,3\n4,5,6\n", {}, ", line 2: expected at most 2 values"),
    "a title on top": ("Report\n\na,b\n1,2\n", {}, ": expected a column 'b', got 'Report'"),
    "decimals without quotation marks": (
        "a,b,\n1,2,5\n", {}, ", line 2: expected no value in column 3, which has no name, got '5'",
    ),
    "an open quotation mark": (
        'a,b\n1,2\n1,"2\n3,4\n', {}, ", line 3: expected a closing quotation mark, got none to",
    ),
    "ambiguous point": (
        "a,b\n7,12\n7,1.234\n", {},
        ", line 3: expected a clear decimal sign in 'b', got '1.234' and the like (--decimal . or",
    ),
    "ambiguous comma": ('a,b\n7,"1,234"\n', {}, ", line 2: expected a clear decimal sign in 'b'"),
    "both signs": (
        'a,b\n1,"1.234,56"\n2,"1,234.56"\n', {},
        ", line 2: expected the decimal sign of '1,234.56' in line 3, got '1.234,56' (--decimal",
    ),
    "both signs in two columns": ('a,b\n1.5,"2,5"\n', {}, ", line 2: expected the decimal sign of"),
    "another sign than told": (
        "a;b\n1;2,5\n", {"decimal": "."},
        ", line 2: expected numbers with the decimal sign '.' in 'b', got '2,5'",
    ),
    "other thousands than told": (
        "a;b\n1;2'500.0\n", {"thousands": ","},
        ", line 2: expected thousands separated by ',' in 'b', got \"2'500.0\"",
    ),
    "wrong groups": ('a,b\n1,"1,23,4"\n', {}, ", line 2: expected a number in 'b', got '1,23,4'"),
    "a unit": ("a,b\n1,5\n2,12 kWh\n", {}, ", line 3: expected a number in 'b', got '12 kWh'"),
    "infinite": ("a,b\n1,5\n2,1e999\n", {}, ", line 3: expected a number in 'b', got '1e999'"),
    "inf": ("a,b\n1,5\n2,inf\n", {}, ", line 3: expected a number in 'b', got 'inf'"),
    "other digits": ("a,b\n1,\u0661\n", {}, ", line 2: expected a number in 'b', got '\u0661'"),
    "two currencies": ("a,b\n1,$5\n2,\u20ac6\n", {}, ", line 3: expected numbers in $ in 'b', got"),
    "per cent and not": ("a,b\n1,5%\n2,0.06\n", {}, ", line 3: expected numbers in % in 'b', got"),
    "two signs": ("a,b\n1,--5\n", {}, ", line 2: expected a number in 'b', got '--5'"),
    "no cents": ("a;b\n1;5,-\n2;6,50\n", {}, ", line 2: expected a number in 'b', got '5,-'"),
    "NUL": ("a,b\n1,\0\n", {}, ", line 2: expected text, got a NUL character"),
    "JSON": ('[{"a": 1, "b": 2}]', {}, ": expected a table of text such as CSV, got JSON, HTML or"),
    "Excel": (b"PK\x03\x04abc", {}, ": expected a table of text such as CSV, got a zip archive or"),
    "gzip": (
        gzip.compress(b"a,b\n1,2\n"), {},
        ": expected a table of text such as CSV, got a gzip archive whose name does not end in .gz",
    ),
    "encoding": (b"a,b\n1,\xff\n", {"encoding": "utf-8"}, ", line 2: expected text in utf-8"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(write, text, told, sentence):
    path = write(text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}{sentence}')}"):
        read_csv(path, **told).numbers("b")


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"sep": ",,"}, "sep: expected one character, tab or space, got ',,'"),
        ({"decimal": ";"}, "decimal: expected '.' or ',', got ';'"),
        ({"thousands": "x"}, "thousands: expected a comma, a point, a space or an apostrophe"),
        ({"decimal": ".", "thousands": "."}, "thousands: expected another sign than decimal"),
        ({"encoding": "utf-7x"}, "encoding: expected one that Python knows, such as utf-8"),
    ],
)
def test_refused_options(write, told, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        read_csv(write("a,b\n1,2\n"), **told)
