"""Commands on tables as people have them: dates in answers, several series, coming rows."""

import csv
import datetime as dt
import io
import os
import random

import numpy as np
import pytest

pytest.importorskip("pandas")
from crnn import forecasting

WEEK = [0, 3, 7, 8, 5, -4, -6]


def rows_of(result):
    """The rows of CSV output."""
    return list(csv.reader(io.StringIO(result.stdout)))


def days(count, first="2023-01-01"):
    start = dt.date.fromisoformat(first)
    return [(start + dt.timedelta(row)).isoformat() for row in range(count)]


@pytest.fixture(scope="module")
def sales(tmp_path_factory, invoke):
    """Tables of two shops with prices that are known ahead, and models of them."""
    folder = tmp_path_factory.mktemp("sales")
    rng = np.random.default_rng(3)
    lines, one, future = ["day;shop;units;price"], ["day;units;price"], ["day;shop;price"]
    for row, day in enumerate(days(90)):
        for shop, level in (("north", 900), ("south, east", 1400)):
            price = rng.integers(1, 6)
            units = level + 10 * WEEK[row % 7] - 20 * price + rng.normal()
            number = f"{units:,.2f}".translate(str.maketrans(",.", ".,"))
            if row < 84:
                lines.append(f"{day};{shop};{number};{price}")
            else:
                future.append(f"{day};{shop};{price}")
            if shop == "north":
                one.append(f"{day};{number if row < 84 else ''};{price}")
    (folder / "shops.csv").write_text("\n".join(lines))
    (folder / "future.csv").write_text("\n".join(future))
    (folder / "north.csv").write_text("\n".join(one))
    options = ["--target", "units", "--known", "price", "--epochs", 1, "--no-progress"]
    for name, more in (("shops", ["--id", "shop"]), ("north", [])):
        result = invoke(
            "fit", folder / f"{name}.csv", *options, *more, "-o", folder / f"{name}.npz"
        )
        (folder / f"{name}.txt").write_text(result.stdout)
        (folder / f"{name}.err").write_text(result.stderr)
    return folder


def test_coming_rows_get_a_word(invoke, sales, tmp_path):
    place = f"{sales / 'north.csv'}, line 86: rows from here on have no 'units'"
    assert "units: 84 rows a day apart, learned from 67" in (sales / "north.txt").read_text()
    assert (sales / "north.err").read_text() == f"{place}, and are left out: 6\n"
    result = invoke("predict", sales / "north.npz", sales / "north.csv")
    assert result.stderr == f"{place}, and are left out: 6\n"
    result = invoke("forecast", sales / "north.npz", sales / "north.csv")
    assert result.stderr == ""
    (tmp_path / "a.csv").write_text("a\n" + "".join(f"{row % 7}\n" for row in range(40)) + "-\n-\n")
    options = ["--target", "a", "--epochs", 1, "--no-progress", "-o", tmp_path / "m.npz"]
    invoke("fit", tmp_path / "a.csv", *options)
    result = invoke("forecast", tmp_path / "m.npz", tmp_path / "a.csv")
    assert result.stderr.endswith(
        "line 42: rows from here on have no 'a', and the first of them is step 1: 2\n"
    )


def test_forecasts_and_predictions_have_dates(invoke, sales):
    header, *rows = rows_of(
        invoke("forecast", sales / "north.npz", sales / "north.csv", "--steps", 6)
    )
    assert header == ["day", "units"]
    assert [row[0] for row in rows] == days(6, "2023-03-26")
    header, *rows = rows_of(invoke("predict", sales / "north.npz", sales / "north.csv"))
    assert header == ["day", "units", "predicted"]
    assert [row[0] for row in rows] == days(84)
    assert rows[0][2] == ""
    errors = [float(units) - float(predicted) for _, units, predicted in rows[-20:]]
    assert np.abs(errors).max() < 20


def test_known_columns_are_read_at_their_day(invoke, sales):
    """A price of 1 to 5 moves the units by 80."""
    dear = (sales / "north.csv").read_text().splitlines()
    (sales / "dear.csv").write_text("\n".join([*dear[:-1], f"{dear[-1][:-1]}{5}"]))
    (sales / "cheap.csv").write_text("\n".join([*dear[:-1], f"{dear[-1][:-1]}{1}"]))
    last = {
        name: rows_of(invoke("forecast", sales / "north.npz", sales / f"{name}.csv", "--steps", 6))
        for name in ("dear", "cheap")
    }
    assert last["dear"][:-1] == last["cheap"][:-1]
    assert float(last["cheap"][-1][1]) - float(last["dear"][-1][1]) == pytest.approx(80, abs=8)


def test_coming_rows_from_a_file(invoke, sales):
    result = invoke(
        "forecast", sales / "shops.npz", sales / "shops.csv", "--future", sales / "future.csv",
        "--steps", 6,
    )  # fmt: skip
    header, *rows = rows_of(result)
    assert header == ["shop", "day", "units"]
    assert [row[:2] for row in rows] == [
        [shop, day] for shop in ("north", "south, east") for day in days(6, "2023-03-26")
    ]
    assert float(rows[0][2]) < 1000 < float(rows[-1][2])


def test_a_model_for_each_series(invoke, sales):
    panel, said = forecasting.Panel.load(sales / "shops.npz")
    assert list(panel) == ["north", "south, east"]
    assert said["id"] == "shop"
    report = (sales / "shops.txt").read_text()
    for line in (
        "units: 2 series, 168 rows a day apart",
        "RMSE               crnn",
        "trained again on all 168",
    ):
        assert line in report
    header, *rows = rows_of(invoke("predict", sales / "shops.npz", sales / "shops.csv"))
    assert header == ["shop", "day", "units", "predicted"]
    assert len(rows) == 168
    shown = invoke("info", sales / "shops.npz").stdout
    for line in ("id           shop", "rows         a day apart", "recipe       north: "):
        assert line in shown


def test_a_panel_comes_back_with_its_forecasts(sales, tmp_path):
    panel, _ = forecasting.Panel.load(sales / "shops.npz")
    panel.save(tmp_path / "panel.npz", place="here")
    again, said = forecasting.Panel.load(tmp_path / "panel.npz")
    assert said == {"place": "here"}
    series, known = np.arange(40.0), np.ones((43, 1))
    for name in panel:
        expected = panel[name].forecast(series, 3, known=known)
        np.testing.assert_array_equal(again[name].forecast(series, 3, known=known), expected)
    with pytest.raises(ValueError, match="models: expected at least one, got none"):
        forecasting.Panel({})


def test_combined_and_filled_rows(invoke, sales, tmp_path):
    lines = (sales / "shops.csv").read_text().splitlines()
    del lines[41:43]
    (tmp_path / "gap.csv").write_text("\n".join(lines))
    options = ["--target", "units", "--epochs", 1, "--no-progress", "-o", tmp_path / "m.npz"]
    result = invoke("fit", tmp_path / "gap.csv", *options, "--mean", "--fill", "linear")
    assert result.stderr.splitlines() == [
        f"{tmp_path / 'gap.csv'}: 166 rows became 83, one a date, by --mean",
        f"{tmp_path / 'gap.csv'}: missing dates filled in by --fill linear: 1, from 2023-01-21 on",
    ]
    # What was said to fit holds for the other commands.
    result = invoke("forecast", tmp_path / "m.npz", tmp_path / "gap.csv", "--steps", 2)
    assert [row[0] for row in rows_of(result)] == ["day", "2023-03-26", "2023-03-27"]
    result = invoke("predict", tmp_path / "m.npz", tmp_path / "gap.csv", "--fill", "previous")
    assert "by --fill previous: 1" in result.stderr


def test_a_name_with_a_comma_is_quoted(invoke, tmp_path):
    rows = [f"{WEEK[row % 7]};{row % 5};{row % 3}" for row in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["a;price, net;c", *rows]))
    options = ["--target", "a", "--epochs", 1, "--no-progress", "-o", tmp_path / "m.npz"]
    invoke("fit", tmp_path / "a.csv", *options, "--lagged", '"price, net", c')
    assert forecasting.load(tmp_path / "m.npz")[1]["lagged"] == ["price, net", "c"]


def test_business_days_follow_fridays(invoke, tmp_path):
    dates = [day for day in days(120) if dt.date.fromisoformat(day).weekday() < 5]
    lines = [f"{day},{WEEK[row % 5] + 100}" for row, day in enumerate(dates[:80])]
    (tmp_path / "a.csv").write_text("\n".join(["day,units", *lines]))
    options = ["--target", "units", "--epochs", 1, "--no-progress", "-o", tmp_path / "m.npz"]
    invoke("fit", tmp_path / "a.csv", *options)
    # So few rows show no weekend: the model knows.
    (tmp_path / "b.csv").write_text("\n".join(["day,units", *lines[70:80]]))
    result = invoke("forecast", tmp_path / "m.npz", tmp_path / "b.csv", "--steps", 3)
    assert [row[0] for row in rows_of(result)[1:]] == dates[80:83]


def test_percent_stays_percent(invoke, tmp_path):
    values = [f"{5 + WEEK[row % 7]}.25%" for row in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["share", *values]))
    output = ["-o", tmp_path / "m.npz"]
    result = invoke(
        "fit", tmp_path / "a.csv", "--target", "share", "--epochs", 1, "--no-progress", *output
    )
    assert result.stderr == f"{tmp_path / 'a.csv'}: 'share' is read in percent: 5.3% is 5.3\n"
    (tmp_path / "b.csv").write_text("\n".join(["share", *(v.rstrip("%") for v in values)]))
    refused = invoke("forecast", tmp_path / "m.npz", tmp_path / "b.csv", exit_code=2)
    assert "expected numbers in percent in 'share', as the model has learned" in refused.stderr


def test_units_of_further_columns(invoke, tmp_path):
    """Coming rows in another unit than those that the model has learned from are refused."""
    lines = [f"{day},{row % 3}%,$5.{row % 7}" for row, day in enumerate(days(60))]
    names = "day,share,price"
    (tmp_path / "a.csv").write_text("\n".join([names, *lines]))
    options = ["--epochs", 1, "--no-progress", "-o", tmp_path / "m.npz"]
    arguments = ["--target", "price", "--known", "share", *options]
    invoke("fit", tmp_path / "a.csv", *arguments)
    assert "price in $, share in %" in invoke("info", tmp_path / "m.npz").stdout
    command = ["forecast", tmp_path / "m.npz", tmp_path / "a.csv", "--future", tmp_path / "f.csv"]
    (tmp_path / "f.csv").write_text("day,share\n2023-03-02,1%\n")
    invoke(*command)
    (tmp_path / "f.csv").write_text("day,share\n2023-03-02,0.01\n")
    refused = invoke(*command, exit_code=2)
    assert "f.csv: expected numbers in percent in 'share', as the model" in refused.stderr
    text = "\n".join([names, *lines, "2023-03-02,1%,"])
    (tmp_path / "b.csv").write_text(text.replace("$", "\u20ac"), encoding="utf-8")
    refused = invoke("forecast", tmp_path / "m.npz", tmp_path / "b.csv", exit_code=2)
    assert "b.csv: expected numbers in $ in 'price', as the model has learned" in refused.stderr


def test_predict_repeats_the_target_as_it_was_read(invoke, tmp_path):
    values = [f"{12345678900 + WEEK[row % 7]}.25" for row in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["b", *values]))
    options = ["--target", "b", "--epochs", 1, "--no-progress", "-o", tmp_path / "m.npz"]
    invoke("fit", tmp_path / "a.csv", *options)
    result = invoke("predict", tmp_path / "m.npz", tmp_path / "a.csv")
    assert [row[0] for row in rows_of(result)[1:]] == values


def test_a_panel_says_how_far_apart_rows_are_where_that_is_the_same(invoke, tmp_path):
    lines = [f"{day},x,{row % 5}" for row, day in enumerate(days(30))]
    lines += [f"{day},y,{row % 5}" for row, day in enumerate(days(140)[::7])]
    (tmp_path / "a.csv").write_text("\n".join(["day,shop,b", *lines]))
    options = ["--target", "b", "--id", "shop", "--epochs", 1, "--no-progress"]
    result = invoke("fit", tmp_path / "a.csv", *options, "-o", tmp_path / "m.npz")
    assert "b: 2 series, 50 rows, tried on" in result.stdout


def test_what_fit_was_shown_decides_where_a_later_table_shows_nothing(invoke, tmp_path):
    """A decimal sign, and the order of day and month."""
    lines = [
        f"{dt.date(2023, 1, 1) + dt.timedelta(row):%d/%m/%Y};{1 + WEEK[row % 7] / 9:.3f}"
        for row in range(70)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["day;b", *lines]))
    options = ["--target", "b", "--epochs", 1, "--no-progress", "-o", tmp_path / "m.npz"]
    invoke("fit", tmp_path / "a.csv", *options)
    last = ["01/02/2023;1.234", *(f"{row:02d}/02/2023;1.{row:03d}" for row in range(2, 12))]
    (tmp_path / "b.csv").write_text("\n".join(["day;b", *last]))
    result = invoke("forecast", tmp_path / "m.npz", tmp_path / "b.csv")
    assert rows_of(result)[1][0] == "2023-02-12"
    assert float(rows_of(result)[1][1]) < 3
    assert "has the decimal sign '.', as in the rows that the model has learned" in result.stderr
    # A file of another program may have another decimal sign.
    (tmp_path / "c.csv").write_text("\n".join(["day|b", *last]).replace(";", "|"))
    refused = invoke("forecast", tmp_path / "m.npz", tmp_path / "c.csv", exit_code=2)
    assert "expected a clear decimal sign in 'b', got '1.234'" in refused.stderr


def test_a_picture_with_dates(invoke, sales, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "p.png"
    invoke("forecast", sales / "north.npz", sales / "north.csv", "--steps", 3, "--plot", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_network_reads_columns_of_numbers(invoke, folder, tmp_path):
    (tmp_path / "a.csv").write_text("day,p,q\n2023-03-02,1,2\n2023-03-01,3,4\n")
    refused = invoke("predict", folder / "net.npz", tmp_path / "a.csv", exit_code=2)
    assert "the inputs of the network, got 'day' (--date takes" in refused.stderr
    header, *rows = rows_of(
        invoke("predict", folder / "net.npz", tmp_path / "a.csv", "--date", "day")
    )
    assert header == ["day", "y0", "y1", "y2"]
    (tmp_path / "b.csv").write_text("p,q\n3,4\n1,2\n")
    _, *expected = rows_of(invoke("predict", folder / "net.npz", tmp_path / "b.csv"))
    assert rows == [["2023-03-01", *expected[0]], ["2023-03-02", *expected[1]]]


REFUSALS = {
    "coming rows": (
        "forecast north.npz north.csv --steps 7",
        "north.csv, line 91: expected 7 coming rows with 'price' after it, got 6 (at the end of",
    ),
    "no coming rows": (
        "forecast shops.npz shops.csv",
        "shops.csv, line 168: expected 1 coming row with 'price' after it, got 0",
    ),
    "an unknown series": (
        "forecast shops.npz west.csv", "west.csv: expected names in 'shop' that the model knows, g",
    ),
    "no column of series": (
        "forecast shops.npz north.csv", "north.csv: expected a column 'shop', got 'day', 'units'",
    ),
    "a doubled date": (
        "fit shops.csv --target units -o new.npz",
        "shops.csv, line 3: expected each date once in 'day', got 2023-01-01 again (--id COLUMN",
    ),
    "id and target": (
        "fit shops.csv --target units --id units -o new.npz",
        "id: expected another column than 'units', which is read as numbers",
    ),
    "target and known": (
        "fit north.csv --target units --known price,units -o new.npz",
        "columns: expected each name once in target, known and lagged, got 'units' twice",
    ),
    "a picture of many": (
        "forecast shops.npz shops.csv --plot p.png", "plot: expected a model of one series, got on",
    ),
    "a stream of many": (
        "stream shops.npz", "shops.npz: expected a forecaster of crnn, got a panel of forecasters",
    ),
    "one input for two": (
        "forecast north.npz - --future -",
        "future: expected a file, as the standard input is the data, got '-'",
    ),
    "no share": (
        "fit north.csv --target units --test-size nan -o new.npz",
        "test_size: expected a number, got nan",
    ),
    "the table as output": (
        "forecast north.npz north.csv -o north.csv",
        "north.csv: expected another file to write to than those that are read",
    ),
    "the table as model": (
        "fit north.csv --target units -o ./north.csv",
        "north.csv: expected another file to write to than those that are read",
    ),
    "the model as output": (
        "predict north.npz north.csv -o north.npz",
        "north.npz: expected another file to write to than those that are read",
    ),
    "separators": ("stream north.npz --sep xx", "sep: expected one character, tab or space, got '"),
    "one sign for two": (
        "stream north.npz --sep , --decimal ,", "sep: expected another sign than --decimal, got ',",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(invoke, sales, monkeypatch, arguments, sentence):
    monkeypatch.chdir(sales)
    west = (sales / "shops.csv").read_text().replace("north", "west")
    (sales / "west.csv").write_text(west)
    files = sorted(sales.iterdir())
    result = invoke(*arguments.split(), exit_code=2)
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {sentence}")
    assert len(result.stderr.splitlines()) == 1
    assert sorted(sales.iterdir()) == files


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_fit_does_not_replace_a_pipe(invoke, sales, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = ["fit", sales / "north.csv", "--target", "units", "-o", pipe]
    refused = invoke(*arguments, exit_code=2)
    assert refused.stderr == f"Error: {pipe}: expected a path for a file, got a device or a pipe\n"
    assert pipe.is_fifo()


def test_damaged_tables_end_in_a_sentence(invoke, sales, tmp_path):
    """Changes at random: every command ends well or with one sentence, never with a traceback."""
    content = (sales / "north.csv").read_bytes()
    rng = random.Random(7)
    pieces = [b",", b";", b"\t", b'"', b"\n", b"\r", b"\0", b"\xff", b"1.234", b"nan", b"#", b"-",
              b"", b"2023-01-01", b"9999-12-31", b"0001-01-01", b"1e400", b"9" * 30]  # fmt: skip
    path = tmp_path / "t.csv"
    refused = 0
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 20])):
            start = rng.randrange(len(changed))
            changed[start : start + rng.choice([0, 1, 3, 10, 200])] = rng.choice(pieces)
        path.write_bytes(bytes(changed))
        result = invoke("predict", sales / "north.npz", path, exit_code=None)
        assert result.exit_code in (0, 2), (bytes(changed), result.output)
        if result.exit_code == 2:
            refused += 1
            assert result.stdout == ""
            assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in result.output
    assert 20 < refused < 60
