"""Files of forecasters."""

import os
from typing import Any

import numpy as np

from crnn import archive, loading
from crnn.archive import boolean, list_of, nested, number, one_of, optional, whole_number
from crnn.errors import ModelFileError
from crnn.forecasting.fitted import Fitted, Scaling
from crnn.forecasting.recipe import Recipe
from crnn.networks import FAMILIES

__all__ = ["read", "write"]

KIND, FILE_VERSION = "forecaster", 1
# Longer lags and windows exceed every series that this package is for.
MAX_STEPS = (1 << 20) - 1

FIELDS = {
    "network": nested(),
    "recipe": nested(
        {
            "log": boolean(),
            "differences": list_of(whole_number(1, MAX_STEPS)),
            "lags": list_of(whole_number(1, MAX_STEPS)),
            "season": whole_number(0, MAX_STEPS),
        }
    ),
    "settings": nested(
        {
            "hidden_size": whole_number(1),
            "window": optional(whole_number(2)),
            "season": optional(whole_number(0)),
            "logarithms": boolean(),
            "epochs": optional(whole_number(1)),
            "seed": optional(whole_number(0)),
            "cell": one_of(*FAMILIES),
        }
    ),
    "share": number(0.0),
    "residual_scale": number(0.0),
    "used_window": whole_number(1, MAX_STEPS),
    "found_season": whole_number(0, MAX_STEPS),
    "said": nested(),
}


def write(
    path: str | os.PathLike[str], settings: dict[str, Any], fitted: Fitted, said: dict[str, Any]
) -> None:
    """Write a fitted forecaster to a file.

    Parameters
    ----------
    path : path-like
    settings : dict
        Arguments of `Forecaster`.
    fitted : Fitted
    said : dict
        Anything else that JSON can hold.

    Raises
    ------
    ValueError, TypeError
        `said` is too long, or JSON cannot hold it.
    OSError
        The file cannot be written.
    """
    description = {
        "format": f"crnn {KIND}",
        "version": FILE_VERSION,
        "network": fitted.net.describe(),
        "recipe": fitted.recipe._asdict(),
        "settings": settings,
        "share": fitted.share,
        "residual_scale": fitted.residual_scale,
        "used_window": fitted.window,
        "found_season": fitted.found_season,
        "said": said,
    }
    arrays = {
        "parameters": fitted.net.flat_params,
        "coefficients": fitted.coefficients,
        **fitted.scaling._asdict(),
    }
    archive.write(path, description, arrays)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Fitted, dict[str, Any]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    settings : dict
    fitted : Fitted
    said : dict

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else, or was written by a newer version.
    OSError
        It cannot be opened.
    """
    description, arrays = archive.read(path, _shapes)
    settings = {name: description["settings"][name] for name in FIELDS["settings"].fields or ()}
    fitted = Fitted(
        recipe=_recipe(description),
        found_season=description["found_season"],
        coefficients=arrays["coefficients"],
        scaling=Scaling(arrays["means"], arrays["deviations"]),
        residual_scale=description["residual_scale"],
        window=description["used_window"],
        net=loading.from_description(description["network"], arrays["parameters"]),
        share=description["share"],
    )
    return settings, fitted, description["said"]


def _shapes(description: archive.Description) -> archive.Shapes:
    """Check a description and return what arrays belong to it."""
    archive.check_kind(description, KIND, FILE_VERSION)
    archive.check_fields(description, FIELDS)
    network, recipe = description["network"], _recipe(description)
    if not recipe.lags or list(recipe.lags) != sorted(set(recipe.lags)):
        raise ModelFileError(f"recipe.lags: expected growing numbers, got {list(recipe.lags)}")
    shapes = loading.check_description(network)
    columns = network["input_size"] - bool(recipe.season)
    if (
        columns < 1
        or network["output_size"] != 1
        or network["bidirectional"]
        or not network["return_sequences"]
        or network.get("categorical")
    ):
        raise ModelFileError("network: expected one that belongs to the recipe")
    dtype = np.dtype(np.float64)
    return shapes | {
        "coefficients": (dtype, (len(recipe.lags) + 1,)),
        "means": (dtype, (columns,)),
        "deviations": (dtype, (columns,)),
    }


def _recipe(description: archive.Description) -> Recipe:
    """Return the recipe of a checked description."""
    recipe = description["recipe"]
    return Recipe(
        recipe["log"], tuple(recipe["differences"]), tuple(recipe["lags"]), recipe["season"]
    )
