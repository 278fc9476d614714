"""The ``crnn`` command (needs click, tqdm and pandas, the ``cli`` extra)."""

from __future__ import annotations

import importlib
import math
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

__all__ = ["command", "main"]

PICTURES = (".png", ".pdf", ".svg")


def main() -> None:
    """Run the ``crnn`` command, or say how to install what it needs."""
    for name in ("click", "tqdm"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            sys.exit(f"crnn: the command line needs {name}: pip install 'crnn[cli]'")
    command()(prog_name="crnn")


def command() -> click.Group:
    """Build the ``crnn`` command.

    Returns
    -------
    click.Group
        Made here and not at import, so that importing this module needs no click.
    """
    import click

    from crnn import __version__

    a_file = click.Path(dir_okay=False, path_type=Path)
    a_table = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
    at_least_1 = click.IntRange(min=1)
    cell = click.option(
        "--cell", type=click.Choice(["rnn", "gru", "lstm"]), default="rnn", help="Kind of network."
    )
    seed = click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of all chance.")
    with_progress = click.option(
        "--progress/--no-progress", default=True, help="Whether to show a progress bar."
    )

    @click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
    @click.version_option(__version__, prog_name="crnn")
    def crnn() -> None:
        """Small and medium recurrent networks on a CPU.

        `crnn demo` shows what they do. `crnn fit` and `crnn forecast` are for a column of numbers,
        `crnn text` and `crnn generate` for a text. A file named - is the standard input.
        """

    @crnn.command("fit", context_settings={"show_default": True})
    @click.argument("data", type=a_table)
    @click.option("--target", required=True, help="Column to forecast.")
    @click.option("--features", default="", show_default="none",
                  help="Columns that help, separated by commas.")  # fmt: skip
    @click.option("--horizon", type=at_least_1, default=1, help="Steps that forecasts go ahead.")
    @click.option("--season", type=click.IntRange(min=0), help="Steps of a season; 0: none.  "
                  "[default: looked for]")  # fmt: skip
    @click.option("--window", type=click.IntRange(min=2), help="Steps that the network reads.  "
                  "[default: two seasons, 24 to 200]")  # fmt: skip
    @cell
    @click.option("--hidden", type=at_least_1, default=32, help="Hidden units.")
    @click.option("--epochs", type=at_least_1, help="Passes over the windows.  [default: as many "
                  "as make 1500 steps]")  # fmt: skip
    @click.option("--test-size", type=click.FloatRange(0, 0.9, min_open=True), default=0.2,
                  help="Share of the rows, the last ones, that the model is tried on.")  # fmt: skip
    @seed
    @with_progress
    @click.option("-o", "--output", type=a_file, required=True, help="File for the model.")
    def fit(
        data: Path,
        target: str,
        features: str,
        horizon: int,
        season: int | None,
        window: int | None,
        cell: str,
        hidden: int,
        epochs: int | None,
        test_size: float,
        seed: int,
        progress: bool,
        output: Path,
    ) -> None:
        """Learn to forecast a column of a CSV file, one row a time step.

        Trend and season are found on validation data within the training rows, and so is whether a
        network forecasts better than its linear part alone. The model is tried on the last rows,
        which nothing was learned from, beside persistence, the same as a season before, and an
        autoregression. Then it is trained again on all rows and saved.
        """
        from crnn.forecasting import tables
        from crnn.forecasting import Forecaster

        with complaints():
            _check_folder(output)
            table = tables.read(data)
            series = tables.numbers(table, target, data)
            names = [name.strip() for name in features.split(",") if name.strip()]
            columns = tables.columns(table, names, data)
            first = len(series) - max(horizon, round(len(series) * test_size))
            if first < 1:
                raise ValueError(
                    f"{data}: expected more rows than the horizon of {horizon}, got {len(series)}"
                )
            model = Forecaster(
                cell=cell,
                hidden_size=hidden,
                window=window,
                season=season,
                # Of all rows, since the model has to read them all.
                logarithms=bool(series.min() > 0),
                epochs=epochs,
                seed=seed,
            )
            model.fit(series[:first], columns[:first], horizon=horizon, progress=progress or False)
            scores = model.scores(series, columns, first=first, horizon=horizon)
            click.echo(
                f"{target}: {len(series)} rows, learned from {first}, tried on the last "
                f"{len(series) - first}, {horizon} {'step' if horizon == 1 else 'steps'} ahead"
            )
            season_found = (
                f"a season of {model.found_season} steps" if model.found_season else "no season"
            )
            click.echo(f"found {season_found}; {model.recipe}; {_of_the_network(model.share)}")
            click.echo("")
            width = max(map(len, scores))
            click.echo(f"{'':{width}s}  {'RMSE':>10s}  {'MAE':>10s}")
            for name, (square, absolute) in scores.items():
                click.echo(f"{name:{width}s}  {square:10.4g}  {absolute:10.4g}")
            others = {name: score[0] for name, score in scores.items() if name != "crnn"}
            best = min(others, key=lambda name: others[name])
            if scores["crnn"][0] > 1.03 * others[best]:
                click.echo("")
                click.echo(
                    f"On these rows {best!r} was better: its error is "
                    f"{1 - others[best] / scores['crnn'][0]:.0%} smaller. Prefer that."
                )
            model.refit(series, columns)
            model.save(output, target=target, features=names, horizon=horizon, scores=scores)
            click.echo("")
            click.echo(f"trained again on all {len(series)} rows: {output}")

    @crnn.command("forecast", context_settings={"show_default": True})
    @click.argument("model", type=a_file)
    @click.argument("data", type=a_table)
    @click.option("--steps", type=at_least_1, default=1, help="Rows to forecast.")
    @click.option("--plot", type=a_file, help="File for a picture (.png, .pdf or .svg).")
    @click.option("-o", "--output", type=a_file, help="File for the CSV.  [default: printed]")
    def forecast(
        model: Path, data: Path, steps: int, plot: Path | None, output: Path | None
    ) -> None:
        """Forecast what follows the last row of a CSV file, by a model of `crnn fit`.

        Writes CSV: how many steps ahead, and the forecast in the column's units.
        """
        import numpy as np

        with complaints():
            for path in (plot, output):
                if path is not None:
                    _check_folder(path)
            if plot is not None and plot.suffix.lower() not in PICTURES:
                raise ValueError(
                    f"--plot: expected a file ending in .png, .pdf or .svg, got {plot}"
                )
            forecaster, said, series, columns = _forecaster_and_rows(model, data)
            values = forecaster.forecast(series, steps, columns)
            lines = [f"step,{said['target']}"]
            lines += [f"{step},{value:.10g}" for step, value in enumerate(values, 1)]
            _write(lines, output)
            if plot is not None:
                from crnn import plots

                shown = min(len(series), max(5 * steps, 100))
                times = np.arange(1, len(series) + steps + 1)
                ax = plots.forecast(
                    times[len(series) - shown : len(series)],
                    series[-shown:],
                    ahead=(times[len(series) :], values),
                    time_label="row",
                    value_label=str(said["target"]),
                )
                figure: Any = ax.get_figure(root=True)
                figure.savefig(plot, dpi=150)

    @crnn.command("predict")
    @click.argument("model", type=a_file)
    @click.argument("data", type=a_table)
    @click.option("-o", "--output", type=a_file, help="File for the CSV.  [default: printed]")
    def predict(model: Path, data: Path, output: Path | None) -> None:
        """Put a model's outputs beside the rows of a CSV file.

        Of a model of `crnn fit`, the prediction of each row from those before it. Of a network that
        `net.save` wrote, its outputs for the columns, in order, as its inputs.
        """
        from crnn import archive as files, load
        from crnn.forecasting import tables

        with complaints():
            if output is not None:
                _check_folder(output)
            if files.kind(model) == "network":
                net, table = load(model), tables.read(data)
                inputs = tables.columns(table, list(table.columns), data)
                y = net.predict(inputs)
                lines = [",".join(f"y{number}" for number in range(y.shape[-1]))]
                lines += [
                    ",".join(f"{value:.10g}" for value in row) for row in y.reshape(-1, y.shape[-1])
                ]
            else:
                forecaster, said, series, columns = _forecaster_and_rows(model, data)
                lines = [f"{said['target']},predicted"]
                for value, predicted in zip(
                    series, forecaster.predict(series, columns), strict=True
                ):
                    known = "" if predicted != predicted else f"{predicted:.10g}"
                    lines.append(f"{value:.10g},{known}")
            _write(lines, output)

    @crnn.command("stream")
    @click.argument("model", type=a_file)
    def stream(model: Path) -> None:
        """Read numbers line by line from the standard input, and answer each line at once.

        Of a model of `crnn fit`, a line is the target and then the features of one row, and the
        answer the prediction of the next row's target; until enough rows have come the answer is
        empty. Of a network that `net.save` wrote, a line is its inputs and the answer its outputs.
        Numbers are separated by commas or spaces.
        """
        from crnn import archive as files, load
        from crnn.forecasting import load as load_forecaster

        with complaints():
            if files.kind(model) == "network":
                steps = load(model).stream()
                width = steps.input_size

                def answer(row: list[float]) -> str:
                    return ",".join(f"{value:.7g}" for value in steps.step(row))

            else:
                forecaster, _ = load_forecaster(model)
                width, rows = len(forecaster.means), []
                enough = forecaster.used_window + 2 * forecaster.needed

                def answer(row: list[float]) -> str:
                    rows.append(row)
                    del rows[:-enough]
                    if len(rows) < forecaster.needed:
                        return ""
                    series = [row[0] for row in rows]
                    return f"{forecaster.forecast(series, 1, [row[1:] for row in rows])[0]:.10g}"

            for number, line in enumerate(sys.stdin, 1):
                words = line.replace(",", " ").split()
                try:
                    row = [float(word) for word in words]
                    if len(row) != width or not all(map(math.isfinite, row)):
                        raise ValueError
                except ValueError:
                    raise ValueError(
                        f"line {number}: expected {width} numbers, got {line.strip()!r}"
                    ) from None
                click.echo(answer(row))
                sys.stdout.flush()

    @crnn.command("text", context_settings={"show_default": True})
    @click.argument("file", type=a_table)
    @cell
    @click.option("--hidden", type=at_least_1, default=256, help="Hidden units of each layer.")
    @click.option("--layers", type=at_least_1, default=1, help="Hidden layers.")
    @click.option("--epochs", type=at_least_1, help="Times that the text is read.  "
                  "[default: 15, and up to 40 for short texts]")  # fmt: skip
    @seed
    @with_progress
    @click.option("-o", "--output", type=a_file, required=True, help="File for the model.")
    def text(
        file: Path,
        cell: str,
        hidden: int,
        layers: int,
        epochs: int | None,
        seed: int,
        progress: bool,
        output: Path,
    ) -> None:
        """Learn to write like a text, character by character.

        It learns from the first nine tenths and says how many bits a character of the last tenth
        takes, beside a trigram model.
        """
        from crnn.text import TextModel, trigram_bits

        with complaints():
            _check_folder(output)
            try:
                content = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{file}: expected text in UTF-8, got {error}") from error
            if len(content) < 100:
                raise ValueError(f"{file}: expected at least 100 characters, got {len(content)}")
            cut = len(content) * 9 // 10
            training, held_out = content[:cut], content[cut:]
            model = TextModel(content, hidden_size=hidden, num_layers=layers, cell=cell, seed=seed)
            model.fit(training, epochs=epochs, progress=progress or False)
            bits = model.bits_per_character(held_out[2:], before=training[-1000:] + held_out[:2])
            trigrams = trigram_bits(training, held_out, model.vocabulary)
            click.echo(f"{len(content)} characters, {len(model.vocabulary)} different")
            click.echo(f"bits per character on the last tenth: {bits:.2f}; trigrams {trigrams:.2f}")
            if bits > trigrams:
                click.echo("Trigrams read it better: for a network the text is short.")
            model.save(output)
            click.echo(f"written: {output}")

    @crnn.command("generate", context_settings={"show_default": True})
    @click.argument("model", type=a_file)
    @click.option("--prompt", required=True, help="What the text begins with.")
    @click.option("--length", type=click.IntRange(min=0), default=500, help="Characters to write.")
    @click.option("--temperature", type=click.FloatRange(min=0), default=0.7,
                  help="Below 1 the likely becomes likelier; 0 takes the likeliest.")  # fmt: skip
    @click.option(
        "--seed", type=click.IntRange(min=0), help="Of what is written.  [default: chance]"
    )
    def generate(
        model: Path, prompt: str, length: int, temperature: float, seed: int | None
    ) -> None:
        """Write on from a prompt, by a model of `crnn text`."""
        from crnn.text import load

        with complaints():
            click.echo(load(model).generate(prompt, length, temperature=temperature, seed=seed))

    @crnn.command("info")
    @click.argument("model", type=a_file)
    def info(model: Path) -> None:
        """Say what a model file holds."""
        from crnn import archive as files, forecasting, load
        from crnn import text as texts

        with complaints():
            kind = files.kind(model)
            click.echo(f"{model}: a {kind} of crnn")
            if kind == "network":
                net = load(model)
            elif kind == "text model":
                writer = texts.load(model)
                net = writer.net
                click.echo(f"vocabulary   {len(writer.vocabulary)}: {writer.vocabulary!r}")
            elif kind == "forecaster":
                forecaster, said = forecasting.load(model)
                net = forecaster.net
                for name, value in said.items():
                    if isinstance(value, dict):
                        for method, (square, absolute) in value.items():
                            click.echo(
                                f"score        {method}: RMSE {square:.4g}, MAE {absolute:.4g}"
                            )
                    elif value:
                        shown = ", ".join(value) if isinstance(value, list) else value
                        click.echo(f"{name:12s} {shown}")
                click.echo(f"recipe       {forecaster.recipe}; {_of_the_network(forecaster.share)}")
                click.echo(f"needs        {forecaster.needed} rows")
            else:
                return
            click.echo(f"network      {net!r}")
            click.echo(f"parameters   {net.flat_params.size}")

    @crnn.command("demo", context_settings={"show_default": True})
    @click.argument("name", type=click.Choice(["sunspots", "digits", "text"]), default="sunspots")
    @click.option(
        "--output",
        "-o",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        default=Path("crnn-demo.png"),
        help="File for the picture of sunspots; its suffix (.png, .pdf, .svg) decides the format.",
    )
    @click.option("--epochs", type=at_least_1, help="Passes over the data.  [default: the demo's]")
    @seed
    @click.option(
        "--rounds",
        type=click.IntRange(min=0),
        help="How often sunspots time each implementation; 0 skips it.  [default: 5]",
    )
    @with_progress
    def demo(
        name: str, output: Path, epochs: int | None, seed: int, rounds: int | None, progress: bool
    ) -> None:
        """Show what a network learns, on data that everybody has.

        sunspots: learn the yearly sunspot numbers from 1700-1979, try on the held-out years
        1980-2008 beside persistence and an autoregression, forecast 2009-2019, time the compiled
        kernels against the NumPy ones, and draw crnn-demo.png.

        digits: read scikit-learn's images of digits row by row, and say which they are.

        text: read the texts of Python's help() character by character, and write on.
        """
        module = importlib.import_module(f"crnn.demos.{name}")
        settings: dict[str, Any] = {"seed": seed, "progress": progress, "echo": click.echo}
        if epochs is not None:
            settings["epochs"] = epochs
        with complaints():
            if name == "sunspots":
                # Before the work, not after it
                if output.suffix.lower() not in PICTURES:
                    raise click.BadParameter(
                        f"{output} ends in none of .png, .pdf, .svg", param_hint="-o"
                    )
                folder = output.absolute().parent
                if not (folder.is_dir() and os.access(folder, os.W_OK)):
                    raise click.BadParameter(f"{folder} is no folder to write to", param_hint="-o")
                if rounds is not None:
                    settings["timed_rounds"] = rounds
                settings["output"] = output
            module.run(**settings)

    return crnn


@contextmanager
def complaints() -> Iterator[None]:
    """Make one line of what is wrong with a user's files and settings."""
    import click

    from crnn.errors import DivergenceError, ModelFileError

    try:
        yield
    except BrokenPipeError:
        # Whoever read the output has enough. Python would complain again as it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise click.ClickException(reason) from None
    except (ValueError, TypeError, ImportError, ModelFileError, DivergenceError) as error:
        raise click.ClickException(" ".join(str(error).split())) from None


def _check_folder(path: Path) -> None:
    """Raise if a file cannot be put there: before the work, not after it."""
    folder = path.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(f"{path}: expected a path in a folder to write to, got none in {folder}")


def _forecaster_and_rows(model: Path, data: Path) -> tuple[Any, dict[str, Any], Any, Any]:
    """Return a forecaster, what its file says, and the columns that it reads."""
    from crnn.forecasting import tables
    from crnn.forecasting import load

    forecaster, said = load(model)
    target, features = said.get("target"), said.get("features")
    if not isinstance(target, str) or not isinstance(features, list):
        raise ValueError(
            f"{model}: expected a model that says which columns it reads, as those of crnn fit do"
        )
    table = tables.read(data)
    series = tables.numbers(table, target, data)
    return forecaster, said, series, tables.columns(table, features, data)


def _of_the_network(share: float) -> str:
    if not share:
        return "the network added nothing on validation data, and is left out"
    return "corrected by the network" + ("" if share == 1 else f", by {share:.0%} of what it says")


def _write(lines: list[str], output: Path | None) -> None:
    import click

    text = "\n".join(lines)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")
