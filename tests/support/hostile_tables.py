"""Text files of tables, mutated by their cells, rows, separators and encodings."""

import bz2
import gzip
import lzma

CELLS = (
    *("", " ", "-", "NA", "nan", "#N/A", "1", "0", "-1", "1.5", "1,5", "1.234", "1.234,5", "1e5"),
    *("1e400", "-1e-400", "inf", "Infinity", "12,34,567", "1'000", "(5)", "5-", "5%", "$5", "R$ 5"),
    *("5 EUR", "( 5", "1" * 400, "1" + " " * 60 + "x", "(" + " " * 60 + "x", "true", "\u00b2"),
    *("\u0661\u0662", "\uff11", "\u2212" + "5", "\u00a0", "2023-01-31", "2023-02-30", "31.01.2023"),
    *("01/02/2023", "1/2/23", "2023-01-31T24:00:00", "2023-01-31 25:00", "2023-01-31 10:00+01:00"),
    *("2023-01-31T10:00:00.123456789Z", "12:00", "2023Q1", "2023-W53", "2023-W99", "0000-01-01"),
    *("9999-12-31", "1677-01-01", "2262-12-31", "20230131", "0001", "9999", "2023", "2023/24"),
    *("Jan 5 2023", "5 May 2023", "Monday, 5 May 2023", "2023\u5e741\u67085\u65e5", "1/2023"),
    *("\u0662\u0660\u0662\u0663-01-01", "1700000000", "1700000000000", "99999999999999999999", '"'),
    *('""', '"a', '"a\nb"', "#", "# comment", "sep=;", "\x1a", "\0", "\ud83d\ude00", "{", "<html>"),
)
SEPARATORS = (",", ";", "\t", "|", " ")
HEADS = ("date,y", "y", "date;y;x", "year,quarter,y", "date,hour,y,x", "a,a", ",", "1,2", "sep=,")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1")
PACKED = (gzip.compress, bz2.compress, lzma.compress)
UNPACKED = {b"\x1f\x8b": gzip.decompress, b"BZ": bz2.decompress, b"\xfd7": lzma.decompress}
MOST_CHANGES = 6


def mutated_table(data, rng, raw):
    """A table changed by its parts, or by its bytes."""
    for mark, unpack in UNPACKED.items():
        if data.startswith(mark):
            try:
                data = unpack(data)[:4096]
            except Exception:  # an earlier mutation damaged it
                return raw(data)
            return rng.choice(PACKED)(mutated_table(data, rng, raw))
    if rng.random() < 0.2:
        return raw(data)
    text = data.decode("utf-8", "surrogateescape")
    sep = max(SEPARATORS, key=text.count)
    rows = [line.split(sep) for line in text.split("\n")]
    for _ in range(rng.randint(1, MOST_CHANGES)):
        _change(rows, rng)
    kind = rng.random()
    if kind < 0.1:
        sep = rng.choice(SEPARATORS)
    text = rng.choice(("\n", "\n", "\n", "\r\n", "\r")).join(map(sep.join, rows))
    if kind > 0.9:
        data = text.encode(rng.choice(ENCODINGS), "replace")
    else:
        data = text.encode("utf-8", "surrogateescape" if _is_escaped(text) else "replace")
    return rng.choice(PACKED)(data) if rng.random() < 0.03 else data


def _is_escaped(text):
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _change(rows, rng):
    """Change one cell, row or column."""
    place = rng.randrange(len(rows))
    row, kind = rows[place], rng.random()
    if kind < 0.35:
        row[rng.randrange(len(row))] = rng.choice(CELLS)
    elif kind < 0.5:
        # All cells of a column alike, or counted on from one
        column, cell = rng.randrange(len(row)), rng.choice(CELLS)
        for number, other in enumerate(rows[1:]):
            if column < len(other):
                other[column] = cell if rng.random() < 0.5 else f"{cell}{number}"
    elif kind < 0.6:
        rows.insert(place, list(rng.choice(rows)))
    elif kind < 0.7 and len(rows) > 1:
        del rows[place]
    elif kind < 0.75:
        rows[0] = rng.choice(HEADS).split(",")
    elif kind < 0.8:
        other = rng.randrange(len(rows))
        rows[place], rows[other] = rows[other], rows[place]
    elif kind < 0.9:
        cell = row[rng.randrange(len(row))]
        at = rng.randrange(len(cell) + 1)
        row[row.index(cell)] = cell[:at] + rng.choice(CELLS) + cell[at:]
    elif kind < 0.95:
        row.insert(rng.randrange(len(row) + 1), rng.choice(CELLS))
    else:
        del row[rng.randrange(len(row))]
        if not row:
            row.append("")
