"""Every reader of files: what it reads of honest files, of mutated ones, and what it may raise."""

import gzip
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import hostile_archives
import hostile_tables
import numpy as np

import crnn
from crnn import audio, descriptions, fleets, learner_files

# An optional library may be missing: its readers are then left out.
try:
    import onnx
except ImportError:
    onnx = None
try:
    import click
    import pandas as pd
except ImportError:
    click = pd = None

DATA = Path(__file__).parents[1]
KERAS_FILES = sorted((DATA / "integrations" / "data").glob("keras-*.gz"))
EPOCHS = 3
TABLES = (
    "date,y,x\n2023-01-01,1,2\n2023-01-02,3,4\n2023-01-03,5,\n2023-01-04,,6\n",
    "Datum;Wert\n31.01.2023;1.012,5\n13.02.2023;998\n",
    "year,quarter,y\n2022,1,5\n2022,2,6\n2022,3,7\n2022,4,8\n2023,1,9\n",
    "a\tb\n1\t2\n3\t4\n# end\n",
    'month,sales\nJan 2023,"$1,200"\nFeb 2023,"$1,300"\nMar 2023,"$1,250"\n',
    "time,y\n2023-01-01T00:00:00Z,1\n2023-01-01T01:00:00Z,2\n2023-01-01T02:00:00Z,3\n",
    "id,date,y\nn,2023-01-01,1\ns,2023-01-01,2\nn,2023-01-02,3\ns,2023-01-02,4\n",
)


class Reader(NamedTuple):
    """How the files of one kind are made, changed and read."""

    seeds: Callable[[Path], list[bytes]]
    """In a folder for temporary files."""
    mutated: Callable
    """Of a file, a generator of random numbers and a function that mutates bytes."""
    read: Callable[[Path], object]
    documented: tuple[type[Exception], ...] = (crnn.ModelFileError,)


def _saved(folder, *objects):
    """The bytes of the files that objects save, with those that the tests keep."""
    files = []
    for one in objects:
        one.save(folder / "seed")
        files.append((folder / "seed").read_bytes())
    return files


def _network_seeds(folder):
    nets = [
        crnn.RNN(2, 3, 1, seed=0),
        crnn.LSTM(2, 3, None, num_layers=2, dropout=0.5, trainable_h0=True, seed=0),
        crnn.GRU(3, 2, 2, bidirectional=True, categorical=True, dtype="float64", seed=0),
    ]
    kept = DATA / "network" / "data" / "version_1_categories.npz"
    return [*_saved(folder, *nets), kept.read_bytes()]


def _network_shapes(description):
    return descriptions.check_description({"categorical": False} | description)


def read_network(path):
    """Read a network, and use it."""
    net = crnn.load(path)
    if net.num_layers * net.hidden_size > 1000:
        return net
    x = np.zeros((1, 2), np.intp) if net.categorical else np.zeros((1, 2, net.input_size))
    with np.errstate(all="ignore"):
        net.predict(x)
    return net


def _fleet_seeds(folder):
    return _saved(
        folder, crnn.Fleet(crnn.RNN(2, 3, 1), 2), crnn.Fleet(crnn.LSTM(1, 2, dtype="float64"), 3)
    )


def _fleet_shapes(description):
    return fleets.check_file({"categorical": False} | description)


def read_fleet(path):
    """Read a fleet, and use it."""
    fleet = crnn.load(path)
    if fleet.architecture.hidden_size <= 1000:
        with np.errstate(all="ignore"):
            fleet.predict(np.zeros((1, 2, fleet.architecture.input_size)))
    return fleet


def _learner_seeds(folder):
    learners = [
        crnn.RNN(2, 3, 1, seed=0).learner(crnn.SGD(0.1), loss="huber"),
        crnn.LSTM(2, 3, 1, dtype="float64", seed=0).learner(crnn.Adam(0.1), batch_size=2),
        crnn.GRU(2, 3, 1, seed=0).learner(crnn.SGD(0.1, momentum=0.5), clip_norm=1.0),
    ]
    for learner in learners[1:]:
        batch = () if learner.batch_size is None else (learner.batch_size,)
        learner.step(np.ones((*batch, 2)), np.ones((*batch, 1)))
    return _saved(folder, *learners)


def read_learner(path):
    """Read a learner, and learn."""
    learner = crnn.load_learner(path)
    architecture, B = learner.net.architecture, learner.batch_size
    shape = () if B is None else (B,)
    x_t = np.zeros((*shape, architecture.input_size))
    x_t = np.zeros(shape, np.intp) if architecture.categorical else x_t
    with np.errstate(all="ignore"):
        # The loss may be one of classes.
        learner.step(x_t, None)
    return learner


def _chain_seeds(folder):
    layers = [crnn.Dense(np.ones((2, 3)), None, name) for name in (None, "tanh")]
    chains = [
        crnn.Sequential([layers[1], crnn.GRU(2, 3, dtype="float64", seed=0), layers[0]]),
        crnn.Sequential([crnn.LSTM(4, 3, categorical=True, dtype="float64", seed=0), layers[1]]),
        crnn.Sequential([crnn.RNN(2, 3, dtype="float64", seed=0), crnn.LastStep(), layers[1]]),
    ]
    return _saved(folder, *chains)


def read_chain(path):
    """Read a chain, and use it."""
    net = crnn.load(path)
    x = np.zeros((1, 2), np.intp) if net.categorical else np.zeros((1, 2, net.input_size))
    with np.errstate(all="ignore"):
        net.predict(x)
    return net


def _forecaster(**settings):
    from crnn.forecasting import Forecaster

    series = np.sin(np.arange(90.0)) + np.arange(90.0) / 9 + 2
    return Forecaster(epochs=1, hidden_size=2, **settings).fit(series)


def _forecaster_seeds(folder):
    (old,) = ((DATA / "applications" / "data" / "forecaster-0.1.0.npz").read_bytes(),)
    return [*_saved(folder, _forecaster(), _forecaster(cell="gru", floor=0.0)), old]


def _forecaster_shapes(description):
    from crnn.forecasting import files

    return files.shapes_of(description)


def read_forecaster(path):
    """Read a forecaster, and use it."""
    from crnn.forecasting import load

    model, _ = load(path)
    assert len(str(model.recipe)) > 2
    if model.needed < 500 and not model.fitted.num_columns:
        with np.errstate(all="ignore"):
            try:
                # As short as the model allows: each value takes time to clean.
                model.forecast(np.arange(model.needed + 1.0) + 1, 2)
            except ValueError as error:
                # Numbers of the file that overflow are refused where they are used.
                assert not isinstance(error, crnn.ModelFileError)  # noqa: PT017
    return model


def _panel_seeds(folder):
    from crnn.forecasting import Panel

    return _saved(folder, Panel({"north": _forecaster(), "south": _forecaster(season=7)}))


def read_panel(path):
    """Read a panel."""
    from crnn.forecasting import Panel

    panel, _ = Panel.load(path)
    return [str(model.recipe) for model in panel.values()]


def _text_seeds(folder):
    from crnn.text import TextModel

    old = (DATA / "applications" / "data" / "text-0.1.0.npz").read_bytes()
    return [*_saved(folder, TextModel("abcé\U0001f600", hidden_size=2, seed=0)), old]


def _text_shapes(description):
    from crnn import text

    return text._shapes(description)


def read_text_model(path):
    """Read a text model, and use its vocabulary."""
    from crnn.text import load

    model = load(path)
    model.encode(model.vocabulary[:1])
    return model


GENERATORS = {
    b"PCG64": np.random.PCG64,
    b"MT19937": np.random.MT19937,
    b"Philox": np.random.Philox,
    b"SFC64": np.random.SFC64,
}


def _fit(path, generator, *, epochs, resume):
    """Train a network with dropout, whose generator is asked in each step."""
    rng = np.random.Generator(generator(0))
    net = crnn.RNN(2, 3, 1, num_layers=2, dropout=0.25, dtype="float64", init="uniform", seed=rng)
    x = np.linspace(-1, 1, 24).reshape(3, 4, 2)
    net.fit(
        x, x[..., :1], epochs=epochs, checkpoint=path, resume=resume, metrics=["mae"],
        optimizer=crnn.Adam(0.01), patience=9, validation_fraction=0.4, progress=False,
    )  # fmt: skip


def _checkpoint_seeds(folder):
    files = []
    for generator in GENERATORS.values():
        _fit(folder / "seed.npz", generator, epochs=EPOCHS - 1, resume=False)
        files.append((folder / "seed.npz").read_bytes())
    return files


def read_checkpoint(path):
    """Go on from a checkpoint, for one epoch."""
    content = path.read_bytes()
    generator = next((g for name, g in GENERATORS.items() if name in content), np.random.PCG64)
    with np.errstate(all="ignore"):
        _fit(path, generator, epochs=EPOCHS, resume=True)


def _onnx_seeds(folder):
    import onnx_graphs
    import onnx_models

    models = [
        onnx_graphs.of_exporter(),
        onnx_models.recurrent_model("RNN", states="inputs", lengths=True),
        onnx_models.recurrent_model("GRU", bidirectional=True, layout=1),
        onnx_models.recurrent_model("LSTM", states="the same", output="Gemm"),
        onnx_models.recurrent_model("GRU", linear_before_reset=1, output="last step"),
        onnx_models.exported(
            onnx_models.network(family="LSTM", num_layers=2), folder, lengths=True
        ),
        onnx_models.exported(
            onnx_models.network(family="RNN", bidirectional=True, trainable_h0=True), folder
        ),
    ]
    return [model.SerializeToString() for model in models]


def _mutated_onnx(data, rng, raw):
    import hostile_onnx

    return hostile_onnx.mutated_model(data, rng, raw)


def read_onnx(path):
    """Read an ONNX model."""
    import crnn.onnx

    return crnn.onnx.load(path)


def _audio_seeds(folder):
    nets = [
        crnn.LSTM(1, 2, 1, trainable_h0=True, seed=0),
        crnn.LSTM(1, 2, 1, num_layers=2, seed=0),
        crnn.GRU(1, 2, 1, seed=0),
    ]
    files = []
    for net, form in zip(nets, ("nam", "keras", "torch"), strict=True):
        audio.save(net, folder / "seed", form=form)
        files.append((folder / "seed").read_bytes())
    return files


def _mutated_audio(data, rng, raw):
    if rng.random() < 0.2:
        return raw(data)
    try:
        content = json.loads(data)
        if isinstance(content, (dict, list)):
            return json.dumps(hostile_archives.mutated_json(content, rng)).encode()
    except (ValueError, RecursionError, OverflowError):
        # What an earlier mutation made no JSON, or a number that is no float
        pass
    return raw(data)


def read_audio(path):
    """Read a network of a plug-in, and what its file says."""
    audio.describe(path)
    return audio.load(path)


def _keras_seeds(_):
    return [gzip.decompress(file.read_bytes()) for file in KERAS_FILES]


def _mutated_keras(data, rng, raw):
    """Most of a file is the description; its numbers change without a fault."""
    changed = bytearray(raw(data))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(changed))
        changed[at] = rng.randrange(256)
    return bytes(changed)


def read_keras(path):
    """Read a Keras model."""
    import crnn.keras

    return crnn.keras.load(path)


SUFFIXES = {b"\x1f\x8b": ".gz", b"BZ": ".bz2", b"\xfd7": ".xz"}


def _table_seeds(_):
    return [text.encode() for text in TABLES]


def read_table(path):
    """Read a table as `crnn fit` and `crnn predict` do: all its columns, and as series."""
    from crnn.forecasting import read_csv

    content = path.read_bytes()
    suffix = next((s for mark, s in SUFFIXES.items() if content.startswith(mark)), "")
    if suffix:
        path = path.rename(path.with_suffix(suffix))
    table = read_csv(path)
    refused = None
    for name in table.names:
        try:
            table.numbers(name, gaps=True)
            table.unit(name)
        except ValueError as error:
            refused = error
    # What is asked for depends on the content alone.
    choice = sum(content)
    options = {
        "target": table.names[choice % len(table.names)],
        "fill": (None, "previous", "linear", "zero")[choice // 7 % 4],
        "combine": (None, "sum", "mean")[choice // 3 % 3],
        "day_first": (None, True, False)[choice // 5 % 3],
        "date_format": (None, None, None, "epoch", "%d.%m.%Y")[choice // 13 % 5],
    }
    others = [name for name in table.names if name != options["target"]]
    if others and choice % 3 == 0:
        rows = table.series_by(others[choice // 11 % len(others)], **options)
    else:
        if others and choice % 5 == 0:
            options["known"] = others[-1:]
        rows = {"": table.series(**options)}
    for one in rows.values():
        assert np.isfinite(one.target).all()
        one.labels()
        if one.frequency is not None:
            one.coming_labels(3)
    if refused is not None:
        raise refused
    return table


def _said_seeds(folder):
    """Models as `crnn fit` writes them: the files say how their tables were read."""
    from crnn.cli.program import crnn as program

    days = np.arange("2023-01-01", "2023-03-26", dtype="datetime64[D]")
    rows = "".join(f"{day},{n % 7 + n / 9:.3f},{n % 3}\n" for n, day in enumerate(days))
    (folder / "data.csv").write_text(f"date,y,x\n{rows}")
    command = ["fit", str(folder / "data.csv"), "--target", "y", "--known", "x", "--epochs", "1",
               "--no-progress", "-o", str(folder / "model.npz")]  # fmt: skip
    program.main(command, standalone_mode=False)
    return [(folder / "model.npz").read_bytes(), *_text_seeds(folder), *_panel_seeds(folder)]


def read_by_command(path):
    """Describe a file, and forecast with it, as the commands do."""
    from crnn.cli.program import crnn as program

    data = path.with_name("rows.csv")
    if not data.exists():
        rows = "".join(f"2023-01-{day:02d},{day},1\n" for day in range(1, 29))
        data.write_text(f"date,y,x\n{rows}2023-01-29,,1\n")
    nowhere = io.StringIO()
    with redirect_stdout(nowhere), redirect_stderr(nowhere), np.errstate(all="ignore"):
        program.main(["info", str(path)], standalone_mode=False)
        program.main(["forecast", str(path), str(data)], standalone_mode=False)


def read_text(path):
    """Decode a text."""
    from crnn.text import decode

    return decode(path.read_bytes())


def _archive_mutations(shapes_of=None):
    def mutated(data, rng, raw):
        return hostile_archives.mutated_archive(data, rng, raw, shapes_of)

    return mutated


READERS = {
    "network": Reader(_network_seeds, _archive_mutations(_network_shapes), read_network),
    "fleet": Reader(_fleet_seeds, _archive_mutations(_fleet_shapes), read_fleet),
    "learner": Reader(
        _learner_seeds,
        _archive_mutations(learner_files._check_learner),
        read_learner,
        (crnn.ModelFileError, crnn.DivergenceError),
    ),
    "chain": Reader(_chain_seeds, _archive_mutations(), read_chain),
    "checkpoint": Reader(
        _checkpoint_seeds,
        _archive_mutations(),
        read_checkpoint,
        (crnn.ModelFileError, crnn.DivergenceError),
    ),
    "audio": Reader(_audio_seeds, _mutated_audio, read_audio),
    "keras": Reader(_keras_seeds, _mutated_keras, read_keras),
    "text-model": Reader(_text_seeds, _archive_mutations(_text_shapes), read_text_model),
    "text": Reader(
        lambda _: ["ab\n".encode(e) for e in hostile_tables.ENCODINGS],
        hostile_tables.mutated_table,
        read_text,
        (ValueError,),
    ),
}
if onnx is not None:
    READERS["onnx"] = Reader(_onnx_seeds, _mutated_onnx, read_onnx)
if pd is not None:
    READERS |= {
        "forecaster": Reader(
            _forecaster_seeds, _archive_mutations(_forecaster_shapes), read_forecaster
        ),
        "panel": Reader(_panel_seeds, _archive_mutations(), read_panel),
        "csv": Reader(_table_seeds, hostile_tables.mutated_table, read_table, (ValueError,)),
        "commands": Reader(
            _said_seeds,
            _archive_mutations(_forecaster_shapes),
            read_by_command,
            (click.ClickException,),
        ),
    }
