"""What every command refuses: one sentence, and nothing is written."""

import pytest

# The arguments, the lines before the sentence (how to call the command, where it is an option's
# value), and the beginning of the sentence.
FIT = "fit data.csv --target passengers -o new.npz"
REFUSALS = {
    # Tables
    "no file": ("fit no.csv --target a -o new.npz", 0, "no.csv: No such file"),
    "no column": (
        "fit data.csv --target a -o new.npz", 0,
        "data.csv: expected a column 'a', got 'passengers', 'weather'",
    ),
    "column twice": (
        "fit twice.csv --target a -o new.npz", 0, "twice.csv, line 1: expected each column's name ",
    ),
    "gap": (
        "fit gap.csv --target a -o new.npz", 0,
        "gap.csv, line 3: expected a number in 'a', got a gap",
    ),
    "blank line": (
        "fit blank.csv --target a -o new.npz", 0,
        "blank.csv, line 3: expected a number in 'a', got a gap",
    ),
    "no number": (
        "fit gap.csv --target b -o new.npz", 0,
        "gap.csv, line 4: expected a number in 'b', got 'x'",
    ),
    "empty": ("fit empty.csv --target a -o new.npz", 0, "empty.csv: expected a table, got an empt"),
    "no rows": ("fit header.csv --target a -o new.npz", 0, "header.csv: expected rows of numbers"),
    "long rows": (
        "fit long.csv --target a -o new.npz", 0,
        "long.csv, line 2: expected at most 2 values, one for each name, got 3",
    ),
    "encoding": ("fit latin.csv --target a -o new.npz", 0, "latin.csv: expected a column 'a', got"),
    "other table": (
        "forecast model.npz gap.csv", 0, "gap.csv: expected a column 'passengers', got 'a', 'b'",
    ),
    # Settings
    "features": (f"{FIT} --features x", 0, "data.csv: expected a column 'x', got 'passengers'"),
    "few rows": (
        f"{FIT} --test-size 0.9", 0, "series: expected at least 13 numbers to learn from, got 12",
    ),
    "horizon": (
        f"{FIT} --horizon 120", 0, "data.csv: expected more rows than the horizon of 120, got 120",
    ),
    "season": (
        f"{FIT} --season 99", 0,
        "season: expected at most 72 steps, as many as there are numbers before the validation",
    ),
    "window": (f"{FIT} --window 1", 3, "Invalid value for '--window': 1 is not in the range"),
    "cell": (f"{FIT} --cell tanh", 3, "Invalid value for '--cell': 'tanh' is not one of"),
    "no target": ("fit data.csv -o new.npz", 3, "Missing option '--target'"),
    "steps": ("forecast model.npz data.csv --steps 0", 3, "Invalid value for '--steps': 0 is not"),
    "prompt": (
        "generate text.npz --prompt #", 0,
        "prompt: expected characters that the model knows, got '#'",
    ),
    "no prompt": ("generate text.npz", 3, "Missing option '--prompt'"),
    "temperature": (
        "generate text.npz --prompt T --temperature -1", 3,
        "Invalid value for '--temperature': -1.0 is not in the range",
    ),
    "demo": ("demo moon", 3, "Invalid value for '["),
    "epochs": ("demo --epochs 0", 3, "Invalid value for '--epochs': 0 is not in the range x>=1"),
    "no epochs": ("demo --epochs many", 3, "Invalid value for '--epochs': 'many' is not"),
    "seed": ("demo --seed -1", 3, "Invalid value for '--seed': -1 is not in the range x>=0"),
    "no option": ("demo --colour red", 3, "No such option"),
    # Texts
    "text encoding": ("text latin.txt -o new.npz", 0, "latin.txt: expected text in UTF-8, got "),
    "short text": ("text gap.csv -o new.npz", 0, "gap.csv: expected at least 100 characters, got"),
    # Models
    "no model": ("forecast data.csv data.csv", 0, "data.csv: expected a file of crnn, got one"),
    "no model to describe": ("info data.csv", 0, "data.csv: expected a file of crnn, got one"),
    "other kind": (
        "forecast text.npz data.csv", 0,
        "text.npz: expected a forecaster of crnn, got a text model",
    ),
    "no names": (
        "forecast nameless.npz data.csv", 0,
        "nameless.npz: expected a model that says which columns it reads",
    ),
    "inputs of a network": (
        "predict net.npz gap.csv", 0, "gap.csv, line 4: expected a number in 'b', got 'x'",
    ),
    "other inputs of a network": (
        "predict net.npz blank.csv", 0,
        "blank.csv: expected 2 columns, the inputs of the network, got 'a'",
    ),
    "categories": ("predict categories.npz data.csv", 0, "x: expected "),
    # Output
    "picture": (
        "forecast model.npz data.csv --plot a.txt", 0,
        "a.txt: expected a file ending in .png, .pdf or .svg, got a.txt",
    ),
    "folder": (
        "fit data.csv --target passengers -o no/new.npz", 0,
        "no/new.npz: expected a path in a folder to write to, got none in ",
    ),
    "folder of a text": ("text text.txt -o no/new.npz", 0, "no/new.npz: expected a path in a"),
    "folder of a forecast": (
        "forecast model.npz data.csv -o no/new.csv", 0,
        "no/new.csv: expected a path in a folder to write to",
    ),
    "folder of predictions": (
        "predict model.npz data.csv -o no/new.csv", 0,
        "no/new.csv: expected a path in a folder to write to",
    ),
    "folder of a demo": (
        "demo -o no/p.png", 3,
        "Invalid value for -o: no/p.png: expected a path in a folder to write to",
    ),
    "picture of a demo": (
        "demo -o p.xyz", 3,
        "Invalid value for -o: p.xyz: expected a file ending in .png, .pdf or .svg, got p.xyz",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "before", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(invoke, folder, monkeypatch, arguments, before, sentence):
    monkeypatch.chdir(folder)
    files = sorted(folder.iterdir())
    result = invoke(*arguments.split(), exit_code=2)
    assert result.stdout == ""
    *usage, error = result.stderr.splitlines()
    assert error.startswith(f"Error: {sentence}")
    assert len(usage) == before
    assert sorted(folder.iterdir()) == files
