"""The group of all commands, and what happens to the errors of each."""

from __future__ import annotations

import click

from crnn import DivergenceError, ModelFileError, __version__
from crnn.cli import demo, export_c, fit, forecast, info, learn, predict, stream, text

__all__ = ["crnn"]


class Refusal(click.ClickException):
    """An error in a file or a setting."""

    exit_code = 2


class Program(click.Group):
    """A group whose commands report wrong files and settings in one line, with exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader of the output has closed it: click ends quietly.
            raise
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise Refusal(reason) from None
        except ImportError as error:
            # What is not installed is no fault of the files.
            raise click.ClickException(" ".join(str(error).split())) from None
        except (ValueError, TypeError, ModelFileError, DivergenceError) as error:
            raise Refusal(" ".join(str(error).split())) from None


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="crnn")
def crnn() -> None:
    """Small and medium recurrent networks on a CPU.

    Begin with `crnn demo`. `crnn fit` and `crnn forecast` are for a column of numbers, `crnn learn`
    for one that comes line by line, `crnn text` and `crnn generate` for a text. A file named - is
    the standard input.
    """


for _command in (
    fit.fit,
    forecast.forecast,
    predict.predict,
    stream.stream,
    learn.learn,
    text.text,
    text.generate,
    info.info,
    export_c.export_c,
    demo.demo,
):
    crnn.add_command(_command)
