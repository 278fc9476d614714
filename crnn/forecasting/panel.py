"""Several forecasters in one file: a model for each series, such as one a shop."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crnn import archive
from crnn.archive import MAX_DESCRIPTION_BYTES, nested, whole_number
from crnn.errors import ModelFileError
from crnn.forecasting import files
from crnn.forecasting.fleets import Work, run_together
from crnn.forecasting.forecaster import Forecaster

if TYPE_CHECKING:
    from crnn.forecasting.fitted import Fitted

__all__ = ["KIND", "Panel"]

KIND, FILE_VERSION = "panel of forecasters", 1
FIELDS = {
    "models": whole_number(1),
    "description_bytes": whole_number(1),
    "array_bytes": whole_number(1),
    "said": nested(),
}
BYTES = np.dtype(np.uint8)

Series = Mapping[str, npt.ArrayLike]
Columns = Mapping[str, npt.ArrayLike | None]


class Panel(Mapping[str, Forecaster]):
    """Forecasters by name: a model for each of several series, fitted together, in one file.

    Parameters
    ----------
    models : mapping of str to Forecaster
        At least one. Each has settings of its own.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import numpy as np
    >>> from crnn.forecasting import Forecaster, Panel
    >>> series = {"north": np.arange(60.0), "south": np.arange(60.0)[::-1]}
    >>> panel = Panel({name: Forecaster(epochs=1) for name in series}).fit(series)
    >>> panel["north"].forecast(series["north"], 2).round()
    array([60., 61.])
    """

    def __init__(self, models: Mapping[str, Forecaster]) -> None:
        if not models:
            raise ValueError("models: expected at least one, got none")
        self._models = dict(models)

    def __getitem__(self, name: str) -> Forecaster:
        """Return the forecaster of a name."""
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names in order."""
        return iter(self._models)

    def __len__(self) -> int:
        """Return how many forecasters there are."""
        return len(self._models)

    def fit(
        self,
        series: Series,
        lagged: Columns | None = None,
        known: Columns | None = None,
        *,
        horizon: int = 1,
        label: str = "series",
        progress: bool | None = False,
    ) -> Panel:
        """Fit each forecaster to its series, as `Forecaster.fit` does.

        Networks of one architecture that take as many steps are trained side by side, as a
        `crnn.Fleet`: each as it would be alone, to rounding.

        Parameters
        ----------
        series : mapping of str to array (time,)
            One for each forecaster.
        lagged, known : mapping of str to array (time, columns), optional
            Their further columns.
        horizon : int
            As in `Forecaster.fit`.
        label : str
            What errors call a series before its name, such as "shop".
        progress : bool, optional
            Whether to show progress bars, as in `RNN.fit`.

        Returns
        -------
        Panel
            Itself.

        Raises
        ------
        ValueError, TypeError
            A name is missing, a series is too short, or a shape, dtype or value does not fit. All
            forecasters are as before.
        DivergenceError
            As in `RNN.fit`; likewise.
        """
        begin = functools.partial(Forecaster.fitting, horizon=horizon)
        return self._run(begin, (series, lagged, known), label, progress)

    def refit(
        self,
        series: Series,
        lagged: Columns | None = None,
        known: Columns | None = None,
        *,
        label: str = "series",
        progress: bool | None = False,
    ) -> Panel:
        """Train each forecaster again on a whole series, as `Forecaster.refit` does.

        Parameters
        ----------
        series : mapping of str to array (time,)
        lagged, known : mapping of str to array (time, columns), optional
        label : str
        progress : bool, optional
            As in `fit`.

        Returns
        -------
        Panel
            Itself.

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As in `fit`.
        """
        return self._run(Forecaster.refitting, (series, lagged, known), label, progress)

    def _run(
        self,
        begin: Callable[..., Work[Fitted]],
        mappings: tuple[Columns | None, ...],
        label: str,
        progress: bool | None,
    ) -> Panel:
        """Give each forecaster what a work of its own returns; none where one fails.

        `begin` gets a forecaster, and of series and columns by name its own.
        """
        for argument, values in zip(("series", "lagged", "known"), mappings, strict=True):
            if values is not None and (
                not isinstance(values, Mapping) or set(values) != set(self._models)
            ):
                raise ValueError(
                    f"{argument}: expected a mapping with the {len(self)} names of the models, got "
                    + (f"{len(values)} names" if isinstance(values, Mapping) else repr(values))
                )
        works = {}
        for name, model in self.items():
            own = [None if values is None else values[name] for values in mappings]
            works[f"{label} {name!r}"] = begin(model, *own)
        results = run_together(works, progress)
        for model, fitted in zip(self._models.values(), results.values(), strict=True):
            model.fitted = fitted
        return self

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> tuple[Panel, dict[str, Any]]:
        """Return the models that `save` wrote to a file, and what else the file holds.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        panel : Panel
        said : dict
            The further arguments of `save`.

        Raises
        ------
        ModelFileError
            The file is damaged, holds something else, or was written by a newer version.
        OSError
            It cannot be opened.
        """
        description, arrays = archive.read(path, _shapes)
        try:
            models = _models(description["models"], arrays)
        except ModelFileError as error:
            raise ModelFileError(f"{os.fspath(path)}: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            # Damaged bytes raise whatever they lead to.
            raise ModelFileError(f"{os.fspath(path)}: expected models, got {error}") from error
        return cls(models), description["said"]

    def save(self, path: str | os.PathLike[str], **said: Any) -> None:
        """Write all models to one file, which `load` reads.

        Parameters
        ----------
        path : path-like
            An existing file is replaced, whole or not at all.
        **said
            Anything else that the file should hold, of what JSON can hold.

        Raises
        ------
        ValueError, TypeError
            `said` is too long, or JSON cannot hold it.
        OSError
            The file cannot be written.
        """
        descriptions, contents = [], []
        for name, model in self._models.items():
            description, arrays = files.parts(model.settings, model.fitted, {})
            # As it will be read: JSON has no tuples.
            description = json.loads(json.dumps(description))
            descriptions.append({"name": name, "model": description})
            for key, (dtype, _) in files.shapes_of(description).items():
                contents.append(np.ascontiguousarray(arrays[key], dtype).tobytes())
        described = np.frombuffer(json.dumps(descriptions).encode(), BYTES)
        content = np.frombuffer(b"".join(contents), BYTES)
        archive.write(
            path,
            {
                "format": f"crnn {KIND}",
                "version": FILE_VERSION,
                "models": len(self),
                "description_bytes": len(described),
                "array_bytes": len(content),
                "said": said,
            },
            {"descriptions": described, "arrays": content},
        )


def _models(count: int, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, Forecaster]:
    """Return the models by name, from the bytes that `Panel.save` wrote."""
    content, models = arrays["arrays"].tobytes(), {}
    position = 0
    for part in _parts(arrays["descriptions"].tobytes().decode("ascii")):
        own: dict[str, np.ndarray[Any, Any]] = {}
        for key, (dtype, shape) in files.shapes_of(part["model"]).items():
            size = int(np.prod(shape))
            if position + size * dtype.itemsize > len(content):
                raise ModelFileError(f"arrays: expected more than {len(content)} bytes")
            # A copy: what belongs to a model can be written to.
            own[key] = np.frombuffer(content, dtype, size, position).reshape(shape).copy()
            position += size * dtype.itemsize
        settings, fitted, _ = files.from_parts(part["model"], own)
        model = Forecaster(**settings)
        model.fitted = fitted
        models[str(part["name"])] = model
    if len(models) != count or position != len(content):
        raise ModelFileError(f"models: expected {count} and no more bytes, got {len(models)}")
    return models


def _parts(text: str) -> Iterator[Any]:
    """Yield the parts of a list in JSON one by one: as a list they could take many times its size.

    The text is as `json.dumps` writes it.
    """
    decoder, position = json.JSONDecoder(), 1
    if text[:1] != "[":
        raise ModelFileError("descriptions: expected a list")
    while True:
        # One model's description is no longer than that of a file of its own.
        part, length = decoder.raw_decode(text[position : position + MAX_DESCRIPTION_BYTES])
        yield part
        position += length
        if position == len(text) - 1 and text[position] == "]":
            return
        if text[position : position + 2] != ", ":
            raise ModelFileError("descriptions: expected a list of descriptions")
        position += 2


def _shapes(description: archive.Description) -> archive.Shapes:
    """Check a description and return what arrays belong to it."""
    archive.check_kind(description, KIND, FILE_VERSION)
    archive.check_fields(description, FIELDS)
    return {
        "descriptions": (BYTES, (description["description_bytes"],)),
        "arrays": (BYTES, (description["array_bytes"],)),
    }
